"""Batches of pairs for an encoder-decoder model, and their loss.

transformers' own loss of these models is not used: it is a mean over one batch, and for T5 and its kin the division
by the tokens of a whole step is left out when batches are accumulated. Here it is a sum, divided by who takes the step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from filial import UsageError
from filial_plugins.trainers.rows.store import Row
from filial_plugins.trainers.steps.loss import Loss, proved, whole


@dataclass(slots=True)
class Batch:
    """Pairs, padded on the right.

    Attributes:
        ids: (rows, width) tokens of the inputs; the padding is 0.
        mask: which of them are no padding.
        decoder_ids: (rows, length) what the decoder is shown: the start token, then the answer without its last token.
            It looks only back, so it never sees the padding behind an answer.
        sources: flat positions (row * length + column) of the decoder that predict a token.
        targets: those tokens.
    """

    ids: Any
    mask: Any
    decoder_ids: Any
    sources: Any
    targets: Any

    def inputs(self) -> dict[str, Any]:
        """Arguments of a model's forward pass."""
        return {
            "input_ids": self.ids, "attention_mask": self.mask, "decoder_input_ids": self.decoder_ids,
            "use_cache": False,
        }  # fmt: skip


def start_token(model: Any) -> int:
    """The token a model's decoder begins with.

    Raises:
        UsageError: the model does not say.
    """
    found = (getattr(c, "decoder_start_token_id", None) for c in (model.config, model.generation_config))
    start = next((token for token in found if token is not None), None)
    if start is None:
        raise UsageError(
            'this model does not say which token its decoder begins with; set "decoder_start_token_id" in its '
            "config.json (T5: the id of the pad token)"
        )
    return int(start)


def collate(rows: Sequence[Row], start: int, torch: Any, device: Any) -> Batch:
    """A batch of pairs. What is padding follows from lengths, never from comparing ids with a padding id."""
    borders = [int(row.targets[0]) for row in rows]
    width, length = max(borders), max(len(row.targets) for row in rows)
    ids, mask = np.zeros((2, len(rows), width), dtype=np.int64)
    decoder_ids = np.zeros((len(rows), length), dtype=np.int64)
    for i, (row, border) in enumerate(zip(rows, borders, strict=True)):
        ids[i, :border], mask[i, :border] = row.ids[:border], 1
        decoder_ids[i, 0], decoder_ids[i, 1 : len(row.targets)] = start, row.ids[border:-1]
    sources = np.concatenate([np.arange(len(row.targets)) + i * length for i, row in enumerate(rows)])
    targets = np.concatenate([row.ids[row.targets] for row in rows]).astype(np.int64)
    return Batch(*(torch.from_numpy(a).to(device) for a in (ids, mask, decoder_ids, sources, targets)))


def selected(model: Any, torch: Any) -> Loss:
    """Sum of the answers' cross-entropies, with the head shown the positions of answers and no padding.

    The rows are picked where the hidden states enter the head, inside the model's own forward pass: what a model does
    before (T5 scales them) and after (BART adds a bias) stays as it is.
    """
    head = model.get_output_embeddings()

    def loss(batch: Batch) -> Any:
        with _only(head, batch.sources):
            logits = model(**batch.inputs()).logits.flatten(0, 1)
        return torch.nn.functional.cross_entropy(logits.float(), batch.targets, reduction="sum")

    return loss


def loss_of(model: Any, torch: Any, sample: Batch) -> Loss:
    """`selected` where it gives what the model itself gives on a sample, else `whole`."""
    full = whole(model, torch)
    if model.get_output_embeddings() is None:
        return full
    return proved(selected(model, torch), full, model, torch, sample)


@contextmanager
def _only(head: Any, positions: Any) -> Iterator[None]:
    """Within, the head is given these rows of the flattened hidden states."""

    def pick(module: Any, hidden: tuple[Any, ...]) -> tuple[Any, ...]:
        return (hidden[0].flatten(0, 1).index_select(0, positions)[None], *hidden[1:])

    hook = head.register_forward_pre_hook(pick)
    try:
        yield
    finally:
        hook.remove()
