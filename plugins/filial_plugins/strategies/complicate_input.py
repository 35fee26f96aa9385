"""Add structured input to the task."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal, get_args

from filial import Context, Drop, Field, PromptStrategy, Record, Strategy, hookimpl
from filial_plugins.prompt_files import read_prompt

Form = Literal["table", "csv", "json", "xml", "html", "yaml", "code", "sql", "shell", "formula", "log"]

IN_WORDS: dict[Form, str] = {
    "table": "a Markdown table with a header and three to six rows",
    "csv": "comma-separated values with a header line",
    "json": "a JSON object or array with a few nested fields",
    "xml": "a short XML document",
    "html": "a short piece of HTML",
    "yaml": "a few lines of YAML, such as a configuration",
    "code": "a short function or class in a common programming language",
    "sql": "the definition of one or two SQL tables, with a few rows or a query",
    "shell": "a shell command or some lines of a shell session",
    "formula": "one or more formulas in LaTeX",
    "log": "some lines of a log",
}


class ComplicateInput(PromptStrategy):
    """Give the task structured data to work on (Evol-Instruct, in depth: complicate input).

    The form of the data is drawn for each record; ``{form}`` stands for it in the prompt.
    """

    family: ClassVar[Literal["in-depth", "in-breadth"]] = "in-depth"
    wording: ClassVar[str] = read_prompt(__file__, "complicate_input.txt")
    forms: tuple[Form, ...] = Field(get_args(Form), min_length=1, description="Forms of data; one is drawn.")

    def values(self, record: Record) -> dict[str, str]:
        return {**super().values(record), "form": IN_WORDS[self.forms[0]]}

    async def evolve(self, record: Record, ctx: Context) -> Record | Drop:
        if record.messages:
            return await super().evolve(record, ctx)
        form = IN_WORDS[ctx.rng.choice(self.forms)]
        return await self.rewrite(record, self.prompt(record, form=form), ctx)


@hookimpl
def register_strategies(register: Callable[[str, type[Strategy]], None]) -> None:
    register("complicate-input", ComplicateInput)
