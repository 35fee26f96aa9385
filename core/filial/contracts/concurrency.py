"""The engine seam: work goes in in canonical order and comes out in canonical order, whatever happens in between.

`in_order` runs in one asyncio loop. Another engine may take its place as long as it keeps the two promises: every
item is worked on at least once, and results are handed out in the order of the items.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

LEAST_AHEAD, WINDOWS_AHEAD = 10_000, 16
"""How many results may wait behind a slow one: at least so many, or so many times the window."""
TURN = 64
"""Items after which the event loop gets a turn in any case: Ctrl-C and other work must not wait for the last."""


async def in_order(
    items: Iterable[Item] | AsyncIterable[Item], work: Callable[[Item], Awaitable[Result]], window: int
) -> AsyncGenerator[tuple[Item, Result], None]:
    """Work on up to ``window`` items at once, without a barrier; yield (item, result) in the order of the items.

    Items are taken one by one, as there is room for them. Finished work waits for its turn outside the window, so one
    slow item does not keep others from being worked on; when some thousands wait, nothing more is begun.

    The first failure in that order is raised, one of ``items`` itself in its turn; what is still under way is
    cancelled. After a failure nothing is begun.
    """
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
                feeder.result()  # raises what the items raised
                return
            item, task = line.waiting[0]
            result = await task
            line.waiting.popleft()
            line.room.set()
            yield item, result
            handed += 1
            if handed % TURN == 0:  # a long line of finished work stands here without waiting
                await asyncio.sleep(0)
    finally:
        under_way = [feeder, *(task for _, task in line.waiting)]
        for each in under_way:
            each.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


class _Line(Generic[Item, Result]):
    """Work begun and not handed out yet, in order; ``fed`` and ``room`` tell when one was added or ended."""

    def __init__(self, work: Callable[[Item], Awaitable[Result]], window: int) -> None:
        self.waiting: deque[tuple[Item, asyncio.Task[Result]]] = deque()
        self.fed, self.room = asyncio.Event(), asyncio.Event()
        self._work, self._window, self._most = work, window, max(LEAST_AHEAD, WINDOWS_AHEAD * window)
        self._unfinished, self._failed = 0, False

    async def feed(self, items: Iterable[Item] | AsyncIterable[Item]) -> None:
        """Begin work on item after item, whenever there is room."""
        try:
            async with aclosing(each(items)) as source:
                async for item in source:
                    self.waiting.append((item, asyncio.create_task(self._one(item))))
                    self._unfinished += 1
                    self.fed.set()
                    while self._unfinished >= self._window or len(self.waiting) >= self._most:
                        self.room.clear()
                        await self.room.wait()
                    if self._failed:
                        return
        finally:
            self.fed.set()

    async def _one(self, item: Item) -> Result:
        try:
            return await self._work(item)
        except BaseException:
            self._failed = True
            raise
        finally:
            self._unfinished -= 1
            self.room.set()


async def each(items: Iterable[Item] | AsyncIterable[Item]) -> AsyncGenerator[Item, None]:
    """The items one by one, whichever kind of iterable they are; an async generator is closed at the end."""
    if not isinstance(items, AsyncIterable):
        for place, item in enumerate(items):
            if place % TURN == 0:  # whoever takes them may never wait: let the rest of the loop have its turn
                await asyncio.sleep(0)
            yield item
        return
    try:
        async for item in items:
            yield item
    finally:
        if isinstance(items, AsyncGenerator):
            await items.aclose()
