"""What the teacher holds out, so that exams can test something that was never taught.

About a fifth of the wordings of each operation (*held wordings*), 15 % of the ordered pairs of operations (*held
pairs*) and 5 % of all instruction texts (*held texts*) never appear in anything the teacher proposes or evolves.
The choice is fixed for ever by a hash.
A wording is held only if each of its words still occurs in another wording of the operation: the exam asks for
unseen combinations of known words, because words never seen cannot be understood by anyone.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from functools import cache

from .operations import Operation, operations
from .task import Task

HELD_WORDINGS = 0.2
HELD_PAIRS = 0.15
HELD_TEXTS = 0.05


def _hash_fraction(*parts: str) -> float:
    """Return a number in [0, 1) that depends only on the texts."""
    digest = hashlib.sha256("|".join(parts).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


@cache
def _choose_held_wordings(name: str) -> frozenset[str]:
    operation: Operation = operations()[name]
    held: list[str] = []
    words = Counter(w for asked in (False, True) for text in operation.wordings(asked) for w in set(text.split()))
    for asked in (False, True):
        wordings = operation.wordings(asked)
        room = round(HELD_WORDINGS * len(wordings))
        for text in sorted(wordings, key=lambda text: _hash_fraction("wording", name, text)):
            if room and all(words[word] > 1 for word in set(text.split())):
                held.append(text)
                words.subtract(set(text.split()))
                room -= 1
    return frozenset(held)


def is_held_wording(name: str, wording: str) -> bool:
    """Return whether this wording of the operation is kept for the exams."""
    return wording in _choose_held_wordings(name)


def is_taught_wording(name: str, wording: str) -> bool:
    """Return whether the teacher may use this wording."""
    return wording not in _choose_held_wordings(name)


@cache
def is_held_pair(first: str, second: str) -> bool:
    """Return whether this ordered pair of operations is kept for the exams."""
    return _hash_fraction("pair", first, second) < HELD_PAIRS


def has_held_pair(task: Task) -> bool:
    """Return whether two neighbouring steps of the task are a held pair."""
    return any(is_held_pair(a, b) for a, b in zip(task.names, task.names[1:], strict=False))


def is_held_text(text: str) -> bool:
    """Return whether this instruction text is kept for the exams."""
    return _hash_fraction("text", text) < HELD_TEXTS


def is_taught_text(text: str) -> bool:
    """Return whether the teacher may write this instruction text."""
    return not is_held_text(text)
