"""The ledger: every teacher answer, for ever, addressed by the request it answers.

The key is a hash of the canonical request and the teacher's identity, nothing of the user's code, no header and no
key. An answer is on disk before it counts. So a finished run repeated asks nothing, and a killed run asks again at
most what was in flight.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import re
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from filial.contracts.errors import FilialError
from filial.contracts.messages import Reply, Request
from filial.gateway.database import REFUSED, Database
from filial.storage import canonical, digest

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
create table if not exists owners (name text primary key, owner text not null);
create table if not exists asking (key text primary key, who text not null, since integer not null);
"""
_COLUMNS = "key, identity, request, reply, checksum, written"
_INSERT = "into answers (key, identity, request, reply, checksum) values (?,?,?,?,?)"

LEASE = 600
"""Seconds for which a process that seems to be alive is believed to be asking: its number may be another's by now."""
_numbers = itertools.count()

encode_request = msgspec.json.Encoder(order="sorted").encode
"""The canonical bytes of a request: what is hashed and what is stored."""


class TeacherKeys:
    """The keys of one teacher's answers.

    ``use`` is who it is, ``dist:name``; ``identity`` a digest of that and its options. ``former`` is the same teacher
    by the words that recipes used for it when filial 0.1 kept answers under these (`Ledger.recognize`).
    """

    def __init__(self, use: str, identity: dict[str, Any]) -> None:
        self.use, self.options = use, canonical(identity).decode()
        self.identity = digest(use, identity)
        self.former: tuple[TeacherKeys, ...] = ()
        self._prefix = hashlib.blake2b(digest_size=16)
        for part in (canonical(use), canonical(identity)):
            self._prefix.update(len(part).to_bytes(8, "little") + part)

    @property
    def name(self) -> str:
        """Its bare name."""
        return self.use.rpartition(":")[2]

    def key(self, request: bytes) -> str:
        """The address of an answer: 32 hex digits over who is asked, what, with which sampling, which draw.

        ``request`` is as `encode_request` gives it.
        """
        h = self._prefix.copy()
        h.update(len(request).to_bytes(8, "little") + request)
        return h.hexdigest()

    def _spelled(self, word: str) -> bool:
        """Whether a word in a recipe names this teacher, its distribution however written."""
        dist, _, name = word.rpartition(":")
        return bool(dist) and name == self.name and _plain(dist) == _plain(self.use.rpartition(":")[0])


def _plain(dist: str) -> str:
    """A distribution's name as names are compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", dist).lower()


_OPEN: set[str] = set()
"""The ledgers of this process that are open, as they sign their claims."""


class Ledger(Database):
    """Answers in one sqlite file (WAL), shared by all runs of a project.

    Answers that arrive in the same turn of the event loop are committed together; each waits for its commit.
    """

    name = "the ledger"
    cure = "'filial ledger prune --damaged' saves what can be read"
    schema = _SCHEMA

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._damaged: set[str] = set()
        self._who, self._claimed = f"{os.getpid()}.{next(_numbers)}", False
        _OPEN.add(self._who)
        self._pending: list[Entry] = []
        self._commit: asyncio.Future[dict[str, Reply]] | None = None

    def _prepare(self) -> None:
        """Make the tables in a new file; see that they are there in an old one, whose damage may have renamed them."""
        tables = {name for (name,) in self._db.execute("select name from sqlite_master")}
        if tables and "answers" not in tables:
            raise sqlite3.DatabaseError("it holds no answers, but something else")
        super()._prepare()
        for columns in (f"{_COLUMNS} from answers", "identity, use, options from teachers", "name, owner from owners"):
            self._db.execute(f"select {columns} limit 0")

    @property
    def damaged(self) -> int:
        """Damaged answers that were not served."""
        return len(self._damaged)

    def introduce(self, teacher: TeacherKeys) -> None:
        """Note whose answers will come, so that `verify` can work out their keys again."""
        row = (teacher.identity, teacher.use, teacher.options)
        list(self._rows("cannot store a teacher", "insert or replace into teachers values (?,?,?)", row))

    def recognize(self, teacher: TeacherKeys, claimants: Sequence[str], *, dry: bool = False) -> str:
        """Find what this teacher has answered under the words that recipes used for it: its ``former`` keys.

        filial 0.1 kept answers under the word in the recipe, and a bare name says not whose it is. Where only this
        teacher claims it (``claimants`` are all who do, as ``dist:name``), the name is noted as its own for ever.
        ``dry`` notes nothing.

        Returns:
            What the user should know, once; empty for nothing.
        """
        known = {t: use for t, (use, options) in self.teachers().items() if options == teacher.options}
        bare = digest(teacher.name, msgspec.json.decode(teacher.options))
        words = [use for use in known.values() if use != teacher.use and teacher._spelled(use)]
        news = ""
        if teacher.use != teacher.name and bare in known:
            owner = self.owners().get(teacher.name)
            if owner is None and teacher.use in claimants:
                if len(claimants) > 1:
                    return self._disputed(teacher, claimants)
                owner = teacher.use
                if not dry:
                    news = self._own(teacher, bare)
            words += [teacher.name] if owner == teacher.use else []
        teacher.former = tuple(TeacherKeys(word, msgspec.json.decode(teacher.options)) for word in words)
        return news

    def _own(self, teacher: TeacherKeys, bare: str) -> str:
        row = (teacher.name, teacher.use)
        list(self._rows("cannot store whose a name is", "insert or ignore into owners values (?,?)", row))
        ((count,),) = self._rows("cannot be read", "select count(*) from answers where identity=?", (bare,))
        return (
            f"{self.path} holds {count:,} answers under the bare name {teacher.name!r}, as filial 0.1 kept them; "
            f"from now on they are those of {teacher.use}"
        )

    def _disputed(self, teacher: TeacherKeys, claimants: Sequence[str]) -> str:
        others = [who.rpartition(":")[0] for who in claimants if who != teacher.use]
        return (
            f"{self.path} holds answers under the bare name {teacher.name!r}, which {' and '.join(claimants)} claim; "
            f"they are not used. If they are those of {teacher.use}, run this once with FILIAL_BLOCK={','.join(others)}"
        )

    def owners(self) -> dict[str, str]:
        """Whose, as ``dist:name``, the answers are that are kept under a bare name."""
        return dict(self._rows("cannot be read", "select name, owner from owners"))

    def claim(self, key: str) -> bool:
        """Whether this is the only one to ask for an answer now; False while another process or run asks for it.

        A claim ends with the answer (`put`), with `release`, or with the process.
        """
        mine, now = (key, self._who, int(time.time())), time.time() - LEASE
        with self._transaction("cannot be written"):
            held = self._db.execute("select who, since from asking where key=?", (key,)).fetchone()
            free = held is None or held[0] == self._who or held[1] < now or not _alive(held[0])
            if free:
                self._claimed = True
                self._db.execute("insert or replace into asking values (?,?,?)", mine)
        return free

    def release(self, key: str) -> None:
        """No longer ask for an answer."""
        list(self._rows("cannot be written", "delete from asking where key=? and who=?", (key, self._who)))

    def find(self, teacher: TeacherKeys, request: bytes) -> Reply | None:
        """The teacher's answer to a request, or None; see `get`."""
        for keys in (teacher, *teacher.former):
            if (known := self.get(keys.key(request))) is not None:
                return known
        return None

    def get(self, key: str) -> Reply | None:
        """The answer under a key, or None. A damaged answer counts in `damaged` and is never served."""
        try:
            row = self._db.execute("select reply, checksum from answers where key=?", (key,)).fetchone()
        except REFUSED as err:
            raise self._error("cannot be read", err) from err
        if row is None:
            return None
        reply = served(key, *row)
        if reply is None:
            self._damaged.add(key)
        return reply

    async def put(self, key: str, identity: str, request: bytes, reply: Reply) -> Reply:
        """Store an answer and return it with its key, once it is on disk.

        Where another run was answered meanwhile, its answer stays and is returned: both go on with the same.
        """
        self._pending.append(sealed(key, identity, request, reply))
        if self._commit is None:
            loop = asyncio.get_running_loop()
            self._commit = loop.create_future()
            loop.call_soon(self._flush)
        kept = await asyncio.shield(self._commit)
        return kept.get(key) or msgspec.structs.replace(reply, key=key)

    def usual(self, teacher: TeacherKeys, recent: int = 500) -> tuple[float, float] | None:
        """Mean tokens of prompt and completion over a teacher's latest answers; None if it has given none."""
        where, who = _of(teacher)
        statement = f"select key, reply, checksum from answers where {where} order by rowid desc limit {recent}"
        replies = (served(*row) for row in self._rows("cannot be read", statement, who))
        counted = [reply for reply in replies if reply and (reply.prompt_tokens or reply.completion_tokens)]
        if not counted:
            return None
        prompt, completion = (sum(getattr(r, f"{part}_tokens") for r in counted) for part in ("prompt", "completion"))
        return prompt / len(counted), completion / len(counted)

    def latest(self, teacher: TeacherKeys) -> Request | None:
        """What a teacher has answered last; None if it has answered nothing."""
        where, who = _of(teacher)
        statement = f"select {_COLUMNS}, rowid from answers where {where} order by rowid desc limit 100"
        for entry in map(_entry, self._rows("cannot be read", statement, who)):
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

    def know_only(self, teachers: Iterable[TeacherKeys], owners: dict[str, str]) -> None:
        """Forget what is noted about all other teachers, and whose other bare names are."""
        with self._transaction("cannot store teachers"):
            for table in ("teachers", "owners"):
                self._db.execute(f"delete from {table}")
            for teacher in teachers:
                self.introduce(teacher)
            self._db.executemany("insert into owners values (?,?)", owners.items())

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
        except REFUSED as err:
            return [str(err)]

    def _flush(self) -> None:
        entries, self._pending = self._pending, []
        commit, self._commit = self._commit, None
        if commit is None:  # closing has stored them already
            return
        try:
            with self._transaction("cannot store an answer"):
                self._db.executemany("delete from asking where key=?", [(e.key,) for e in entries])
                kept = {e.key: held for e in entries if (held := self._inserted(e))}
        except FilialError as err:
            if not commit.cancelled():
                commit.set_exception(err)
        else:
            if not commit.cancelled():
                commit.set_result(kept)

    def _inserted(self, e: Entry) -> Reply | None:
        """Store an entry, unless another process has done so since; the answer that is there then."""
        row = (e.key, e.identity, e.request, e.reply, e.checksum)
        if self._db.execute(f"insert or ignore {_INSERT}", row).rowcount:
            return None
        held = served(e.key, *self._db.execute("select reply, checksum from answers where key=?", (e.key,)).fetchone())
        if held is None:  # a damaged one is what was asked for again
            self._db.execute(f"insert or replace {_INSERT}", row)
        return held

    def __len__(self) -> int:
        return int(self._db.execute("select count(*) from answers").fetchone()[0])

    def close(self) -> None:
        """Store what has arrived but is not committed yet (a run that was interrupted), and close the file."""
        try:
            self._flush()
            if self._claimed:
                list(self._rows("cannot be written", "delete from asking where who=?", (self._who,)))
        finally:
            _OPEN.discard(self._who)
            super().close()


def _alive(who: str) -> bool:
    """Whether the process of a claim is there; one of another container seems not to be."""
    process = int(who.partition(".")[0])
    if process == os.getpid():
        return who in _OPEN  # a full disk may have kept a closed one from taking its claims back
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _of(teacher: TeacherKeys) -> tuple[str, tuple[str, ...]]:
    """The condition for a teacher's answers, and its values."""
    who = (teacher.identity, *(former.identity for former in teacher.former))
    return f"identity in ({','.join('?' * len(who))})", who


def _entry(row: tuple[Any, ...]) -> Entry:
    key, identity, request, reply, checksum, written, place = row
    return Entry(
        key=key, identity=identity, request=request, reply=reply, checksum=checksum, written=written, row=place
    )  # fmt: skip
