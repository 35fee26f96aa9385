"""An event loop with a clock of its own: each turn takes a microsecond, and where everybody waits, the clock jumps to
the next who is to wake.

So what a test sees depends on the delays it names and never on how busy the machine is, and minutes pass at once.
``time.monotonic`` tells the same time meanwhile, and from one run to the next it goes on. Not for threads and sockets:
nobody waits for those.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar
from unittest import mock

T = TypeVar("T")


class _Clock:
    now = 1000.0

    @classmethod
    def monotonic(cls) -> float:
        return cls.now


class _Jumping(selectors.DefaultSelector):
    """Waits for no file; moves the clock instead."""

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("everybody waits for somebody else, for ever")
        _Clock.now += 1e-6 if ready or timeout is None else max(1e-6, timeout)
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def time(self) -> float:
        return _Clock.monotonic()


def run(work: Coroutine[Any, Any, T]) -> T:
    """``asyncio.run`` in virtual time."""
    runner = asyncio.Runner(loop_factory=lambda: _Loop(_Jumping()))
    with runner, mock.patch("time.monotonic", _Clock.monotonic):
        return runner.run(work)
