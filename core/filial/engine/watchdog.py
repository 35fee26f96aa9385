"""Find plugin code that blocks the event loop: while it computes or waits without ``await``, everything else waits."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, TypeVar

Result = TypeVar("Result")

EVERY = 0.1
"""Seconds between two checks of the loop."""
HELD, LONG = 1.0, 30.0
"""A loop counts as blocked after ``HELD`` seconds; after ``LONG`` seconds this is reported while it lasts."""
CORE = str(Path(__file__).parents[1])


class Watchdog:
    """Watches one event loop from a separate thread and reports, once per function, which plugin blocked it.

    ``owner`` returns the distribution of a module by the module's name, or "".
    """

    def __init__(self, owner: Callable[[str], str], note: Callable[[str], None]) -> None:
        self._owner, self._note = owner, note
        self._noted: set[CodeType] = set()
        self._held = 0.0
        self._place: tuple[str, CodeType] | None = None

    async def watch(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Return the result of the work, and watch the loop meanwhile."""
        end = threading.Event()
        watch = (asyncio.get_running_loop(), threading.get_ident(), end)
        thread = threading.Thread(target=self._look_regularly, args=watch, name="filial watchdog", daemon=True)
        thread.start()
        try:
            return await work
        finally:
            end.set()
            thread.join()

    def _look_regularly(self, loop: asyncio.AbstractEventLoop, thread: int, end: threading.Event) -> None:
        came_round = threading.Event()
        loop.call_soon_threadsafe(came_round.set)
        woken, used = time.monotonic(), time.process_time()
        while not end.wait(EVERY):
            now, cpu, came = time.monotonic(), time.process_time(), came_round.is_set()
            self.look(came, now - woken, cpu - used, sys._current_frames().get(thread))
            woken, used = now, cpu
            if came:
                came_round.clear()
                loop.call_soon_threadsafe(came_round.set)
        self.look(True, 0.0, 0.0, None)

    def look(self, came_round: bool, passed: float, cpu: float, frame: FrameType | None) -> None:
        """Check whether the loop has run since the last check, ``passed`` seconds ago, and what its thread is doing.

        A late check shows the state of this process: if it used the CPU meanwhile (``cpu``), some code kept Python's
        lock; if not, the process was starved or stopped, and the loop with it.
        """
        self._held += passed if cpu > passed / 2 else min(passed, EVERY)
        if came_round:
            self._report()
            self._held, self._place = 0.0, None
        elif self._place is None and self._held > HELD:
            self._place = self.find_plugin_frame(frame)
        elif self._held > LONG:
            self._report(" so far")

    def _report(self, so_far: str = "") -> None:
        if self._place is not None and self._place[1] not in self._noted:
            where, code = self._place
            self._noted.add(code)
            self._note(
                f"{where} held the event loop for {self._held:.1f} s{so_far}, and all requests and records waited; run "
                "slow code with await asyncio.to_thread(...), or write a filter's method with a plain 'def'"
            )

    def find_plugin_frame(self, frame: FrameType | None) -> tuple[str, CodeType] | None:
        """Return the innermost function of a plugin, in words and as code; None if the core works, the loop waits or a
        module is imported."""
        while frame is not None:
            code, module = frame.f_code, str(frame.f_globals.get("__name__", ""))
            if module == "importlib._bootstrap" or (module == "asyncio.base_events" and code.co_name == "_run_once"):
                return None  # an import happens once, and heavy packages are imported where they are needed
            if code.co_filename.startswith(CORE):
                if code.co_flags & (CO_COROUTINE | CO_ASYNC_GENERATOR):
                    return None  # its callers await the core
            elif owner := self._owner(module):
                depth = module.count(".") + 1 + code.co_filename.endswith("__init__.py")
                short = "/".join(Path(code.co_filename).parts[-depth:])
                return f"{owner} ({short}:{frame.f_lineno}, in {code.co_name})", code
            frame = frame.f_back
        return None
