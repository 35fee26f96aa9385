"""Helpers for the text of a record, used by several plugins."""

from __future__ import annotations

import re
import unicodedata

from filial import Record, words

# Characters that are not seen: controls, soft hyphen, zero-width and direction marks, fillers, variation selectors,
# tags (Unicode's Default_Ignorable_Code_Point and controls but for white space), and the dash that stretches Arabic.
_HIDDEN_BELOW = (
    "\0-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u034f\u061c\u0640\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
)
_HIDDEN_ABOVE = "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
# Raised, lowered and fraction characters (<super>, <sub>, <fraction>): NFKC makes 52 of 5², and 11/2 of 1½.
_KEPT = "\xaa\xb2\xb3\xb9\xba\xbc-\xbe\u2070-\u209c\u2120\u2122\u2150-\u215f\u2189"
_HIDDEN = re.compile(f"[{_HIDDEN_BELOW}{_HIDDEN_ABOVE}]+")
_HAS_KEPT, _NOT_KEPT = re.compile(f"[{_KEPT}]"), re.compile(f"[^{_KEPT}]+")
_RARE = re.compile(f"[{_HIDDEN_BELOW}{_KEPT}\U00010000-\U0010ffff]")  # searching for less takes as long


def normalize_characters(text: str) -> str:
    """Return a text without what only its encoding says: texts that look the same become the same.

    Characters that are not seen are left out; composed and decomposed, narrow, wide and styled characters and
    ligatures become one (NFKC). Powers, indices and fractions stay, for 5² is not 52.
    """
    if text.isascii() and text.replace("\n", " ").isprintable():
        return text
    if not _RARE.search(text):
        return unicodedata.normalize("NFKC", text)
    text = _HIDDEN.sub("", text)
    if not _HAS_KEPT.search(text):
        return unicodedata.normalize("NFKC", text)
    return _NOT_KEPT.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text)


def normalize_text(text: str) -> str:
    """Return the form in which copies of a text are equal: `normalize_characters` on one line with single blanks."""
    return collapse_whitespace(normalize_characters(text))


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
