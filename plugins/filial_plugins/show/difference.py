"""What has changed between a record's text and its parent's, word by word."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from enum import Enum

MOST_WORDS = 2000
"""Longer texts are not compared: comparing takes time that grows with the square of their length."""
LEAST_ALIKE = 0.3
"""With a smaller share of common words a text is new, and marks in it would only hide it."""
_TOKEN = re.compile(r"\s+|[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|\w+|[^\w\s]")


class Change(Enum):
    """What became of a part of a text."""

    SAME = "same"
    GONE = "gone"
    NEW = "new"


Part = tuple[Change, str]


def compare(before: str, after: str) -> list[Part] | None:
    """Return the parts that are the same, gone and new, in order; None where the texts have too little in common or
    are too long to be compared."""
    if before == after:
        return [(Change.SAME, after)]
    old, new = _TOKEN.findall(before), _TOKEN.findall(after)
    if max(len(old), len(new)) > 2 * MOST_WORDS:
        return None
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    if _share_of_words(matcher, old, new) < LEAST_ALIKE:
        return None
    parts: list[Part] = []
    gone = made = ""
    blocks = matcher.get_matching_blocks()
    i = j = 0
    for a, b, size in blocks:
        gone, made = gone + "".join(old[i:a]), made + "".join(new[j:b])
        same = "".join(old[a : a + size])
        if same and not same.strip() and (gone or made) and a + size < len(old) and b + size < len(new):
            gone, made = gone + same, made + same  # a blank between two changes does not part them
        else:
            parts += _change(gone, made)
            gone = made = ""
            if same:
                parts.append((Change.SAME, same))
        i, j = a + size, b + size
    return parts


def _change(gone: str, made: str) -> list[Part]:
    """Return what is gone and new, without the blanks at the end that both have."""
    tail = made[len(made.rstrip()) :] if gone[len(gone.rstrip()) :] == made[len(made.rstrip()) :] else ""
    if tail and gone != tail and made != tail:
        gone, made = gone[: -len(tail)], made[: -len(tail)]
    else:
        tail = ""
    parts = [(kind, text) for kind, text in ((Change.GONE, gone), (Change.NEW, made)) if text]
    return [*parts, (Change.SAME, tail)] if tail else parts


def _share_of_words(matcher: SequenceMatcher[str], old: list[str], new: list[str]) -> float:
    """Return how much of the shorter text stands in the other: the share of its words, those alone not counted."""
    shorter = min(sum(not token.isspace() for token in tokens) for tokens in (old, new))
    alike = 0
    for a, _, size in matcher.get_matching_blocks():
        together = sum(not token.isspace() for token in old[a : a + size])
        alike += together if together > 1 or together == shorter else 0
    return alike / shorter if shorter else 0.0
