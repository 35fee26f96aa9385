"""What is done to a ledger's file as a whole: adding, removing, shrinking, looking for damage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from filial import FilialError
from filial.gateway import Entry, Ledger, TeacherKeys

_ENTRIES = "select key, identity, request, reply, checksum, written, rowid from answers"
_ADD = """
    insert or replace into answers (key, identity, request, reply, checksum, written)
    values (?,?,?,?,?, coalesce(nullif(?, ''), strftime('%Y-%m-%dT%H:%M:%SZ', 'now')))
"""


def read_entries(ledger: Ledger, keys: Iterable[str] | None = None, *, after: int = 0) -> Iterator[Entry]:
    """Those under some keys, in that order; or all, as they lie in the file, behind the row ``after``."""
    if keys is None:
        for row in ledger.rows("cannot be read", f"{_ENTRIES} where rowid>? order by rowid", (after,)):
            yield Entry(*row)
        return
    for key in keys:
        for row in ledger.rows("cannot be read", f"{_ENTRIES} where key=?", (key,)):
            yield Entry(*row)


def add_entries(ledger: Ledger, new: Iterable[Entry]) -> int:
    """Store entries from elsewhere that are not here, or not whole, all or none. Returns how many there were."""
    added = 0
    with ledger.transaction("cannot store answers") as db:
        for e in new:
            if not any(held.sound for held in read_entries(ledger, [e.key])):
                db.execute(_ADD, (e.key, e.identity, e.request, e.reply, e.checksum, e.written))
                added += 1
    return added


def remove_entries(ledger: Ledger, rows: Iterable[tuple[int, Any]]) -> None:
    """Remove entries by row and checksum, all or none; one that was replaced meanwhile stays."""
    with ledger.transaction("cannot remove answers") as db:
        db.executemany("delete from answers where rowid=? and checksum is ?", rows)


def replace_teachers(ledger: Ledger, teachers: Iterable[TeacherKeys], owners: dict[str, str]) -> None:
    """Forget what is noted about all other teachers, and whose other bare names are."""
    with ledger.transaction("cannot store teachers") as db:
        for table in ("teachers", "owners"):
            db.execute(f"delete from {table}")
        for teacher in teachers:
            ledger.introduce(teacher)
        db.executemany("insert into owners values (?,?)", owners.items())


def shrink(ledger: Ledger) -> None:
    """Give the space of removed entries back to the disk."""
    for statement in ("vacuum", "pragma wal_checkpoint(truncate)"):
        list(ledger.rows("cannot be shrunk", statement))


def lock_exclusively(ledger: Ledger) -> None:
    """Keep every other process out until this is closed, with all that is stored in the one file.

    Raises:
        FilialError: another process uses it.
    """
    for statement in ("pragma journal_mode=delete", "begin exclusive"):
        list(ledger.rows("is in use", statement))


def find_file_faults(ledger: Ledger) -> list[str]:
    """What sqlite itself finds wrong with the file."""
    try:
        found = [text for (text,) in ledger.rows("cannot be read", "pragma integrity_check(20)")]
    except FilialError as err:
        return [str(err.__cause__)]
    return [text for text in found if text != "ok"]


def list_keys(ledger: Ledger) -> list[str]:
    """The keys of all entries, sorted."""
    return [key for (key,) in ledger.rows("cannot be read", "select key from answers order by key")]


def find_identities(ledger: Ledger, keys: Iterable[str]) -> set[str]:
    """Who gave the answers under some keys."""
    statement = "select identity from answers where key=?"
    return {identity for key in keys for (identity,) in ledger.rows("cannot be read", statement, (key,))}
