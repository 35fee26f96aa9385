"""What a step computes, for every kind of model: the part of `StepRunner` that trainers share.

The loss of a step is the sum over all its trained tokens divided by their number, however the step is split into
batches and processes. So 1 x 8 and 2 x 4 rows give the same gradient, whatever the lengths of the rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from filial_plugins.trainers.devices.sharding import gather_model
from filial_plugins.trainers.rows.store import Row, TokenStore
from filial_plugins.trainers.session import Session, answer_samples
from filial_plugins.trainers.steps.loss import Loss
from filial_plugins.trainers.steps.order import Step


class BatchRunner(ABC):
    """Computes gradients of steps and evaluates on held-out records.

    Attributes:
        loss: returns the sum of a batch's losses; a subclass sets it.
        scale: factor of the loss before its gradient is computed.
    """

    loss: Loss
    scale = 1

    def __init__(self, session: Session) -> None:
        self.session, self.options, self.data = session, session.options, session.data
        self.torch, self.group, self.rows = session.torch, session.group, session.data.rows
        self.network = session.model

    @abstractmethod
    def plan_steps(self, epoch: int) -> list[Step]:
        """Return the steps of an epoch."""

    @abstractmethod
    def make_batch(self, rows: Sequence[Row]) -> Any:
        """Return rows as tensors."""

    def count_tokens(self, step: Step) -> int:
        """Return the number of tokens in a step."""
        return int(self.rows.lengths[[i for rows in step for i in rows]].sum())

    def add_gradients(self, step: Step) -> Any:
        """Add the gradient of this process's share of a step's loss. Returns that share."""
        torch = self.torch
        bins = [[self.rows[i] for i in rows] for rows in step]
        trained = sum(len(row.trained_positions) for rows in bins for row in rows)
        mine = self.group.take_share(range(len(bins)), [sum(len(row.ids) for row in rows) for rows in bins])
        total = torch.zeros((), device=self.group.device)
        for chosen, weight in self.split_batches(mine):
            batch = self.make_batch([row for k in chosen for row in bins[k]])
            with self.autocast():
                loss = self.loss(batch) / trained * weight
            # Every process divides by the trained tokens of the whole step, so the sum over processes is the mean.
            (loss * self.scale).backward()
            total += loss.detach()
        return total

    def evaluate(self) -> dict[str, Any]:
        """Return the held-out losses per trained token, and answers to sample questions."""
        figures: dict[str, Any] = {}
        if (heldout := self.data.heldout) is not None and len(heldout):
            figures = {"heldout_loss": self.score(heldout), "heldout_rows": len(heldout)}
        if parts := {name: self.score(rows) for name, rows in self.data.parts.items() if len(rows)}:
            figures["heldout_losses"] = parts
        asked = gather_model(self.network, self.torch, self.group.is_leader) if self.data.samples else self.network
        return figures | (self.answer_samples(asked) if self.group.is_leader else {})

    def split_batches(self, mine: Sequence[int]) -> list[tuple[Sequence[int], int]]:
        """Split this process's items into batches, each with its weight."""
        size = self.options.batch_size
        return [(mine[at : at + size], 1) for at in range(0, len(mine), size)]

    def answer_samples(self, network: Any) -> dict[str, Any]:
        """Let the model answer the sample questions."""
        data = self.data
        return answer_samples(network, data.tokenizer, data.samples, data.template, self.options.sample_tokens)

    def score(self, rows: TokenStore) -> float:
        """Return the mean loss per trained token; it does not depend on batches or processes."""
        self.network.eval()
        order = sorted(range(len(rows)), key=lambda i: (rows.lengths[i], i))
        mine = self.group.take_share(order, rows.lengths[order].tolist())
        total = self.torch.zeros((), dtype=self.torch.float64, device=self.group.device)
        with self.torch.no_grad(), self.autocast():
            for chosen, weight in self.split_batches(mine):
                total += self.loss(self.make_batch([rows[i] for i in chosen])).double() * weight
        return float(self.group.all_reduce(total)) / rows.trained_tokens

    def autocast(self) -> Any:
        """Return a context in which torch computes in the precision of ``dtype``."""
        half = self.options.dtype == "bfloat16"
        return self.torch.autocast(self.group.device.type, dtype=self.torch.bfloat16, enabled=half)
