"""A bound on CPU time for tests of text that takes quadratic time in a careless program.

It is no measurement: what it bounds takes a small part of it, however busy the machine is, and quadratic time many
times as much. It also ends what would run for hours.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class TooSlow(BaseException):
    """The bound is passed; no handler of errors in between takes it for one."""


@contextmanager
def bounded(seconds: float = 20) -> Iterator[None]:
    """Fail what takes more CPU seconds; in the main thread only."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooSlow(f"{seconds:g} CPU seconds were not enough")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
