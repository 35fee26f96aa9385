"""Ask for more depth."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

from filial import PromptStrategy, Strategy, hookimpl
from filial_plugins.prompt_files import read_prompt


class Deepen(PromptStrategy):
    """Ask for more depth on the same subject (Evol-Instruct, in depth: deepening)."""

    family: ClassVar[Literal["in-depth", "in-breadth"]] = "in-depth"
    wording: ClassVar[str] = read_prompt(__file__, "deepen.txt")


@hookimpl
def register_strategies(register: Callable[[str, type[Strategy]], None]) -> None:
    register("deepen", Deepen)
