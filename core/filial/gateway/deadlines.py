"""Deadlines of requests that run only while the event loop can look whether an answer has come.

Code that holds the loop, or a process that was stopped, keeps answers waiting in their sockets. Time like that is
nobody's delay: by an ordinary timeout, healthy requests would be cancelled, sent again and paid twice.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

TICK = 0.05
"""Seconds between two looks at the clock; what comes later than that is late by the rest."""
TURNS = 50
"""Turns of the loop an answer has at the end to make its way from the socket, which takes it several."""


class LoopClock:
    """Tells the time in which the running event loop was able to look. It ticks while any `Deadline` is open."""

    def __init__(self) -> None:
        self._open, self._late, self._next = 0, 0.0, 0.0
        self._ticking: asyncio.TimerHandle | None = None

    def time(self) -> float:
        """Seconds, less those in which the loop was held up to the last tick; only while this ticks."""
        return asyncio.get_running_loop().time() - self._late

    def enter(self) -> None:
        """A deadline opens."""
        self._open += 1
        if self._open == 1:
            self._start(asyncio.get_running_loop())

    def leave(self) -> None:
        """A deadline is over."""
        self._open -= 1
        if not self._open and self._ticking is not None:
            self._ticking.cancel()

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._next = loop.time() + TICK
        self._ticking = loop.call_at(self._next, self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        late = loop.time() - self._next
        self._late += late if late > TICK else 0.0  # less is the clock's own grain
        self._start(loop)


class Deadline:
    """An async context manager that raises `TimeoutError` after so many seconds of a `LoopClock`."""

    def __init__(self, clock: LoopClock, seconds: float) -> None:
        self._clock, self._seconds = clock, seconds
        self._timeout = asyncio.timeout(None)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()
        self._clock.enter()
        self._loop = asyncio.get_running_loop()
        self._end = self._clock.time() + self._seconds
        self._handle: asyncio.Handle = self._loop.call_later(self._seconds, self._due, TURNS)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handle.cancel()
        self._clock.leave()
        await self._timeout.__aexit__(kind, error, trace)

    def _due(self, turns: int) -> None:
        """Look again after what is left; then, after some turns, each of which may show that more is left."""
        if (left := self._end - self._clock.time()) > 0:
            self._handle = self._loop.call_later(left, self._due, TURNS)
        elif turns:
            self._handle = self._loop.call_soon(self._due, turns - 1)
        else:
            self._timeout.reschedule(self._loop.time())
