"""Caps on what a run may spend, and the account that never exceeds them.

Money is counted in whole picodollars (1e-12 US dollars), so that sums are exact. Before a request is sent, the most it
can cost is reserved; when its answer has arrived, the actual cost replaces the reservation. A request that does not fit
waits while others are open, because they will cost less than reserved. If none is open, the budget is used up.
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
    """Requests, tokens of prompts and completions, picodollars, and the picodollars that lost answers may have cost."""

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
    """The file with the spending of one run. It stays readable if the process is killed. It holds the settled sums, as
    one row of text (they can exceed 64 bits), and the open requests."""

    name = "the account"
    remedy = "delete it to count what the run has spent from zero again"
    schema = """
    create table if not exists settled (one integer primary key, totals text not null);
    create table if not exists open (number integer primary key, tokens text not null, pico text not null);
    """

    @classmethod
    def read_totals(cls, path: Path) -> Totals:
        """Return all that a run has spent. A request that was open when its process was killed counts with its maximum
        cost.

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
        """Open the journal of a run that continues after spending ``settled``; replaces the file of filial 0.1."""
        journal = cls(path, "locking_mode=exclusive")
        with journal.transaction("cannot be written") as db:
            db.execute("delete from open")
            journal._settle(settled)
        _path_of_0_1(path).unlink(missing_ok=True)
        return journal

    async def open(self, number: int, tokens: int, pico: int) -> None:
        """Write a request down before it is sent."""
        row = (number, str(tokens), str(pico))
        await self.commit(partial(self._db.execute, "insert into open values (?,?,?)", row))

    def end(self, number: int, settled: Totals) -> None:
        """Write down, with the next request or on closing, that a request has ended, and the new settled sums."""
        self.enqueue(partial(self._db.execute, "delete from open where number=?", (number,)))
        self.enqueue(partial(self._settle, settled))

    def _settle(self, settled: Totals) -> None:
        figures = f"{settled.requests} {settled.prompt} {settled.completion} {settled.pico} {settled.unsure}"
        self._db.execute("insert or replace into settled values (0, ?)", (figures,))

    def _read(self) -> Totals | None:
        """Return all that was spent; None if the journal is empty."""
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
    """Read the file of filial 0.1: lines ``[kind, numbers…, crc]``. A kill can leave the last line incomplete.

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
        except ValueError as err:  # also if it is not JSON or not UTF-8
            if place == len(lines):
                break  # empty or incomplete: a request it opens was not sent, one it closes still counts as open
            damage = f"{path}:{place}: this line is damaged ({err}), so what the run has spent is not known"
            raise UsageError(f"{damage}; delete the file to count from zero again") from err
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

    ``usd`` is the cost of answers, ``unsure_usd`` the maximum cost of requests whose answer was lost in transit.
    ``estimated`` counts answers without complete token counts; the upper bound was counted for them. ``lost`` counts
    requests whose answer was lost; ``prompt_tokens`` contains all tokens they can have used. ``with_reasoning`` counts
    answers with a reasoning text.
    """

    requests: int = 0
    from_ledger: int = 0
    retries: int = 0
    failed: int = 0
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


class Reservation(NamedTuple):
    """What is reserved for one request: its number in the journal, tokens, picodollars."""

    number: int
    tokens: int
    pico: int


@dataclass(slots=True)
class BudgetAccount:
    """The money, tokens and requests of one run, over all its invocations.

    ``journal`` is the file that keeps the account (`Journal`); without it the account ends with the process. ``spent``
    is the part of this process.

    Raises:
        FilialError: the journal is damaged.
    """

    budget: Budget = field(default_factory=Budget)
    journal: Path | None = None
    spent: Usage = field(default_factory=Usage)
    settled: Totals = field(default_factory=Totals)
    open: Totals = field(default_factory=Totals)
    held_back: int = 0
    """Requests that wait until others have cost less than reserved."""
    _cheaper: asyncio.Event = field(default_factory=asyncio.Event)
    _number: int = 0
    _file: Journal | None = None

    def __post_init__(self) -> None:
        if self.journal is not None:
            self.settled = Journal.read_totals(self.journal)

    @property
    def usd(self) -> float:
        """US dollars spent by the run so far, with the maximum for lost answers."""
        return (self.settled.pico + self.settled.unsure) / PICO

    async def reserve(self, bound: Bound, price: Price | None) -> Reservation:
        """Reserve the maximum cost of a request, as soon as it fits.

        Raises:
            BudgetStop: it will not fit.
        """
        tokens = bound.prompt + bound.completion
        pico = to_picodollars(price.cost(bound.prompt, bound.completion)) if price else 0
        while cap := self._find_exceeded(tokens, pico, self.open):
            if not self.open.requests or self._find_exceeded(tokens, pico, Totals()):
                self._wake()  # the others will stop, too
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
        """Replace the reservation of a request by its actual cost."""
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
        """Write the account to disk and close it."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _wake(self) -> None:
        """Let all waiting requests check again."""
        event, self._cheaper = self._cheaper, asyncio.Event()
        event.set()

    def _find_exceeded(self, tokens: int, pico: int, open: Totals) -> str:
        """Return the name of the cap that a request would exceed, given what is settled and open; "" if none."""
        caps, done = self.budget, self.settled
        if caps.requests is not None and done.requests + open.requests >= caps.requests:
            return "requests"
        if caps.tokens is not None and done.tokens + open.tokens + tokens > caps.tokens:
            return "tokens"
        if caps.usd is not None and done.pico + done.unsure + open.pico + pico > int(caps.usd * PICO):
            return "usd"
        return ""

    def _describe_exceeded(self, cap: str, tokens: int, pico: int) -> str:
        """Say why a request does not fit."""
        most: float = getattr(self.budget, cap)
        if cap == "requests":
            return f"{most:,} requests is used up"
        if cap == "tokens":
            return f"{most:,} tokens is used up ({self.settled.tokens:,} used, the next request could take {tokens:,})"
        about = "at most " if self.spent.estimated or self.settled.unsure else ""
        spent = f"{about}{format_dollars(self.usd)} spent, the next request could cost {format_dollars(pico / PICO)}"
        return f"{format_dollars(most)} is used up ({spent})"


def to_picodollars(usd: float) -> int:
    """Convert to whole picodollars, rounded up."""
    return math.ceil(round(usd * PICO, 3))


def format_dollars(usd: float) -> str:
    """Format an amount with enough digits: $12.40, $0.0198, $0, -$0.0198."""
    if usd < 0:
        return f"-{format_dollars(-usd)}"
    if usd >= 1 or usd == 0:
        return f"${usd:,.2f}" if usd else "$0"
    return f"${usd:.{max(2, 2 - math.floor(math.log10(usd)))}f}"


def unknown_price(use: str) -> str:
    """Explain why a cap on money cannot be enforced."""
    return (
        f"this caps money, but the price of the teacher {use!r} is not known; give it a price (US dollars per million "
        "tokens), such as usd_per_million: {prompt: 0.15, completion: 0.6}, or cap tokens instead"
    )
