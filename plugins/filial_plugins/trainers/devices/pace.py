"""How many threads a step is computed with: whatever is fastest right now.

With a small model a second thread gains a third on an idle machine and makes steps several times slower on a busy one
(threads wait for each other at the end of every operation, and the one they wait for is not running). Which it is
changes while a training runs, so it is measured on the training's own steps.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from filial_plugins.local.cores import cores

TRIAL = 3  # steps with each number of threads in a trial
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 60.0  # seconds until the next trial; a trial that changes nothing doubles it
SLOWED = 1.5  # a step this many times slower than usual calls for a trial at once


class Pace:
    """Chooses the number of threads for each step and learns from how long it took.

    Args:
        wish: a number of threads to keep to, or ``auto``.
        candidates: what ``auto`` chooses from; by default one thread and one per usable core.
    """

    def __init__(self, torch: Any, wish: int | Literal["auto"], candidates: tuple[int, ...] | None = None) -> None:
        self._torch = torch
        self._choices = (wish,) if wish != "auto" else candidates or tuple(sorted({1, cores()}))
        self.threads = self._choices[0]
        self._cost: dict[int, float] = {}  # seconds per token, recent, by number of threads
        self._queue: list[int] = []
        self._pause, self._next = FIRST_PAUSE / 2, 0.0  # the first step warms up; then comes the first trial
        torch.set_num_threads(self.threads)

    @contextmanager
    def step(self, tokens: int) -> Iterator[None]:
        """Around one step on that many tokens."""
        tried = self._queue.pop(0) if self._queue else self.threads
        if self._torch.get_num_threads() != tried:
            self._torch.set_num_threads(tried)
        start = time.perf_counter()
        yield
        if len(self._choices) > 1:
            self._learn(tried, (time.perf_counter() - start) / max(tokens, 1))

    def _learn(self, tried: int, cost: float) -> None:
        known = self._cost.get(tried)
        slowed = known is not None and cost > SLOWED * known and not self._queue
        self._cost[tried] = cost if known is None else 0.7 * known + 0.3 * cost
        if self._queue:
            return
        now = time.monotonic()
        if (best := min(self._cost, key=lambda n: self._cost[n])) != self.threads:
            self.threads, self._pause = best, FIRST_PAUSE
            self._next = now + self._pause
        elif slowed or now >= self._next:
            self._pause = FIRST_PAUSE if slowed else min(2 * self._pause, LONGEST_PAUSE)
            self._next = now + self._pause
            self._queue = self._trial()

    def _trial(self) -> list[int]:
        """Some steps with every number of threads; what was known of them is forgotten."""
        self._cost.clear()
        return [n for n in self._choices for _ in range(TRIAL)]
