"""How a bug is planted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from tests.scenario.harms import Kind
from tests.unit.checker_story import Story

Plant: TypeAlias = Callable[[Story], None]
PLANTS: list[tuple[Kind, Plant]] = []


def planted(kind: Kind) -> Callable[[Plant], Plant]:
    """The kind of harm that this bug does, and no other."""

    def remember(plant: Plant) -> Plant:
        PLANTS.append((kind, plant))
        return plant

    return remember
