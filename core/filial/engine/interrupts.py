"""Run asynchronous work so that Ctrl-C and other requests to stop end it cleanly."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from contextvars import copy_context
from types import FrameType
from typing import Any, TypeVar

from filial.engine.watchdog import Watchdog

Result = TypeVar("Result")

USUAL = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL, signal.SIGHUP: signal.SIG_DFL}
"""The signals that ask to stop, each with its default handler; another handler means that somebody else handles it."""


class Stop:
    """A request, from any thread, to end the work of `run` cleanly.

    The first call cancels the work, whose clean-up may wait for requests in flight; the second cancels that waiting.
    """

    def __init__(self) -> None:
        self.times = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None

    def __call__(self) -> None:
        self.times += 1
        if self._loop is not None and self._task is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._task.cancel)

    def check(self) -> None:
        """Raise KeyboardInterrupt if stopping was requested."""
        if self.times:
            raise KeyboardInterrupt

    async def watch(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Return the result of the work.

        Raises:
            KeyboardInterrupt: stopping was requested, even if the work had ended by then.
        """
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        try:
            self.check()  # the request may have come before the loop
            result = await work
        except asyncio.CancelledError:
            self.check()
            raise
        finally:
            self._task = None
            work.close()
        self.check()
        return result


def run(work: Coroutine[Any, Any, Result], watchdog: Watchdog | None = None, stop: Stop | None = None) -> Result:
    """Run like `asyncio.run`, but end in three steps, and also work inside a running loop (of a notebook).

    The first signal (Ctrl-C, SIGTERM, SIGHUP) cancels the work, whose clean-up may wait for requests in flight; the
    second cancels that waiting; the third ends whatever is running. asyncio itself does that at the second Ctrl-C, and
    loses it if Python is inside a destructor. A SIGHUP after another signal does not count: a closing terminal sends
    several, and systemd sends one after its SIGTERM.

    Signals with another handler are left to it; outside of the main thread all are. If a loop is running in this
    thread, the work gets a loop in its own thread; KeyboardInterrupt here counts as a signal.

    Args:
        watchdog: watches the loop during the work.
        stop: lets another thread end the work.

    Raises:
        KeyboardInterrupt: it was interrupted, even if the work had ended by then.
    """
    stop = stop or Stop()
    if watchdog is not None:
        work = watchdog.watch(work)
    main = threading.current_thread() is threading.main_thread()
    with _signals(stop) if main else nullcontext():
        if asyncio._get_running_loop() is None:
            return asyncio.run(stop.watch(work))
        return _run_beside(work, stop)


def _run_beside(work: Coroutine[Any, Any, Result], stop: Stop) -> Result:
    """Run work in a loop in its own thread and wait for it."""
    done = Future[Result]()

    def serve() -> None:
        try:
            done.set_result(asyncio.run(stop.watch(work)))
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=copy_context().run, args=(serve,), name="filial work", daemon=True).start()
    while True:
        try:
            return done.result()
        except KeyboardInterrupt:
            if done.done() or stop.times >= 2:
                raise
            stop()


@contextmanager
def _signals(stop: Stop) -> Iterator[None]:
    """Connect the signals that have no other handler to ``stop``."""

    def handle_signal(number: int, frame: FrameType | None) -> None:
        if stop.times and number == signal.SIGHUP:
            return
        if stop.times >= 2:
            raise KeyboardInterrupt
        stop()

    ours = [number for number, usual in USUAL.items() if signal.getsignal(number) is usual]
    before = {number: signal.signal(number, handle_signal) for number in ours}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
