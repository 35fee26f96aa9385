"""What a ledger holds: how many answers of whom, with how many tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from filial.gateway import Entry, Ledger, decode_reply
from filial_plugins.ledger.health import get_teacher_name, read_teachers
from filial_plugins.ledger.maintenance import read_entries

SHOWN = 3
"""Options that describe a teacher which has no model."""


@dataclass
class TeacherStats:
    """The answers of one teacher: how many, their tokens, when the oldest and the newest were stored (UTC).

    ``failed`` counts the requests that failed for good.
    """

    teacher: str
    options: dict[str, Any] = field(default_factory=dict)
    answers: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    oldest: str = ""
    newest: str = ""
    failed: int = 0

    @property
    def about(self) -> str:
        """What tells this teacher from others of its name: its model, or a few options."""
        if "model" in self.options:
            return str(self.options["model"])
        plain = [f"{k}={v}" for k, v in self.options.items() if isinstance(v, (str, int, float)) and v != ""]
        return ", ".join(plain[:SHOWN])

    def add(self, entry: Entry) -> bool:
        """Count an answer; return False if it is damaged."""
        reply = decode_reply(entry.key, entry.reply, entry.checksum)
        if reply is None:
            return False
        if reply.failure:
            self.failed += 1
            return True
        self.answers += 1
        self.prompt_tokens += reply.prompt_tokens
        self.completion_tokens += reply.completion_tokens
        written = str(entry.written)
        self.oldest, self.newest = min(self.oldest or written, written), max(self.newest, written)
        return True


def collect_stats(ledger: Ledger) -> tuple[list[TeacherStats], int]:
    """Return the figures of every teacher, most answers first, and the number of damaged answers.

    A teacher that the ledger does not describe is shown by its identity.
    """
    known, _ = read_teachers(ledger)
    owners = ledger.owners()
    found: dict[str, TeacherStats] = {}
    whose: dict[tuple[str, str], TeacherStats] = {}  # one teacher may have answered under several words
    damaged = 0
    for entry in read_entries(ledger):
        tally = found.get(entry.identity)
        if tally is None:
            teacher = known.get(entry.identity)
            name = get_teacher_name(entry.identity, known, owners)
            told = (name, teacher.options) if teacher else (f"unknown {str(entry.identity)[:12]}", "{}")
            tally = whose.setdefault(told, TeacherStats(told[0], msgspec.json.decode(told[1])))
            found[entry.identity] = tally
        damaged += not tally.add(entry)
    counted = [tally for tally in whose.values() if tally.answers or tally.failed]
    return sorted(counted, key=lambda t: (-t.answers, t.teacher, t.about)), damaged


def measure_size(path: Path) -> int:
    """Return the bytes that a ledger takes on disk, including sqlite's own files beside it."""
    files = (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm")))
    return sum(file.stat().st_size for file in files if file.exists())
