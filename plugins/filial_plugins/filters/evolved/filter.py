"""Throw out evolutions that failed: the elimination rules of Evol-Instruct."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from types import SimpleNamespace
from typing import Any, Literal

from pydantic import field_validator

from filial import Context, Drop, Field, Filter, Keep, Record, hookimpl
from filial_plugins.filters.evolved import equality as judge
from filial_plugins.filters.evolved.apologies import apologises
from filial_plugins.filters.evolved.function_words import is_short_reply, says_nothing
from filial_plugins.filters.evolved.leaks import PHRASES, find_leak, keep_letters
from filial_plugins.filters.evolved.non_answers import is_non_answer
from filial_plugins.texts import collapse_whitespace, excerpt, get_answer, get_question

STYLES: dict[str, dict[str, Any]] = {
    "filial": {
        "equality": "off",
        "copies": "drop",
        "apologies": "any",
        "function_words": "replies",
        "leak_labels": True,
        "parent_words": "pass",
        "non_answers": "drop",
    },
    "paper": {
        "equality": "ask",
        "copies": "keep",
        "apologies": "sorry",
        "function_words": "drop",
        "leak_labels": False,
        "parent_words": "drop",
        "non_answers": "keep",
    },
}
"""The value of each option by style, used where the option is not given."""


def _style_option(name: str, what: str) -> Any:
    """Declare an option whose default is the style's value."""
    said = {True: "yes", False: "no"}
    values = "; ".join(f"{style} {said.get(table[name], table[name])}" for style, table in STYLES.items())
    return Field(None, description=f"{what} By style: {values}.")


class Evolved(Filter):
    """Drop evolved records that failed; records that were never evolved pass.

    The four rules of Evol-Instruct (Xu et al., 2024, section 3.2), each with its own reason:

    * ``no-information-gain``: the question is equal to its parent's (ignoring case, blanks and closing punctuation),
    or, with ``equality: ask``, the teacher says that both are equal;

    * ``prompt-leak``: the evolved text contains words of the evolving prompt, such as "rewritten prompt";

    * ``empty-answer``: the answer contains only punctuation and function words, or nothing;

    * ``apology``: the answer is short and apologizes;

    and one found by Auto Evol-Instruct (Zeng et al., 2024, section 3.2): ``non-answer``, a reply that asks for input,
    asks a question back, only announces an answer, or declines.

    ``style: paper`` decides as published; each part of it is also an option. Two published rules drop some good
    answers: ``apology`` those that rightly say sorry (``apology_words: 0`` turns it off), ``empty-answer`` those such
    as "No." (``function_words: replies`` or ``keep``). Records without a parent are not compared. If the evolve stage
    asks for no answers, only the rules on questions apply.
    """

    style: Literal["filial", "paper"] = Field(
        "filial", description="filial's rules or the published ones; sets the defaults of other options."
    )
    equality: Literal["off", "ask"] | None = _style_option(
        "equality", "Ask the teacher, in one more request, whether the evolved prompt equals its parent."
    )
    equality_prompt: str | None = Field(
        None, description="Another text for that request, with {first} and {second}; the answer must be Equal or not."
    )
    copies: Literal["drop", "keep"] | None = _style_option(
        "copies", "What to do with a question equal to its parent's, without asking the teacher."
    )
    apology_words: int = Field(80, ge=0, description="Drop answers with an apology that have fewer words than this.")
    apologies: Literal["any", "sorry"] | None = _style_option(
        "apologies",
        'What is an apology. sorry: the word "sorry" anywhere; any: also openings in other words and languages.',
    )
    function_words: Literal["drop", "replies", "keep"] | None = _style_option(
        "function_words",
        'What to do with an answer of function words alone: drop, drop unless it is a complete reply ("No."), keep.',
    )
    leak_words: tuple[str, ...] = Field(PHRASES, description="Phrases of the evolving prompt that show a leak.")
    leak_labels: bool | None = _style_option(
        "leak_labels", 'Whether a heading or a label ("#Prompt#", "New prompt:") also shows a leak.'
    )
    parent_words: Literal["drop", "pass"] | None = _style_option(
        "parent_words", "What to do with such words if the parent used them already."
    )
    non_answers: Literal["drop", "keep"] | None = _style_option(
        "non_answers", "What to do with replies that are not answers."
    )

    @field_validator("equality_prompt")
    @classmethod
    def _check_placeholders(cls, text: str | None) -> str | None:
        if text is not None and not ("{first}" in text and "{second}" in text):
            raise ValueError("the text must contain both prompts; write {first} and {second} for them")
        return text

    @field_validator("leak_words")
    @classmethod
    def _check_phrases(cls, phrases: tuple[str, ...]) -> tuple[str, ...]:
        if not all(phrase.split() for phrase in phrases):
            raise ValueError("one of the phrases is empty and would match every text; remove it")
        return phrases

    @cached_property
    def chosen(self) -> SimpleNamespace:
        """The settings of the style, with the options that are given by themselves."""
        given = {name: value for name in STYLES[self.style] if (value := getattr(self, name)) is not None}
        return SimpleNamespace(**{**STYLES[self.style], **given})

    def calls(self, records: int) -> float:
        return records if self.chosen.equality == "ask" else 0

    async def check(self, record: Record, ctx: Context) -> Keep | Drop:
        if record.origin.round == 0 and ctx.parent is None:
            return Keep()
        chosen = self.chosen
        drop = self._check_question(record, ctx.parent, chosen) or self._check_answer(record, chosen)
        if drop is None and chosen.equality == "ask" and ctx.parent is not None:
            prompt = self.equality_prompt or judge.PROMPT
            reply = await ctx.ask(judge.fill_prompt(_get_question(ctx.parent), _get_question(record), prompt))
            if judge.says_equal(reply.text):
                drop = Drop("no-information-gain", "the teacher calls both prompts equal", answer=reply.text)
        return drop or Keep()

    def question_rules(self) -> Filter:
        return EvolvedQuestion(**self.model_dump())

    def _check_question(self, record: Record, parent: Record | None, chosen: SimpleNamespace) -> Drop | None:
        """Apply the rules on the evolved question."""
        question, before = _get_question(record), _get_question(parent) if parent else None
        if before is not None and chosen.copies == "drop" and _normalize(question) == _normalize(before):
            return Drop("no-information-gain", "the question is the same as its parent's")
        leak = find_leak(question, self.leak_words, labels=chosen.leak_labels)
        if not leak or (
            chosen.parent_words == "pass" and before is not None and keep_letters(leak) in keep_letters(before)
        ):
            return None
        return Drop("prompt-leak", f"the evolved text contains {excerpt(leak)!r}")

    def _check_answer(self, record: Record, chosen: SimpleNamespace) -> Drop | None:
        """Apply the rules on the answer."""
        answer = get_answer(record)
        stays = chosen.function_words == "replies" and is_short_reply(answer)
        if says_nothing(answer, with_function_words=chosen.function_words != "keep" and not stays):
            reason = "empty-answer"
        elif apologises(answer, self.apology_words, in_any_words=chosen.apologies == "any"):
            reason = "apology"
        elif chosen.non_answers == "drop" and is_non_answer(answer, _get_question(record)):
            reason = "non-answer"
        else:
            return None
        return Drop(reason, f"the answer is {excerpt(answer)!r}")


class EvolvedQuestion(Evolved):
    """The rules of `Evolved` that read only the question."""

    def _check_answer(self, record: Record, chosen: SimpleNamespace) -> Drop | None:
        return None


def _get_question(record: Record) -> str:
    return record.question() or get_question(record)


def _normalize(text: str) -> str:
    return collapse_whitespace(text).casefold().rstrip(".!?:; ")


@hookimpl
def register_filters(register: Callable[[str, type[Filter]], None]) -> None:
    register("evolved", Evolved)
