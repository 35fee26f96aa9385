"""The state of a training that a checkpoint keeps, and the progress towards each bound."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from filial_plugins.trainers.options import GradientTrainer


@dataclass(slots=True)
class TrainingState:
    """The position of a training. The field names are those of checkpoint files.

    Attributes:
        step: updates made.
        epoch: complete passes over the data.
        at: index of the next step in the current pass.
        tokens: tokens seen.
        loss: exponential moving average of the loss.
        wall, cpu: seconds used before this process started.
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
    """Measures the seconds used by a training, including those before it was resumed."""

    def __init__(self, place: TrainingState) -> None:
        self.place = place
        self._wall, self._cpu = time.perf_counter() - place.wall, time.process_time() - place.cpu

    @property
    def wall(self) -> float:
        """Seconds of wall-clock time."""
        return time.perf_counter() - self._wall

    @property
    def cpu(self) -> float:
        """Seconds of CPU time."""
        return time.process_time() - self._cpu

    def progress(self, o: GradientTrainer, per_epoch: int) -> float:
        """Return the progress from 0 to 1 by the bound that is nearest."""
        place = self.place
        return max(
            place.step / o.max_steps if o.max_steps else 0.0,
            (place.epoch + place.at / per_epoch) / o.epochs if o.epochs else 0.0,
            self.wall / o.max_seconds if o.max_seconds else 0.0,
            self.cpu / o.max_cpu_seconds if o.max_cpu_seconds else 0.0,
        )
