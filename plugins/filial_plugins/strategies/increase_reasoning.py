"""Require more steps of reasoning."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

from filial import PromptStrategy, Strategy, hookimpl
from filial_plugins.prompt_files import read_prompt


class IncreaseReasoning(PromptStrategy):
    """Make the task need several steps of thought (Evol-Instruct, in depth: increase reasoning steps)."""

    family: ClassVar[Literal["in-depth", "in-breadth"]] = "in-depth"
    wording: ClassVar[str] = read_prompt(__file__, "increase_reasoning.txt")


@hookimpl
def register_strategies(register: Callable[[str, type[Strategy]], None]) -> None:
    register("increase-reasoning", IncreaseReasoning)
