"""What the built-in templates share: choosing the answers to train, and splitting a record into exchanges."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

from msgspec.structs import replace
from pydantic import field_validator
from pydantic_core import PydanticCustomError

from filial import END, Field, Message, Record, Span, Template, UsageError

Turns = Literal["all", "last"]
_UNTRAINED_END = Span(END.text, special=True)


class Conversational(Template):
    """A template that writes whole conversations."""

    turns: Turns = Field("all", description="Which answers to train: all of a conversation, or the last only.")
    reasoning: str = Field(
        "",
        description="How an answer with reasoning is written, such as '{reasoning}\\nThe answer is {answer}.'. "
        "Default: the answer alone.",
    )

    @field_validator("reasoning")
    @classmethod
    def _check_reasoning(cls, pattern: str) -> str:
        if pattern and not all(pattern.count(place) == 1 for place in ("{reasoning}", "{answer}")):
            raise PydanticCustomError("pattern", "must hold {reasoning} and {answer} once each")
        return pattern

    def join_reasoning(self, record: Record) -> Record:
        """Return the record with the reasoning of its answers written into them, where the option says so."""
        if not self.reasoning:
            return record
        if not record.messages:
            return record.replaced(output=self._join(record.output, record.reasoning), reasoning="")
        turns = (
            replace(turn, content=self._join(turn.content, turn.reasoning), reasoning="")
            if turn.role == "assistant"
            else turn
            for turn in record.messages
        )
        return record.replaced(messages=tuple(turns))

    def _join(self, answer: str, reasoning: str) -> str:
        if not (answer and reasoning):
            return answer
        texts = {"{reasoning}": reasoning, "{answer}": answer}
        return re.sub(r"\{reasoning\}|\{answer\}", lambda place: texts[place[0]], self.reasoning)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question with its answer; ``answer`` is None if a model has to give it."""

    question: str
    answer: str | None
    train: bool


def select_trained(turns: Sequence[Message], which: Turns) -> frozenset[int]:
    """Return the indices of the turns that are trained.

    An empty answer is not trained, since it would teach to say nothing, nor one whose ``train`` is false.
    """
    answers = [i for i, turn in enumerate(turns) if turn.role == "assistant" and turn.content]
    chosen = answers if which == "all" else answers[-1:]
    return frozenset(i for i in chosen if turns[i].train is not False)


def check_turns(record: Record) -> list[Message]:
    """Return the turns of a record. Reasoning that is not part of an answer yet is not written (`join_reasoning`).

    Raises:
        UsageError: the record needs something that no built-in template can write or train.
    """
    turns = list(record.turns())
    if record.tools or any(turn.tool_calls for turn in turns):
        raise UsageError("this template does not write tools or tool calls; leave out records with them")
    for i, turn in enumerate(turns):
        if turn.train and turn.role != "assistant":
            raise UsageError(
                f"turn {i + 1} of the conversation, of {turn.role}, is marked for training; this template trains "
                "only answers"
            )
    return turns


def split_exchanges(record: Record, which: Turns = "all") -> tuple[str | None, list[Exchange]]:
    """Return the system text, if the record has one, and its exchanges in order.

    An empty answer at the end counts as no answer.

    Raises:
        UsageError: the turns are not (system,) user, assistant, user, assistant, ..., or as in `check_turns`.
    """
    turns = check_turns(record)
    system = turns.pop(0).content if turns[0].role == "system" else None
    if turns and turns[-1].role == "assistant" and not turns[-1].content:
        turns.pop()
    for i, turn in enumerate(turns):
        expected = "assistant" if i % 2 else "user"
        if turn.role != expected:
            way = "clean the conversations first, or use the chat template"
            raise UsageError(
                f"turn {i + 1} of the conversation is {turn.role!r} where this template needs {expected!r}; "
                + ("leave out records with tools" if turn.role.startswith("tool") else way)
            )
    if not turns:
        raise UsageError("the conversation has no user turn")
    on = select_trained(turns, which)
    answers = [t.content for t in turns[1::2]] + [None]
    pairs = enumerate(zip(turns[::2], answers, strict=False))
    return system, [Exchange(turn.content, answer, 2 * i + 1 in on) for i, (turn, answer) in pairs]


def load_asking_template(name: str, **texts: str) -> str:
    """Load a chat template from ``asking/`` and set these texts as its variables."""
    values = "".join(f"{{%- set {key} = {json.dumps(text, ensure_ascii=False)} %}}\n" for key, text in texts.items())
    return values + (files(__name__) / "asking" / f"{name}.jinja").read_text(encoding="utf-8")


def make_answer_spans(exchange: Exchange, blank: str = "") -> list[Span]:
    """Return an answer, after white space that belongs to it, and its end token; nothing if there is no answer yet."""
    if exchange.answer is None:
        return []
    return [Span(blank + exchange.answer, train=exchange.train), END if exchange.train else _UNTRAINED_END]
