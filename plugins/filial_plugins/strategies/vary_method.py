"""Evolve by another way to the goal."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

from filial import Strategy, hookimpl
from filial_plugins.strategies.rewriting import Rewriting


class VaryMethod(Rewriting):
    """Make a task that wants the same thing done differently (in breadth: wider coverage of skills)."""

    family: ClassVar[Literal["in-depth", "in-breadth"]] = "in-breadth"
    method: ClassVar[str] = (
        "Let it reach the same goal by another method: another skill, tool or kind of answer than the prompt calls for."
    )


@hookimpl
def register_strategies(register: Callable[[str, type[Strategy]], None]) -> None:
    register("vary-method", VaryMethod)
