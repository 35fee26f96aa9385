"""The ledger: every teacher answer, for ever, addressed by the request it answers.

The key is a hash of the canonical request and the teacher's identity, nothing of the user's code, no header and no
key. An answer is on disk before it counts. So a finished run repeated asks nothing, and a killed run asks again at
most what was in flight.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import zlib
from pathlib import Path
from typing import Any

import msgspec

from filial.errors import FilialError, UsageError
from filial.store import canonical, digest, write_errors
from filial.teaching import Reply, Request

_SCHEMA = """
create table if not exists answers (
    key text primary key,
    identity text not null,
    request blob not null,
    reply blob not null,
    checksum blob not null,
    written text not null default (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
)
"""


def answer_key(use: str, identity: dict[str, Any], request: Request) -> str:
    """The address of an answer: 32 hex digits over who is asked, what, with which sampling, which draw."""
    return digest(use, identity, msgspec.to_builtins(request))


class Ledger:
    """Answers in one sqlite file (WAL), shared by all runs of a project.

    Answers that arrive in the same turn of the event loop are committed together; each waits for its commit.

    Raises:
        FilialError: the file cannot be opened, or the disk is full.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged = 0
        with write_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=30)
            self._db.execute("pragma journal_mode=wal")
            self._db.execute("pragma synchronous=normal")
            self._db.execute(_SCHEMA)
        except sqlite3.Error as err:
            raise self._error("cannot be opened", err) from err
        self._pending: list[tuple[str, str, bytes, bytes, bytes]] = []
        self._commit: asyncio.Future[None] | None = None

    def get(self, key: str) -> Reply | None:
        """The answer under a key, or None. A damaged answer is counted in ``damaged`` and never served."""
        try:
            row = self._db.execute("select reply, checksum from answers where key=?", (key,)).fetchone()
        except sqlite3.Error as err:
            raise self._error("cannot be read", err) from err
        if row is None:
            return None
        blob, checksum = row
        if _checksum(key, blob) != checksum:
            self.damaged += 1
            return None
        reply: Reply = msgspec.json.decode(zlib.decompress(blob), type=Reply)
        return msgspec.structs.replace(reply, key=key)

    async def put(self, key: str, use: str, request: Request, reply: Reply) -> Reply:
        """Store an answer and return it with its key, once it is on disk."""
        blob = zlib.compress(msgspec.json.encode(reply), 1)
        asked = zlib.compress(canonical(msgspec.to_builtins(request)), 1)
        self._pending.append((key, use, asked, blob, _checksum(key, blob)))
        if self._commit is None:
            loop = asyncio.get_running_loop()
            self._commit = loop.create_future()
            loop.call_soon(self._flush)
        await asyncio.shield(self._commit)
        return msgspec.structs.replace(reply, key=key)

    def _flush(self) -> None:
        rows, self._pending = self._pending, []
        commit, self._commit = self._commit, None
        if commit is None:  # closing has stored them already
            return
        try:
            self._db.execute("begin immediate")
            self._db.executemany(
                "insert or replace into answers (key, identity, request, reply, checksum) values (?,?,?,?,?)",
                rows,
            )
            self._db.execute("commit")
        except sqlite3.Error as err:
            if self._db.in_transaction:
                self._db.execute("rollback")
            if not commit.cancelled():
                commit.set_exception(self._error("cannot store an answer", err))
        else:
            if not commit.cancelled():
                commit.set_result(None)

    def _error(self, what: str, err: sqlite3.Error) -> FilialError:
        """What went wrong, with the way out."""
        code = (getattr(err, "sqlite_errorcode", None) or 0) & 0xFF  # the rest of it only says where it happened
        ways = {
            sqlite3.SQLITE_FULL: (FilialError, "the disk is full; free some space and run this again"),
            sqlite3.SQLITE_READONLY: (UsageError, "it cannot be written; mend its permissions or give another --home"),
            sqlite3.SQLITE_CANTOPEN: (UsageError, "it cannot be written; mend its permissions or give another --home"),
            sqlite3.SQLITE_BUSY: (FilialError, "another process holds it; run this again when that has ended"),
        }
        kind, cure = ways.get(code, (FilialError, "if it is damaged, move it away to start a new one"))
        return kind(f"{self.path}: the ledger {what}: {err}; {cure}")

    def __len__(self) -> int:
        return int(self._db.execute("select count(*) from answers").fetchone()[0])

    def close(self) -> None:
        """Store what has arrived but is not committed yet (a run that was interrupted), and close the file."""
        self._flush()
        self._db.close()


def _checksum(key: str, blob: bytes) -> bytes:
    return hashlib.blake2b(blob, digest_size=16, key=key.encode()).digest()
