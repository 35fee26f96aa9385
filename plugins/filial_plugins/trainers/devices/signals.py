"""Stop at a safe point: signals wait until the current step is complete."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def defer_signals() -> Iterator[Callable[[], bool]]:
    """Hold back Ctrl-C (SIGINT) and SIGTERM inside the block. Yields a function that says whether one has arrived.

    A second Ctrl-C raises `KeyboardInterrupt` at once. A second SIGTERM changes nothing, since a launcher and its
    processes may each send one. Nothing is changed outside the main thread, or for a signal that already has another
    handler.
    """
    received: set[int] = set()

    def note_signal(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and number in received:
            raise KeyboardInterrupt
        received.add(number)

    defaults = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    in_main = threading.current_thread() is threading.main_thread()
    before = {
        n: signal.signal(n, note_signal)
        for n, default in defaults.items()
        if in_main and signal.getsignal(n) is default
    }
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
