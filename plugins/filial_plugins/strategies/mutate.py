"""Change to a rarer task of the same domain."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

from filial import PromptStrategy, Strategy, hookimpl
from filial_plugins.prompt_files import read_prompt


class Mutate(PromptStrategy):
    """Make a rarer task of the same domain (Evol-Instruct, in breadth: mutation)."""

    family: ClassVar[Literal["in-depth", "in-breadth"]] = "in-breadth"
    wording: ClassVar[str] = read_prompt(__file__, "mutate.txt")


@hookimpl
def register_strategies(register: Callable[[str, type[Strategy]], None]) -> None:
    register("mutate", Mutate)
