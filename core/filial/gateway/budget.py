"""Caps on what a run may spend, and the account that never passes them.

Money is counted in whole picodollars (1e-12 US dollars), so that sums are exact. Before a request is sent, the most it
can cost is set aside; when its answer is there, what it did cost takes that place. A request that does not fit waits
while others are open, since they will turn out cheaper; when none is open, the budget is used up.
"""

from __future__ import annotations

import asyncio
import math
import zlib
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from filial.contracts.errors import BudgetStop, UsageError
from filial.contracts.messages import Bound, Price
from filial.gateway.database import Database


@dataclass(slots=True)
class Totals:
    """Requests, tokens of prompts and completions, picodollars, and picodollars that may have been charged for answers
    which were lost."""

    requests: int = 0
    prompt: int = 0
    completion: int = 0
    pico: int = 0
    unsure: int = 0

    @property
    def tokens(self) -> int:
        return self.prompt + self.completion

    def add(self, other: Totals) -> None:
        self.requests += other.requests
        self.prompt += other.prompt
        self.completion += other.completion
        self.pico += other.pico
        self.unsure += other.unsure


class Journal(Database):
    """What one run has spent, in a file that a killed process leaves whole: all that is settled, as one row of texts
    (sums may pass 64 bits), and the requests that are open."""

    name = "the account"
    remedy = "delete it to count what the run has spent from zero again"
    schema = """
    create table if not exists settled (one integer primary key, totals text not null);
    create table if not exists open (number integer primary key, tokens text not null, pico text not null);
    """

    @classmethod
    def read_totals(cls, path: Path) -> Totals:
        """All that the run of a journal has spent. What was open when its process was killed counts with the most it
        could cost.

        Raises:
            FilialError: the file is damaged.
        """
        if path.exists():
            with closing(cls(path)) as journal:
                if (totals := journal._read()) is not None:
                    return totals
        before = _path_of_0_1(path)
        return _read_0_1(before) if before.exists() else Totals()

    @classmethod
    def resume(cls, path: Path, settled: Totals) -> Journal:
        """The journal of a run that goes on after what it has spent; that of filial 0.1 is replaced."""
        journal = cls(path, "locking_mode=exclusive")
        with journal.transaction("cannot be written") as db:
            db.execute("delete from open")
            journal._settle(settled)
        _path_of_0_1(path).unlink(missing_ok=True)
        return journal

    async def open(self, number: int, tokens: int, pico: int) -> None:
        """Note a request, before it is sent."""
        row = (number, str(tokens), str(pico))
        await self.commit(partial(self._db.execute, "insert into open values (?,?,?)", row))

    def end(self, number: int, settled: Totals) -> None:
        """Note, with the next that is opened or at the end, that a request is over, and what is settled with it."""
        self.enqueue(partial(self._db.execute, "delete from open where number=?", (number,)))
        self.enqueue(partial(self._settle, settled))

    def _settle(self, settled: Totals) -> None:
        figures = f"{settled.requests} {settled.prompt} {settled.completion} {settled.pico} {settled.unsure}"
        self._db.execute("insert or replace into settled values (0, ?)", (figures,))

    def _read(self) -> Totals | None:
        """None where nothing was ever noted."""
        rows = list(self.query("cannot be read", "select totals from settled"))
        try:
            totals = Totals(*map(int, rows[0][0].split())) if rows else Totals()
            for tokens, pico in self.query("cannot be read", "select tokens, pico from open"):
                totals.add(Totals(requests=1, prompt=int(tokens), unsure=int(pico)))
        except (TypeError, ValueError) as err:
            raise self._error("cannot be read", err) from err
        return totals if rows else None


def _path_of_0_1(journal: Path) -> Path:
    return journal.with_name("spend.jsonl")


def _read_0_1(path: Path) -> Totals:
    """What filial 0.1 noted: lines ``[kind, numbers…, crc]``, of which a kill may have torn the last.

    Raises:
        UsageError: another line is damaged.
    """
    totals, open_ = Totals(), dict[int, list[int]]()
    lines = path.read_bytes().split(b"\n")
    for place, line in enumerate(lines, 1):
        try:
            *entry, crc = msgspec.json.decode(line, type=list[Any])
            if crc != zlib.crc32(msgspec.json.encode(entry)):
                raise ValueError("its checksum does not hold")
        except ValueError as err:  # also what is no JSON and no UTF-8
            if place == len(lines):
                break  # empty, or torn: what it opened was not sent, what it closed counts as open
            raise UsageError(
                f"{path}:{place}: this line is damaged ({err}), so what the run has spent is not known; "
                "delete the file to count from zero again"
            ) from err
        kind, *numbers = entry
        if kind == "open":
            open_[numbers[0]] = numbers[1:]
        elif kind == "close":
            open_.pop(numbers[0], None)
            totals.add(Totals(*numbers[1:]))
        elif kind == "total":
            totals, open_ = Totals(*numbers), {}
    for tokens, pico in open_.values():
        totals.add(Totals(requests=1, prompt=tokens, unsure=pico))
    return totals


PICO = 10**12


@dataclass(frozen=True, slots=True)
class Budget:
    """Caps on what a run may send; None means no cap. Answers from the ledger are free."""

    requests: int | None = None
    tokens: int | None = None
    usd: float | None = None


@dataclass(slots=True)
class Usage:
    """What was sent and received since the process started.

    ``usd`` is what answers cost, ``unsure_usd`` what requests may have cost at most whose answer was lost on the way.
    ``estimated`` counts answers for which the endpoint gave no token counts, or none for prompt or answer: theirs are
    upper bounds. ``lost`` counts requests whose answer was lost: all tokens that they can have used are in
    ``prompt_tokens``. ``with_reasoning`` counts answers that came with thoughts.
    """

    requests: int = 0
    from_ledger: int = 0
    retries: int = 0
    refused: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    with_reasoning: int = 0
    estimated: int = 0
    lost: int = 0
    usd: float = 0.0
    unsure_usd: float = 0.0

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


class Counts(NamedTuple):
    """Tokens of a prompt (those from a cache among them) and an answer; ``estimated``: some are upper bounds."""

    prompt: int
    completion: int
    cached: int = 0
    estimated: bool = False


def count_tokens(bound: Bound, prompt: int, completion: int, cached: int = 0, reasoning: int = 0) -> Counts:
    """The tokens to count for an answer, whole or not, where its teacher's counts may be wrong: never less than they
    say.

    A count that is missing is replaced by the most its request allows: what came of an answer does not say how much of
    it was thoughts that nobody sees. A part that is more than its whole was counted beside it and is added: cached
    tokens to the prompt, those of thoughts to the answer.
    """
    estimated = not prompt or not completion
    prompt, completion = prompt or bound.prompt, completion or bound.completion
    prompt += cached if cached > prompt else 0
    completion += reasoning if reasoning > completion else 0
    return Counts(prompt, completion, cached, estimated)


class Reservation(NamedTuple):
    """What one request was given: a number in the journal, tokens, picodollars."""

    number: int
    tokens: int
    pico: int


@dataclass(slots=True)
class BudgetAccount:
    """The money, tokens and requests of one run, over all its invocations.

    ``journal`` is the file that keeps the account (`Journal`); without one it forgets when the process ends. ``spent``
    is this process's part.

    Raises:
        FilialError: the journal is damaged.
    """

    budget: Budget = field(default_factory=Budget)
    journal: Path | None = None
    spent: Usage = field(default_factory=Usage)
    settled: Totals = field(default_factory=Totals)
    open: Totals = field(default_factory=Totals)
    held_back: int = 0
    """Requests that wait for others to turn out cheaper."""
    _cheaper: asyncio.Event = field(default_factory=asyncio.Event)
    _number: int = 0
    _file: Journal | None = None

    def __post_init__(self) -> None:
        if self.journal is not None:
            self.settled = Journal.read_totals(self.journal)

    @property
    def usd(self) -> float:
        """US dollars spent by the run so far, counting the most for answers that were lost."""
        return (self.settled.pico + self.settled.unsure) / PICO

    async def reserve(self, bound: Bound, price: Price | None) -> Reservation:
        """Set aside the most that a request can cost, once that fits.

        Raises:
            BudgetStop: it will not fit.
        """
        tokens = bound.prompt + bound.completion
        pico = to_picodollars(price.cost(bound.prompt, bound.completion)) if price else 0
        while cap := self._find_exceeded(tokens, pico, self.open):
            if not self.open.requests or self._find_exceeded(tokens, pico, Totals()):
                self._wake()  # the others will find the same
                raise BudgetStop(f"the budget of {self._describe_exceeded(cap, tokens, pico)}", cap)
            self.held_back += 1
            try:
                await self._cheaper.wait()
            finally:
                self.held_back -= 1
        self._number += 1
        reservation = Reservation(self._number, tokens, pico)
        self.open.add(Totals(requests=1, prompt=tokens, pico=pico))
        try:
            await self._note(reservation)
        except BaseException:
            self.settle(reservation, Totals())
            raise
        self.spent.requests += 1
        return reservation

    async def _note(self, reservation: Reservation) -> None:
        if self.journal is not None:
            if self._file is None:
                self._file = Journal.resume(self.journal, self.settled)
            await self._file.open(*reservation)

    def settle(self, reservation: Reservation, cost: Totals) -> None:
        """Put what a request did cost in the place of what was set aside for it."""
        self.open.add(Totals(requests=-1, prompt=-reservation.tokens, pico=-reservation.pico))
        self.settled.add(cost)
        self.spent.prompt_tokens += cost.prompt
        self.spent.completion_tokens += cost.completion
        self.spent.usd += cost.pico / PICO
        self.spent.unsure_usd += cost.unsure / PICO
        if self._file is not None:
            self._file.end(reservation.number, self.settled)
        self._wake()

    def close(self) -> None:
        """Leave the account on disk."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _wake(self) -> None:
        """Have all that are held back look again."""
        event, self._cheaper = self._cheaper, asyncio.Event()
        event.set()

    def _find_exceeded(self, tokens: int, pico: int, open: Totals) -> str:
        """Name of the cap that a request would pass beside what is settled and open; empty if none."""
        caps, done = self.budget, self.settled
        if caps.requests is not None and done.requests + open.requests >= caps.requests:
            return "requests"
        if caps.tokens is not None and done.tokens + open.tokens + tokens > caps.tokens:
            return "tokens"
        if caps.usd is not None and done.pico + done.unsure + open.pico + pico > int(caps.usd * PICO):
            return "usd"
        return ""

    def _describe_exceeded(self, cap: str, tokens: int, pico: int) -> str:
        """What stands in the way of a request, in words."""
        most: float = getattr(self.budget, cap)
        if cap == "requests":
            return f"{most:,} requests is used up"
        if cap == "tokens":
            return f"{most:,} tokens is used up ({self.settled.tokens:,} used, the next request could take {tokens:,})"
        about = "at most " if self.spent.estimated or self.settled.unsure else ""
        spent = f"{about}{format_dollars(self.usd)} spent, the next request could cost {format_dollars(pico / PICO)}"
        return f"{format_dollars(most)} is used up ({spent})"


def to_picodollars(usd: float) -> int:
    """Whole picodollars, rounded up."""
    return math.ceil(round(usd * PICO, 3))


def format_dollars(usd: float) -> str:
    """An amount with as many digits as it takes to see it: $12.40, $0.0198, $0, -$0.0198."""
    if usd < 0:
        return f"-{format_dollars(-usd)}"
    if usd >= 1 or usd == 0:
        return f"${usd:,.2f}" if usd else "$0"
    return f"${usd:.{max(2, 2 - math.floor(math.log10(usd)))}f}"


def unknown_price(use: str) -> str:
    """Why a cap on money cannot be kept."""
    return (
        f"this caps money, but what the teacher {use!r} costs is not known; give it a price (US dollars per million "
        "tokens), such as usd_per_million: {prompt: 0.15, completion: 0.6}, or cap tokens instead"
    )
