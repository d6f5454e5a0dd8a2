"""Pictures that are ordered by a command: asked for once, and always answered."""

from __future__ import annotations

import pytest

from server.errors import BadInput, InDoubt, ProviderFailed, ServerError, TooMany, Unavailable
from server.inbox.notices import NOTICE, NOTICES, notice_id
from server.model import Caller, Draft
from tests.unit.turn_scene import Scene, speak


class ScriptedPainter:
    """The port Painter. `troubles`: those of the next wishes."""

    def __init__(self, *troubles: ServerError) -> None:
        self.troubles = list(troubles)
        self.asked: list[tuple[str, str]] = []

    async def picture(self, description: str, caller: Caller) -> str:
        self.asked.append((description, caller.key))
        if self.troubles:
            raise self.troubles.pop(0)
        return "images/fox"


async def wished(scene: Scene) -> Draft:
    """What the person is told at last."""
    async with scene.working():
        await scene.say("/image a fox", notice_id("picture", "m1"))
        draft = (await scene.reply()).draft
    assert len(scene.heard.replies()) == 1
    assert scene.engine.prompts == []
    return draft


async def test_what_may_have_been_painted_is_not_asked_for_again() -> None:
    painter = ScriptedPainter(InDoubt("No picture came.", code="picture_in_doubt"))
    scene = Scene(speak, channel="sms", painter=painter)
    assert await wished(scene) == Draft("No picture came.", "error", code="picture_in_doubt")
    assert len(painter.asked) == 1
    [letter] = await scene.store.dead_letters(10)
    assert letter.tries == 1


@pytest.mark.parametrize("error", [TooMany("Tomorrow.", code="too_many_pictures"), BadInput("Tomorrow.")])
async def test_what_the_server_itself_does_not_do_is_no_failure(error: ServerError) -> None:
    painter = ScriptedPainter(error)
    scene = Scene(speak, channel="sms", painter=painter)
    assert await wished(scene) == Draft("Tomorrow.", NOTICE)
    assert len(painter.asked) == 1
    assert await scene.store.dead_letters(10) == []


async def test_what_was_surely_not_painted_is_asked_for_again_by_the_same_call() -> None:
    painter = ScriptedPainter(*[Unavailable("Busy.", retry_after=0.01)] * 2)
    assert await wished(Scene(speak, channel="sms", painter=painter)) == Draft(
        NOTICES["picture"], NOTICE, images=("images/fox",)
    )
    assert len(painter.asked) == 3
    assert len(set(painter.asked)) == 1


async def test_what_the_provider_refuses_is_not_asked_for_again() -> None:
    painter = ScriptedPainter(ProviderFailed("Not this one.", code="picture_refused"))
    draft = await wished(Scene(speak, channel="sms", painter=painter))
    assert (draft.text, draft.code, len(painter.asked)) == ("Not this one.", "picture_refused", 1)


async def test_an_order_that_an_operator_puts_there_again_is_painted() -> None:
    painter = ScriptedPainter(ProviderFailed("Not this one.", code="picture_refused"))
    scene = Scene(speak, channel="sms", painter=painter)
    await wished(scene)
    [letter] = await scene.store.dead_letters(10)
    again = await scene.store.requeue(letter)
    async with scene.working():
        await scene.bell.ring(again.conversation_id)
        assert (await scene.reply()).draft.images == ("images/fox",)
    assert scene.engine.prompts == []
