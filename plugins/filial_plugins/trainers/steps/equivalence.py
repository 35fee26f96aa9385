"""Test whether a model computes the same for rows end to end as for one row at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from filial_plugins.trainers.rows.store import Row
from filial_plugins.trainers.steps.attention import ROW_ATTENTION, UnsupportedAttention, use_attention
from filial_plugins.trainers.steps.batches import CausalBatch, collate_flat, collate_padded
from filial_plugins.trainers.steps.loss import make_full_loss

SAMPLE_LENGTHS = (48, 17, 31, 9)  # tokens of the sample rows
TOLERANCE_FLOAT32, TOLERANCE_HALF = (1e-5, 1e-4), (2e-3, 0.1)
"""Largest relative differences of (loss, gradient) between equal computations.

Rows that attend to each other change the gradient by more than half."""


def find_difference(model: Any, torch: Any, rows: Sequence[Row]) -> str:
    """Return why rows must not lie end to end: what differs, or what the model cannot do. Empty if they may.

    Compares loss and gradient of the first tokens of some rows, computed one row at a time and end to end. The gradient
    is compared because the loss shows little: rows that attend to each other change the loss by 0.3 % and the gradient
    by two thirds.
    """
    sample = [_cut_row(rows[i % len(rows)], n) for i, n in enumerate(SAMPLE_LENGTHS)]
    was_training = model.training
    model.eval()  # dropout would make any two passes differ
    try:
        expected = sum(_add_gradient(model, torch, collate_padded([row], torch, model.device)) for row in sample)
        norm = _gradient_norm(model, torch)
        with use_attention(model, ROW_ATTENTION):
            # The negative gradient is added to the first one: what remains is the difference.
            got = _add_gradient(model, torch, collate_flat(sample, torch, model.device), sign=-1)
        apart = _gradient_norm(model, torch)
    except (UnsupportedAttention, TypeError, RuntimeError, ValueError) as error:
        return f"its attention cannot be replaced ({type(error).__name__}: {str(error).splitlines()[0]})"
    finally:
        model.zero_grad(set_to_none=True)
        model.train(was_training)
    loss, gradient = TOLERANCE_FLOAT32 if next(model.parameters()).dtype == torch.float32 else TOLERANCE_HALF
    if abs(got - expected) <= loss * abs(expected) and apart <= gradient * norm:
        return ""
    if expected != expected:
        return "the model computes NaN"
    return f"the loss is {got:.6f} instead of {expected:.6f}, the gradient {apart / norm:.1e} off"


def _cut_row(row: Row, length: int) -> Row:
    """Return the first tokens of a row, all but the first trained; a shorter row is repeated."""
    ids = np.resize(row.ids, max(2, length))
    return Row(ids, np.arange(1, len(ids)))


def _add_gradient(model: Any, torch: Any, batch: CausalBatch, sign: int = 1) -> float:
    """Add the gradient of the batch's loss times ``sign``. Returns the loss."""
    loss = make_full_loss(model, torch)(batch)
    (sign * loss).backward()
    return float(loss.detach())


def _gradient_norm(model: Any, torch: Any) -> float:
    """Return the norm of the model's current gradient."""
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    return float(torch.nn.utils.get_total_norm(grads)) if grads else 0.0
