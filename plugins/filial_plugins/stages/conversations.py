"""The last question of a conversation as a single-turn record, for strategies, and back."""

from __future__ import annotations

from filial import Message, Record


def find_obstacle(record: Record) -> str:
    """Say why the last question of a conversation cannot be evolved; empty if it can, or if the record is single-turn.

    An answer to an evolved question can only be asked for if it needs no tools.
    """
    if not record.single().messages:
        return ""
    if record.tools or any(turn.tool_calls or turn.role in ("tool", "tool_call") for turn in record.messages):
        return "with tools"
    asked = _before_answer(record)
    if not asked or asked[-1].role != "user":
        return "without a question at the end"
    return "" if asked[-1].content.strip() else "with an empty question"


def split_question(record: Record) -> tuple[Record, tuple[Message, ...]]:
    """Return the last question of a record with its answer as a single-turn record, and the turns before it.

    A single-turn record is returned as it is, with no turns; so is a conversation with an obstacle, which a strategy
    may have made.
    """
    single = record.single()
    if not single.messages or find_obstacle(record):
        return single, ()
    *history, question = _before_answer(record)
    last = record.messages[-1]
    answer, reasoning = (last.content, last.reasoning) if last.role == "assistant" else ("", "")
    view = record.replaced(messages=(), instruction=question.content, output=answer, reasoning=reasoning)
    return view, tuple(history)


def join_question(record: Record, history: tuple[Message, ...]) -> Record:
    """Return a single-turn record as the last question of a conversation, with its answer; without turns, as it is."""
    if not history:
        return record
    turns = (*history, *record.turns())
    return record.replaced(instruction="", input="", output="", system="", reasoning="", messages=turns)


def _before_answer(record: Record) -> tuple[Message, ...]:
    return record.messages[:-1] if record.messages[-1].role == "assistant" else record.messages
