"""Optimizers, and the learning rate as a function of progress."""

from __future__ import annotations

import math
from typing import Any, Literal

from filial_plugins.trainers.devices.sharding import split_optimizer_state

Schedule = Literal["cosine", "linear", "constant", "trapezoid"]
TRAPEZOID_UNTIL = 0.4  # the trapezoid's top ends here
FIRST_FACTOR = 1e-3  # at progress 0 a warm-up would give 0 and waste a step


def lr_factor(progress: float, schedule: Schedule, warmup: float, floor: float) -> float:
    """Return the learning rate as a share of its peak, for a ``progress`` from 0 to 1.

    It rises linearly during ``warmup``. Then ``cosine`` and ``linear`` fall to ``floor`` at the end; ``trapezoid``
    stays at the peak until 40 % and falls linearly to ``floor``; ``constant`` stays at the peak.
    """
    if progress < warmup:
        return min(1.0, progress / warmup + FIRST_FACTOR)
    if schedule == "constant":
        return 1.0
    start = max(warmup, TRAPEZOID_UNTIL) if schedule == "trapezoid" else warmup
    if progress <= start:
        return 1.0
    done = min(1.0, (progress - start) / (1.0 - start))
    left = 0.5 * (1.0 + math.cos(math.pi * done)) if schedule == "cosine" else 1.0 - done
    return max(floor, left)


class Optimizers:
    """One or two torch optimizers, used as one.

    ``adamw`` decays matrices, not vectors (biases, norms). ``muon`` gives the matrices of hidden layers to
    `torch.optim.Muon`, and embeddings, head and vectors to AdamW with ``adam_lr`` and without decay.
    """

    def __init__(
        self,
        model: Any,
        torch: Any,
        *,
        kind: Literal["adamw", "muon"],
        lr: float,
        adam_lr: float,
        weight_decay: float,
        beta2: float,
    ) -> None:
        embeddings = {id(m.weight) for m in (model.get_input_embeddings(), model.get_output_embeddings()) if m}
        params = [p for p in model.parameters() if p.requires_grad]
        hidden = [p for p in params if p.ndim == 2 and id(p) not in embeddings]
        if kind == "muon":
            others = [p for p in params if p.ndim != 2 or id(p) in embeddings]
            adam, adam_lr, decay = [{"params": others, "weight_decay": 0.0}], adam_lr, 0.0
            self._all = [torch.optim.Muon(hidden, lr=lr, weight_decay=weight_decay)]
        else:
            flat = [p for p in params if p.ndim < 2]
            matrices = [p for p in params if p.ndim >= 2]
            adam, adam_lr, decay = [{"params": matrices}, {"params": flat, "weight_decay": 0.0}], lr, weight_decay
            self._all = []
        adamw = torch.optim.AdamW(adam, lr=adam_lr, betas=(0.9, beta2), weight_decay=decay, fused=True)
        self._all.append(adamw)
        self._groups = [(group, group["lr"]) for group in self._param_groups()]

    def step(self, share: float) -> None:
        """Update the weights with learning rates at ``share`` of their peaks, then clear the gradients."""
        for group, peak in self._groups:
            group["lr"] = peak * share
        for optimizer in self._all:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict[str, Any]]:
        """Return the state of each optimizer. The tensors share memory with the optimizers."""
        return [optimizer.state_dict() for optimizer in self._all]

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        """Load what `state_dict` returned, with every tensor complete (not sharded)."""
        for optimizer, saved in zip(self._all, state, strict=True):
            optimizer.load_state_dict(split_optimizer_state(saved, optimizer))
        self._groups = [(group, peak) for group, (_, peak) in zip(self._param_groups(), self._groups, strict=True)]

    def _param_groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self._all for group in optimizer.param_groups]
