"""One of filial's own SQLite files: no link is followed, one transaction per turn of the event loop, errors in one
sentence."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from filial.contracts.errors import FilialError, UsageError
from filial.storage import write_errors

T = TypeVar("T")
SQLITE_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""What the module raises; the second if an error message would quote damaged text."""


class Database:
    """One file in WAL mode: what is committed survives if the process is killed.

    Raises:
        FilialError: the file cannot be opened, or the disk is full.
        UsageError: the file is a link. Someone else's project could contain a link to a file of the user.
    """

    name: ClassVar[str]
    """Name of the file in messages."""
    remedy: ClassVar[str]
    """What to do if it is damaged."""
    schema: ClassVar[str]

    def __init__(self, path: Path, *pragmas: str) -> None:
        self.path = path
        self._queue: list[tuple[Callable[[], Any], asyncio.Future[Any] | None]] = []
        self._flushing = False
        for file in (f"{path}{end}" for end in ("", "-wal", "-shm", "-journal")):
            if os.path.islink(file):
                cure = f"remove it (to keep it elsewhere, give another home, or make {path.parent} the link)"
                link = f"{file} is a link to {os.path.realpath(file)}"
                raise UsageError(f"{link}, and filial does not write {self.name} through a link; {cure}")
        with write_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=30)
            self._db.text_factory = lambda raw: raw.decode("utf-8", "replace")  # a damaged text must not stop a scan
            try:
                for pragma in (*pragmas, "journal_mode=wal", "synchronous=normal"):
                    self._db.execute(f"pragma {pragma}")
                self._prepare()
            except BaseException:
                self._db.close()
                raise
        except SQLITE_ERRORS as err:
            raise self._error("cannot be opened", err, "move it away to start a new one") from err

    def _prepare(self) -> None:
        """Create missing tables."""
        self._db.executescript(self.schema)

    async def commit(self, write: Callable[[], T]) -> T:
        """Run ``write`` in one transaction with all others of this turn of the event loop; return its result once it is
        on disk."""
        loop = asyncio.get_running_loop()
        if not self._flushing:
            self._flushing = True
            loop.call_soon(self._flush)
        committed: asyncio.Future[T] = loop.create_future()
        self._queue.append((write, committed))
        return await committed

    def enqueue(self, write: Callable[[], object]) -> None:
        """Run ``write`` in the next transaction that somebody waits for, or on closing."""
        self._queue.append((write, None))

    def _flush(self) -> None:
        """Commit the queue in its order. A failure is raised in those who wait, otherwise in the caller."""
        queue, self._queue, self._flushing = self._queue, [], False
        waiting = [(place, committed) for place, (_, committed) in enumerate(queue) if committed is not None]
        try:
            with self.transaction("cannot be written"):
                results = [write() for write, _ in queue]
        except FilialError as err:
            if not waiting:
                raise
            for _, committed in waiting:
                if not committed.done():  # else the waiting task was cancelled
                    committed.set_exception(err)
            return
        for place, committed in waiting:
            if not committed.done():
                committed.set_result(results[place])

    def close(self) -> None:
        """Write what is still in the queue, and close the file."""
        try:
            if self._queue:
                self._flush()
        finally:
            self._db.close()

    def query(self, what: str, statement: str, values: tuple[Any, ...] = ()) -> Iterator[Any]:
        """Yield the rows of a statement; ``what`` says in an error message what failed."""
        try:
            yield from self._db.execute(statement, values)
        except SQLITE_ERRORS as err:
            raise self._error(what, err) from err

    def query_one(self, what: str, statement: str, values: tuple[Any, ...]) -> Any:
        """Return the first row of a statement, or None; ``what`` as in `query`."""
        try:
            return self._db.execute(statement, values).fetchone()
        except SQLITE_ERRORS as err:
            raise self._error(what, err) from err

    @contextlib.contextmanager
    def transaction(self, what: str) -> Iterator[sqlite3.Connection]:
        """Do everything in the block in one transaction."""
        try:
            self._db.execute("begin immediate")
            yield self._db
            self._db.execute("commit")
        except BaseException as err:
            if self._db.in_transaction:
                self._db.execute("rollback")
            if isinstance(err, SQLITE_ERRORS):
                raise self._error(what, err) from err
            raise

    def _error(self, what: str, err: Exception, remedy: str = "") -> FilialError:
        """Return the error to raise, with what to do about it."""
        code = (getattr(err, "sqlite_errorcode", None) or 0) & 0xFF  # the rest only says where it happened
        ways = {
            sqlite3.SQLITE_FULL: (FilialError, "the disk is full; free some space and run this again"),
            sqlite3.SQLITE_READONLY: (UsageError, "it cannot be written; fix its permissions or give another home"),
            sqlite3.SQLITE_CANTOPEN: (UsageError, "it cannot be written; fix its permissions or give another home"),
            sqlite3.SQLITE_BUSY: (FilialError, "another process is using it; run this again when that has ended"),
        }
        kind, remedy = ways.get(code, (FilialError, f"if it is damaged, {remedy or self.remedy}"))
        return kind(f"{self.path}: {self.name} {what}: {' '.join(str(err).split())}; {remedy}")
