"""Tells who holds the event loop: while plugin code computes or waits there without ``await``, nothing else goes on."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, TypeVar

Result = TypeVar("Result")

EVERY = 0.1
"""Seconds between two beats of the loop, and between two looks for them."""
HELD, LONG = 1.0, 30.0
"""Seconds without a beat after which the loop counts as held, and after which that is told while it lasts."""
CORE = str(Path(__file__).parents[1])


class Place(NamedTuple):
    """Where the loop is held, in words, and what it is told once for."""

    words: str
    key: tuple[str, str]


class Watchdog:
    """Watches one event loop from a thread of its own and notes, once per function, which plugin held it.

    ``owner`` names the distribution of a module by the module's name, "" where no plugin has it.
    """

    def __init__(self, owner: Callable[[str], str], note: Callable[[str], None]) -> None:
        self._owner, self._note = owner, note
        self._told: set[tuple[str, str]] = set()
        self._beaten = 0.0
        self._caught: tuple[float, Place] | None = None

    async def over(self, work: Coroutine[Any, Any, Result]) -> Result:
        """What the work gives, watched meanwhile."""
        end = threading.Event()
        self._beaten = time.monotonic()
        beating = asyncio.create_task(self._beat_on())
        thread = threading.Thread(
            target=self._watch, args=(threading.get_ident(), end), name="filial watchdog", daemon=True
        )
        thread.start()
        try:
            return await work
        finally:
            end.set()
            beating.cancel()
            self.beat(time.monotonic())
            thread.join()

    async def _beat_on(self) -> None:
        while True:
            self.beat(time.monotonic())
            await asyncio.sleep(EVERY)

    def beat(self, now: float) -> None:
        """The loop has come round."""
        if self._caught is not None:
            self._tell(now, *self._caught)
        self._beaten, self._caught = now, None

    def _watch(self, thread: int, end: threading.Event) -> None:
        woken, used = time.monotonic(), time.process_time()
        while not end.wait(EVERY):
            now, cpu = time.monotonic(), time.process_time()
            self.look(now, now - woken - EVERY, cpu - used, sys._current_frames().get(thread))
            woken, used = now, cpu

    def look(self, now: float, late: float, cpu: float, frame: FrameType | None) -> None:
        """See whether the loop is held, and where its thread is.

        ``late``: how late this look is itself. If the process did not compute meanwhile, it was starved or stopped,
        and the loop with it; if it did (``cpu``), somebody kept Python's lock.
        """
        if late > EVERY and cpu < late / 2:
            self._beaten += late
        if self._caught is not None:
            if now - self._caught[0] > LONG:
                self._tell(now, *self._caught, so_far=" so far")
        elif (since := self._beaten) < now - HELD and (place := self.place(frame)) is not None:
            self._caught = since, place

    def _tell(self, now: float, since: float, place: Place, so_far: str = "") -> None:
        if place.key not in self._told:
            self._told.add(place.key)
            self._note(
                f"{place.words} held the event loop for {now - since:.1f} s{so_far}, and all requests and records "
                "waited; let what is slow await asyncio.to_thread(...), or make a filter's method a plain 'def'"
            )

    def place(self, frame: FrameType | None) -> Place | None:
        """The innermost frame of a plugin's, else of a file that is no library's; None where the core itself works, the
        loop waits or something is imported."""
        from sysconfig import get_paths

        libraries = tuple(path for name, path in get_paths().items() if name.endswith("lib"))
        found: Place | None = None
        while frame is not None:
            code, module = frame.f_code, str(frame.f_globals.get("__name__", ""))
            path = code.co_filename
            if module.startswith("asyncio.") and code.co_name in ("_run", "_run_once"):
                break
            if module == "importlib._bootstrap":
                return None  # happens once, and heavy packages are to be imported where they are needed
            if path.startswith(CORE):
                if code.co_flags & (CO_COROUTINE | CO_ASYNC_GENERATOR) and found is None:
                    return None  # what stands outside of it awaits the core
            elif owner := self._owner(module):
                depth = module.count(".") + 1 + path.endswith("__init__.py")
                short = "/".join(Path(path).parts[-depth:])
                where = f"{owner} ({short}:{frame.f_lineno}, in {code.co_name})"
                return Place(where, (path, code.co_name))
            elif found is None and not path.startswith((*libraries, "<frozen")):
                found = Place(f"{path}:{frame.f_lineno}, in {code.co_name},", (path, code.co_name))
            frame = frame.f_back
        return found
