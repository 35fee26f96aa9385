"""The ledger: every teacher answer, for ever, addressed by the request it answers.

The key is a hash of the canonical request and the teacher's identity, nothing of the user's code, no header and no
key. An answer is on disk before it counts. So a finished run repeated asks nothing, and a killed run asks again at
most what was in flight.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from filial.contracts.errors import FilialError, UsageError
from filial.contracts.messages import Reply, Request
from filial.storage import canonical, digest, write_errors

SEAL = 16
"""Bytes of one half of a checksum."""
NO_ENTRY = (TypeError, AttributeError, ValueError)
"""What hashing a value that was never stored ends in: a damaged page may hold any type, and a key of any length."""
_encode_reply = msgspec.json.Encoder().encode
_decode_reply = msgspec.json.Decoder(Reply).decode


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """``request`` and ``reply`` are compressed JSON; ``row`` is the place in the file.

    ``checksum``: 16 bytes over the reply, which is all that serving an answer needs, and 16 over the rest. In a
    damaged file a field may be anything.
    """

    key: str
    identity: str
    request: bytes
    reply: bytes
    checksum: bytes
    written: str = ""
    row: int = 0

    @property
    def sound(self) -> bool:
        """Whether this is what was once stored under this key."""
        try:
            seal = _seal(self.key, self.identity, self.request, self.reply)
        except NO_ENTRY:
            return False
        return self.checksum in (seal, seal[:SEAL])  # the short one is from before there was the second half

    def decoded(self) -> tuple[bytes, Reply]:
        """The canonical request and the reply."""
        return zlib.decompress(self.request), _decode_reply(zlib.decompress(self.reply))


def sealed(key: str, identity: str, request: bytes, reply: Reply) -> Entry:
    """The entry of a new answer; ``request`` is canonical."""
    asked, answered = zlib.compress(request, 1), zlib.compress(_encode_reply(reply), 1)
    seal = _seal(key, identity, asked, answered)
    return Entry(key=key, identity=identity, request=asked, reply=answered, checksum=seal)


def served(key: str, reply: bytes, checksum: bytes) -> Reply | None:
    """The reply of an entry, if it is the one that was stored under this key."""
    try:
        if checksum[:SEAL] != _checksum(key, reply):
            return None
    except NO_ENTRY:
        return None
    return msgspec.structs.replace(_decode_reply(zlib.decompress(reply)), key=key)


def _checksum(key: str, reply: bytes) -> bytes:
    return hashlib.blake2b(reply, digest_size=SEAL, key=key.encode()).digest()


def _seal(key: str, identity: str, request: bytes, reply: bytes) -> bytes:
    h = hashlib.blake2b(request, digest_size=SEAL, key=key.encode())
    h.update(identity.encode())
    return _checksum(key, reply) + h.digest()


_SCHEMA = """
create table if not exists answers (
    key text primary key,
    identity text not null,
    request blob not null,
    reply blob not null,
    checksum blob not null,
    written text not null default (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
);
create table if not exists teachers (identity text primary key, use text not null, options text not null);
"""
_REFUSED = (sqlite3.Error, UnicodeDecodeError)
"""What the module raises; the second when a message would quote damaged text."""
_COLUMNS = "key, identity, request, reply, checksum, written"
_INSERT = "insert or replace into answers (key, identity, request, reply, checksum) values (?,?,?,?,?)"

encode_request = msgspec.json.Encoder(order="sorted").encode
"""The canonical bytes of a request: what is hashed and what is stored."""


class TeacherKeys:
    """The keys of one teacher's answers. ``identity`` is a digest of who it is."""

    def __init__(self, use: str, identity: dict[str, Any]) -> None:
        self.use, self.options = use, canonical(identity).decode()
        self.identity = digest(use, identity)
        self._prefix = hashlib.blake2b(digest_size=16)
        for part in (canonical(use), canonical(identity)):
            self._prefix.update(len(part).to_bytes(8, "little") + part)

    def key(self, request: bytes) -> str:
        """The address of an answer: 32 hex digits over who is asked, what, with which sampling, which draw.

        ``request`` is as `encode_request` gives it.
        """
        h = self._prefix.copy()
        h.update(len(request).to_bytes(8, "little") + request)
        return h.hexdigest()


class Ledger:
    """Answers in one sqlite file (WAL), shared by all runs of a project.

    Answers that arrive in the same turn of the event loop are committed together; each waits for its commit.

    Raises:
        FilialError: the file cannot be opened, or the disk is full.
        UsageError: the file is a link: whoever handed on the project could have it written over a file of the user.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged = 0
        for file in (f"{path}{end}" for end in ("", "-wal", "-shm", "-journal")):
            if os.path.islink(file):
                raise UsageError(
                    f"{file} is a link to {os.path.realpath(file)}, and a ledger is written through none; remove it "
                    f"(to keep the ledger elsewhere, give --home DIR, or make {path.parent} the link)"
                )
        with write_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=30)
            self._db.text_factory = lambda raw: raw.decode("utf-8", "replace")  # a damaged text must not stop a scan
            self._db.execute("pragma journal_mode=wal")
            self._db.execute("pragma synchronous=normal")
            self._prepare()
        except _REFUSED as err:
            raise self._error("cannot be opened", err, "move it away to start a new one") from err
        self._pending: list[tuple[str, str, bytes, bytes, bytes]] = []
        self._commit: asyncio.Future[None] | None = None

    def _prepare(self) -> None:
        """Make the tables in a new file; see that they are there in an old one, whose damage may have renamed them."""
        tables = {name for (name,) in self._db.execute("select name from sqlite_master")}
        if tables and "answers" not in tables:
            raise sqlite3.DatabaseError("it holds no answers, but something else")
        self._db.executescript(_SCHEMA)
        for columns in (f"{_COLUMNS} from answers", "identity, use, options from teachers"):
            self._db.execute(f"select {columns} limit 0")

    def introduce(self, teacher: TeacherKeys) -> None:
        """Note whose answers will come, so that `verify` can work out their keys again."""
        row = (teacher.identity, teacher.use, teacher.options)
        list(self._rows("cannot store a teacher", "insert or replace into teachers values (?,?,?)", row))

    def get(self, key: str) -> Reply | None:
        """The answer under a key, or None. A damaged answer is counted in ``damaged`` and never served."""
        try:
            row = self._db.execute("select reply, checksum from answers where key=?", (key,)).fetchone()
        except _REFUSED as err:
            raise self._error("cannot be read", err) from err
        if row is None:
            return None
        reply = served(key, *row)
        self.damaged += reply is None
        return reply

    async def put(self, key: str, identity: str, request: bytes, reply: Reply) -> Reply:
        """Store an answer and return it with its key, once it is on disk."""
        e = sealed(key, identity, request, reply)
        self._pending.append((e.key, e.identity, e.request, e.reply, e.checksum))
        if self._commit is None:
            loop = asyncio.get_running_loop()
            self._commit = loop.create_future()
            loop.call_soon(self._flush)
        await asyncio.shield(self._commit)
        return msgspec.structs.replace(reply, key=key)

    def usual(self, identity: str, recent: int = 500) -> tuple[float, float] | None:
        """Mean tokens of prompt and completion over a teacher's latest answers; None if it has given none."""
        statement = "select key, reply, checksum from answers where identity=? order by rowid desc limit ?"
        replies = (served(*row) for row in self._rows("cannot be read", statement, (identity, recent)))
        counted = [reply for reply in replies if reply and (reply.prompt_tokens or reply.completion_tokens)]
        if not counted:
            return None
        prompt, completion = (sum(getattr(r, f"{part}_tokens") for r in counted) for part in ("prompt", "completion"))
        return prompt / len(counted), completion / len(counted)

    def latest(self, identity: str) -> Request | None:
        """What a teacher has answered last; None if it has answered nothing."""
        statement = f"select {_COLUMNS}, rowid from answers where identity=? order by rowid desc limit 100"
        for entry in map(_entry, self._rows("cannot be read", statement, (identity,))):
            if entry.sound:
                return msgspec.json.decode(entry.decoded()[0], type=Request)
        return None

    def entries(self, keys: Iterable[str] | None = None, *, after: int = 0) -> Iterator[Entry]:
        """Those under some keys, in that order; or all, as they lie in the file, behind the row ``after``."""
        columns = f"select {_COLUMNS}, rowid from answers"
        if keys is None:
            yield from map(_entry, self._rows("cannot be read", f"{columns} where rowid>? order by rowid", (after,)))
            return
        for key in keys:
            yield from map(_entry, self._rows("cannot be read", f"{columns} where key=?", (key,)))

    def identities(self, keys: Iterable[str]) -> set[str]:
        """Who gave the answers under some keys."""
        statement = "select identity from answers where key=?"
        return {identity for key in keys for (identity,) in self._rows("cannot be read", statement, (key,))}

    def keys(self) -> list[str]:
        """The keys of all entries, sorted."""
        return [key for (key,) in self._rows("cannot be read", "select key from answers order by key")]

    def teachers(self) -> dict[str, tuple[str, str]]:
        """Name and options (canonical JSON) of every teacher, by its identity's digest."""
        rows = self._rows("cannot be read", "select identity, use, options from teachers")
        return {identity: (use, options) for identity, use, options in rows}

    def add(self, entries: Iterable[Entry]) -> int:
        """Store entries from elsewhere that are not here, or not whole, all or none. Returns how many there were."""
        now = "coalesce(nullif(?, ''), strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))"
        statement, added = f"insert or replace into answers ({_COLUMNS}) values (?,?,?,?,?,{now})", 0
        with self._transaction("cannot store answers"):
            for e in entries:
                if not any(held.sound for held in self.entries([e.key])):
                    self._db.execute(statement, (e.key, e.identity, e.request, e.reply, e.checksum, e.written))
                    added += 1
        return added

    def remove(self, rows: Iterable[tuple[int, Any]]) -> None:
        """Remove entries by row and checksum, all or none; one that was replaced meanwhile stays."""
        with self._transaction("cannot remove answers"):
            self._db.executemany("delete from answers where rowid=? and checksum is ?", rows)

    def know_only(self, teachers: Iterable[TeacherKeys]) -> None:
        """Forget what is noted about all other teachers."""
        with self._transaction("cannot store teachers"):
            self._db.execute("delete from teachers")
            for teacher in teachers:
                self.introduce(teacher)

    def shrink(self) -> None:
        """Give the space of removed entries back to the disk."""
        for statement in ("vacuum", "pragma wal_checkpoint(truncate)"):
            list(self._rows("cannot be shrunk", statement))

    def alone(self) -> None:
        """Keep every other process out until this is closed, with all that is stored in the one file.

        Raises:
            FilialError: another process uses it.
        """
        for statement in ("pragma journal_mode=delete", "begin exclusive"):
            list(self._rows("is in use", statement))

    def faults(self) -> list[str]:
        """What sqlite itself finds wrong with the file."""
        try:
            return [text for (text,) in self._db.execute("pragma integrity_check(20)") if text != "ok"]
        except _REFUSED as err:
            return [str(err)]

    def _rows(self, what: str, statement: str, values: tuple[Any, ...] = ()) -> Iterator[Any]:
        try:
            yield from self._db.execute(statement, values)
        except _REFUSED as err:
            raise self._error(what, err) from err

    @contextlib.contextmanager
    def _transaction(self, what: str) -> Iterator[None]:
        try:
            self._db.execute("begin immediate")
            yield
            self._db.execute("commit")
        except BaseException as err:
            if self._db.in_transaction:
                self._db.execute("rollback")
            if isinstance(err, _REFUSED):
                raise self._error(what, err) from err
            raise

    def _flush(self) -> None:
        rows, self._pending = self._pending, []
        commit, self._commit = self._commit, None
        if commit is None:  # closing has stored them already
            return
        try:
            with self._transaction("cannot store an answer"):
                self._db.executemany(_INSERT, rows)
        except FilialError as err:
            if not commit.cancelled():
                commit.set_exception(err)
        else:
            if not commit.cancelled():
                commit.set_result(None)

    def _error(
        self, what: str, err: Exception, cure: str = "'filial ledger prune --damaged' saves what can be read"
    ) -> FilialError:  # fmt: skip
        """What went wrong, with the way out."""
        code = (getattr(err, "sqlite_errorcode", None) or 0) & 0xFF  # the rest of it only says where it happened
        ways = {
            sqlite3.SQLITE_FULL: (FilialError, "the disk is full; free some space and run this again"),
            sqlite3.SQLITE_READONLY: (UsageError, "it cannot be written; mend its permissions or give another --home"),
            sqlite3.SQLITE_CANTOPEN: (UsageError, "it cannot be written; mend its permissions or give another --home"),
            sqlite3.SQLITE_BUSY: (FilialError, "another process holds it; run this again when that has ended"),
        }
        kind, cure = ways.get(code, (FilialError, f"if it is damaged, {cure}"))
        return kind(f"{self.path}: the ledger {what}: {' '.join(str(err).split())}; {cure}")

    def __len__(self) -> int:
        return int(self._db.execute("select count(*) from answers").fetchone()[0])

    def close(self) -> None:
        """Store what has arrived but is not committed yet (a run that was interrupted), and close the file."""
        self._flush()
        self._db.close()


def _entry(row: tuple[Any, ...]) -> Entry:
    key, identity, request, reply, checksum, written, place = row
    return Entry(
        key=key, identity=identity, request=request, reply=reply, checksum=checksum, written=written, row=place
    )  # fmt: skip
