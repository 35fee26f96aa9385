"""Checkpoints: everything that a training needs to continue as if it had not been interrupted.

One file per checkpoint, ``step-00000120-KEY-SUM.pt``, which appears by a rename and is therefore complete. KEY says
which training it belongs to; SUM is the beginning of the SHA-256 of its bytes, since torch loads changed bytes without
an error. The last two are kept, so that a damaged one leaves another.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from filial import FilialError, Template, __version__
from filial_plugins.trainers.devices.sharding import gather_state, split_weights
from filial_plugins.trainers.optimizers import Optimizers
from filial_plugins.trainers.options import WITHOUT_EFFECT, GradientTrainer
from filial_plugins.trainers.results.saving import sync
from filial_plugins.trainers.state import TrainingState

KEEP_LAST = 2
CHECKSUM_DIGITS = 16  # hex digits


class Checkpoints:
    """The checkpoints of one training.

    Args:
        folder: used by no other training; created when needed.
        key: identifies this training; checkpoints with another key are ignored. It may be slow to compute, so it is
            called only when a checkpoint exists or is written.
        steps, seconds: intervals between checkpoints.

    Attributes:
        damaged: names of the checkpoints that were skipped.
    """

    def __init__(
        self, folder: Path, key: Callable[[], str], torch: Any, *, steps: int | None, seconds: float | None
    ) -> None:
        self.folder, self._find_key, self._torch, self._steps, self._seconds = folder, key, torch, steps, seconds
        self._last = time.monotonic()
        self.damaged: list[str] = []

    @cached_property
    def key(self) -> str:
        """The key of this training."""
        return self._find_key()

    def is_due(self, step: int) -> bool:
        """Return whether there should be a checkpoint after this step."""
        if self._steps and step % self._steps == 0:
            return True
        return self._seconds is not None and time.monotonic() - self._last >= self._seconds

    def save(self, model: Any, optimizers: Optimizers, place: TrainingState, *, leads: bool = True) -> None:
        """Write a checkpoint, then remove all but the last two.

        Args:
            leads: whether this process writes; the others only take part in gathering sharded tensors.

        Raises:
            FilialError: it cannot be written; earlier checkpoints stay.
        """
        state = gather_state({"weights": _select_trained(model), "optimizers": optimizers.state_dict()}, keep=leads)
        if not leads:
            return
        state["place"] = asdict(place)
        name = f"step-{place.step:08d}-{self.key}"
        part = self.folder / f".{name}.tmp"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with open(part, "wb") as f:
                self._torch.save(state, f)
                f.flush()
                os.fsync(f.fileno())
            path = self.folder / f"{name}-{hash_content(part)[:CHECKSUM_DIGITS]}.pt"
            os.replace(part, path)
            sync(self.folder)
        except (OSError, RuntimeError) as error:  # torch tells of a full disk by a RuntimeError
            part.unlink(missing_ok=True)
            raise FilialError(self._explain_failure(self.folder / name, error)) from error
        again = [old for old in self.folder.glob(f"{name}-*.pt") if old != path]  # of this step, damaged or not
        for old in [*again, *self._list_own()[:-KEEP_LAST]]:
            old.unlink(missing_ok=True)
        self._last = time.monotonic()

    def restore(self, model: Any, optimizers: Optimizers) -> TrainingState | None:
        """Load model and optimizers from the newest undamaged checkpoint. Returns None if there is none."""
        for path in reversed(self._list_own()):
            if not path.stem.endswith(hash_content(path)[:CHECKSUM_DIGITS]):
                self.damaged.append(path.name)  # the one before it is as good, only older
                continue
            state = self._torch.load(path, map_location="cpu", weights_only=True)
            model.load_state_dict(split_weights(state["weights"], model), strict=False)
            optimizers.load_state_dict(state["optimizers"])
            return TrainingState(**state["place"])
        return None

    def clear(self) -> None:
        """Remove all checkpoints, since the model is saved."""
        for path in self.folder.glob("step-*.pt"):
            path.unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _list_own(self) -> list[Path]:
        """Return the checkpoints of this training, oldest first."""
        if not any(self.folder.glob("step-*.pt")):
            return []
        return sorted(self.folder.glob(f"step-*-{self.key}-*.pt"))

    def _explain_failure(self, path: Path, error: Exception) -> str:
        kept = self._list_own()
        there = f"the checkpoint {kept[-1].name} is kept" if kept else "there is no earlier one"
        why = (getattr(error, "strerror", None) or str(error)).splitlines()[0]
        return (
            f"{path}: the checkpoint cannot be written ({why}); {there}: free some space and start the same training "
            "again to resume from there"
        )


def make_checkpoints(options: GradientTrainer, out: Path, torch: Any, about: Callable[[], list[Any]]) -> Checkpoints:
    """Return the checkpoints of the training that writes ``out``; their folder is beside it.

    Args:
        about: everything besides the options that determines the trained weights.
    """

    def key() -> str:
        effective = {k: v for k, v in options.model_dump(mode="json").items() if k not in WITHOUT_EFFECT}
        return hashlib.sha256(msgspec.json.encode([__version__, effective, about()], order="sorted")).hexdigest()[:12]

    folder = out.with_name(f"{out.name}.checkpoints")
    return Checkpoints(folder, key, torch, steps=options.checkpoint_steps, seconds=options.checkpoint_seconds)


def hash_content(path: Path) -> str:
    """Return the SHA-256 of a file; of a folder, one over the names and contents of its files."""
    if path.is_file():
        with open(path, "rb") as f:
            return hashlib.file_digest(f, "sha256").hexdigest()
    inside = [[file.name, hash_content(file)] for file in sorted(path.iterdir()) if file.is_file()]
    return hashlib.sha256(msgspec.json.encode(inside)).hexdigest()


def describe_template(template: Template) -> list[Any]:
    """Describe a template by its class and options."""
    return [type(template).__module__, type(template).__qualname__, template.model_dump(mode="json")]


def _select_trained(model: Any) -> dict[str, Any]:
    """Return weights and buffers without frozen ones."""
    frozen = {name for name, p in model.named_parameters(remove_duplicate=False) if not p.requires_grad}
    return {name: tensor for name, tensor in model.state_dict(keep_vars=True).items() if name not in frozen}
