"""Which columns of unknown rows probably hold a question and its answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches

from filial.formats import Row

WORDS = {
    "instruction": (
        "instruction", "prompt", "question", "query", "ask", "asked", "request", "inquiry", "problem", "user",
        "customer", "human", "message",
    ),
    "input": ("input", "context", "document"),
    "output": (
        "output", "answer", "response", "reply", "completion", "generation", "solution", "resolution", "assistant",
        "agent", "bot", "gpt", "target",
    ),
    "system": ("system",),
}  # fmt: skip
"""Words in the names of columns, by the field that such a column probably holds."""
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def find_likely_columns(sample: Sequence[Row]) -> dict[str, str]:
    """Return field -> column: by the words of a column's name, else the first columns that hold sentences."""
    filled = {name: [row[name] for row in sample if row.get(name)] for row in sample for name in row}
    texts = [name for name, values in filled.items() if any(isinstance(v, str) and " " in v.strip() for v in values)]
    found: dict[str, str] = {}
    for field, words in WORDS.items():
        scores = {name: _count_matches(name, words) for name in texts if name not in found.values()}
        if best := max(scores.values(), default=0):
            found[field] = next(name for name, score in scores.items() if score == best)
    for field in ("instruction", "output"):
        left = [name for name in texts if name not in found.values()]
        if field not in found and left:
            found[field] = left[0]
    return {field: found[field] for field in WORDS if field in found}


def _count_matches(name: str, words: Sequence[str]) -> int:
    """Return how many words of a column's name are among these; nearly so counts half."""
    mine = [word.lower() for word in _WORD.findall(name)]
    return sum(2 if word in words else bool(len(word) > 4 and get_close_matches(word, words, 1, 0.8)) for word in mine)
