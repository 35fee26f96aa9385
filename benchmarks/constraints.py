"""Precision and recall of the filter `constraints` against what the embedded teacher meant to do.

Run: ``python benchmarks/constraints.py [RECORDS]`` (default 3000). Self-Instruct records of the demo's seeds are
evolved twice by `add-constraints` with ``checkable: true``; the procedural teacher answers with ``noise: 0.2``: it
writes every fifth answer so that exactly one constraint, drawn evenly, is broken. Its own word on which (`faults`) is
the truth; it never asks a checker. Exits with 1 where precision or recall is below 0.95, overall or for a type.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from filial import Message, Record, Request
from filial.commands import Run, from_dict, grid
from filial.formats import read
from filial.plugins import Manager
from filial_plugins.constraints.catalogue import CONSTRAINT_TYPES
from filial_plugins.procedural.teacher import ProceduralTeacher

NOISE = 0.2
ENOUGH = 0.95
DRAWS = range(0, 5000, 1000)
"""Draws under which a stage may have asked: the first attempt, and further ones."""


def recipe(records: int) -> dict[str, Any]:
    """Self-Instruct, two rounds of checkable constraints, the filter."""
    seeds = "pkg:filial_plugins/procedural/seeds.jsonl"
    evolve = {
        "strategies": [{"use": "add-constraints", "checkable": True}],
        "rounds": 2,
        "keep": "all",
        "eliminate": [],
    }
    return {
        "seed": 1,
        "teacher": {"use": "procedural", "noise": NOISE},
        "stages": [
            {"generate": {"use": "self-instruct", "count": records, "seeds": seeds}},
            {"evolve": evolve},
            {"filter": ["constraints"]},
        ],
    }


def meant(record: Record, teacher: ProceduralTeacher) -> set[str]:
    """The types that the teacher wrote this answer to break.

    Raises:
        LookupError: the teacher says that it never gave this answer.
    """
    for draw in DRAWS:
        request = Request(messages=(Message(role="user", content=record.question()),), draw=draw)
        if asyncio.run(teacher.reply(request)).text.strip() == record.output:
            return {fault.removeprefix("broken:") for fault in teacher.faults(request)}
    raise LookupError(f"record {record.id}: the teacher never gave this answer")


def decided(folder: Path) -> Iterator[tuple[Record, set[str]]]:
    """Each record with constraints and the types that the filter calls broken."""
    for record in read(folder / "records.jsonl", format="filial"):
        if record.constraints:
            yield record, set()
    for line in (folder / "drops.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        record = msgspec.convert(row["record"], Record)
        assert row["reason"] == "constraint-broken", row
        yield record, {one.type for one in record.constraints if f"{one.type}: " in row["detail"]}


class Tally:
    """Of one type, or of whole records: how many, how many meant to be broken, called broken, and both."""

    def __init__(self) -> None:
        self.all = self.meant = self.called = self.both = 0

    def add(self, meant: bool, called: bool) -> None:
        self.all += 1
        self.meant += meant
        self.called += called
        self.both += meant and called

    def row(self, name: str) -> list[str]:
        figures = (self.all, self.all - self.meant, self.meant, self.called)
        return [name, *(f"{n:,}" for n in figures), f"{self.precision:.3f}", f"{self.recall:.3f}"]

    @property
    def precision(self) -> float:
        return self.both / self.called if self.called else 1.0

    @property
    def recall(self) -> float:
        return self.both / self.meant if self.meant else 1.0


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    teacher = ProceduralTeacher(noise=NOISE)
    types, whole = {name: Tally() for name in CONSTRAINT_TYPES}, Tally()
    with tempfile.TemporaryDirectory() as name:
        home, plugins = Path(name), Manager()
        run = Run(from_dict(recipe(count), plugins, name="constraints", base=home), plugins, home, "constraints")
        scores = run.execute()["stages"][-1]["scores"]
        for record, called in decided(run.folder / "stages" / "03-filter"):
            broken = meant(record, teacher)
            whole.add(bool(broken), bool(called))
            for one in record.constraints:
                types[one.type].add(one.type in broken, one.type in called)
    rows = [tally.row(name) for name, tally in types.items()]
    print(grid(["type", "answers", "obeyed", "broken", "called", "precision", "recall"], [*rows, whole.row("records")]))
    for name, score in scores.items():
        print(f"{name}: {score['mean']:.3f} of {score['n']:,}")
    least = min(min(tally.precision, tally.recall) for tally in (*types.values(), whole))
    print(f"lowest precision or recall: {least:.3f}; wanted: {ENOUGH}")
    return int(least < ENOUGH or not all(tally.meant for tally in types.values()))


if __name__ == "__main__":
    sys.exit(main())
