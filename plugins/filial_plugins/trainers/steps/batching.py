"""Batches of a causal model: rows side by side and padded, or end to end and not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from filial_plugins.trainers.rows.store import Row
from filial_plugins.trainers.steps.attention import Layout, layout


@dataclass(slots=True)
class Batch:
    """Some rows as tensors.

    Attributes:
        ids: token ids, a line per row or one line in all. Padding is 0 and stands on the right, where a causal model
            never looks.
        sources: flat positions whose next token carries loss.
        targets: those next tokens.
        positions: each token's place in its row, for rows in one line.
        rows: where they lie in that line.
    """

    ids: Any
    sources: Any
    targets: Any
    positions: Any = None
    rows: Layout | None = None

    def inputs(self) -> dict[str, Any]:
        """Arguments of a model's forward pass. No attention mask: with one, rows in one line could see each other."""
        one_line = {} if self.rows is None else {"position_ids": self.positions, "filial_rows": self.rows}
        return {"input_ids": self.ids, "use_cache": False, **one_line}


def padded(rows: Sequence[Row], torch: Any, device: Any) -> Batch:
    """A line per row. What is padding follows from lengths, never from comparing ids with a padding id."""
    width = max(len(r.ids) for r in rows)
    ids = np.zeros((len(rows), width), dtype=np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = row.ids
    targets = np.concatenate([row.targets + i * width for i, row in enumerate(rows)])
    tensors = (torch.from_numpy(a).to(device) for a in (ids, targets - 1, ids.reshape(-1)[targets]))
    return Batch(*tensors)


def flat(rows: Sequence[Row], torch: Any, device: Any) -> Batch:
    """All rows in one line. A row's first token is no target, so none is predicted from another row's last."""
    lengths = [len(r.ids) for r in rows]
    starts = np.cumsum([0, *lengths[:-1]])
    ids = np.concatenate([r.ids for r in rows]).astype(np.int64)
    positions = np.concatenate([np.arange(n) for n in lengths])
    targets = np.concatenate([r.targets + start for r, start in zip(rows, starts, strict=True)])
    arrays = (ids[None], targets - 1, ids[targets], positions[None])
    tokens, sources, said, places = (torch.from_numpy(a).to(device) for a in arrays)
    return Batch(tokens, sources, said, places, layout(lengths, torch, device))
