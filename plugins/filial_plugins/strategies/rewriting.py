"""What every strategy of Evol-Instruct shares: show a prompt, ask for another, read the reply."""

from __future__ import annotations

import re
from typing import ClassVar

from filial import Context, Drop, Field, Record, Strategy
from filial_plugins.refusals import is_refusal

IN_DEPTH = """Rewrite the prompt below into a version of it that is somewhat harder to answer well. {method}

Rules: the new prompt must be reasonable, clear and still answerable. Add at most {max_words} words to it. Keep
tables, code and other input of the prompt, under a line "Input:" if they stand there. Write the new prompt
alone, not its answer, and do not use the words "given prompt" or "rewritten prompt" in it.

#Given Prompt#:
{prompt}

#Rewritten Prompt#:"""

IN_BREADTH = """Use the prompt below as inspiration for a brand-new one. {method}

Rules: the new prompt must be reasonable, clear and answerable, of about the same length and difficulty, at most
{max_words} words longer. If it needs input to work on, put that after it, under a line "Input:". Write the new
prompt alone, not its answer, and do not use the words "given prompt" or "created prompt" in it.

#Given Prompt#:
{prompt}

#Created Prompt#:"""

_INPUT_BLOCK = re.compile(r"\n[ \t]*\n[ \t]*Input:[ \t]*\n?|\n[ \t]*Input:[ \t]*\n")


class Rewriting(Strategy):
    """Base of the strategies that are one instruction to the teacher: ``method`` says what to do.

    The reply is the child's instruction, and its input after a line ``Input:``; a reply without one makes a
    child without input. Whatever else the reply holds stays, leaked prompt words too: telling failed evolutions
    from good ones is the filter `evolved`'s part.
    """

    method: ClassVar[str]
    max_words: int = Field(20, ge=1, description="Words the new prompt may have more than its parent.")

    def prompt(self, record: Record) -> str:
        """The text the teacher gets."""
        given = f"{record.instruction}\n\nInput:\n{record.input}" if record.input else record.instruction
        frame = IN_DEPTH if self.family == "in-depth" else IN_BREADTH
        return frame.format(method=self.method, max_words=self.max_words, prompt=given)

    async def evolve(self, record: Record, ctx: Context) -> Record | Drop:
        if record.messages:
            return Drop("conversation", "only single-turn records can be evolved")
        reply = await ctx.ask(self.prompt(record))
        if is_refusal(reply.text):
            return Drop("refused", "the teacher declined to rewrite the prompt", reply.text)
        instruction, given = split_input(reply.text)
        if not instruction:
            return Drop("empty-reply", "the reply holds no prompt", reply.text)
        return record.evolved(instruction=instruction, input=given).citing(reply)


def split_input(text: str) -> tuple[str, str]:
    """Instruction and input of a reply: what stands before and after the first line ``Input:``.

    Text may follow on that line if a blank line stands before it. The input keeps its indentation.
    """
    instruction, *given = _INPUT_BLOCK.split(text, maxsplit=1)
    return instruction.strip(), given[0].strip("\r\n").rstrip() if given else ""
