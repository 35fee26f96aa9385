"""Batches of pairs for an encoder-decoder model, and their loss.

transformers' own loss of these models is not used: it is a mean over one batch, and T5 and related models do not divide
by the tokens of the whole step when batches are accumulated. Here the loss is a sum, and the step divides it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from filial import UsageError
from filial_plugins.trainers.rows.store import Row
from filial_plugins.trainers.steps.loss import Loss, choose_if_equal, make_full_loss


@dataclass(slots=True)
class PairBatch:
    """Pairs of input and answer, padded on the right.

    Attributes:
        ids: (rows, width) tokens of the inputs; padding is 0.
        mask: (rows, width) 1 for input tokens, 0 for padding.
        decoder_ids: (rows, length) input of the decoder: the start token, then the answer without its last token. The
            decoder is causal, so it never sees the padding behind an answer.
        sources: (targets,) flat positions (row * length + column) of the decoder that predict a token.
        targets: (targets,) those tokens.
    """

    ids: Any
    mask: Any
    decoder_ids: Any
    sources: Any
    targets: Any

    def inputs(self) -> dict[str, Any]:
        """Return the arguments of the forward pass."""
        return {
            "input_ids": self.ids, "attention_mask": self.mask, "decoder_input_ids": self.decoder_ids,
            "use_cache": False,
        }  # fmt: skip


def find_start_token(model: Any) -> int:
    """Return the token that the model's decoder starts with.

    Raises:
        UsageError: the model does not say.
    """
    found = (getattr(c, "decoder_start_token_id", None) for c in (model.config, model.generation_config))
    start = next((token for token in found if token is not None), None)
    if start is None:
        raise UsageError(
            'this model does not say which token its decoder starts with; set "decoder_start_token_id" in its '
            "config.json (T5: the id of the pad token)"
        )
    return int(start)


def collate_pairs(rows: Sequence[Row], start: int, torch: Any, device: Any) -> PairBatch:
    """Make a batch of pairs. Padding follows from lengths, never from comparing ids with a padding id."""
    # The first trained position of a pair is that of the first token of its answer: everything before it is the input.
    borders = [int(row.trained_positions[0]) for row in rows]
    width, length = max(borders), max(len(row.trained_positions) for row in rows)
    ids, mask = np.zeros((2, len(rows), width), dtype=np.int64)
    decoder_ids = np.zeros((len(rows), length), dtype=np.int64)
    for i, (row, border) in enumerate(zip(rows, borders, strict=True)):
        ids[i, :border], mask[i, :border] = row.ids[:border], 1
        # Shifted right by one: column k is shown token k - 1 of the answer and predicts token k.
        decoder_ids[i, 0], decoder_ids[i, 1 : len(row.trained_positions)] = start, row.ids[border:-1]
    sources = np.concatenate([np.arange(len(row.trained_positions)) + i * length for i, row in enumerate(rows)])
    targets = np.concatenate([row.ids[row.trained_positions] for row in rows]).astype(np.int64)
    return PairBatch(*(torch.from_numpy(a).to(device) for a in (ids, mask, decoder_ids, sources, targets)))


def make_selective_loss(model: Any, torch: Any) -> Loss:
    """Make a loss that computes the head only for positions of answers: the sum of their cross-entropies.

    The positions are selected where the hidden states enter the head, inside the model's own forward pass, so what a
    model does before the head (T5 scales) and after it (BART adds a bias) is unchanged.
    """
    head = model.get_output_embeddings()

    def loss(batch: PairBatch) -> Any:
        with _select_positions(head, batch.sources):
            logits = model(**batch.inputs()).logits.flatten(0, 1)
        return torch.nn.functional.cross_entropy(logits.float(), batch.targets, reduction="sum")

    return loss


def choose_pair_loss(model: Any, torch: Any, sample: PairBatch) -> Loss:
    """Return `make_selective_loss` if it equals the model's own result on a sample, else `make_full_loss`."""
    full = make_full_loss(model, torch)
    if model.get_output_embeddings() is None:
        return full
    return choose_if_equal(make_selective_loss(model, torch), full, model, torch, sample)


@contextmanager
def _select_positions(head: Any, positions: Any) -> Iterator[None]:
    """Let the head compute only these positions of the flattened hidden states inside the block."""

    def pick(module: Any, hidden: tuple[Any, ...]) -> tuple[Any, ...]:
        return (hidden[0].flatten(0, 1).index_select(0, positions)[None], *hidden[1:])

    hook = head.register_forward_pre_hook(pick)
    try:
        yield
    finally:
        hook.remove()
