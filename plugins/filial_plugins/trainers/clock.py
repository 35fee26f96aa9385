"""How far a training is, by each of its bounds; what a checkpoint remembers of that."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from filial_plugins.trainers.options import Tuning


@dataclass(slots=True)
class Place:
    """Where a training stands.

    Attributes:
        step: updates made.
        epoch: passes begun and done with.
        at: the step of this pass that comes next.
        tokens: tokens seen.
        loss: the recent loss, an average that forgets.
        wall, cpu: seconds used before this process took over.
        log: the lines of training.jsonl.
    """

    step: int = 0
    epoch: int = 0
    at: int = 0
    tokens: int = 0
    loss: float = 0.0
    wall: float = 0.0
    cpu: float = 0.0
    log: list[dict[str, Any]] = field(default_factory=list)


class Clock:
    """Seconds used, those before a resume included."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._wall, self._cpu = time.perf_counter() - place.wall, time.process_time() - place.cpu

    @property
    def wall(self) -> float:
        """Seconds of wall clock."""
        return time.perf_counter() - self._wall

    @property
    def cpu(self) -> float:
        """Seconds of CPU."""
        return time.process_time() - self._cpu

    def progress(self, o: Tuning, per_epoch: int) -> float:
        """From 0 to 1, by the bound that is nearest."""
        place = self.place
        return max(
            place.step / o.max_steps if o.max_steps else 0.0,
            (place.epoch + place.at / per_epoch) / o.epochs if o.epochs else 0.0,
            self.wall / o.max_seconds if o.max_seconds else 0.0,
            self.cpu / o.max_cpu_seconds if o.max_cpu_seconds else 0.0,
        )
