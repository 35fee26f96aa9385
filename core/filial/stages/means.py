"""What a stage's filters measured, over all the records they looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Means:
    """The mean of every score, over records kept and dropped."""

    _sums: dict[str, tuple[int, float]] = field(default_factory=dict)

    def add(self, scores: Mapping[str, float]) -> None:
        """Enter what filters gave one record."""
        for name, score in scores.items():
            n, total = self._sums.get(name, (0, 0.0))
            self._sums[name] = (n + 1, total + score)

    def report(self) -> dict[str, Any]:
        """``{"scores": {name: {"n", "mean"}}}``; nothing where no filter gave a score."""
        rows = {name: {"n": n, "mean": total / n} for name, (n, total) in sorted(self._sums.items())}
        return {"scores": rows} if rows else {}
