"""Process items concurrently and return the results in canonical order.

`in_order` runs in one asyncio loop. Another engine can replace it if it keeps two promises: every item is processed at
least once, and results come in the order of the items. `Worker` is the thread for code that blocks.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from contextlib import aclosing, nullcontext, suppress
from functools import partial
from typing import Any, Generic, ParamSpec, TypeVar

Item = TypeVar("Item")
Value = TypeVar("Value")
Given = ParamSpec("Given")

LEAST_AHEAD, WINDOWS_AHEAD = 10_000, 16
"""Results that may wait for a slow one: the maximum of this number and this many windows."""
BACKLOG, WINDOWS_OF_BACKLOG = 1024, 2
"""Items that may be in work or waiting while the consumer is slow, in the same way; they take memory."""
TURN = 64
"""Items after which the event loop gets a turn, so that Ctrl-C and other work do not wait for the last item."""


async def in_order(
    items: Iterable[Item] | AsyncIterable[Item], work: Callable[[Item], Awaitable[Value]], window: int
) -> AsyncGenerator[tuple[Item, Value], None]:
    """Process up to ``window`` items at once, without a barrier; yield (item, result) in the order of the items.

    Items are taken one by one, when there is room. Finished work waits outside the window, so one slow item does not
    block the others. Nothing new is started while thousands of results wait for a slow item, or about a thousand for a
    slow consumer.

    The first failure in that order is raised, a failure of ``items`` in its turn; work in progress is cancelled.
    """
    async with aclosing(ready_in_order(items, work, window)) as batches:
        async for batch in batches:
            for pair in batch:
                yield pair


async def ready_in_order(
    items: Iterable[Item] | AsyncIterable[Item], work: Callable[[Item], Awaitable[Value]], window: int
) -> AsyncGenerator[list[tuple[Item, Value]], None]:
    """Like `in_order`, but yield lists of all results that are ready, `TURN` at most."""
    if window < 1:
        raise ValueError(f"a window of {window} lets nothing through; give at least 1")
    line = _Line(work, window)
    feeder = asyncio.create_task(line.feed(items))
    handed = 0
    try:
        while True:
            while not line.waiting and not feeder.done():
                line.fed.clear()
                await line.fed.wait()
            if not line.waiting:
                feeder.result()  # raise what the items raised
                return
            if not line.waiting[0][1].done():
                await line.waiting[0][1]
            elif handed >= TURN:  # a long line of finished work never waits
                handed = 0
                await asyncio.sleep(0)
            ready = line.take_ready()
            yield ready
            handed += len(ready)
    finally:
        under_way = [feeder, *(task for _, task in line.waiting)]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


class _Line(Generic[Item, Value]):
    """Work that was started but not yet handed out, in order. ``fed``: an item was added; ``room``: one has ended."""

    def __init__(self, work: Callable[[Item], Awaitable[Value]], window: int) -> None:
        self.waiting: deque[tuple[Item, asyncio.Task[Value]]] = deque()
        self.fed, self.room = asyncio.Event(), asyncio.Event()
        self._work, self._window, self._most = work, window, max(LEAST_AHEAD, WINDOWS_AHEAD * window)
        self._backlog = max(BACKLOG, WINDOWS_OF_BACKLOG * window)
        self._unfinished, self._failed = 0, False

    def take_ready(self) -> list[tuple[Item, Value]]:
        """Take the finished items from the front, up to the first failure; raise it if it is the very first."""
        out: list[tuple[Item, Value]] = []
        while self.waiting and len(out) < TURN:
            item, task = self.waiting[0]
            if not task.done() or (out and (task.cancelled() or task.exception() is not None)):
                break
            out.append((item, task.result()))
            self.waiting.popleft()
        self.room.set()
        return out

    async def feed(self, items: Iterable[Item] | AsyncIterable[Item]) -> None:
        """Start work on one item after another, when there is room."""
        try:
            async with aclosing(each(items)) as source:
                async for item in source:
                    self.waiting.append((item, asyncio.create_task(self._run_item(item))))
                    self._unfinished += 1
                    self.fed.set()
                    while self._is_full():
                        self.room.clear()
                        await self.room.wait()
                    if self._failed:
                        return
        finally:
            self.fed.set()

    def _is_full(self) -> bool:
        if self._unfinished >= self._window or len(self.waiting) >= self._most:
            return True
        return len(self.waiting) >= self._backlog and self.waiting[0][1].done()

    async def _run_item(self, item: Item) -> Value:
        try:
            return await self._work(item)
        except BaseException:
            self._failed = True
            raise
        finally:
            self._unfinished -= 1
            self.room.set()


async def each(items: Iterable[Item] | AsyncIterable[Item]) -> AsyncGenerator[Item, None]:
    """Yield the items one by one, from either kind of iterable; an async generator is closed at the end."""
    if isinstance(items, AsyncIterable):
        async with aclosing(items) if isinstance(items, AsyncGenerator) else nullcontext():
            async for item in items:
                yield item
        return
    for place, item in enumerate(items):
        if place % TURN == 0:  # the consumer may never wait: give the event loop a turn
            await asyncio.sleep(0)
        yield item


_Call = tuple["asyncio.Future[Any]", Callable[[], Any]]
_Outcome = tuple["asyncio.Future[Any]", Any, BaseException | None]
SLICE = 0.05
"""Seconds after which a worker's thread returns what it has done so far."""


class Worker:
    """One thread for code that blocks, so that the event loop never waits for it.

    Calls run one after another, in the order of `call`. Calls that wait are handed over together, because waking a
    thread costs as much as many small calls. The thread starts with the first call.
    """

    def __init__(self) -> None:
        self._waiting: list[_Call] = []
        self._inbox: queue.SimpleQueue[list[_Call]] | None = None
        self._thread: threading.Thread | None = None

    @property
    def current(self) -> bool:
        """Whether the caller runs in this thread."""
        return threading.current_thread() is self._thread

    async def call(self, work: Callable[Given, Value], *args: Given.args, **kwargs: Given.kwargs) -> Value:
        """Return or raise what ``work`` does. If the caller is cancelled before it starts, it is not called."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Value] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._hand_over)
        self._waiting.append((future, partial(work, *args, **kwargs)))
        return await future

    def _hand_over(self) -> None:
        calls, self._waiting = self._waiting, []
        if not calls:  # it was closed meanwhile
            return
        if self._inbox is None:
            self._inbox = queue.SimpleQueue()
            self._thread = threading.Thread(target=_serve, args=(self._inbox,), name="filial worker", daemon=True)
            self._thread.start()
        self._inbox.put(calls)

    def close(self) -> None:
        """Let the thread end after the current call; another call starts a new one."""
        for future, _ in self._waiting:
            future.cancel()
        self._waiting = []
        if self._inbox is not None:
            self._inbox.put([])
            self._inbox = None


def _serve(inbox: queue.SimpleQueue[list[_Call]]) -> None:
    """Run the calls that arrive, until an empty list arrives; return all results of a `SLICE` to the loop at once."""
    while calls := inbox.get():
        loop, outcomes, begun = calls[0][0].get_loop(), list[_Outcome](), time.monotonic()
        for place, (future, work) in enumerate(calls, 1):
            if not future.cancelled():
                try:
                    outcomes.append((future, work(), None))
                except (StopIteration, GeneratorExit) as error:  # a future cannot hold it, or changes it
                    outcomes.append((future, None, RuntimeError(f"{error!r} was raised")))
                except BaseException as error:
                    outcomes.append((future, None, error))
            if place == len(calls) or time.monotonic() - begun > SLICE:
                with suppress(RuntimeError):  # the loop is closed: nobody waits for the results
                    loop.call_soon_threadsafe(_deliver, outcomes)
                outcomes, begun = [], time.monotonic()


def _deliver(outcomes: list[_Outcome]) -> None:
    for future, result, error in outcomes:
        if future.done():  # cancelled meanwhile
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
