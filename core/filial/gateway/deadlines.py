"""Deadlines of requests that run only while the event loop can look whether an answer has come.

Code that holds the loop, or a process that was stopped, keeps answers waiting in their sockets. Time like that is
nobody's delay: by an ordinary timeout, healthy requests would be cancelled, sent again and paid twice.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")
TICK = 0.05
"""Seconds between two looks at the clock; what comes later than that is late by the rest."""
GRACE_TURNS = 50
"""Turns of the loop an answer has at the end to make its way from the socket, which takes it several."""


class Deadlines:
    """One deadline for each of many requests, all after as many seconds, to the `TICK`.

    One timer serves them all; it runs while there are some, and tells the time in which the loop was able to look.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ends: dict[asyncio.Timeout, float] = {}
        self._late, self._next = 0.0, 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, work: Awaitable[T]) -> T:
        """What the work gives.

        Raises:
            TimeoutError: it took too long.
        """
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(None) as deadline:
            if not self._ends:
                self._start(loop)
            self._ends[deadline] = loop.time() - self._late + self._seconds
            try:
                return await work
            finally:
                del self._ends[deadline]
                if not self._ends and self._timer is not None:
                    self._timer.cancel()

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._next = loop.time() + TICK
        self._timer = loop.call_at(self._next, self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look who is late."""
        held = loop.time() - self._next
        self._late += held if held > TICK else 0.0  # less is the clock's own grain
        now = loop.time() - self._late
        for deadline in [deadline for deadline, end in self._ends.items() if end <= now]:
            self._ends[deadline] = math.inf
            self._cancel_late(loop, deadline, GRACE_TURNS)
        self._start(loop)

    def _cancel_late(self, loop: asyncio.AbstractEventLoop, deadline: asyncio.Timeout, turns: int) -> None:
        if deadline not in self._ends:  # the work is done
            return
        if turns:
            loop.call_soon(self._cancel_late, loop, deadline, turns - 1)
        else:
            deadline.reschedule(loop.time())
