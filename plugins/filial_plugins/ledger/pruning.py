"""Choosing which answers of a ledger to remove."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filial import UsageError
from filial.gateway import Entry, Ledger, TeacherKeys
from filial_plugins.ledger.health import find_damage, get_teacher_name, read_teachers
from filial_plugins.ledger.maintenance import read_entries
from filial_plugins.ledger.run_answers import is_unfinished, list_runs, read_run_answers


@dataclass(frozen=True)
class Conditions:
    """What an answer must meet to be removed: all of the conditions that are set.

    ``before``: stored earlier than this time, in the ledger's format. ``teacher``: given by this teacher, by its name
    or as ``dist:name``. ``keep``: its key is not among these.
    """

    damaged: bool = False
    before: str = ""
    teacher: str = ""
    keep: frozenset[str] | None = None

    def meets(self, entry: Entry, known: dict[str, TeacherKeys]) -> bool:
        """Return whether an answer meets all conditions but ``teacher``."""
        return (
            (not self.before or str(entry.written) < self.before)
            and (self.keep is None or entry.key not in self.keep)
            and (not self.damaged or bool(find_damage(entry, known)))
        )


def choose_entries(ledger: Ledger, conditions: Conditions) -> tuple[list[tuple[int, Any]], int]:
    """Choose the answers to remove; return their rows and checksums, and their bytes together.

    Raises:
        UsageError: no teacher of that name is known here, or several are.
    """
    known, owners = read_teachers(ledger)[0], ledger.owners()
    rows: dict[str, list[tuple[int, Any]]] = {get_teacher_name(identity, known, owners): [] for identity in known}
    weights: Counter[str] = Counter()
    for entry in read_entries(ledger):
        who = get_teacher_name(entry.identity, known, owners)
        of_theirs = rows.setdefault(who, [])
        if conditions.meets(entry, known):
            of_theirs.append((entry.row, entry.checksum))
            weights[who] += sum(len(v) for v in (entry.request, entry.reply) if isinstance(v, (str, bytes)))
    meant = _match_teacher(conditions.teacher, list(rows)) if conditions.teacher else list(rows)
    return [row for who in meant for row in rows[who]], sum(weights[who] for who in meant)


def _match_teacher(name: str, there: list[str]) -> list[str]:
    """Return the teachers that a name means: the one with this ``dist:name``, or the only one with this bare name.

    Raises:
        UsageError: no teacher or several match.
    """
    meant = [who for who in there if who == name] or [who for who in there if who.rpartition(":")[2] == name]
    if len(meant) != 1:
        what = "several teachers have that name" if meant else "no teacher of that name is here"
        raise UsageError(f"--teacher {name}: {what}; there are: {', '.join(sorted(meant or there)) or 'none'}")
    return meant


def collect_used_keys(home: Path) -> frozenset[str]:
    """Return the keys of all answers that the runs of a folder used.

    Raises:
        UsageError: there is no run, or a run does not list all its answers yet.
    """
    folders = list_runs(home)
    if not folders:
        raise UsageError(f"--keep-runs: there are no runs in {home / 'runs'}, so every answer would be removed")
    for folder in folders:
        if is_unfinished(folder):
            raise UsageError(
                f"--keep-runs: {folder} has not ended, and its answers are not all listed; finish it first"
            )
    return frozenset().union(*(read_run_answers(folder)[0] for folder in folders))
