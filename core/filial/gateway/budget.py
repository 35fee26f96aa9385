"""Caps on what a run may spend, and the account that never passes them.

Money is counted in whole picodollars (1e-12 US dollars), so that sums are exact. Before a request is sent, the most it
can cost is set aside; when its answer is there, what it did cost takes that place. A request that does not fit waits
while others are open, since they will turn out cheaper; when none is open, the budget is used up.
"""

from __future__ import annotations

import asyncio
import math
import zlib
from collections import deque
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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


class _Spending(Database):
    """All that is settled, as one row of texts (sums may pass 64 bits), and what is open."""

    name = "the account"
    cure = "delete it to count what the run has spent from zero again"
    schema = """
    create table if not exists settled (one integer primary key, totals text not null);
    create table if not exists open (number integer primary key, tokens text not null, pico text not null);
    """

    def read(self) -> Totals | None:
        """None where nothing was ever noted."""
        rows = list(self._rows("cannot be read", "select totals from settled"))
        try:
            totals = Totals(*map(int, rows[0][0].split())) if rows else Totals()
            for tokens, pico in self._rows("cannot be read", "select tokens, pico from open"):
                totals.add(Totals(requests=1, prompt=int(tokens), unsure=int(pico)))
        except (TypeError, ValueError) as err:
            raise self._error("cannot be read", err) from err
        return totals if rows else None

    def write(self, settled: Totals, ended: Iterable[tuple[int]] | None, *begun: tuple[Any, ...]) -> None:
        """Note what is settled now, which requests that ends (None: all that is open), and which begin."""
        done = f"{settled.requests} {settled.prompt} {settled.completion} {settled.pico} {settled.unsure}"
        with self._transaction("cannot be written"):
            if ended is None:
                self._db.execute("delete from open")
            else:
                self._db.executemany("delete from open where number=?", ended)
            self._db.execute("insert or replace into settled values (0, ?)", (done,))
            self._db.executemany("insert into open values (?,?,?)", begun)


class Journal:
    """What one run has spent: a file in its folder, which a killed process leaves whole.

    A request is noted before it is sent. What it did cost is noted with the next one, or at the end: a process that is
    killed in between leaves it open, and it counts with the most it could cost. What filial 0.1 left in ``spend.jsonl``
    is taken over.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: _Spending | None = None
        self._ended: list[tuple[int]] = []

    def read(self) -> Totals:
        """All that was spent so far.

        Raises:
            FilialError: the file is damaged.
        """
        if self.path.exists():
            with closing(_Spending(self.path)) as file:
                if (totals := file.read()) is not None:
                    return totals
        return _of_0_1(self._before) if self._before.exists() else Totals()

    def opened(self, number: int, tokens: int, pico: int, settled: Totals) -> None:
        """Note a request that is about to be sent, and what is settled until now."""
        if self._file is None:
            self._file = _Spending(self.path, "locking_mode=exclusive")
            self._file.write(settled, None)  # what an earlier process left open is in it: numbers start again
            self._before.unlink(missing_ok=True)
        self._file.write(settled, self._ended, (number, str(tokens), str(pico)))
        self._ended.clear()

    def closed(self, number: int) -> None:
        """A request has ended."""
        self._ended.append((number,))

    def close(self, settled: Totals) -> None:
        """Note the rest."""
        file, self._file = self._file, None
        if file is not None:
            with closing(file):
                file.write(settled, self._ended)

    @property
    def _before(self) -> Path:
        return self.path.with_name("spend.jsonl")


def _of_0_1(path: Path) -> Totals:
    """What filial 0.1 noted: lines ``[kind, numbers…, crc]``, of which a kill may have torn the last.

    Raises:
        UsageError: another line is damaged.
    """
    totals, open_ = Totals(), dict[int, list[int]]()
    lines = path.read_bytes().split(b"\n")
    for place, line in enumerate(lines, 1):
        try:
            kind, *numbers, crc = msgspec.json.decode(line, type=list[Any]) if line else ("", 0)
            if line and crc != zlib.crc32(msgspec.json.encode([kind, *numbers])):
                raise ValueError("its checksum does not hold")
        except ValueError as err:  # also what is no JSON and no UTF-8
            if place == len(lines):
                break  # what it opened was not sent, what it closed counts as open
            raise UsageError(
                f"{path}:{place}: this line is damaged ({err}), so what the run has spent is not known; "
                "delete the file to count from zero again"
            ) from err
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


@dataclass(slots=True)
class Reservation:
    """What one request was given: a number in the journal, tokens, picodollars."""

    number: int
    tokens: int
    pico: int


@dataclass(slots=True)
class BudgetAccount:
    """The money, tokens and requests of one run, over all its invocations.

    ``journal`` keeps the account on disk; without one the account forgets when the process ends. ``spent`` is this
    process's part.

    Raises:
        FilialError: the journal is damaged.
    """

    budget: Budget = field(default_factory=Budget)
    journal: Journal | None = None
    spent: Usage = field(default_factory=Usage)
    settled: Totals = field(default_factory=Totals)
    open: Totals = field(default_factory=Totals)
    _number: int = 0
    _waiting: deque[asyncio.Future[None]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        if self.journal is not None:
            self.settled = self.journal.read()

    @property
    def usd(self) -> float:
        """US dollars spent by the run so far, counting the most for answers that were lost."""
        return (self.settled.pico + self.settled.unsure) / PICO

    @property
    def held_back(self) -> int:
        """Requests that wait for others to turn out cheaper."""
        return len(self._waiting)

    async def reserve(self, bound: Bound, price: Price | None) -> Reservation:
        """Set aside the most that a request can cost, once that fits.

        Raises:
            BudgetStop: it will not fit.
        """
        tokens = bound.prompt + bound.completion
        pico = picodollars(price.cost(bound.prompt, bound.completion)) if price else 0
        while cap := self._in_the_way(tokens, pico, self.open):
            if not self.open.requests or self._in_the_way(tokens, pico, Totals()):
                self._wake()  # the others will find the same
                raise BudgetStop(f"the budget of {self._cap(cap)} is used up{self._shown(pico)}", cap)
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn
        self._number += 1
        self.open.add(Totals(requests=1, prompt=tokens, pico=pico))
        self.spent.requests += 1
        if self.journal is not None:
            self.journal.opened(self._number, tokens, pico, self.settled)
        return Reservation(self._number, tokens, pico)

    def settle(self, given: Reservation, cost: Totals) -> None:
        """Put what a request did cost in the place of what was set aside for it."""
        self.open.add(Totals(requests=-1, prompt=-given.tokens, pico=-given.pico))
        self.settled.add(cost)
        self.spent.prompt_tokens += cost.prompt
        self.spent.completion_tokens += cost.completion
        self.spent.usd += cost.pico / PICO
        self.spent.unsure_usd += cost.unsure / PICO
        if self.journal is not None:
            self.journal.closed(given.number)
        self._wake()

    def close(self) -> None:
        """Leave the account on disk as one line."""
        if self.journal is not None:
            self.journal.close(self.settled)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, deque()
        for turn in waiting:
            if not turn.done():
                turn.set_result(None)

    def _in_the_way(self, tokens: int, pico: int, open: Totals) -> str:
        """Name of the cap that a request would pass beside what is settled and open; empty if none."""
        caps, done = self.budget, self.settled
        if caps.requests is not None and done.requests + open.requests >= caps.requests:
            return "requests"
        if caps.tokens is not None and done.tokens + open.tokens + tokens > caps.tokens:
            return "tokens"
        if caps.usd is not None and done.pico + done.unsure + open.pico + pico > int(caps.usd * PICO):
            return "usd"
        return ""

    def _cap(self, name: str) -> str:
        value = getattr(self.budget, name)
        return dollars(value) if name == "usd" else f"{value:,} {name}"

    def _shown(self, pico: int) -> str:
        if self.budget.usd is None and self.budget.tokens is None:
            return ""
        parts = []
        if self.budget.usd is not None:
            about = "at most " if self.spent.estimated or self.settled.unsure else ""
            parts.append(f"{about}{dollars(self.usd)} spent, the next request could cost {dollars(pico / PICO)}")
        if self.budget.tokens is not None:
            parts.append(f"{self.settled.tokens:,} tokens used")
        return f" ({'; '.join(parts)})"


def picodollars(usd: float) -> int:
    """Whole picodollars, rounded up."""
    return math.ceil(round(usd * PICO, 3))


def dollars(usd: float) -> str:
    """An amount with as many digits as it takes to see it: $12.40, $0.0198, $0, -$0.0198."""
    if usd < 0:
        return f"-{dollars(-usd)}"
    if usd >= 1 or usd == 0:
        return f"${usd:,.2f}" if usd else "$0"
    return f"${usd:.{max(2, 2 - math.floor(math.log10(usd)))}f}"


def unknown_price(use: str) -> str:
    """Why a cap on money cannot be kept."""
    return (
        f"this caps money, but what the teacher {use!r} costs is not known; give it a price (US dollars per million "
        "tokens), such as usd_per_million: {prompt: 0.15, completion: 0.6}, or cap tokens instead"
    )
