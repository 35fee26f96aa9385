"""The ledger: every teacher answer, for ever, addressed by the request it answers.

The key is a hash of the canonical request and the teacher's identity, nothing of the user's code, no header and no
key. An answer is on disk before it counts. So a finished run repeated asks nothing, and a killed run asks again at
most what was in flight.
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
"""What hashing a value that was never stored ends in: a damaged page may hold any type, and a key of any length."""
_encode_reply = msgspec.json.Encoder().encode
_decode_reply = msgspec.json.Decoder(Reply).decode


class Entry(msgspec.Struct, frozen=True):
    """A row of the file: ``request`` and ``reply`` are compressed JSON; ``row`` is its place.

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
    def is_intact(self) -> bool:
        """Whether this is what was once stored under this key."""
        try:
            seal = _seal(self.key, self.identity, self.request, self.reply)
        except DAMAGE_ERRORS:
            return False
        return self.checksum in (seal, seal[:SEAL])  # the short one is from before there was the second half

    def decode(self) -> tuple[bytes, Reply]:
        """The canonical request and the reply."""
        return zlib.decompress(self.request), _decode_reply(zlib.decompress(self.reply))


def make_entry(key: str, identity: str, request: bytes, reply: Reply) -> Entry:
    """The entry of a new answer; ``request`` is canonical."""
    asked, answered = zlib.compress(request, 1), zlib.compress(_encode_reply(reply), 1)
    seal = _seal(key, identity, asked, answered)
    return Entry(key=key, identity=identity, request=asked, reply=answered, checksum=seal)


def decode_reply(key: str, reply: bytes, checksum: bytes) -> Reply | None:
    """The reply of an entry, if it is the one that was stored under this key."""
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
        self.use, self.options = use, canonical_json(identity).decode()
        self.identity = digest(use, identity)
        self.former: tuple[TeacherKeys, ...] = ()
        self._prefix = hashlib.blake2b(digest_size=16)
        for part in (canonical_json(use), canonical_json(identity)):
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

    def _is_named_by(self, word: str) -> bool:
        """Whether a word in a recipe names this teacher, its distribution however written."""
        dist, _, name = word.rpartition(":")
        return bool(dist) and name == self.name and _normalize(dist) == _normalize(self.use.rpartition(":")[0])


def _normalize(dist: str) -> str:
    """A distribution's name as names are compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", dist).lower()


_OPEN: set[str] = set()
"""The ledgers of this process that are open, as they sign their claims."""


class Ledger(Database):
    """Answers in one sqlite file (WAL), shared by all runs of a project.

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

    def store_teacher(self, teacher: TeacherKeys) -> None:
        """Note whose answers will come, so that `verify` can work out their keys again."""
        row = (teacher.identity, teacher.use, teacher.options)
        list(self.query("cannot store a teacher", "insert or replace into teachers values (?,?,?)", row))

    def recognize(self, teacher: TeacherKeys, claimants: Sequence[str], *, dry: bool = False) -> str:
        """Find what this teacher has answered under the words that recipes used for it: its ``former`` keys.

        filial 0.1 kept answers under the word in the recipe, and a bare name says not whose it is. Where only this
        teacher claims it (``claimants`` are all who do, as ``dist:name``), the name is noted as its own for ever.
        ``dry`` notes nothing.

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
        list(self.query("cannot store whose a name is", "insert or ignore into owners values (?,?)", row))
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
        """Whose, as ``dist:name``, the answers are that are kept under a bare name."""
        return dict(self.query("cannot be read", "select name, owner from owners"))

    async def claim(self, key: str) -> bool:
        """Whether this is the only one to ask for an answer now; False while another process or run asks for it.

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
        """No longer ask for an answer."""
        list(self.query("cannot be written", "delete from asking where key=? and who=?", (key, self._who)))

    def find(self, teacher: TeacherKeys, request: bytes, key: str = "") -> Reply | None:
        """The teacher's answer to a request, or None; see `get`. ``key`` is the request's, where it is at hand."""
        known = self.get(key or teacher.key(request))
        for former in teacher.former:
            known = known or self.get(former.key(request))
        return known

    def get(self, key: str) -> Reply | None:
        """The answer under a key, or None. A damaged answer counts in `damaged` and is never served."""
        row = self.query_one("cannot be read", "select reply, checksum from answers where key=?", (key,))
        if row is None:
            return None
        reply = decode_reply(key, *row)
        if reply is None:
            self._damaged.add(key)
        return reply

    async def put(self, key: str, identity: str, request: bytes, reply: Reply) -> Reply:
        """Store an answer and return it with its key, once it is on disk.

        Where another run was answered meanwhile, its answer stays and is returned: both go on with the same.
        """
        held = await self.commit(partial(self._insert, make_entry(key, identity, request, reply)))
        return held or msgspec.structs.replace(reply, key=key)

    def _insert(self, e: Entry) -> Reply | None:
        """Store an entry and end its claim, unless another process has stored one since; the answer that is there
        then."""
        row = (e.key, e.identity, e.request, e.reply, e.checksum)
        self._db.execute("delete from asking where key=?", (e.key,))
        if self._db.execute(f"insert or ignore {_INSERT}", row).rowcount:
            return None
        stored = self._db.execute("select reply, checksum from answers where key=?", (e.key,)).fetchone()
        held = decode_reply(e.key, *stored)
        if held is None:  # a damaged one is what was asked for again
            self._db.execute(f"replace {_INSERT}", row)
        return held

    def mean_tokens(self, teacher: TeacherKeys) -> tuple[float, float] | None:
        """Mean tokens of prompt and completion over a teacher's latest answers; None if it has given none."""
        replies = [entry.decode()[1] for entry in self._latest(teacher, 500)]
        told = [(r.prompt_tokens, r.completion_tokens) for r in replies if r.prompt_tokens or r.completion_tokens]
        if not told:
            return None
        return sum(prompt for prompt, _ in told) / len(told), sum(completion for _, completion in told) / len(told)

    def latest_request(self, teacher: TeacherKeys) -> Request | None:
        """What a teacher has answered last; None if it has answered nothing."""
        entry = next(self._latest(teacher, 100), None)
        return None if entry is None else msgspec.json.decode(entry.decode()[0], type=Request)

    def _latest(self, teacher: TeacherKeys, most: int) -> Iterator[Entry]:
        """A teacher's latest answers that are whole, the last first."""
        who = (teacher.identity, *(former.identity for former in teacher.former))
        where = f"identity in ({','.join('?' * len(who))})"
        statement = f"select {_COLUMNS}, rowid from answers where {where} order by rowid desc limit {most}"
        yield from (entry for row in self.query("cannot be read", statement, who) if (entry := Entry(*row)).is_intact)

    def teachers(self) -> dict[str, tuple[str, str]]:
        """Name and options (canonical JSON) of every teacher, by its identity's digest."""
        rows = self.query("cannot be read", "select identity, use, options from teachers")
        return {identity: (use, options) for identity, use, options in rows}

    def __len__(self) -> int:
        return int(self._db.execute("select count(*) from answers").fetchone()[0])

    def close(self) -> None:
        """Store what has arrived but is not committed yet (a run that was interrupted), and close the file."""
        if self._claimed:
            self._claimed = False
            self.enqueue(partial(self._db.execute, "delete from asking where who=?", (self._who,)))
        try:
            super().close()
        finally:
            _OPEN.discard(self._who)


def _is_alive(who: str) -> bool:
    """Whether the process of a claim is there; one of another container seems not to be."""
    process = int(who.partition(".")[0])
    if process == os.getpid():
        return who in _OPEN  # a full disk may have kept a closed one from taking its claims back
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is there, and another user's
        pass
    return True
