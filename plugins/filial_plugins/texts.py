"""Small questions about the text of a record that several plugins ask."""

from __future__ import annotations

from filial import Record, words


def count_words(text: str) -> int:
    """Words between blanks; in scripts that write no blanks every character counts as one."""
    return len(words(text))


def collapse_whitespace(text: str) -> str:
    """The text on one line, with single blanks."""
    return " ".join(text.split())


def get_question(record: Record) -> str:
    """The instruction; of a conversation, its first user turn."""
    return record.instruction or next((m.content for m in record.turns() if m.role == "user"), "")


def get_answer(record: Record) -> str:
    """The output; of a conversation, its last assistant turn, also where the conversation goes on behind it."""
    return record.output or next((m.content for m in reversed(record.messages) if m.role == "assistant"), "")


def excerpt(text: str, length: int = 80) -> str:
    """The beginning of a text on one line, for messages to people."""
    line = collapse_whitespace(text[: 4 * length])
    return line if len(line) <= length else line[: length - 1] + "…"
