"""What a step computes, whatever the model's kind: the part of `Work` that trainers share.

The loss of a step is the sum over all its trained tokens divided by their number, however the step is split into
batches and processes; so 1 x 8 and 2 x 4 rows give the same gradient, whatever the rows' lengths.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from filial_plugins.trainers.devices.sharding import whole_model
from filial_plugins.trainers.rows.store import Row, TokenStore
from filial_plugins.trainers.session import Session, sampled
from filial_plugins.trainers.steps.loss import Loss
from filial_plugins.trainers.steps.ordering import Step


class Lessons(ABC):
    """Gradients of steps and looks at held-out records.

    Attributes:
        loss: the sum of a batch's losses; a subclass sets it.
        scale: what a loss is multiplied by before its gradient is taken.
    """

    loss: Loss
    scale = 1

    def __init__(self, session: Session) -> None:
        self.session, self.options, self.material = session, session.options, session.material
        self.torch, self.team, self.rows = session.torch, session.team, session.material.rows
        self.network = session.model

    @abstractmethod
    def steps(self, epoch: int) -> list[Step]:
        """The steps of an epoch."""

    @abstractmethod
    def batch(self, rows: Sequence[Row]) -> Any:
        """Some rows as tensors."""

    def tokens(self, step: Step) -> int:
        """Tokens of a step."""
        return int(self.rows.lengths[[i for rows in step for i in rows]].sum())

    def gradients(self, step: Step) -> Any:
        """Add the gradient of this process's share of a step's mean loss over its trained tokens; that share."""
        torch = self.torch
        bins = [[self.rows[i] for i in rows] for rows in step]
        trained = sum(len(row.targets) for rows in bins for row in rows)
        mine = self.team.mine(range(len(bins)), [sum(len(row.ids) for row in rows) for rows in bins])
        total = torch.zeros((), device=self.team.device)
        for chosen, weight in self.passes(mine):
            batch = self.batch([row for k in chosen for row in bins[k]])
            with self.precision():
                loss = self.loss(batch) / trained * weight
            (loss * self.scale).backward()
            total += loss.detach()
        return total

    def look(self) -> dict[str, Any]:
        """Held-out loss per trained token; answers to some questions."""
        figures: dict[str, Any] = {}
        if (heldout := self.material.heldout) is not None and len(heldout):
            figures = {"heldout_loss": self.score(heldout), "heldout_rows": len(heldout)}
        asked = whole_model(self.network, self.torch, self.team.leads) if self.material.asked else self.network
        return figures | (self.answers(asked) if self.team.leads else {})

    def passes(self, mine: Sequence[int]) -> list[tuple[Sequence[int], int]]:
        """This process's items in batches, each with its weight."""
        size = self.options.batch_size
        return [(mine[at : at + size], 1) for at in range(0, len(mine), size)]

    def answers(self, network: Any) -> dict[str, Any]:
        """What the model says to some questions."""
        m = self.material
        return sampled(network, m.tokenizer, m.asked, m.template, self.options.sample_tokens)

    def score(self, rows: TokenStore) -> float:
        """Mean loss per trained token, whatever the batches and processes."""
        self.network.eval()
        order = sorted(range(len(rows)), key=lambda i: (rows.lengths[i], i))
        mine = self.team.mine(order, rows.lengths[order].tolist())
        total = self.torch.zeros((), dtype=self.torch.float64, device=self.team.device)
        with self.torch.no_grad(), self.precision():
            for chosen, weight in self.passes(mine):
                total += self.loss(self.batch([rows[i] for i in chosen])).double() * weight
        return float(self.team.summed(total)) / rows.trained_tokens

    def precision(self) -> Any:
        """Within, computing is done in the wished precision."""
        half = self.options.dtype == "bfloat16"
        return self.torch.autocast(self.team.device.type, dtype=self.torch.bfloat16, enabled=half)
