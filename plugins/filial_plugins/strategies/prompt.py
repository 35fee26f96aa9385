"""Evolve with a prompt text of your own."""

from __future__ import annotations

from collections.abc import Callable

from filial import PromptStrategy, Strategy, hookimpl


class Prompt(PromptStrategy):
    """Evolve with a prompt text in the recipe or in a file; no Python needed.

    In the text, ``{prompt}`` is replaced by the task with its input, ``{instruction}``, ``{input}`` and ``{output}`` by
    its parts, ``{max_words}`` by that option; write braces twice. The teacher's reply is the new task, with its
    input under a line ``Input:``. In a recipe, ``name`` and ``family`` set its name and family in the survival table.
    """


@hookimpl
def register_strategies(register: Callable[[str, type[Strategy]], None]) -> None:
    register("prompt", Prompt)
