"""Checkpoints: all that a training needs to go on as if nothing had happened.

One file per checkpoint, ``step-00000120-KEY-SUM.pt``, which appears by a rename and is whole or not there. KEY says
which training it belongs to; SUM is the beginning of the SHA-256 of its bytes, for torch reads changed ones without a
word. The last two are kept, so that one that was damaged later leaves another.
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
from filial_plugins.trainers.clock import Place
from filial_plugins.trainers.devices.sharding import gathered, parts_of_weights
from filial_plugins.trainers.optimizers import Optimizers
from filial_plugins.trainers.options import WITHOUT_EFFECT, Tuning
from filial_plugins.trainers.results.saving import sync

KEPT = 2
SUM = 16  # hex digits


class Checkpoints:
    """The checkpoints of one training.

    Args:
        folder: theirs alone; it is made when it is needed.
        key: tells this training from others; checkpoints of others are never gone on from. It may cost a while to
            find, so it is asked for only when there is a checkpoint.
        steps, seconds: how often there is one.

    Attributes:
        damaged: the names of those that were passed over.
    """

    def __init__(
        self, folder: Path, key: Callable[[], str], torch: Any, *, steps: int | None, seconds: float | None
    ) -> None:
        self.folder, self._find_key, self._torch, self._steps, self._seconds = folder, key, torch, steps, seconds
        self._last = time.monotonic()
        self.damaged: list[str] = []

    @cached_property
    def key(self) -> str:
        """Which training this is."""
        return self._find_key()

    def due(self, step: int) -> bool:
        """Whether there should be one after this step."""
        if self._steps and step % self._steps == 0:
            return True
        return self._seconds is not None and time.monotonic() - self._last >= self._seconds

    def save(self, model: Any, optimizers: Optimizers, place: Place, *, leads: bool = True) -> None:
        """Write one, then remove those before the last two.

        Args:
            leads: whether this process writes; the others only take part in gathering what is sharded.

        Raises:
            FilialError: it cannot be written; those before it stay.
        """
        state = gathered({"weights": _trained(model), "optimizers": optimizers.state()}, keep=leads)
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
            path = self.folder / f"{name}-{content(part)[:SUM]}.pt"
            os.replace(part, path)
            sync(self.folder)
        except (OSError, RuntimeError) as error:  # torch tells of a full disk by a RuntimeError
            part.unlink(missing_ok=True)
            raise FilialError(self._cannot(self.folder / name, error)) from error
        again = [old for old in self.folder.glob(f"{name}-*.pt") if old != path]  # of this step, damaged or not
        for old in [*again, *self._mine()[:-KEPT]]:
            old.unlink(missing_ok=True)
        self._last = time.monotonic()

    def restore(self, model: Any, optimizers: Optimizers) -> Place | None:
        """Put model and optimisers in the state of the newest whole checkpoint. None: there is none."""
        for path in reversed(self._mine()):
            if not path.stem.endswith(content(path)[:SUM]):
                self.damaged.append(path.name)  # the one before it is as good, only older
                continue
            state = self._torch.load(path, map_location="cpu", weights_only=True)
            model.load_state_dict(parts_of_weights(state["weights"], model), strict=False)
            optimizers.load(state["optimizers"])
            return Place(**state["place"])
        return None

    def clear(self) -> None:
        """Remove all of them: the model they led to is saved."""
        for path in self.folder.glob("step-*.pt"):
            path.unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _mine(self) -> list[Path]:
        """This training's, oldest first."""
        if not any(self.folder.glob("step-*.pt")):
            return []
        return sorted(self.folder.glob(f"step-*-{self.key}-*.pt"))

    def _cannot(self, path: Path, error: Exception) -> str:
        kept = self._mine()
        there = f"the checkpoint {kept[-1].name} is kept" if kept else "there is no earlier one"
        why = (getattr(error, "strerror", None) or str(error)).splitlines()[0]
        return (
            f"{path}: the checkpoint cannot be written ({why}); {there}: free some space and start the same training "
            "again, it goes on from there"
        )


def checkpoints(options: Tuning, out: Path, torch: Any, about: Callable[[], list[Any]]) -> Checkpoints:
    """The checkpoints of the training that leads to ``out``, beside it.

    Args:
        about: all that the trained weights follow from beside the options.
    """

    def key() -> str:
        effective = {k: v for k, v in options.model_dump(mode="json").items() if k not in WITHOUT_EFFECT}
        return hashlib.sha256(msgspec.json.encode([__version__, effective, about()], order="sorted")).hexdigest()[:12]

    folder = out.with_name(f"{out.name}.checkpoints")
    return Checkpoints(folder, key, torch, steps=options.checkpoint_steps, seconds=options.checkpoint_seconds)


def content(path: Path) -> str:
    """The SHA-256 of a file; of a folder, one over the names and contents of its files."""
    if path.is_file():
        with open(path, "rb") as f:
            return hashlib.file_digest(f, "sha256").hexdigest()
    inside = [[file.name, content(file)] for file in sorted(path.iterdir()) if file.is_file()]
    return hashlib.sha256(msgspec.json.encode(inside)).hexdigest()


def described(template: Template) -> list[Any]:
    """A template by its class and options."""
    return [type(template).__module__, type(template).__qualname__, template.model_dump(mode="json")]


def _trained(model: Any) -> dict[str, Any]:
    """Weights and buffers without those that are frozen."""
    frozen = {name for name, p in model.named_parameters(remove_duplicate=False) if not p.requires_grad}
    return {name: tensor for name, tensor in model.state_dict(keep_vars=True).items() if name not in frozen}
