"""Attention among rows that lie end to end in one sequence: no row attends to another, and nothing is padded.

transformers accepts any attention function (AttentionInterface) and passes keyword arguments of the forward pass on to
it. Ours receives the layout of the rows and attends within each. No mask is built, because transformers builds one only
for attention functions with a registered mask function, and ours has none. Whether a model really passes the arguments
on, and mixes positions nowhere else, is tested before use: see `find_difference` in equivalence.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

ROW_ATTENTION = "filial_rows"
LONGEST_GROUPED = 128  # tokens; longer rows get an attention call each, shorter ones share calls in groups
GROUP_RATIO, GROUP_SLACK = (
    1.25,
    4,
)  # longest row of a group <= GROUP_RATIO * shortest + GROUP_SLACK tokens


class UnsupportedAttention(Exception):
    """The model's attention needs something that ours does not do."""


@dataclass(slots=True)
class RowGroup:
    """Rows of similar length that share one attention call.

    Attributes:
        index: (rows, width) position in the sequence of each token; padding may point at any token.
        width: length of the longest row.
    """

    index: Any
    width: int


@dataclass(slots=True)
class RowLayout:
    """The layout of rows in one sequence.

    Attributes:
        groups: all rows, in groups.
        inverse: (tokens,) for each token of the sequence, its index in the concatenated groups.
    """

    groups: list[RowGroup]
    inverse: Any


def make_row_layout(lengths: Sequence[int], torch: Any, device: Any) -> RowLayout:
    """Return the layout of rows of these lengths that lie end to end."""
    # Attention runs on each group as a padded (rows, width) block. `index` gathers the tokens of a block from the
    # sequence; `back` leads from the concatenated blocks to the order of the sequence and skips all padding.
    starts = np.concatenate([[0], np.cumsum(lengths)])
    back = np.empty(int(starts[-1]), dtype=np.int64)
    groups, at = [], 0
    for rows in _group_rows(lengths):
        width = lengths[rows[-1]]
        # Padding stays at the row's first token. Attention is causal, so no real token sees it on its right.
        index = np.repeat(starts[rows][:, None], width, axis=1)
        for k, row in enumerate(rows):
            length = lengths[row]
            index[k, :length] += np.arange(length)
            back[starts[row] : starts[row] + length] = at + k * width + np.arange(length)
        at += len(rows) * width
        groups.append(RowGroup(torch.from_numpy(index).to(device), width))
    return RowLayout(groups, torch.from_numpy(back).to(device))


def _group_rows(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Group rows of similar length, shortest first."""
    group: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if group and (lengths[row] > LONGEST_GROUPED or lengths[row] > GROUP_RATIO * lengths[group[0]] + GROUP_SLACK):
            yield group
            group = []
        group.append(row)
    yield group


def attend_within_rows(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, *, filial_rows: RowLayout | None = None,
    dropout: float = 0.0, scaling: float | None = None, sliding_window: int | None = None, softcap: Any = None,
    s_aux: Any = None, **_: Any,
) -> tuple[Any, None]:  # fmt: skip
    """Compute causal attention within each row of a sequence.

    Args:
        query, key, value: (1, heads, tokens, size).

    Returns:
        (1, tokens, heads, size), and None for the attention weights.

    Raises:
        UnsupportedAttention: the model does not pass the layout on, masks by itself, caps its scores or has attention
            sinks.
    """
    if filial_rows is None or attention_mask is not None or softcap is not None or s_aux is not None:
        raise UnsupportedAttention(type(module).__name__)
    import torch

    flat = [x[0].transpose(0, 1) for x in (query, key, value)]
    attended = []
    for group in filial_rows.groups:
        shape, index = group.index.shape, group.index.flatten()
        q, k, v = (x.index_select(0, index).unflatten(0, shape).transpose(1, 2) for x in flat)
        # Without a mask torch can use its fast causal kernel; a mask is needed only where the window cuts off tokens.
        far = sliding_window is not None and group.width > sliding_window
        out = torch.nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=_make_window_mask(group.width, sliding_window, torch, q.device) if far else None,
            dropout_p=dropout, is_causal=not far, scale=scaling, enable_gqa=q.shape[1] != k.shape[1],
        )  # fmt: skip
        attended.append(out.transpose(1, 2).flatten(0, 1))
    return torch.cat(attended).index_select(0, filial_rows.inverse)[None], None


def _make_window_mask(width: int, most: int | None, torch: Any, device: Any) -> Any:
    """Return the (width, width) causal mask of a sliding window of ``most`` tokens, the current one included."""
    causal = torch.ones(width, width, dtype=torch.bool, device=device).tril()
    return causal if most is None else causal.triu(1 - most)


@contextmanager
def use_attention(model: Any, name: str) -> Iterator[None]:
    """Let the model use this attention function of transformers inside the block, and its own again afterwards."""
    from transformers import AttentionInterface

    AttentionInterface.register(ROW_ATTENTION, attend_within_rows)
    before = model.config._attn_implementation
    if name == before:
        yield
        return
    model.set_attn_implementation(name)
    try:
        yield
    finally:
        model.set_attn_implementation(before)
