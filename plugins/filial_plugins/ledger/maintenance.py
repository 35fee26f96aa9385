"""Maintenance of a whole ledger file: add, remove, shrink, find damage."""

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
    """Yield the entries under some keys, in that order.

    Without keys all entries after the row ``after``, in file order.
    """
    if keys is None:
        for row in ledger.query("cannot be read", f"{_ENTRIES} where rowid>? order by rowid", (after,)):
            yield Entry(*row)
        return
    for key in keys:
        for row in ledger.query("cannot be read", f"{_ENTRIES} where key=?", (key,)):
            yield Entry(*row)


def add_entries(ledger: Ledger, new: Iterable[Entry]) -> int:
    """Add entries that the ledger lacks or holds damaged, and answers to requests that it holds as failed, all or none.

    Returns:
        How many were added.
    """
    added = 0
    with ledger.transaction("cannot store answers") as db:
        for e in new:
            if not any(held.is_intact and (e.failed or not held.failed) for held in read_entries(ledger, [e.key])):
                db.execute(_ADD, (e.key, e.identity, e.request, e.reply, e.checksum, e.written))
                added += 1
    return added


def remove_entries(ledger: Ledger, rows: Iterable[tuple[int, Any]]) -> None:
    """Remove entries by row and checksum, all or none; an entry that was replaced meanwhile stays."""
    with ledger.transaction("cannot remove answers") as db:
        db.executemany("delete from answers where rowid=? and checksum is ?", rows)


def replace_teachers(ledger: Ledger, teachers: Iterable[TeacherKeys], owners: dict[str, str]) -> None:
    """Replace all that the ledger knows about teachers, and about the owners of bare names."""
    with ledger.transaction("cannot store teachers") as db:
        for table in ("teachers", "owners"):
            db.execute(f"delete from {table}")
        for teacher in teachers:
            ledger.store_teacher(teacher)
        db.executemany("insert into owners values (?,?)", owners.items())


def shrink(ledger: Ledger) -> None:
    """Return the space of removed entries to the disk."""
    for statement in ("vacuum", "pragma wal_checkpoint(truncate)"):
        list(ledger.query("cannot be shrunk", statement))


def lock_exclusively(ledger: Ledger) -> None:
    """Lock out every other process until the ledger is closed, and move all that is stored into the one file.

    Raises:
        FilialError: another process uses the ledger.
    """
    for statement in ("pragma journal_mode=delete", "begin exclusive"):
        list(ledger.query("is in use", statement))


def find_file_faults(ledger: Ledger) -> list[str]:
    """Return what sqlite's own integrity check reports about the file."""
    try:
        found = [text for (text,) in ledger.query("cannot be read", "pragma integrity_check(20)")]
    except FilialError as err:
        return [str(err.__cause__)]
    return [text for text in found if text != "ok"]


def list_keys(ledger: Ledger) -> list[str]:
    """Return the keys of all entries, sorted."""
    return [key for (key,) in ledger.query("cannot be read", "select key from answers order by key")]


def find_identities(ledger: Ledger, keys: Iterable[str]) -> set[str]:
    """Return the identities of the teachers that gave the answers under some keys."""
    statement = "select identity from answers where key=?"
    return {identity for key in keys for (identity,) in ledger.query("cannot be read", statement, (key,))}
