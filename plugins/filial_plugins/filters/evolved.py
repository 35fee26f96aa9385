"""Throw out evolutions that failed: the elimination rules of Evol-Instruct."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from filial import Context, Drop, Field, Filter, Keep, Record, hookimpl
from filial_plugins.filters.function_words import says_nothing
from filial_plugins.refusals import declines
from filial_plugins.texts import answered, asked, collapse, count_words, excerpt

EQUALITY = """Compare the two prompts below. They are equal if they set the same constraints and requirements
and ask for the same depth and breadth of answer.

#First Prompt#:
{first}

#Second Prompt#:
{second}

Answer with exactly one of: Equal, Not Equal."""

_LEAK = re.compile(r"\b(?:given|rewritten|created)\s+prompt\b", re.IGNORECASE)
_SORRY = re.compile(r"\bsorry\b", re.IGNORECASE)
_ASKS_BACK = re.compile(
    r"\W*(?:(?:sure|certainly|of course|okay|ok|understood|alright|got it|thank you|great|"
    r"i['’]?(?: would|d) be happy to)\b"
    r"[^?\n]{0,80}?[\s,.!:]\s*)?"
    r"(?:please,? (?:provide|share|send|paste|specify|clarify|give me|tell me|upload)\b"
    r"|(?:could|can|would) you (?:please |kindly )?"
    r"(?:provide|clarify|share|specify|send|paste|tell me|explain what)\b"
    r"|(?:i|we)(?:['’]d| would)? (?:will )?need (?:more|further|additional|the)\b[^.?\n]{0,40}"
    r"\b(?:information|details|context|text|input)\b"
    r"|what (?:exactly (?:do|would|should)|do you mean|would you like me)\b"
    r"|you (?:have not|haven['’]t|did not|didn['’]t) provided? (?:any|the|an?) (?:input|text)\b)",
    re.IGNORECASE,
)


class Evolved(Filter):
    """Drop evolved records that failed; records that were never evolved pass.

    The four rules of Evol-Instruct (Xu et al., 2024, section 3.2), each with its own reason:

    * ``no-information-gain``: the question is its parent's (case, blanks and closing punctuation aside),
      or, with ``equality: ask``, the teacher says that both are equal;
    * ``apology``: the answer says sorry in few words;
    * ``empty-answer``: the answer holds only punctuation and function words, or nothing;
    * ``prompt-leak``: the evolved text speaks of the "given", "rewritten" or "created prompt", as the
      evolving prompt does; words its parent already used do not count;

    and one that Auto Evol-Instruct (Zeng et al., 2024, section 3.2) found: ``non-answer``, a reply that
    asks back for input or declines.

    Two published rules have false positives, so each can be turned off: ``apology`` drops answers that
    rightly say sorry (``apology_words: 0``), ``empty-answer`` drops "No." (``function_words: keep``).
    """

    equality: Literal["off", "ask"] = Field(
        "off",
        description="Ask the teacher, in one more request, whether the evolved prompt equals its parent.",
    )
    apology_words: int = Field(80, ge=0, description="An answer that says sorry in fewer words than this is dropped.")
    function_words: Literal["drop", "keep"] = Field(
        "drop", description='Whether an answer of function words alone counts as empty; a plain "No." is one.'
    )

    def calls(self, records: int) -> float:
        return records if self.equality == "ask" else 0

    async def check(self, record: Record, ctx: Context) -> Keep | Drop:
        if record.origin.round == 0 and ctx.parent is None:
            return Keep()
        drop = self._told_by_text(record, ctx.parent)
        if drop is None and self.equality == "ask" and ctx.parent is not None:
            prompt = EQUALITY.format(first=_question(ctx.parent), second=_question(record))
            reply = await ctx.ask(prompt)
            if says_equal(reply.text):
                drop = Drop("no-information-gain", "the teacher calls both prompts equal", answer=reply.text)
        return drop or Keep()

    def _told_by_text(self, record: Record, parent: Record | None) -> Drop | None:
        question, answer = _question(record), answered(record)
        if parent is not None and _normal(question) == _normal(_question(parent)):
            return Drop("no-information-gain", "the question is the same as its parent's")
        # A word that is not there at all is found out much faster than by a pattern; this is asked of every record.
        leak = _LEAK.search(question) if "prompt" in question.casefold() else None
        if leak and not (parent is not None and leak[0].lower() in _question(parent).lower()):
            return Drop("prompt-leak", f"the evolved text holds {leak[0]!r}")
        if says_nothing(answer, with_function_words=self.function_words == "drop"):
            return Drop("empty-answer", f"the answer is {excerpt(answer)!r}")
        if "sorry" in answer.casefold() and _SORRY.search(answer) and count_words(answer) < self.apology_words:
            return Drop("apology", f"the answer is {excerpt(answer)!r}")
        if declines(answer) or _ASKS_BACK.match(answer):
            return Drop("non-answer", f"the answer is {excerpt(answer)!r}")
        return None


def says_equal(text: str) -> bool:
    """Whether a judge's reply means equal. "Not Equal", "unequal" and anything doubtful do not."""
    words = set(re.findall("[a-z]+", text.lower()))
    return "equal" in words and not words & {"not", "unequal", "never", "neither", "isn", "aren", "different"}


def _question(record: Record) -> str:
    return asked(record) if record.messages else record.question()


def _normal(text: str) -> str:
    return collapse(text).casefold().rstrip(".!?:; ")


@hookimpl
def register_filters(register: Callable[[str, type[Filter]], None]) -> None:
    register("evolved", Evolved)
