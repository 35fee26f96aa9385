"""Deadlines of requests that count only the time in which the event loop could see an answer.

While code blocks the loop, or the process is stopped, answers wait in their sockets. An ordinary timeout would then
cancel healthy requests, and they would be sent and paid twice.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")
TICK = 0.05
"""Seconds between two looks at the clock; if a look is later, the rest of the time is not counted."""
GRACE_TURNS = 50
"""Turns of the loop an answer still gets at the end: it needs several to come from the socket."""


class Deadlines:
    """Deadlines for many requests, all of the same length, with a resolution of `TICK`.

    One timer serves all of them. It runs while there are requests and counts the time in which the loop could look.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ends: dict[asyncio.Timeout, float] = {}
        self._late, self._next = 0.0, 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, work: Awaitable[T]) -> T:
        """Return the result of the work.

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
        """Find the requests whose time is over."""
        held = loop.time() - self._next
        self._late += held if held > TICK else 0.0  # less is the resolution of the clock
        now = loop.time() - self._late
        for deadline in [deadline for deadline, end in self._ends.items() if end <= now]:
            self._ends[deadline] = math.inf
            self._cancel_late(loop, deadline, GRACE_TURNS)
        self._start(loop)

    def _cancel_late(self, loop: asyncio.AbstractEventLoop, deadline: asyncio.Timeout, turns: int) -> None:
        if deadline not in self._ends:  # the work has ended
            return
        if turns:
            loop.call_soon(self._cancel_late, loop, deadline, turns - 1)
        else:
            deadline.reschedule(loop.time())
