"""What the built-in templates share: a record read as exchanges of question and answer."""

from __future__ import annotations

from dataclasses import dataclass

from filial import Record, UsageError


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question with its answer; ``answer`` is None where a model is to give it."""

    question: str
    answer: str | None


def exchanges(record: Record) -> tuple[str | None, list[Exchange]]:
    """The system text, if the record has one, and its exchanges in order.

    An empty answer at the end is no answer.

    Raises:
        UsageError: the turns are not (system,) user, assistant, user, assistant, ...
    """
    turns = list(record.turns())
    system = turns.pop(0).content if turns[0].role == "system" else None
    if turns and turns[-1].role == "assistant" and not turns[-1].content:
        turns.pop()
    for i, turn in enumerate(turns):
        expected = "assistant" if i % 2 else "user"
        if turn.role != expected:
            raise UsageError(
                f"turn {i + 1} of the conversation is {turn.role!r} where this template needs {expected!r}; "
                "clean the conversations first, or use the chat template"
            )
    if not turns:
        raise UsageError("the conversation has no user turn")
    answers = [t.content for t in turns[1::2]] + [None]
    return system, [Exchange(turn.content, answer) for turn, answer in zip(turns[::2], answers, strict=False)]
