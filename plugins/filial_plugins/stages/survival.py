"""The survival table: what happened to each strategy's attempts, round by round, and what they cost."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rapidfuzz.distance import LCSseq

from filial import Drop, Price, Record, Reply, words

LONGEST = 2000
"""Maximum number of words compared for novelty."""


@dataclass(slots=True)
class Survival:
    """One strategy in one round.

    ``requests`` are the answers its attempts used, new or stored: for the evolved instruction, for its answer and for
    rules that ask. ``usd`` is what these cost when they were requested, None if the price is not known. ``novelty``
    sums `novelty` over the kept children.
    """

    tried: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    tokens: int = 0
    usd: float | None = None
    words_before: int = 0
    words_after: int = 0
    novelty: float = 0.0

    def row(self) -> dict[str, Any]:
        """Return the row of a manifest; means are over the kept children."""
        growth = self.words_after / self.words_before if self.words_before else 0.0
        return {
            "tried": self.tried, "kept": self.kept, "dropped": dict(sorted(self.dropped.items())),
            "requests": self.requests, "tokens": self.tokens, "usd": self.usd,
            "words_before": self.words_before, "words_after": self.words_after, "length_growth": round(growth, 3),
            "novelty": round(self.novelty / self.kept, 3) if self.kept else 0.0,
        }  # fmt: skip


class SurvivalTable:
    """Figures by strategy and round; ``tried = kept + dropped`` in every row. ``price`` is the teacher's."""

    def __init__(self, price: Price | None = None) -> None:
        self._price = price
        self._rows: defaultdict[tuple[str, int], Survival] = defaultdict(Survival)

    def count(
        self, strategy: str, turn: int, parent: Record, result: Record | Drop, asked: Iterable[Reply] = ()
    ) -> None:
        """Add one attempt and the answers it used."""
        row = self._rows[strategy, turn]
        row.tried += 1
        for reply in asked:
            row.requests += 1
            row.tokens += reply.prompt_tokens + reply.completion_tokens
            if self._price is not None:
                cost = self._price.cost(reply.prompt_tokens, reply.completion_tokens, reply.cached_tokens)
                row.usd = (row.usd or 0.0) + cost
        if isinstance(result, Drop):
            row.dropped[result.reason] += 1
            return
        before, after = words(parent.instruction), words(result.instruction)
        row.kept += 1
        row.words_before += len(before)
        row.words_after += len(after)
        row.novelty += novelty(before, after)

    def rows(self) -> dict[str, Any]:
        """Return the rows of a manifest."""
        rows: dict[str, Any] = {}
        for name, turn in sorted(self._rows):
            rows.setdefault(name, {})[str(turn)] = self._rows[name, turn].row()
        return rows


def novelty(before: list[str], after: list[str]) -> float:
    """Return how different an instruction is from its parent: 1 - ROUGE-L F of their words.

    0 for the same words in the same order, 1 for no common word; the first `LONGEST` words count.
    """
    m, n = min(len(before), LONGEST), min(len(after), LONGEST)
    common: int = LCSseq.similarity(before[:m], after[:n])
    return 1 - 2 * common / (m + n) if m + n else 0.0
