"""Whether a model gives the same with rows end to end as with one row at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from filial_plugins.trainers.rows.store import Row
from filial_plugins.trainers.steps.attention import NAME, Unsupported, attention
from filial_plugins.trainers.steps.batching import Batch, flat, padded
from filial_plugins.trainers.steps.loss import whole

LENGTHS = (48, 17, 31, 9)  # tokens of the rows that are looked at
EXACT, COARSE = (1e-5, 1e-4), (2e-3, 0.1)
"""Relative differences of loss and gradient up to which two ways are the same, in float32 and in half precision. Rows
that see each other are more than half of the gradient off."""


def difference(model: Any, torch: Any, rows: Sequence[Row]) -> str:
    """Why rows must not lie end to end: what differs, or what the model cannot do. Empty if they may.

    Loss and gradient of the beginnings of some rows are computed one row at a time, as the model itself would, and in
    one line. The gradient is part of it because the loss hides much: rows that see each other change the loss by a
    three-hundredth and the gradient by two thirds.
    """
    sample = [_beginning(rows[i % len(rows)], n) for i, n in enumerate(LENGTHS)]
    was_training = model.training
    model.eval()  # dropout would make any two passes differ
    try:
        expected = sum(_add_gradient(model, torch, padded([row], torch, model.device)) for row in sample)
        norm = _norm(model, torch)
        with attention(model, NAME):
            got = _add_gradient(model, torch, flat(sample, torch, model.device), sign=-1)
        apart = _norm(model, torch)
    except (Unsupported, TypeError, RuntimeError, ValueError) as error:
        return f"its attention cannot be replaced ({type(error).__name__}: {str(error).splitlines()[0]})"
    finally:
        model.zero_grad(set_to_none=True)
        model.train(was_training)
    loss, gradient = EXACT if next(model.parameters()).dtype == torch.float32 else COARSE
    if abs(got - expected) <= loss * abs(expected) and apart <= gradient * norm:
        return ""
    if expected != expected:
        return "the model computes no numbers"
    return f"the loss is {got:.6f} instead of {expected:.6f}, the gradient {apart / norm:.1e} off"


def _beginning(row: Row, length: int) -> Row:
    """The first tokens of a row, every one but the first with loss; a shorter row is repeated."""
    ids = np.resize(row.ids, max(2, length))
    return Row(ids, np.arange(1, len(ids)))


def _add_gradient(model: Any, torch: Any, batch: Batch, sign: int = 1) -> float:
    loss = whole(model, torch)(batch)
    (sign * loss).backward()
    return float(loss.detach())


def _norm(model: Any, torch: Any) -> float:
    """Of the whole gradient, as it stands."""
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    return float(torch.nn.utils.get_total_norm(grads)) if grads else 0.0
