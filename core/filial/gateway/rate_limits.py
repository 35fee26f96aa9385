"""How fast a teacher may be asked: a window that adapts, a pace per minute, a pause that holds for everybody."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import deque

START = 64
"""Requests in flight a window starts with, where it may have that many."""
CUT, WON_BACK, GROWTH, USED = 0.7, 0.95, 0.05, 0.8
REFUSED, LATEST = 0.2, 64
"""A window is cut when more than this share of about so many of the latest requests were refused."""
JITTER = 0.05
COOLDOWN = 1.0
"""Seconds after a cut (or a failing server) in which answers do not make the window grow, nor cuts add up."""


class Window:
    """How many requests may be in flight: grows while the endpoint keeps up, shrinks when it says it cannot.

    Slow start: every answer to a window in use adds one, so the window doubles per round trip until ``most`` or the
    first cut. Where more than a fifth of the latest requests were refused, the window is cut to 0.7, at most once per
    `COOLDOWN`: fewer refusals say that the endpoint is near its limit, which the wait it asks for is enough for. What
    was lost is won back in the same way, up to 95 % of where it was cut; from there it grows by one and 5 % per round.
    Answers count towards growth only while at least 80 % of the window is in use: a limit that nobody tests says
    nothing. (Additive increase, multiplicative decrease: Chiu and Jain, 1989; slow start up to a threshold: Jacobson,
    1988.)
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = float(min(START, most))
        self.in_flight = 0
        self._refused_at = math.inf
        self._calm_at = 0.0
        self._refusals = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        """Wait for a place, first come first served."""
        if self.in_flight < int(self.limit) and not self._waiting:
            self.in_flight += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # the place was given, and nobody is here to take it
                self.leave()
            raise

    async def enter_after(self, pause: Pause) -> None:
        """Wait for a place, and there for the end of a pause: whoever stands in line behind need not wake for that."""
        while True:
            await self.enter()
            try:
                await pause.wait()
            except asyncio.CancelledError:
                self.leave()
                raise
            if self.in_flight <= int(self.limit):
                return
            self.leave()  # the window has shrunk meanwhile

    def leave(self) -> None:
        """Give the place back."""
        self.in_flight -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self.in_flight < int(self.limit):
            turn = self._waiting.popleft()
            if not turn.cancelled():  # else its waiter has gone
                self.in_flight += 1
                turn.set_result(None)

    def note_answer(self) -> None:
        """An answer has come; called before its place is left."""
        self._refusals -= self._refusals / LATEST
        if self.limit >= self.most or self.in_flight < USED * self.limit or time.monotonic() < self._calm_at:
            return
        lost = self.limit < WON_BACK * self._refused_at
        step = 1.0 if lost else GROWTH + 1.0 / self.limit
        self.limit = min(float(self.most), self.limit + step)
        self._admit()

    def note_refusal(self) -> None:
        """The endpoint says that it is asked too much."""
        self._refusals += (1.0 - self._refusals) / LATEST
        now = time.monotonic()
        if now >= self._calm_at and self._refusals > REFUSED:
            self._refused_at = self.limit
            self.limit = max(1.0, self.limit * CUT)
            self._calm_at = now + COOLDOWN

    def note_trouble(self) -> None:
        """The endpoint fails in another way: no reason to shrink, none to grow."""
        self._calm_at = max(self._calm_at, time.monotonic() + COOLDOWN)


class RateLimit:
    """So many per minute at most, in an even flow: a burst is what one second allows, one at least.

    The generic cell rate algorithm: each taker is given its time in advance, so nobody has to be woken. What turned
    out not to be used is handed back.
    """

    def __init__(self, per_minute: int | None) -> None:
        self._each = 60.0 / per_minute if per_minute else 0.0
        self._next = 0.0

    async def take(self, amount: float) -> None:
        """Wait until ``amount`` may go."""
        if not self._each:
            return
        now = time.monotonic()
        start = max(self._next, now - 1.0)
        self._next = start + amount * self._each
        if start > now:
            await asyncio.sleep(start - now)

    def give_back(self, amount: float) -> None:
        """What was taken and not used; a negative amount is what was used and not taken."""
        self._next -= amount * self._each


class Pause:
    """A wait that an endpoint asked one caller for holds for all; nobody wakes at the same moment."""

    def __init__(self) -> None:
        self._until = 0.0

    @property
    def left(self) -> float:
        """Seconds until it is over."""
        return max(0.0, self._until - time.monotonic())

    def extend(self, seconds: float) -> None:
        """Keep everybody waiting for so long from now."""
        self._until = max(self._until, time.monotonic() + seconds)

    async def wait(self) -> None:
        """Wait for its end, and up to `JITTER` of it longer.

        No more than that: who comes late may meet the next pause, which an earlier one was asked for meanwhile.
        """
        while (left := self.left) > 0:
            await asyncio.sleep(left * random.uniform(1.0, 1.0 + JITTER))
