"""Strategies that consist of one text: show the teacher a record, ask for another one, read the reply."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from string import Formatter
from typing import ClassVar

from pydantic import model_validator

from filial.contracts.context import Context
from filial.contracts.errors import hint
from filial.contracts.kinds import Drop, Field, InputFile, Strategy
from filial.contracts.records import Record
from filial.contracts.texts import is_refusal

_CONVERSATION = (
    "The task below is the last message of a conversation. What you write in its place has to fit the conversation, "
    "which began like this:"
)
_INPUT_BLOCK = re.compile(r"\n[ \t]*\n[ \t]*Input:[ \t]*\n?|\n[ \t]*Input:[ \t]*\n")


class PromptStrategy(Strategy):
    """A strategy that consists of one text. A subclass has the text as ``wording``; a recipe can replace it.

    In the text, ``{prompt}`` is replaced by the record's instruction with its input under a line ``Input:``,
    ``{instruction}``, ``{input}`` and ``{output}`` by its parts, ``{max_words}`` by that option, and so is every option
    of the subclass that is a text or a number. For other names extend `values`. Write a brace twice to mean the
    character.

    The reply is the child's instruction; what follows a line ``Input:`` is its input. Everything else in the reply
    stays, also words of the prompt: removing failed evolutions is the task of filters.
    """

    wording: ClassVar[str] = ""
    text: str = Field("", description="Another prompt text; {prompt} stands for the task.")
    file: InputFile | None = Field(None, description="File that contains the text.")
    max_words: int = Field(20, ge=1, description="How many words the new prompt may add.")

    @model_validator(mode="after")
    def _one_sound_text(self) -> PromptStrategy:
        if self.text and self.file:
            raise ValueError("text and file are both given; keep one of them")
        if not (self.text or self.file or self.wording):
            raise ValueError("it has no text; give text: or file:, with {prompt} where the task goes")
        if not self.file or Path(self.file).is_file():  # a relative path is checked when it is resolved
            _ = self._text
        return self

    @cached_property
    def _text(self) -> str:
        """The text in use.

        Raises:
            ValueError: it cannot be used.
        """
        text = Path(self.file).read_text(encoding="utf-8-sig").rstrip("\n") if self.file else self.text or self.wording
        if wrong := fault_of_text(text, self.values(_EXAMPLE)):
            raise ValueError(f"{self.file}: {wrong}" if self.file else wrong)
        return text

    def values(self, record: Record) -> dict[str, str]:
        """Return the values of the names in braces."""
        own = {name: getattr(self, name) for name in type(self).model_fields if name not in ("text", "file")}
        whole = f"{record.instruction}\n\nInput:\n{record.input}" if record.input else record.instruction
        return {
            **{name: str(value) for name, value in own.items() if type(value) in (str, int, float)},
            "prompt": whole, "instruction": record.instruction, "input": record.input, "output": record.output,
        }  # fmt: skip

    def prompt(self, record: Record, **more: str) -> str:
        """Write the prompt for the teacher; ``more`` are values in addition to `values`."""
        return self._text.format_map({**self.values(record), **more})

    async def evolve(self, record: Record, ctx: Context) -> Record | Drop:
        if record.messages:
            return Drop("conversation", "only single-turn records can be evolved")
        return await self.rewrite(record, self.prompt(record), ctx)

    async def rewrite(self, record: Record, prompt: str, ctx: Context) -> Record | Drop:
        """Return the child that the teacher's reply to a prompt describes, or why there is none.

        If the record is the last question of a conversation, the turns before it (``ctx.history``) precede the prompt.
        """
        said = "\n\n".join(f"{turn.role}: {turn.content}" for turn in ctx.history)
        reply = await ctx.ask(f"{_CONVERSATION}\n\n{said}\n\n---\n\n{prompt}" if said else prompt)
        if is_refusal(reply.text):
            return Drop("refused", "the teacher declined to rewrite the prompt", reply.text)
        instruction, given = split_input(reply.text)
        if not instruction:
            return Drop("empty-reply", "the reply holds no prompt", reply.text)
        return record.evolved(instruction=instruction, input=given).citing(reply)


_EXAMPLE = Record(instruction="a task")


def fault_of_text(text: str, values: dict[str, str]) -> str:
    """Say why values cannot be inserted into a text; empty if they can."""
    try:
        names = [name for _, name, form, conversion in Formatter().parse(text) if name is not None]
    except ValueError as err:
        return f"its braces do not match ({err}); write a brace twice where it is meant as a character"
    for name in names:
        if name not in values:
            there = f"; there are {', '.join(map('{{{}}}'.format, values))}; write a brace twice to mean the character"
            meant = hint(name, values, "{{{}}}".format) or there
            return f"the text holds {{{name}}}, and there is no such name{meant}"
    if not {"prompt", "instruction"} & set(names):
        return "the text shows no task; write {prompt} where it goes"
    return ""


def split_input(text: str) -> tuple[str, str]:
    """Split a reply into instruction and input, at the first line ``Input:``.

    Text may follow on that line if a blank line precedes it. The input keeps its indentation.
    """
    instruction, *given = _INPUT_BLOCK.split(text, maxsplit=1)
    return instruction.strip(), given[0].strip("\r\n").rstrip() if given else ""
