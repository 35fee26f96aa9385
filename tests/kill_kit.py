"""Kills of a process at a moment that its own progress decides: before the n-th call of a function.

Not a time after its start: a busy machine would have it killed before it began, and an idle one after it was done.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

CODE = f"""
import sys
sys.path.append({str(Path(__file__).parent)!r})
import kill_kit
kill_kit.watch()
"""
"""What a process runs from the moment on at which it may be killed. Its last argument says at which call."""


def watch() -> None:
    """Count the calls of functions, of Python and C, in this thread; kill this process before the one that its last
    argument names, and print their number at its end where that is 0."""
    at = int(sys.argv.pop())
    calls = 0

    def count(frame: FrameType, event: str, arg: Any) -> None:
        nonlocal calls
        if event in ("call", "c_call"):
            calls += 1
            if calls == at:
                os.kill(os.getpid(), signal.SIGKILL)

    if not at:
        import atexit

        atexit.register(lambda: print(calls))
    sys.setprofile(count)


def calls(command: list[str]) -> int:
    """How many calls a command takes that ends by itself."""
    return int(subprocess.run([*command, "0"], capture_output=True, text=True, check=True).stdout)


def kills(command: list[str], rng: random.Random, step: int) -> Iterator[int]:
    """Run a command that is killed up to so many calls later each time, until it ends by itself; yields after each
    kill, where that was."""
    at = rng.randint(1, step)
    while (done := subprocess.run([*command, str(at)], capture_output=True, text=True)).returncode == -signal.SIGKILL:
        yield at
        at += rng.randint(1, step)
    assert done.returncode == 0, done.stderr
