"""Being told to stop: what is going on is brought to a good end first, so that nothing is lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def patient() -> Iterator[Callable[[], bool]]:
    """Within, Ctrl-C (SIGINT) and SIGTERM are only taken note of; gives whether one came.

    A second Ctrl-C does not wait: it raises `KeyboardInterrupt` at once. A second SIGTERM is the first one once more,
    for whoever stops a group of processes may tell each of them, and they each other. Signals that somebody else takes
    care of are left to them, and all are outside of the main thread.
    """
    came: set[int] = set()

    def heard(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and number in came:
            raise KeyboardInterrupt
        came.add(number)

    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    ours = threading.current_thread() is threading.main_thread()
    before = {n: signal.signal(n, heard) for n, usually in usual.items() if ours and signal.getsignal(n) is usually}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
