"""Caps on what a run may spend, and the account that never passes them.

Money is counted in whole picodollars (1e-12 US dollars), so that sums are exact. Before a request is sent, the most it
can cost is set aside; when its answer is there, what it did cost takes that place. A request that does not fit waits
while others are open, since they will turn out cheaper; when none is open, the budget is used up.
"""

from __future__ import annotations

import asyncio
import errno
import math
import os
import zlib
from collections import deque
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path
from typing import Any

import msgspec

from filial.contracts.errors import BudgetStop, UsageError
from filial.contracts.messages import Bound, Price
from filial.storage import write_bytes, write_errors


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


class Journal:
    """The file of one run. Lines are appended with one write each, so a kill leaves at most the last one torn."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1
        self._fault: OSError | None = None

    def read(self) -> Totals:
        """All that was spent so far.

        Raises:
            UsageError: a line that is not the last one is damaged.
        """
        totals, open_ = Totals(), dict[int, tuple[int, int]]()
        lines = self.path.read_bytes().split(b"\n") if self.path.exists() else []
        for place, line in enumerate(lines):
            if not line:
                continue
            entry = _checked(line)
            if entry is None and place == len(lines) - 1:
                break  # torn by a kill: what it opened was not sent, what it closed counts as open
            if entry is None:
                raise UsageError(
                    f"{self.path}:{place + 1}: this line is damaged, so what the run has spent is not known; "
                    "delete the file to count from zero again"
                )
            kind, *numbers = entry
            if kind == "open":
                open_[numbers[0]] = (numbers[1], numbers[2])
            elif kind == "close":
                open_.pop(numbers[0], None)
                totals.add(Totals(*numbers[1:]))
            else:
                totals, open_ = Totals(*numbers), {}
        for tokens, pico in open_.values():
            totals.add(Totals(requests=1, prompt=tokens, unsure=pico))
        return totals

    def opened(self, number: int, tokens: int, pico: int) -> None:
        """Note a request that is about to be sent."""
        self._write("open", number, tokens, pico)

    def closed(self, number: int, cost: Totals) -> None:
        """Note what a request has cost."""
        self._write("close", number, *astuple(cost))

    def close(self, totals: Totals) -> None:
        """Replace all lines by one."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            write_bytes(self.path, _line("total", *astuple(totals)))

    def _write(self, *entry: Any) -> None:
        if self._fd < 0:
            self._begin()
        line = _line(*entry)
        with write_errors(self.path):
            if self._fault is not None:  # after half a line, a whole one would stand in its midst
                raise self._fault
            try:
                if os.write(self._fd, line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError as err:
                self._fault = err
                raise

    def _begin(self) -> None:
        """Open the file. What an earlier process left becomes one line first: request numbers start again."""
        if self.path.exists():
            write_bytes(self.path, _line("total", *astuple(self.read())))
        with write_errors(self.path):
            self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o644)


def _line(*entry: Any) -> bytes:
    return msgspec.json.encode([*entry, zlib.crc32(msgspec.json.encode(entry))]) + b"\n"


def _checked(line: bytes) -> list[Any] | None:
    """The entry of a line without its checksum; None if the line is damaged."""
    try:
        *entry, crc = msgspec.json.decode(line, type=list[Any])
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
        return None
    known = {"open": 4, "close": 7, "total": 6}
    sound = crc == zlib.crc32(msgspec.json.encode(entry)) and bool(entry)
    return entry if sound and len(entry) == known.get(entry[0]) else None


PICO = 10**12


@dataclass(frozen=True, slots=True)
class Budget:
    """Caps on what a run may send; None means no cap. Answers from the ledger are free."""

    requests: int | None = None
    tokens: int | None = None
    usd: float | None = None

    @property
    def capped(self) -> bool:
        return any(getattr(self, f.name) is not None for f in fields(self))


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
        UsageError: the journal is damaged.
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
        if self.journal is not None and self.budget.capped:
            self.journal.opened(self._number, tokens, pico)
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
            self.journal.closed(given.number, cost)
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
