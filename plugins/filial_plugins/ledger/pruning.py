"""Choosing which answers of a ledger to remove."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filial import UsageError
from filial.gateway import Entry, Ledger, TeacherKeys
from filial_plugins.ledger.check import fault, teachers
from filial_plugins.ledger.used import runs, unfinished, used


@dataclass(frozen=True)
class Conditions:
    """What an answer must be to be removed: all of what is given.

    ``before``: stored earlier than this, as the ledger writes times. ``teacher``: the name of who gave it. ``keep``:
    the keys that it must not be among.
    """

    damaged: bool = False
    before: str = ""
    teacher: str = ""
    keep: frozenset[str] | None = None

    def meets(self, entry: Entry, known: dict[str, TeacherKeys]) -> bool:
        """Whether an answer is to be removed."""
        if self.teacher:
            teacher = known.get(entry.identity)
            if (teacher.use if teacher else entry.identity) != self.teacher:  # old ledgers note only a name
                return False
        return (
            (not self.before or str(entry.written) < self.before)
            and (self.keep is None or entry.key not in self.keep)
            and (not self.damaged or bool(fault(entry, known)))
        )


def chosen(ledger: Ledger, conditions: Conditions) -> tuple[list[tuple[int, Any]], int]:
    """The answers to remove, by row and checksum, and their bytes together.

    Raises:
        UsageError: a teacher of that name is not known here.
    """
    known, _ = teachers(ledger)
    rows, total, seen = [], 0, {teacher.use for teacher in known.values()}
    for entry in ledger.entries():
        if entry.identity not in known:
            seen.add(str(entry.identity))
        if conditions.meets(entry, known):
            rows.append((entry.row, entry.checksum))
            total += sum(len(value) for value in (entry.request, entry.reply) if isinstance(value, (str, bytes)))
    if conditions.teacher and conditions.teacher not in seen:
        there = ", ".join(sorted(seen)) or "none"
        raise UsageError(f"--teacher {conditions.teacher}: no teacher of that name is here; there are: {there}")
    return rows, total


def used_by_runs(home: Path) -> frozenset[str]:
    """The keys of all answers that the runs of a folder used.

    Raises:
        UsageError: there is no run, or one does not list all its answers yet.
    """
    folders = runs(home)
    if not folders:
        raise UsageError(f"--keep-runs: there are no runs in {home / 'runs'}, so every answer would be removed")
    for folder in folders:
        if unfinished(folder):
            raise UsageError(
                f"--keep-runs: {folder} has not ended, and its answers are not all listed; finish it first"
            )
    return frozenset().union(*(used(folder)[0] for folder in folders))
