"""The loss of a batch, with the output head computed on the positions that need it and no others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from filial_plugins.trainers.steps.batching import Batch

Loss = Callable[[Any], Any]
"""The loss of a batch, of whatever kind the model takes."""


def whole(model: Any, torch: Any) -> Loss:
    """Sum of the trained tokens' cross-entropies, from the model's logits at every position."""

    def loss(batch: Batch) -> Any:
        logits = model(**batch.inputs()).logits.flatten(0, 1)
        return torch.nn.functional.cross_entropy(logits[batch.sources].float(), batch.targets, reduction="sum")

    return loss


def selected(model: Any, torch: Any) -> Loss:
    """The same sum, from the head applied to the hidden states of the positions that carry loss.

    In a typical data set that is a tenth of all positions, and with a large vocabulary the head is most of the work.
    """
    backbone, head = getattr(model, model.base_model_prefix), model.get_output_embeddings()

    def loss(batch: Batch) -> Any:
        hidden = backbone(**batch.inputs()).last_hidden_state.flatten(0, 1)
        logits = head(hidden.index_select(0, batch.sources)).float()
        return torch.nn.functional.cross_entropy(logits, batch.targets, reduction="sum")

    return loss


def loss_of(model: Any, torch: Any, sample: Batch) -> Loss:
    """`selected` where it gives what the model itself gives on a sample, else `whole`.

    Some architectures do more to their logits than apply a head (scaling, soft caps), and some have no backbone of
    their own; comparing the two finds them without a list of names.
    """
    full = whole(model, torch)
    backbone = getattr(model, model.base_model_prefix, None)
    if backbone is None or backbone is model or model.get_output_embeddings() is None:
        return full
    return proved(selected(model, torch), full, model, torch, sample)


def proved(quick: Loss, full: Loss, model: Any, torch: Any, sample: Any) -> Loss:
    """``quick`` where it gives what ``full`` gives on a sample, else ``full``."""
    was_training = model.training
    model.eval()  # dropout would make any two passes differ
    with torch.no_grad():
        expected, got = full(sample), quick(sample)
    model.train(was_training)
    same = torch.isclose(expected, got, rtol=1e-4 if expected.dtype == torch.float32 else 1e-2, atol=1e-4)
    return quick if bool(same) else full
