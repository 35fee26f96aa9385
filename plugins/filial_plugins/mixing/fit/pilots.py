"""Pilots: short trainings on mixtures, each kept in a folder once it is finished, so that none is done twice."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from filial import FilialError, TrainContext, Trainer, UsageError
from filial.commands import Manager, model_digest, tune
from filial.storage import digest, file_sha256, find_finished, write_manifest
from filial_plugins.mixing.fit.simplex import Mixture, Vector

NOT_FOR_PILOTS = ("eval_every", "report_to", "checkpoint_steps")
"""Options of a trainer that a recipe sets for the training itself."""
FIGURES = ("steps", "tokens_seen", "cpu_seconds", "seconds", "loss")
"""Figures of a training that are kept with a pilot."""


@dataclass(frozen=True, slots=True)
class Pilot:
    """A finished pilot.

    Attributes:
        losses: held-out loss per trained token of each task, in the order of the tasks.
        fresh: it was trained now, not found.
    """

    mixture: Mixture
    losses: Vector
    figures: Mapping[str, Any]
    fresh: bool


@dataclass(frozen=True, slots=True)
class Training:
    """How every pilot trains: a trainer, a template (as in a recipe) and a base model."""

    trainer: Trainer
    template: dict[str, Any]
    model: str
    base: Path
    seed: int
    manager: Manager

    def describe(self) -> list[Any]:
        """Return everything besides the data that determines the losses."""
        template = self.manager.build("templates", self.template)
        made = [[self.manager.provenance(part), part.model_dump(mode="json")] for part in (self.trainer, template)]
        return [*made, model_digest(self.model), self.seed]


def set_length(trainer: Trainer, steps: int) -> tuple[Trainer, int]:
    """Return the trainer with this number of updates as its bound, and how many records they take.

    Raises:
        UsageError: the trainer has no such bound, or its options set another one.
    """
    options = type(trainer).model_fields
    name = type(trainer).__name__
    if missing := [key for key in ("max_steps", "batch_size") if key not in options]:
        raise UsageError(
            f"the trainer {name} has no option {missing[0]!r}, so it cannot be told how long a pilot is; use another"
        )
    for bound in ("epochs", "max_steps", "max_seconds", "max_cpu_seconds"):
        if getattr(trainer, bound, None) is not None:
            trainer = trainer.model_copy(update={bound: None})
    changes: dict[str, Any] = {"max_steps": steps}
    changes |= {key: options[key].get_default(call_default_factory=True) for key in NOT_FOR_PILOTS if key in options}
    if "samples" in options:
        changes["samples"] = 0  # answers to sample questions are for people
    made = trainer.model_copy(update=changes)
    rows: int = made.batch_size * getattr(made, "grad_accumulation", 1)  # type: ignore[attr-defined]
    return made, steps * rows


class Pilots:
    """The pilots of one data set and one way of training.

    Args:
        work: folder of this data set; ``work/data/heldout`` has the held-out records of each task.
        store: folder of finished pilots.
    """

    def __init__(
        self, training: Training, tasks: list[str], work: Path, store: Path, note: Callable[[str], None]
    ) -> None:
        self.training, self.tasks, self.work, self.store, self.note = training, tasks, work, store, note
        self._about = training.describe()

    def find(self, mixture: Mixture) -> Pilot | None:
        """Return a finished pilot on the training file as it is, if there is one."""
        key = self._key()
        found = find_finished(self.store / f"{key}.json", key)
        if found is None:
            return None
        return Pilot(mixture, np.array(found["losses"]), found["figures"], fresh=False)

    def train(self, mixture: Mixture, progress: Callable[[float, float, str], None]) -> Pilot:
        """Train a pilot on the training file, or return the one that is finished.

        Raises:
            FilialError: the training fails.
            UsageError: the trainer does not report the loss of each task.
        """
        if (found := self.find(mixture)) is not None:
            return found
        key, job = self._key(), self.training
        out = self.work / f"model-{key[:12]}"  # with checkpoints, if a training of this pilot was stopped
        ctx = TrainContext(job.seed, progress=progress, note=self.note, base=job.base, cache=self.work / "prepared")
        figures = tune(job.manager, job.trainer, self.work / "data", job.model, job.template, out, ctx)
        losses = self._read_losses(figures)
        kept = {name: figures[name] for name in FIGURES if name in figures}
        weights = [float(share) for share in mixture.shares]
        body = {"format": 1, "key": key, "shares": weights, "losses": list(losses), "figures": kept}
        write_manifest(self.store / f"{key}.json", body)
        shutil.rmtree(out, ignore_errors=True)
        return Pilot(mixture, np.array(losses), kept, fresh=True)

    def _key(self) -> str:
        data = self.work / "data"
        files = [data / "train.jsonl", *(data / "heldout" / f"{number}.jsonl" for number in range(len(self.tasks)))]
        return digest([file_sha256(file) for file in files], self._about)

    def _read_losses(self, figures: Mapping[str, Any]) -> list[float]:
        found = figures.get("heldout_losses")
        who = type(self.training.trainer).__name__
        if not isinstance(found, dict):
            raise UsageError(
                f"the trainer {who} reports no 'heldout_losses', the loss of each file in the data set's heldout/; "
                "use sft or seq2seq"
            )
        numbers = [found.get(str(number)) for number in range(len(self.tasks))]
        for number, loss in enumerate(numbers):
            if not isinstance(loss, int | float) or not 0 < loss < float("inf"):
                raise FilialError(
                    f"the held-out loss of task {self.tasks[number]!r} is {loss}, not a number above 0: are its "
                    "records too long for the trainer's max_length?"
                )
        return [float(loss) for loss in numbers if loss is not None]
