"""What the built-in templates share: which answers are trained, and a record read as exchanges."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

from filial import END, Field, Message, Record, Span, Template, UsageError

Turns = Literal["all", "last"]
_READ_END = Span(END.text, special=True)


class Conversational(Template):
    """A template that writes whole conversations."""

    turns: Turns = Field("all", description="Which answers are trained: all of a conversation, or the last alone.")


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question with its answer; ``answer`` is None where a model is to give it."""

    question: str
    answer: str | None
    train: bool


def trained(turns: Sequence[Message], which: Turns) -> frozenset[int]:
    """The places of the turns that are trained. An answer that says nothing is not: it would teach to say nothing; nor
    is one whose ``train`` is false."""
    answers = [i for i, turn in enumerate(turns) if turn.role == "assistant" and turn.content]
    chosen = answers if which == "all" else answers[-1:]
    return frozenset(i for i in chosen if turns[i].train is not False)


def writable(record: Record) -> list[Message]:
    """Return the turns of a record. What was thought before an answer is not written.

    Raises:
        UsageError: the record needs what no built-in template can write or train.
    """
    turns = list(record.turns())
    if record.tools or any(turn.tool_calls for turn in turns):
        raise UsageError("this template writes no tools and no calls of them; leave such records out")
    for i, turn in enumerate(turns):
        if turn.train and turn.role != "assistant":
            raise UsageError(
                f"turn {i + 1} of the conversation, of {turn.role}, is marked to be trained; this template trains "
                "answers alone"
            )
    return turns


def exchanges(record: Record, which: Turns = "all") -> tuple[str | None, list[Exchange]]:
    """The system text, if the record has one, and its exchanges in order.

    An empty answer at the end is no answer.

    Raises:
        UsageError: the turns are not (system,) user, assistant, user, assistant, ..., or as `writable`.
    """
    turns = writable(record)
    system = turns.pop(0).content if turns[0].role == "system" else None
    if turns and turns[-1].role == "assistant" and not turns[-1].content:
        turns.pop()
    for i, turn in enumerate(turns):
        expected = "assistant" if i % 2 else "user"
        if turn.role != expected:
            way = "clean the conversations first, or use the chat template"
            raise UsageError(
                f"turn {i + 1} of the conversation is {turn.role!r} where this template needs {expected!r}; "
                + ("leave such records out" if turn.role.startswith("tool") else way)
            )
    if not turns:
        raise UsageError("the conversation has no user turn")
    on = trained(turns, which)
    answers = [t.content for t in turns[1::2]] + [None]
    pairs = enumerate(zip(turns[::2], answers, strict=False))
    return system, [Exchange(turn.content, answer, 2 * i + 1 in on) for i, (turn, answer) in pairs]


def asking(name: str, **texts: str) -> str:
    """The chat template in ``asking/``, with these texts as its variables."""
    values = "".join(f"{{%- set {key} = {json.dumps(text, ensure_ascii=False)} %}}\n" for key, text in texts.items())
    return values + (files(__name__) / "asking" / f"{name}.jinja").read_text(encoding="utf-8")


def answered(exchange: Exchange, blank: str = "") -> list[Span]:
    """The answer of an exchange, after a blank that belongs to it, and its end token; nothing where it is to come."""
    if exchange.answer is None:
        return []
    return [Span(blank + exchange.answer, train=exchange.train), END if exchange.train else _READ_END]
