"""The engine seam: work goes in in canonical order and comes out in canonical order, whatever happens in between.

`in_order` runs in one asyncio loop. Another engine may take its place as long as it keeps the two promises: every
item is worked on at least once, and results are handed out in the order of the items.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


async def in_order(
    items: Iterable[Item], work: Callable[[Item], Awaitable[Result]], window: int
) -> AsyncGenerator[tuple[Item, Result], None]:
    """Work on up to ``window`` items at once, without a barrier; yield (item, result) in the order of the items.

    The first failure in that order is raised, and what is still under way is cancelled.
    """
    waiting: deque[tuple[Item, asyncio.Task[Result]]] = deque()
    source = iter(items)

    async def one(item: Item) -> Result:
        return await work(item)

    try:
        while True:
            while len(waiting) < window:
                try:
                    item = next(source)
                except StopIteration:
                    break
                waiting.append((item, asyncio.create_task(one(item))))
            if not waiting:
                return
            item, task = waiting[0]
            result = await task
            waiting.popleft()
            yield item, result
    finally:
        for _, task in waiting:
            task.cancel()
        await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)
