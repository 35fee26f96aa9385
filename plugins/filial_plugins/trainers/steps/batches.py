"""Batches of a causal model: rows padded side by side, or end to end without padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from filial_plugins.trainers.rows.store import Row
from filial_plugins.trainers.steps.attention import RowLayout, make_row_layout


@dataclass(slots=True)
class CausalBatch:
    """Some rows as tensors.

    Attributes:
        ids: (rows, width) token ids, or (1, tokens) with all rows end to end. Padding is 0 and on the right, where a
            causal model never looks.
        sources: (targets,) flat positions whose next token carries loss.
        targets: (targets,) those next tokens.
        positions: (1, tokens) position of each token in its row, for rows end to end.
        rows: their layout, for rows end to end.
    """

    ids: Any
    sources: Any
    targets: Any
    positions: Any = None
    rows: RowLayout | None = None

    def inputs(self) -> dict[str, Any]:
        """Return the arguments of the forward pass, without an attention mask.

        With a mask, rows end to end could attend to each other.
        """
        one_line = {} if self.rows is None else {"position_ids": self.positions, "filial_rows": self.rows}
        return {"input_ids": self.ids, "use_cache": False, **one_line}


def collate_padded(rows: Sequence[Row], torch: Any, device: Any) -> CausalBatch:
    """Put each row on a line of its own. Padding follows from lengths, never from comparing ids with a padding id."""
    width = max(len(r.ids) for r in rows)
    ids = np.zeros((len(rows), width), dtype=np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = row.ids
    # Row i begins at flat position i * width. The logits that predict a token stand one position before it.
    trained = np.concatenate([row.trained_positions + i * width for i, row in enumerate(rows)])
    tensors = (torch.from_numpy(a).to(device) for a in (ids, trained - 1, ids.reshape(-1)[trained]))
    return CausalBatch(*tensors)


def collate_flat(rows: Sequence[Row], torch: Any, device: Any) -> CausalBatch:
    """Put all rows end to end on one line. A row's first token is no target, so no row is predicted from another."""
    lengths = [len(r.ids) for r in rows]
    starts = np.cumsum([0, *lengths[:-1]])
    ids = np.concatenate([r.ids for r in rows]).astype(np.int64)
    positions = np.concatenate([np.arange(n) for n in lengths])
    trained = np.concatenate([r.trained_positions + start for r, start in zip(rows, starts, strict=True)])
    arrays = (ids[None], trained - 1, ids[trained], positions[None])
    tokens, sources, said, places = (torch.from_numpy(a).to(device) for a in arrays)
    return CausalBatch(tokens, sources, said, places, make_row_layout(lengths, torch, device))
