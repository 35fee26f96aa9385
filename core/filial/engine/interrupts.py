"""Running asynchronous work that Ctrl-C and other requests to stop end in good order."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Coroutine
from types import FrameType
from typing import Any, TypeVar

from filial.engine.watchdog import Watchdog

Result = TypeVar("Result")

USUAL = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}
"""The signals that ask to stop, each with the handler that says that nobody else takes care of it."""


def run(work: Coroutine[Any, Any, Result], watchdog: Watchdog | None = None) -> Result:
    """`asyncio.run`, told three ways to end.

    The first signal (Ctrl-C, SIGTERM, SIGHUP) cancels the work, whose clean-up may wait for what is in flight; the
    second cancels that waiting; the third ends whatever is executed at that moment. asyncio's own second Ctrl-C does
    that, and is lost where Python happens to be inside a destructor. A SIGHUP after another signal does not count: a
    terminal that closes sends several, and systemd sends one behind its SIGTERM.

    Signals that somebody else takes care of are left to them, and all are outside of the main thread. ``watchdog``
    watches the loop meanwhile.

    Raises:
        KeyboardInterrupt: it was interrupted, be it so late that the work was done all the same.
    """
    if watchdog is not None:
        work = watchdog.over(work)
    if threading.current_thread() is not threading.main_thread():
        return asyncio.run(work)
    ours = [number for number, usual in USUAL.items() if signal.getsignal(number) is usual]
    return asyncio.run(_interruptible(work, ours))


async def _interruptible(work: Coroutine[Any, Any, Result], numbers: list[signal.Signals]) -> Result:
    loop, task, times = asyncio.get_running_loop(), asyncio.current_task(), 0
    assert task is not None

    def interrupted(number: int, frame: FrameType | None) -> None:
        nonlocal times
        if times and number == signal.SIGHUP:
            return
        times += 1
        if times > 2:
            raise KeyboardInterrupt
        loop.call_soon_threadsafe(task.cancel)

    before = {number: signal.signal(number, interrupted) for number in numbers}
    try:
        result = await work
    except asyncio.CancelledError:
        if times:
            raise KeyboardInterrupt from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if times:  # after the last ``await`` nothing can be cancelled any more
        raise KeyboardInterrupt
    return result
