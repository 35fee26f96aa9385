"""Results of verbs and runs: records, counts and drops; verdicts; plans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import msgspec

from filial.api.models import Model
from filial.api.records import Records
from filial.api.tables import table
from filial.contracts.records import Record
from filial.contracts.texts import list_counts
from filial.engine.examine import Examination, JudgedRecord
from filial.engine.plan import Step
from filial.engine.stage import DropRow, is_lost
from filial.storage import write_bytes


class Result(Records):
    """The result of a verb or a run: its records, and what happened to the others.

    Attributes:
        summary: counts and reports of the stages, as in ``summary.json`` of a run.
        folder: the run's folder; None for a verb.
        model: the trained model, if the run trains one.
    """

    def __init__(
        self, summary: dict[str, Any], records: Iterable[Record] | Callable[[], Iterable[Record]],
        drops: Iterable[DropRow] | Callable[[], Iterable[DropRow]], folder: Path | None = None,
        model: Model | None = None,
    ) -> None:  # fmt: skip
        super().__init__(records)
        self.summary, self.folder, self.model, self._drops = summary, folder, model, drops

    @cached_property
    def drops(self) -> list[DropRow]:
        """The dropped records, each with stage, plugin and reason, in the order of the stages."""
        return list(self._drops() if callable(self._drops) else self._drops)

    @property
    def survival(self) -> list[dict[str, Any]]:
        """What happened to each strategy's attempts, a row per stage, strategy and round."""
        return [
            {"stage": stage["name"], "strategy": strategy, "round": int(turn), **row}
            for stage in self.summary["stages"]
            for strategy, turns in stage.get("survival", {}).items()
            for turn, row in turns.items()
        ]

    @property
    def lost(self) -> dict[str, int]:
        """Number of rows lost to errors, by reason; ``not-judged`` counts records of judges."""
        lost = Counter[str]()
        for stage in self.summary["stages"]:
            lost += Counter({reason: n for reason, n in stage["reasons"].items() if is_lost(reason)})
        for exam in self.summary.get("judge", {}).values():
            lost += Counter({"not-judged": sum(result["records"] - result["judged"] for result in exam.values())})
        return dict(lost)

    def __repr__(self) -> str:
        dropped = sum(stage["dropped"] for stage in self.summary["stages"])
        where = f", {self.folder}" if self.folder else ""
        return f"Result({len(self):,} records, {dropped:,} dropped{where})"

    def _repr_html_(self) -> str:
        head = ["stage", "in", "made", "dropped", "out", "why dropped"]
        rows = [
            [stage["name"], *(f"{stage[key]:,}" for key in ("entered", "made", "dropped", "out")),
             list_counts(stage["reasons"])]
            for stage in self.summary["stages"]
        ]  # fmt: skip
        return table(head, rows) + super()._repr_html_() + (self.model._repr_html_() if self.model else "")


class Verdicts(Sequence[JudgedRecord]):
    """A judge's results for all records, one candidate after another; ``figures`` are by candidate."""

    def __init__(self, examinations: Sequence[Examination]) -> None:
        self.examinations = examinations
        self.figures = {one.name: one.figures() for one in examinations}
        self._rows = [(one.name, row) for one in examinations for row in one.rows]

    @overload
    def __getitem__(self, place: int) -> JudgedRecord: ...
    @overload
    def __getitem__(self, place: slice) -> list[JudgedRecord]: ...
    def __getitem__(self, place: int | slice) -> JudgedRecord | list[JudgedRecord]:
        return [row for _, row in self._rows][place]

    def __len__(self) -> int:
        return len(self._rows)

    def lines(self) -> Iterator[bytes]:
        """Yield each as one line of JSON; with several candidates, a line names its candidate."""
        for name, row in self._rows:
            whose = b'"candidate":' + msgspec.json.encode(name) + b","
            yield b"{" + (whose if len(self.figures) > 1 else b"") + row.line()[1:] + b"\n"

    def save(self, path: str | Path) -> None:
        """Write the lines to a file."""
        write_bytes(Path(path), b"".join(self.lines()))

    @property
    def lost(self) -> int:
        """Number of records without a verdict."""
        return sum(found["records"] - found["judged"] for found in self.figures.values())

    def __repr__(self) -> str:
        return f"Verdicts({self.figures})"

    def _repr_html_(self) -> str:
        keys = ("records", "judged", "passed", "mean")
        rows = [[name, *(str(figures[key]) for key in keys)] for name, figures in self.figures.items()]
        return table(["candidate", *keys], rows)


class Plan:
    """What a run would do: ``rows``, one per step."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.rows = [{"step": step.name, "state": step.state, **asdict(step.estimate)} for step in steps]

    def __repr__(self) -> str:
        return "Plan(" + ", ".join(f"{row['step']}: {row['state']}" for row in self.rows) + ")"

    def _repr_html_(self) -> str:
        head = ["step", "state", "records", "requests", "in the ledger", "tokens", "US dollars", "how sure"]
        return table(head, [["not known" if cell is None else str(cell) for cell in row.values()] for row in self.rows])
