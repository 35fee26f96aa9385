"""Choose the number of CPU threads by measuring the training's own steps.

For a small model, a second thread makes steps about a third faster on an idle machine and several times slower on a
busy one: all threads wait at the end of every operation, also for one that the scheduler has paused. The load changes
during a training, so the measurement is repeated.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from filial_plugins.local.cpu import count_cores

TRIAL_STEPS = 3  # steps with each number of threads in a trial
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 60.0  # seconds until the next trial; a trial that changes nothing doubles it
SLOW_FACTOR = 1.5  # a step this many times slower than usual calls for a trial at once


class ThreadChooser:
    """Chooses the number of threads for each step from the time of earlier steps.

    Args:
        wish: a fixed number of threads, or ``auto``.
        candidates: what ``auto`` chooses from; by default one thread and one per usable core.
    """

    def __init__(self, torch: Any, wish: int | Literal["auto"], candidates: tuple[int, ...] | None = None) -> None:
        self._torch = torch
        self._choices = (wish,) if wish != "auto" else candidates or tuple(sorted({1, count_cores()}))
        self.threads = self._choices[0]
        self._seconds_per_token: dict[int, float] = {}  # seconds per token, recent, by number of threads
        self._trial_queue: list[int] = []
        self._pause, self._next_trial = FIRST_PAUSE / 2, 0.0  # the first step warms up; then comes the first trial
        torch.set_num_threads(self.threads)

    @contextmanager
    def time_step(self, tokens: int) -> Iterator[None]:
        """Set the number of threads for one step and measure the step.

        Args:
            tokens: tokens in the step; steps are compared by seconds per token.
        """
        tried = self._trial_queue.pop(0) if self._trial_queue else self.threads
        if self._torch.get_num_threads() != tried:
            self._torch.set_num_threads(tried)
        start = time.perf_counter()
        yield
        if len(self._choices) > 1:
            self._update(tried, (time.perf_counter() - start) / max(tokens, 1))

    def _update(self, tried: int, cost: float) -> None:
        """Record the cost of a step, in seconds per token, and choose the number of threads for the next steps."""
        known = self._seconds_per_token.get(tried)
        slowed = known is not None and cost > SLOW_FACTOR * known and not self._trial_queue
        self._seconds_per_token[tried] = cost if known is None else 0.7 * known + 0.3 * cost
        if self._trial_queue:
            return
        now = time.monotonic()
        if (best := min(self._seconds_per_token, key=lambda n: self._seconds_per_token[n])) != self.threads:
            self.threads, self._pause = best, FIRST_PAUSE
            self._next_trial = now + self._pause
        elif slowed or now >= self._next_trial:
            self._pause = FIRST_PAUSE if slowed else min(2 * self._pause, LONGEST_PAUSE)
            self._next_trial = now + self._pause
            self._trial_queue = self._plan_trial()

    def _plan_trial(self) -> list[int]:
        """Return the number of threads for each step of a trial, and forget earlier measurements."""
        self._seconds_per_token.clear()
        return [n for n in self._choices for _ in range(TRIAL_STEPS)]
