"""Running asynchronous work that Ctrl-C ends in good order."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Coroutine
from types import FrameType
from typing import Any, TypeVar

Result = TypeVar("Result")


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """`asyncio.run`, told three ways to end.

    The first Ctrl-C cancels the work, whose clean-up may wait for what is in flight; the second cancels that waiting;
    the third ends whatever is executed at that moment. asyncio's own second one does that, and is lost where Python
    happens to be inside a destructor.

    Raises:
        KeyboardInterrupt: it was interrupted.
    """
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return asyncio.run(work)
    return asyncio.run(_interruptible(work))


async def _interruptible(work: Coroutine[Any, Any, Result]) -> Result:
    loop, task, times = asyncio.get_running_loop(), asyncio.current_task(), 0
    assert task is not None

    def interrupted(number: int, frame: FrameType | None) -> None:
        nonlocal times
        times += 1
        if times > 2:
            raise KeyboardInterrupt
        loop.call_soon_threadsafe(task.cancel)

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        return await work
    except asyncio.CancelledError:
        if times:
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.signal(signal.SIGINT, before)
