"""Check a whole ledger for damage, and save what is intact."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import msgspec

from filial import FilialError, Request
from filial.gateway import Entry, Ledger, TeacherKeys
from filial.storage import sync_folder, write_errors
from filial_plugins.ledger.maintenance import (
    add_entries,
    find_file_faults,
    lock_exclusively,
    read_entries,
    replace_teachers,
)

_decode_request = msgspec.json.Decoder(Request).decode


class Damage(NamedTuple):
    """One damaged answer: its row, its key as far as it can be read, and what is wrong."""

    row: int
    key: str
    what: str


@dataclass
class Health:
    """What a check found.

    ``unknown`` counts intact answers of teachers that the ledger does not describe, whose keys cannot be computed
    again; ``file`` is what sqlite reports about the file; ``teachers`` counts damaged teacher entries.
    """

    answers: int = 0
    unknown: int = 0
    teachers: int = 0
    file: list[str] = field(default_factory=list)
    damaged: list[Damage] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        return not (self.file or self.damaged or self.teachers)


def check_ledger(ledger: Ledger) -> Health:
    """Check every answer; in a file that is damaged itself, every answer that can still be read."""
    health = Health(file=find_file_faults(ledger))
    known: dict[str, TeacherKeys] = {}
    try:
        known, health.teachers = read_teachers(ledger)
    except FilialError:  # the file is damaged, which health.file reports
        health.teachers = 1
    for entry in salvage_entries(ledger) if health.file else read_entries(ledger):
        health.answers += 1
        if what := find_damage(entry, known):
            health.damaged.append(Damage(entry.row, str(entry.key), what))
        elif entry.identity not in known:
            health.unknown += 1
    return health


def read_teachers(ledger: Ledger) -> tuple[dict[str, TeacherKeys], int]:
    """Return the teachers that the ledger describes, by identity, and the number of damaged descriptions."""
    known, damaged = {}, 0
    for identity, (use, options) in ledger.teachers().items():
        try:
            teacher = TeacherKeys(use, msgspec.json.decode(options))
        except (msgspec.DecodeError, TypeError, UnicodeError):
            damaged += 1
            continue
        if teacher.identity == identity:
            known[identity] = teacher
        else:
            damaged += 1
    return known, damaged


def get_teacher_name(identity: str, known: dict[str, TeacherKeys], owners: dict[str, str]) -> str:
    """Return a teacher's name as ``dist:name``; if the owner is unknown, the bare name or the identity."""
    teacher = known.get(identity)
    return owners.get(teacher.use, teacher.use) if teacher else str(identity)


def find_damage(entry: Entry, known: dict[str, TeacherKeys]) -> str:
    """Say what is wrong with an answer; "" if nothing is."""
    if not entry.is_intact:
        return "its checksum does not match"
    try:
        request, _ = entry.decode()
        _decode_request(request)
    except (zlib.error, msgspec.DecodeError, UnicodeError):
        return "it cannot be decoded"
    teacher = known.get(entry.identity)
    if teacher is not None:
        return "" if teacher.key(request) == entry.key else "its key is not that of its question"
    if any(other.key(request) == entry.key for other in known.values()):
        return "it belongs to another teacher"
    return ""


def read_sound_entries(ledger: Ledger, keys: Iterable[str]) -> Iterator[Entry]:
    """Yield the entries under some keys, in that order.

    Raises:
        FilialError: an entry is missing or damaged.
    """
    known, _ = read_teachers(ledger)
    for key in keys:
        entry = next(read_entries(ledger, [key]), None)
        if entry is None:
            raise FilialError(f"{ledger.path}: contains no answer {key}; run the recipe again, which requests it")
        if what := find_damage(entry, known):
            raise FilialError(f"{ledger.path}: the answer {key} is damaged: {what}; 'filial ledger verify' tells more")
        yield entry


def salvage_entries(ledger: Ledger) -> Iterator[Entry]:
    """Yield every entry that can be read; after a page that cannot be read, continue behind it."""
    last, step = 0, 1
    while last + step < 1 << 62:
        try:
            for entry in read_entries(ledger, after=last + step - 1):
                if entry.row > last:  # a damaged page may say anything
                    last, step = entry.row, 1
                yield entry
            return
        except FilialError:
            step *= 2


def rebuild(path: Path) -> tuple[int, Path]:
    """Replace a ledger whose file is damaged by a new one with all intact answers.

    Returns:
        The number of answers saved, and the path of the damaged file.

    Raises:
        FilialError: another process uses the ledger, or the disk is full.
    """
    aside = path.with_name(f"{path.name}.damaged")
    part = path.with_name(f".{path.name}.tmp")
    with write_errors(path), closing(Ledger(path)) as old:
        lock_exclusively(old)
        for end in ("", "-wal", "-shm"):  # of a rebuilding that was killed
            Path(f"{part}{end}").unlink(missing_ok=True)
        with closing(Ledger(part)) as new:
            known: dict[str, TeacherKeys] = {}
            owners: dict[str, str] = {}
            with suppress(FilialError):  # a damaged table is left empty
                known, _ = read_teachers(old)
            with suppress(FilialError):
                owners = old.owners()
            replace_teachers(new, known.values(), owners)
            saved = add_entries(new, (entry for entry in salvage_entries(old) if not find_damage(entry, known)))
        os.replace(path, aside)
        os.replace(part, path)
        sync_folder(path.parent)
    return saved, aside
