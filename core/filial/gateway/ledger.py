"""The ledger stores every teacher answer permanently, under a key made from its request.

The key is a hash of the canonical request and the teacher's identity. It contains no user code, no header and no API
key. An answer is on disk before it is used. So repeating a finished run sends no request, and a killed run repeats at
most the requests that were in flight.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import sqlite3
import time
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from filial.contracts.messages import Reply, Request
from filial.gateway.database import Database
from filial.storage import canonical_json, digest

SEAL = 16
"""Bytes of one half of a checksum."""
DAMAGE_ERRORS = (TypeError, AttributeError, ValueError)
"""Errors of hashing a damaged value: a damaged page can hold any type, and a key of any length."""
_encode_reply = msgspec.json.Encoder().encode
_decode_reply = msgspec.json.Decoder(Reply).decode


class Entry(msgspec.Struct, frozen=True):
    """A row of the file: ``request`` and ``reply`` are compressed JSON; ``row`` is its rowid.

    ``checksum``: 16 bytes over the reply, which suffice to serve an answer, and 16 over the rest. In a damaged file a
    field can have any value.
    """

    key: str
    identity: str
    request: bytes
    reply: bytes
    checksum: bytes
    written: str = ""
    row: int = 0

    @property
    def is_intact(self) -> bool:
        """Whether this is what was stored under this key."""
        try:
            seal = _seal(self.key, self.identity, self.request, self.reply)
        except DAMAGE_ERRORS:
            return False
        return self.checksum in (seal, seal[:SEAL])  # early versions stored the first half only

    @property
    def failed(self) -> bool:
        """Whether this is a request that failed for good, and no answer."""
        return bool(self.decode()[1].failure)

    def decode(self) -> tuple[bytes, Reply]:
        """Return the canonical request and the reply."""
        return zlib.decompress(self.request), _decode_reply(zlib.decompress(self.reply))


def make_entry(key: str, identity: str, request: bytes, reply: Reply) -> Entry:
    """Make the entry of a new answer; ``request`` is canonical."""
    asked, answered = zlib.compress(request, 1), zlib.compress(_encode_reply(reply), 1)
    seal = _seal(key, identity, asked, answered)
    return Entry(key=key, identity=identity, request=asked, reply=answered, checksum=seal)


def decode_reply(key: str, reply: bytes, checksum: bytes) -> Reply | None:
    """Return the reply of an entry, or None if it is not what was stored under this key."""
    try:
        if checksum[:SEAL] != _checksum(key, reply):
            return None
    except DAMAGE_ERRORS:
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
"""A claim older than these seconds is ignored, even if its process seems alive: the process id may have been reused."""
_numbers = itertools.count()

encode_request = msgspec.json.Encoder(order="sorted").encode
"""Encode a request in the canonical form that is hashed and stored."""


class TeacherKeys:
    """The keys of one teacher's answers.

    ``use`` is the teacher as ``dist:name``; ``identity`` a digest of that and its options. ``former`` is the same
    teacher under the names in recipes, by which filial 0.1 stored answers (`Ledger.recognize`).
    """

    def __init__(self, use: str, identity: dict[str, Any]) -> None:
        self.use, self.options = use, canonical_json(identity).decode()
        self.identity = digest(use, identity)
        self.former: tuple[TeacherKeys, ...] = ()
        self._prefix = hashlib.blake2b(digest_size=16)
        for part in (canonical_json(use), canonical_json(identity)):
            self._prefix.update(len(part).to_bytes(8, "little") + part)

    @property
    def name(self) -> str:
        """The name without the distribution."""
        return self.use.rpartition(":")[2]

    def key(self, request: bytes) -> str:
        """Return the key of an answer: 32 hex digits over teacher, request, sampling and draw.

        ``request`` is encoded by `encode_request`.
        """
        h = self._prefix.copy()
        h.update(len(request).to_bytes(8, "little") + request)
        return h.hexdigest()

    def _is_named_by(self, word: str) -> bool:
        """Return whether a name in a recipe means this teacher; the distribution is compared in normalized form."""
        dist, _, name = word.rpartition(":")
        return bool(dist) and name == self.name and _normalize(dist) == _normalize(self.use.rpartition(":")[0])


def _normalize(dist: str) -> str:
    """Return a distribution's name in the form in which names are compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", dist).lower()


_OPEN: set[str] = set()
"""The open ledgers of this process, by the name they use for claims."""


class Ledger(Database):
    """Answers in one SQLite file (WAL), shared by all runs of a project.

    Claims and answers of the same turn of the event loop are committed together; each waits for its commit.
    """

    name = "the ledger"
    remedy = "'filial ledger prune --damaged' saves what can be read"
    schema = _SCHEMA

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._damaged: set[str] = set()
        self._who, self._claimed = f"{os.getpid()}.{next(_numbers)}", False
        _OPEN.add(self._who)

    def _prepare(self) -> None:
        """Create the tables in a new file; check that they exist in an old one, where damage can have renamed them."""
        tables = {name for (name,) in self._db.execute("select name from sqlite_master")}
        if tables and "answers" not in tables:
            raise sqlite3.DatabaseError("it is not a ledger")
        super()._prepare()
        for columns in (f"{_COLUMNS} from answers", "identity, use, options from teachers", "name, owner from owners"):
            self._db.execute(f"select {columns} limit 0")

    @property
    def damaged(self) -> int:
        """Number of damaged answers, which were not used."""
        return len(self._damaged)

    def store_teacher(self, teacher: TeacherKeys) -> None:
        """Store the teacher's options, so that `filial ledger verify` can compute its keys again."""
        row = (teacher.identity, teacher.use, teacher.options)
        list(self.query("cannot store a teacher", "insert or replace into teachers values (?,?,?)", row))

    def recognize(self, teacher: TeacherKeys, claimants: Sequence[str], *, dry: bool = False) -> str:
        """Find the answers of this teacher under other names that recipes used: set its ``former`` keys.

        filial 0.1 stored answers under the name in the recipe, and a bare name does not say whose it is. If only this
        teacher claims it (``claimants``: all that do, as ``dist:name``), the name is stored as its own permanently.
        ``dry`` stores nothing.

        Returns:
            What the user should know, once; empty for nothing.
        """
        identity = msgspec.json.decode(teacher.options)
        known = {t: use for t, (use, options) in self.teachers().items() if options == teacher.options}
        bare = digest(teacher.name, identity)
        words = [use for use in known.values() if use != teacher.use and teacher._is_named_by(use)]
        news = ""
        if teacher.use != teacher.name and bare in known:
            owner = self.owners().get(teacher.name)
            if owner is None and teacher.use in claimants:
                if len(claimants) > 1:
                    return self._explain_dispute(teacher, claimants)
                owner = teacher.use
                if not dry:
                    news = self._note_owner(teacher, bare)
            words += [teacher.name] if owner == teacher.use else []
        teacher.former = tuple(TeacherKeys(word, identity) for word in words)
        return news

    def _note_owner(self, teacher: TeacherKeys, bare: str) -> str:
        row = (teacher.name, teacher.use)
        list(self.query("cannot store the owner of a name", "insert or ignore into owners values (?,?)", row))
        ((count,),) = self.query("cannot be read", "select count(*) from answers where identity=?", (bare,))
        return (
            f"{self.path} holds {count:,} answers under the bare name {teacher.name!r}, as filial 0.1 kept them; "
            f"from now on they are those of {teacher.use}"
        )

    def _explain_dispute(self, teacher: TeacherKeys, claimants: Sequence[str]) -> str:
        others = [who.rpartition(":")[0] for who in claimants if who != teacher.use]
        return (
            f"{self.path} holds answers under the bare name {teacher.name!r}, which {' and '.join(claimants)} claim; "
            f"they are not used. If they are those of {teacher.use}, run this once with FILIAL_BLOCK={','.join(others)}"
        )

    def owners(self) -> dict[str, str]:
        """Return which teacher (``dist:name``) owns the answers under each bare name."""
        return dict(self.query("cannot be read", "select name, owner from owners"))

    async def claim(self, key: str) -> bool:
        """Claim a key and return True, or False if another process or run is asking for the same answer.

        A claim ends with the answer (`put`), with `release`, or with the process.
        """
        return await self.commit(partial(self._claim, key))

    def _claim(self, key: str) -> bool:
        self._claimed, claim = True, (key, self._who, int(time.time()))
        if self._db.execute("insert or ignore into asking values (?,?,?)", claim).rowcount:
            return True
        who, since = self._db.execute("select who, since from asking where key=?", (key,)).fetchone()
        if who != self._who and since > time.time() - LEASE and _is_alive(who):
            return False
        self._db.execute("replace into asking values (?,?,?)", claim)
        return True

    def release(self, key: str) -> None:
        """Give a claim back."""
        list(self.query("cannot be written", "delete from asking where key=? and who=?", (key, self._who)))

    def find(self, teacher: TeacherKeys, request: bytes, key: str = "") -> Reply | None:
        """Return the teacher's answer to a request, else its failure, else None; see `get`. ``key``: the request's,
        if known."""
        known = self.get(key or teacher.key(request))
        for former in teacher.former:
            if known is None or known.failure:
                known = self.get(former.key(request)) or known
        return known

    def get(self, key: str) -> Reply | None:
        """Return the answer under a key, or None. A damaged answer counts in `damaged` and is never returned."""
        row = self.query_one("cannot be read", "select reply, checksum from answers where key=?", (key,))
        if row is None:
            return None
        reply = decode_reply(key, *row)
        if reply is None:
            self._damaged.add(key)
        return reply

    async def put(self, key: str, identity: str, request: bytes, reply: Reply) -> Reply:
        """Store an answer and return it with its key, once it is on disk.

        If another run has stored an answer meanwhile, that one is returned, so that both use the same.
        """
        held = await self.commit(partial(self._insert, make_entry(key, identity, request, reply)))
        return held or msgspec.structs.replace(reply, key=key)

    def put_failure(self, key: str, identity: str, request: bytes, reply: Reply) -> None:
        """Store a final failure with the next answer, or on closing, unless there is an answer."""
        e = make_entry(key, identity, request, reply)
        row = (e.key, e.identity, e.request, e.reply, e.checksum)
        self.enqueue(partial(self._db.execute, f"insert or ignore {_INSERT}", row))

    def _insert(self, e: Entry) -> Reply | None:
        """Store an entry and end its claim; return the stored answer instead if another process was faster."""
        row = (e.key, e.identity, e.request, e.reply, e.checksum)
        self._db.execute("delete from asking where key=?", (e.key,))
        if self._db.execute(f"insert or ignore {_INSERT}", row).rowcount:
            return None
        stored = self._db.execute("select reply, checksum from answers where key=?", (e.key,)).fetchone()
        held = decode_reply(e.key, *stored)
        if held is None or held.failure:  # a damaged answer or a failure, and it was requested again
            self._db.execute(f"replace {_INSERT}", row)
            return None
        return held

    def mean_tokens(self, teacher: TeacherKeys) -> tuple[float, float] | None:
        """Return the mean tokens of prompt and completion over a teacher's latest answers; None if there are none."""
        replies = [entry.decode()[1] for entry in self._latest(teacher, 500)]
        told = [(r.prompt_tokens, r.completion_tokens) for r in replies if r.prompt_tokens or r.completion_tokens]
        if not told:
            return None
        return sum(prompt for prompt, _ in told) / len(told), sum(completion for _, completion in told) / len(told)

    def latest_request(self, teacher: TeacherKeys) -> Request | None:
        """Return the latest request that a teacher answered; None if there is none."""
        entry = next((e for e in self._latest(teacher, 100) if not e.failed), None)
        return None if entry is None else msgspec.json.decode(entry.decode()[0], type=Request)

    def _latest(self, teacher: TeacherKeys, most: int) -> Iterator[Entry]:
        """Yield a teacher's latest intact answers, the newest first."""
        who = (teacher.identity, *(former.identity for former in teacher.former))
        where = f"identity in ({','.join('?' * len(who))})"
        statement = f"select {_COLUMNS}, rowid from answers where {where} order by rowid desc limit {most}"
        yield from (entry for row in self.query("cannot be read", statement, who) if (entry := Entry(*row)).is_intact)

    def teachers(self) -> dict[str, tuple[str, str]]:
        """Return name and options (canonical JSON) of every teacher, by the digest of its identity."""
        rows = self.query("cannot be read", "select identity, use, options from teachers")
        return {identity: (use, options) for identity, use, options in rows}

    def __len__(self) -> int:
        return int(self._db.execute("select count(*) from answers").fetchone()[0])

    def close(self) -> None:
        """Store answers that are not committed yet (of an interrupted run), and close the file."""
        if self._claimed:
            self._claimed = False
            self.enqueue(partial(self._db.execute, "delete from asking where who=?", (self._who,)))
        try:
            super().close()
        finally:
            _OPEN.discard(self._who)


def _is_alive(who: str) -> bool:
    """Return whether the process of a claim is running; one in another container seems not to be."""
    process = int(who.partition(".")[0])
    if process == os.getpid():
        return who in _OPEN  # a closed ledger may have left claims if the disk was full
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it runs, as another user
        pass
    return True
