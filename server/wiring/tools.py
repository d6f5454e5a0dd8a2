"""What the model may have done, and with what."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

from server.assistant.pictures import Pictures
from server.assistant.tools.current_time import current_time
from server.assistant.tools.generate_image import generate_image
from server.assistant.tools.get_inventory import Inventory, get_inventory
from server.assistant.tools.recall import recall
from server.assistant.tools.remember import remember
from server.assistant.tools.toolbox import Tools
from server.ports import Notes
from server.settings import Settings
from server.wiring.stores import Store

EVERYWHERE = (current_time, remember, recall)
ALL = (*EVERYWHERE, get_inventory, generate_image)


def unknown_tools(names: Sequence[str]) -> list[str]:
    """Those that no server of ours has, however it is set up."""
    known = {tool.name for tool in ALL}
    return [name for name in names if name not in known]


async def open_tools(
    settings: Settings, store: Store, stack: AsyncExitStack, pictures: Pictures | None = None
) -> Tools:
    tools = list(EVERYWHERE)
    given: dict[Any, object] = {Notes: store}
    if settings.inventory_url:
        given[Inventory] = await stack.enter_async_context(Inventory(settings.inventory_url))
        tools.append(get_inventory)
    if pictures is not None:
        given[Pictures] = pictures
        tools.append(generate_image)
    return Tools(tools, given)
