"""Make a general task specific."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

from filial import PromptStrategy, Strategy, hookimpl
from filial_plugins.prompt_files import read_prompt


class Concretize(PromptStrategy):
    """Replace general concepts in the task by specific ones (Evol-Instruct, in depth: concretizing)."""

    family: ClassVar[Literal["in-depth", "in-breadth"]] = "in-depth"
    wording: ClassVar[str] = read_prompt(__file__, "concretize.txt")


@hookimpl
def register_strategies(register: Callable[[str, type[Strategy]], None]) -> None:
    register("concretize", Concretize)
