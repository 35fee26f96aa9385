"""The loss of a batch, with the output head computed only for the positions that need it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from filial_plugins.trainers.steps.batches import CausalBatch

Loss = Callable[[Any], Any]
"""The loss of a batch, of whatever kind the model takes."""


def make_full_loss(model: Any, torch: Any) -> Loss:
    """Make a loss from the logits at every position: the sum of the trained tokens' cross-entropies."""

    def loss(batch: CausalBatch) -> Any:
        logits = model(**batch.inputs()).logits.flatten(0, 1)
        return torch.nn.functional.cross_entropy(logits[batch.sources].float(), batch.targets, reduction="sum")

    return loss


def make_selective_loss(model: Any, torch: Any) -> Loss:
    """Make a loss with an equal value that computes the head only for positions that carry loss.

    In a typical data set these are a tenth of all positions, and with a large vocabulary the head is most of the work.
    """
    backbone, head = getattr(model, model.base_model_prefix), model.get_output_embeddings()

    def loss(batch: CausalBatch) -> Any:
        hidden = backbone(**batch.inputs()).last_hidden_state.flatten(0, 1)
        logits = head(hidden.index_select(0, batch.sources)).float()
        return torch.nn.functional.cross_entropy(logits, batch.targets, reduction="sum")

    return loss


def choose_loss(model: Any, torch: Any, sample: CausalBatch) -> Loss:
    """Return `make_selective_loss` if it equals the model's own result on a sample, else `make_full_loss`.

    Some architectures do more to their logits than apply a head (scaling, soft caps), and some have no separate
    backbone. The comparison finds them without a list of names.
    """
    full = make_full_loss(model, torch)
    backbone = getattr(model, model.base_model_prefix, None)
    if backbone is None or backbone is model or model.get_output_embeddings() is None:
        return full
    return choose_if_equal(make_selective_loss(model, torch), full, model, torch, sample)


def choose_if_equal(quick: Loss, full: Loss, model: Any, torch: Any, sample: Any) -> Loss:
    """Return ``quick`` if it gives the same value as ``full`` on a sample, else ``full``."""
    was_training = model.training
    model.eval()  # dropout would make any two passes differ
    with torch.no_grad():
        expected, got = full(sample), quick(sample)
    model.train(was_training)
    # float32 differs by rounding only; half precision has 8 to 11 bits, so 1 % is as close as it gets.
    same = torch.isclose(expected, got, rtol=1e-4 if expected.dtype == torch.float32 else 1e-2, atol=1e-4)
    return quick if bool(same) else full
