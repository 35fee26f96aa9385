"""The survival table: what became of each strategy's attempts, round by round."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from filial.components import Drop
from filial.records import Record


@dataclass(slots=True)
class Survival:
    """One strategy in one round: attempts, how they ended, and the words of parents and of surviving children."""

    tried: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    words_before: int = 0
    words_after: int = 0

    def row(self) -> dict[str, Any]:
        growth = self.words_after / self.words_before if self.words_before else 0.0
        return {
            "tried": self.tried, "kept": self.kept, "dropped": dict(sorted(self.dropped.items())),
            "length_growth": round(growth, 3),
        }  # fmt: skip


class Table:
    """strategy -> round -> figures; ``tried = kept + dropped`` in every row."""

    def __init__(self) -> None:
        self._rows: defaultdict[str, defaultdict[int, Survival]] = defaultdict(lambda: defaultdict(Survival))

    def count(self, strategy: str, turn: int, parent: Record, result: Record | Drop) -> None:
        """Enter one attempt."""
        row = self._rows[strategy][turn]
        row.tried += 1
        if isinstance(result, Drop):
            row.dropped[result.reason] += 1
        else:
            row.kept += 1
            row.words_before += len(parent.instruction.split())
            row.words_after += len(result.instruction.split())

    def rows(self) -> dict[str, Any]:
        """As the manifest keeps it."""
        return {
            name: {str(turn): row.row() for turn, row in sorted(turns.items())}
            for name, turns in sorted(self._rows.items())
        }
