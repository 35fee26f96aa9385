"""Require another method for the same goal."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

from filial import PromptStrategy, Strategy, hookimpl
from filial_plugins.prompt_files import read_prompt


class VaryMethod(PromptStrategy):
    """Make a task with the same goal but another method (in breadth: wider coverage of skills)."""

    family: ClassVar[Literal["in-depth", "in-breadth"]] = "in-breadth"
    wording: ClassVar[str] = read_prompt(__file__, "vary_method.txt")


@hookimpl
def register_strategies(register: Callable[[str, type[Strategy]], None]) -> None:
    register("vary-method", VaryMethod)
