"""Caps on what a run may spend, and the purse that never passes them.

Money is counted in whole picodollars (1e-12 US dollars), so that sums are exact. Before a request is sent, the most it
can cost is set aside; when its answer is there, what it did cost takes that place. A request that does not fit waits
while others are open, since they will turn out cheaper; when none is open, the budget is used up.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass, field, fields

from filial.asking.spending import Journal, Totals
from filial.errors import BudgetStop
from filial.teaching import Bound, Price

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
class Spent:
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
class Purse:
    """The money, tokens and requests of one run, over all its invocations.

    ``journal`` keeps the account on disk; without one the purse forgets when the process ends. ``spent`` is this
    process's part.

    Raises:
        UsageError: the journal is damaged.
    """

    budget: Budget = field(default_factory=Budget)
    journal: Journal | None = None
    spent: Spent = field(default_factory=Spent)
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
