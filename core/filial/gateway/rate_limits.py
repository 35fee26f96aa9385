"""How fast a teacher may be asked: an adaptive window, rates per minute, and a pause that holds for all requests."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import deque

START = 64
"""Requests in flight with which a window starts, if its maximum allows it."""
CUT, WON_BACK, GROWTH, USED = 0.7, 0.95, 0.05, 0.8
TOLERATED, LATEST = 0.2, 64
"""The window is reduced if overload was reported for more than this share of the latest attempts (about this many)."""
SAFE, GROWTH_OF_RATE = 0.95, 0.02
"""Share of an endpoint's rate at which it is asked, and by how much that grows first, until as many were answered."""
JITTER = 0.05
COOLDOWN = 1.0
"""Seconds after a reduction (or a server error) in which the window does not grow and is not reduced again."""


class Window:
    """Limit on the requests in flight: grows while the endpoint keeps up, shrinks when it reports overload.

    Slow start: every answer to a window in use adds one, so the window doubles per round trip until ``most`` or the
    first cut. If the endpoint reported overload for more than a fifth of the latest attempts, the window is cut to 0.7
    of its size, at most once per `COOLDOWN`; fewer reports show that it is near its limit: waiting is enough.
    After a cut, slow start goes up to 95 % of the former size; from there the window grows by one and 5 % per round
    trip. Answers count towards growth only while at least 80 % of the window is in use, because an unused limit proves
    nothing. (Additive increase, multiplicative decrease: Chiu and Jain, 1989; slow start up to a threshold: Jacobson,
    1988.)
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = float(min(START, most))
        self.in_flight = 0
        self._before_cut = math.inf
        self._calm_at = 0.0
        self._overload = 0.0
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
            if turn.done() and not turn.cancelled():  # the place was given to this cancelled task: pass it on
                self.leave()
            raise

    async def enter_after(self, pause: Pause) -> None:
        """Wait for a place, and in it for the end of a pause, so that the others in the queue need not wake up."""
        while True:
            await self.enter()
            try:
                await pause.wait()
            except asyncio.CancelledError:
                self.leave()
                raise
            if self.in_flight <= int(self.limit):
                return
            self.leave()  # the window has been reduced meanwhile

    def leave(self) -> None:
        """Give the place back."""
        self.in_flight -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self.in_flight < int(self.limit):
            turn = self._waiting.popleft()
            if not turn.cancelled():  # else the waiting task was cancelled
                self.in_flight += 1
                turn.set_result(None)

    def note_answer(self) -> None:
        """Note an answer; called before its place is given back."""
        self._overload -= self._overload / LATEST
        if self.limit >= self.most or self.in_flight < USED * self.limit or time.monotonic() < self._calm_at:
            return
        lost = self.limit < WON_BACK * self._before_cut
        step = 1.0 if lost else GROWTH + 1.0 / self.limit
        self.limit = min(float(self.most), self.limit + step)
        self._admit()

    def note_overload(self) -> None:
        """Note that the endpoint reports overload."""
        self._overload += (1.0 - self._overload) / LATEST
        now = time.monotonic()
        if now >= self._calm_at and self._overload > TOLERATED:
            self._before_cut = self.limit
            self.limit = max(1.0, self.limit * CUT)
            self._calm_at = now + COOLDOWN

    def shrink(self) -> None:
        """Let one request through at a time, until it is answered."""
        if self.limit > 1.0:
            self._before_cut, self.limit = self.limit, 1.0

    def note_trouble(self) -> None:
        """Note another error of the endpoint: neither shrink nor grow."""
        self._calm_at = max(self._calm_at, time.monotonic() + COOLDOWN)


class RateLimit:
    """At most this many per minute, in an even flow; a burst is what one second allows, at least one.

    The generic cell rate algorithm; callers are served one after the other. The endpoint's own limit is learned: when
    it refuses everything (``refused_at``), the answers before and the time until the next answer show its rate. From
    then on requests come at `SAFE` of it, slowly at first, then faster and faster, until it refuses again.
    """

    def __init__(self, per_minute: int | None) -> None:
        self._given = self._each = 60.0 / per_minute if per_minute else 0.0
        self.is_learned = False
        self._next = self._since = self.refused_at = 0.0
        self._answers = self._step = 0
        self._queue = asyncio.Lock()

    async def take(self, amount: float) -> None:
        """Wait until ``amount`` is allowed."""
        if self._each:
            async with self._queue:
                while (wait := self._next - time.monotonic()) > 0:
                    await asyncio.sleep(wait)
                self._next = max(self._next, time.monotonic() - 1.0) + amount * self._each

    def give_back(self, amount: float) -> None:
        """Give back what was taken but not used; a negative amount was used without being taken."""
        self._next -= amount * self._each

    def note_answer(self, sent_at: float) -> None:
        """Note an answer to a request that was sent then."""
        now = time.monotonic()
        self._since = self._since or now
        if self.refused_at and sent_at >= self.refused_at and self._answers:
            self._each = max(self._given, (now - self._since) / (SAFE * self._answers))
            self._step, self._answers, self._since, self.refused_at = self._answers, 0, now, 0.0
            self._next, self.is_learned = now + self._each, True
        elif self.is_learned and not self.refused_at:
            growth = GROWTH_OF_RATE * 2.0 ** min(9.0, self._answers / self._step) / self._step
            self._each = max(self._given, self._each / (1.0 + growth))
        self._answers += 1


class Pause:
    """A wait that an endpoint asked of one caller, applied to all; they do not wake at the same moment."""

    def __init__(self) -> None:
        self._until = 0.0

    @property
    def left(self) -> float:
        """Remaining seconds."""
        return max(0.0, self._until - time.monotonic())

    def extend(self, seconds: float) -> None:
        """Make everybody wait for this long from now."""
        self._until = max(self._until, time.monotonic() + seconds)

    async def wait(self) -> None:
        """Wait for its end, and up to `JITTER` of its length longer.

        Not longer: a late caller could run into the next pause.
        """
        while (left := self.left) > 0:
            await asyncio.sleep(left * random.uniform(1.0, 1.0 + JITTER))
