"""What all stages share: context, counters, and the rule that entered + made = out + dropped."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from filial.contracts.concurrency import Worker
from filial.contracts.context import Asker, Context
from filial.contracts.errors import TeacherError, UsageError
from filial.contracts.kinds import Drop
from filial.contracts.messages import Price, Reply, Request
from filial.contracts.plugin_errors import blame_plugin, breach, describe_surrogate
from filial.contracts.records import IdSet, Record, record_id
from filial.engine.work import Job, Work
from filial.formats.base import describe_record
from filial.formats.records import decode_fast, encode, explain

BAD_LINE = "bad-line"
NOT_UNICODE = "not-unicode"
TOO_FEW = "yield-collapsed"
"""Drop reason of a generator that could not make as many records as requested."""


def is_lost(reason: str) -> bool:
    """Return whether a drop with this reason was lost to an error or never made, as opposed to rejected."""
    return reason in (BAD_LINE, NOT_UNICODE, TOO_FEW) or reason.startswith("teacher-")


def drop_if_unwritable(record: Record, plugin: str, stage: str, given: Record | None = None) -> Drop | None:
    """Return a drop for a record whose text cannot be written to a file; None if it can be written and read back.
    ``given`` is the record from which the plugin made it.

    Raises:
        FilialError: the plugin gave a field the wrong type, or a score that is not a number.
    """
    try:
        encode(record)
    except UnicodeEncodeError as err:
        return Drop(NOT_UNICODE, describe_surrogate(err))
    except (TypeError, msgspec.ValidationError) as err:
        fault = explain(err) if isinstance(err, msgspec.ValidationError) else f"cannot be written as JSON: {err}"
        raise breach(plugin, stage, f"{describe_record(record)}: {fault}", given) from err
    return None


class ScoreMeans:
    """The mean of every score, over records kept and dropped."""

    def __init__(self) -> None:
        self._counts, self._sums = Counter[str](), defaultdict[str, float](float)

    def add(self, scores: Mapping[str, float]) -> None:
        """Add the scores that filters gave one record."""
        for name, score in scores.items():
            self._counts[name] += 1
            self._sums[name] += score

    def report(self) -> dict[str, Any]:
        """Return ``{"scores": {name: {"n", "mean"}}}``; empty if no filter gave a score."""
        rows = {name: {"n": n, "mean": self._sums[name] / n} for name, n in sorted(self._counts.items())}
        return {"scores": rows} if rows else {}


KEY = 16
"""Bytes of a ledger key."""
_IN_HEX = re.compile("[0-9a-fA-F]{32}")


class AnswerKeys:
    """The ledger keys of a stage's answers: 16 bytes for each answer."""

    def __init__(self) -> None:
        self._by_first = [bytearray() for _ in range(256)]  # sorting in parts takes little memory

    def note(self, key: str) -> None:
        """Note an answer. One without a key (an `ask` hook may answer by itself) does not count."""
        if _IN_HEX.fullmatch(key):
            raw = bytes.fromhex(key)
            self._by_first[raw[0]] += raw

    async def ask(self, ask: Asker, request: Request) -> Reply:
        """Ask, and note the answer or the final failure."""
        try:
            reply = await ask(request)
        except TeacherError as error:
            self.note(error.key)
            raise
        self.note(reply.key)
        return reply

    def lines(self) -> Iterator[bytes]:
        """Yield every key once, in hex, sorted."""
        for some in self._by_first:
            yield from sorted({some[i : i + KEY].hex().encode() for i in range(0, len(some), KEY)})


class DuplicateCounter:
    """Counts how often each name has occurred. It stores eight bytes per name.

    If two names share their eight bytes, the later one gets a higher rank than needed, the same in every run.
    """

    def __init__(self) -> None:
        self._seen, self._again = IdSet(), Counter[str]()

    def next(self, name: str) -> int:
        """Return the rank of this occurrence: 0 for the first of its name."""
        short = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
        if self._seen.add(short):
            return 0
        self._again[short] += 1
        return self._again[short]


class Writer(Protocol):
    """Receives a stage's rows: one JSON line each, in canonical order."""

    def keep(self, record: Record) -> None: ...

    def drop(self, row: DropRow) -> None: ...


class DropRow(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One line of drops.jsonl: which record, where, why, and the raw teacher answers behind it."""

    stage: str
    plugin: str
    reason: str
    detail: str = ""
    record: Record | None = None
    parent: str = ""
    answer: str | None = None
    answers: tuple[str, ...] = ()

    def encode(self) -> bytes:
        """Encode the line, without its newline; lone surrogates (a possible reason of the drop) become escapes."""
        try:
            return msgspec.json.encode(self, order="deterministic")
        except UnicodeEncodeError:
            return msgspec.json.encode(_escape(msgspec.to_builtins(self)), order="deterministic")


def _escape(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_escape(k): _escape(v) for k, v in value.items()}
    return [_escape(v) for v in value] if isinstance(value, list | tuple) else value


@dataclass(slots=True)
class Counters:
    """A stage's counts. ``entered + made = out + dropped`` must be true when a stage ends.

    ``done`` and ``total`` are for progress only: steps of work done, and their number if known.
    """

    entered: int = 0
    made: int = 0
    out: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    done: int = 0
    total: int | None = None

    def find_imbalance(self) -> str:
        """Describe an imbalance of the counts; empty if they balance."""
        came, went = self.entered + self.made, self.out + self.dropped.total()
        return "" if came == went else f"{came:,} records entered or were made, but {went:,} were kept or dropped"

    @property
    def lost(self) -> bool:
        """Whether any row was lost to an error."""
        return any(map(is_lost, self.dropped))


async def raise_no_teacher(request: Request) -> Reply:
    """Raise the error of a step without a teacher."""
    raise UsageError(
        "this step asks a teacher, but none is named; add --teacher NAME (in Python: teacher=NAME), or in a recipe "
        "'teacher: {use: NAME}'"
    )


@dataclass(slots=True)
class StageContext:
    """The context of a stage: its name, seed, teacher and counters.

    ``window``: how many records may be in work at once. ``on_progress`` is called after every record; ``note`` shows
    plugins' messages to the user. ``answers`` are the keys of the stage's answers, ``price`` is that of its teacher.
    ``seeds`` returns the seed records of the recipe; ``means`` collects scores of filters. ``worker`` is the thread for
    plugins' methods that are not async. ``dispatch`` has the work of ``job`` done by an engine; without it, all work is
    done here.
    """

    stage: str
    seed: int
    writer: Writer
    ask: Asker = raise_no_teacher
    window: int = 256
    on_progress: Callable[[Counters], None] = lambda counters: None
    note: Callable[[str], None] = lambda text: None
    on_drop: Callable[[DropRow], None] | None = None
    counters: Counters = field(default_factory=Counters)
    answers: AnswerKeys = field(default_factory=AnswerKeys)
    price: Price | None = None
    seeds: Callable[[], Iterable[Record]] = tuple
    means: ScoreMeans = field(default_factory=ScoreMeans)
    worker: Worker = field(default_factory=Worker)
    job: Job | None = None
    dispatch: Callable[[Work], Awaitable[list[Any]]] | None = None
    _duplicates: DuplicateCounter = field(default_factory=DuplicateCounter)
    _seed_ids: frozenset[str] = frozenset()

    def context(self, *key: object, parent: Record | None = None, attempt: int = 0) -> Context:
        """Return a context seeded from (run seed, stage, key)."""
        return Context(
            self.ask_teacher, key=(self.seed, self.stage, *key), parent=parent, attempt=attempt, note=self.note,
            seeds=self.seeds,
        )  # fmt: skip

    async def ask_teacher(self, request: Request) -> Reply:
        """Ask the teacher, and note the answer as one of the stage."""
        if self.worker.current:  # a loop of the plugin itself: the gateway cannot work there
            raise RuntimeError("a plain 'def' cannot ask the teacher; write it as 'async def' and await ctx.ask(...)")
        return await self.answers.ask(self.ask, request)

    def identify(
        self, record: Record, plugin: str, ordinal: int | None = None, given: Record | None = None
    ) -> Record | Drop:
        """Return the record with its id and full origin. ``ordinal`` distinguishes equal siblings; None: by their
        order. ``given`` is the record from which the plugin made it.

        A record whose text cannot be written becomes a drop.

        Raises:
            FilialError: the plugin gave a field the wrong type.
        """
        if fault := drop_if_unwritable(record, plugin, self.stage, given):
            return replace(fault, record=record)
        origin = record.origin
        if (origin.stage, origin.plugin) != (self.stage, plugin):
            record = record.replaced(origin=msgspec.structs.replace(origin, stage=self.stage, plugin=plugin))
        return self.with_id(record, ordinal)

    def with_id(self, record: Record, ordinal: int | None = None) -> Record:
        """Return a record of this stage with its id; ``ordinal`` as in `identify`."""
        name = partial(record_id, record.content(), parents=record.origin.parents, stage=self.stage)
        return record.replaced(id=name(ordinal=self._duplicates.next(name()) if ordinal is None else ordinal))

    def step(self) -> None:
        """Count a step of work that has no record yet."""
        self.counters.done += 1
        self.on_progress(self.counters)

    def keep(self, record: Record) -> None:
        """Count and write a kept record."""
        self.writer.keep(record)
        self.counters.out += 1
        self.on_progress(self.counters)

    def drop(
        self, drop: Drop, plugin: str, record: Record | None, *, parent: str = "", answers: tuple[str, ...] = ()
    ) -> None:
        """Count and write a dropped record.

        Raises:
            FilialError: the plugin's `Drop` has a field of the wrong type.
        """
        if fault := drop.fault():
            raise breach(plugin, self.stage, fault, record)
        shown = drop.record or record
        if shown is not None and drop.scores:
            shown = shown.replaced(scores={**shown.scores, **drop.scores})
        row = DropRow(
            stage=self.stage, plugin=plugin, reason=drop.reason, detail=drop.detail, record=shown,
            parent=parent, answer=drop.answer, answers=answers,
        )  # fmt: skip
        self.writer.drop(row)
        self.counters.dropped[drop.reason] += 1
        if self.on_drop:
            self.on_drop(row)
        self.on_progress(self.counters)

    def check_parents(self, record: Record, given: Container[str], plugin: str, about: Record | None = None) -> None:
        """Check that a record's parents exist: among those ``given``, or among the seeds of the recipe.

        Raises:
            FilialError: the plugin has invented one.
        """
        with blame_plugin(plugin, self.stage, about):
            strange = [parent for parent in record.origin.parents if parent not in given]
        if strange and not self._seed_ids:
            self._seed_ids = frozenset(seed.id for seed in self.seeds())
        for parent in strange:
            if parent not in self._seed_ids:
                fault = f"a new record names the parent {parent!r}, which is not among its input records"
                raise breach(plugin, self.stage, fault, about)


async def await_result(work: Awaitable[Any] | Any) -> Any:
    """Return the result of a sync or async call; a teacher call that failed for good becomes a `Drop`."""
    try:
        return await work if isinstance(work, Awaitable) else work
    except TeacherError as err:
        return Drop.from_error(err)


Report = dict[str, Any]
"""What a stage reports besides its counts."""


class Expected(NamedTuple):
    """What a stage would need and make: requests, records. ``counted``: the requests follow from the input records;
    otherwise the plugin estimated them."""

    calls: float
    out: int
    counted: bool = True


class Records(Protocol):
    """Records of known number that can be iterated repeatedly: a list, or `StageFile`."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Record]: ...


class StageFile:
    """The records of a stage's JSON lines file, decoded while reading.

    ``sha256`` is the checksum of the file; it identifies the input of the next stage.
    """

    def __init__(self, path: Path, count: int, sha256: str) -> None:
        self.path, self.sha256, self._count = path, sha256, count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Record]:
        with open(self.path, "rb") as file:
            yield from map(decode_fast, file)
