"""Helpers for the text of a record, used by several plugins."""

from __future__ import annotations

from filial import Record, words


def count_words(text: str) -> int:
    """Count words between blanks; in scripts that write no blanks every character is a word."""
    return len(words(text))


def collapse_whitespace(text: str) -> str:
    """Join the text into one line with single blanks."""
    return " ".join(text.split())


def get_question(record: Record) -> str:
    """Return the instruction; of a conversation, its first user turn."""
    return record.instruction or next((m.content for m in record.turns() if m.role == "user"), "")


def get_answer(record: Record) -> str:
    """Return the output; of a conversation, its last assistant turn, also if other turns follow it."""
    return record.output or next((m.content for m in reversed(record.messages) if m.role == "assistant"), "")


def excerpt(text: str, length: int = 80) -> str:
    """Return the beginning of a text on one line, at most ``length`` characters, for messages to people."""
    line = collapse_whitespace(text[: 4 * length])
    return line if len(line) <= length else line[: length - 1] + "…"
