"""Attention among rows that lie end to end in one sequence: no row ever sees another, and nothing is padded.

transformers lets a model use any attention function (AttentionInterface) and hands keyword arguments of the forward
pass on to it. Ours is told where the rows lie and attends within each. No mask is built: no mask function goes by this
name, and without one transformers builds none. Whether a model really hands the arguments on, and does nothing else
across positions, is not taken on trust: see `difference` in exactness.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

NAME = "filial_rows"
TOGETHER = 128  # rows up to this long are attended to in groups, padded within attention alone; longer ones singly
RATIO, MORE = 1.25, 4  # a group's longest row has at most this share and so many tokens more than its shortest


class Unsupported(Exception):
    """The model's attention does something that ours does not."""


@dataclass(slots=True)
class Group:
    """Rows of like length.

    Attributes:
        index: (rows, width) where each token lies in the sequence; padding points at any token.
        width: of the longest.
    """

    index: Any
    width: int


@dataclass(slots=True)
class Layout:
    """Where rows lie in one sequence.

    Attributes:
        groups: every row, in groups.
        back: for each token of the sequence, its place among the groups' tokens put end to end.
    """

    groups: list[Group]
    back: Any


def layout(lengths: Sequence[int], torch: Any, device: Any) -> Layout:
    """The layout of rows of these lengths that lie end to end."""
    starts = np.concatenate([[0], np.cumsum(lengths)])
    back = np.empty(int(starts[-1]), dtype=np.int64)
    groups, at = [], 0
    for rows in _groups(lengths):
        width = lengths[rows[-1]]
        index = np.repeat(starts[rows][:, None], width, axis=1)
        for k, row in enumerate(rows):
            length = lengths[row]
            index[k, :length] += np.arange(length)
            back[starts[row] : starts[row] + length] = at + k * width + np.arange(length)
        at += len(rows) * width
        groups.append(Group(torch.from_numpy(index).to(device), width))
    return Layout(groups, torch.from_numpy(back).to(device))


def _groups(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Rows of like length, shortest first."""
    group: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if group and (lengths[row] > TOGETHER or lengths[row] > RATIO * lengths[group[0]] + MORE):
            yield group
            group = []
        group.append(row)
    yield group


def within_rows(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, *, filial_rows: Layout | None = None,
    dropout: float = 0.0, scaling: float | None = None, sliding_window: int | None = None, softcap: Any = None,
    s_aux: Any = None, **_: Any,
) -> tuple[Any, None]:  # fmt: skip
    """Causal attention within each row of a sequence; (1, heads, tokens, size) to (1, tokens, heads, size).

    Raises:
        Unsupported: the model does not say where rows lie, masks by itself, caps its scores or has attention sinks.
    """
    if filial_rows is None or attention_mask is not None or softcap is not None or s_aux is not None:
        raise Unsupported(type(module).__name__)
    import torch

    flat = [x[0].transpose(0, 1) for x in (query, key, value)]
    attended = []
    for group in filial_rows.groups:
        shape, index = group.index.shape, group.index.flatten()
        q, k, v = (x.index_select(0, index).unflatten(0, shape).transpose(1, 2) for x in flat)
        far = sliding_window is not None and group.width > sliding_window
        out = torch.nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=_window(group.width, sliding_window, torch, q.device) if far else None,
            dropout_p=dropout, is_causal=not far, scale=scaling, enable_gqa=q.shape[1] != k.shape[1],
        )  # fmt: skip
        attended.append(out.transpose(1, 2).flatten(0, 1))
    return torch.cat(attended).index_select(0, filial_rows.back)[None], None


def _window(width: int, most: int | None, torch: Any, device: Any) -> Any:
    """The causal mask of a model that looks back ``most`` tokens at most, its own included."""
    causal = torch.ones(width, width, dtype=torch.bool, device=device).tril()
    return causal if most is None else causal.triu(1 - most)


@contextmanager
def attention(model: Any, name: str) -> Iterator[None]:
    """Within, the model attends by this function of transformers; afterwards by its own again."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, within_rows)
    before = model.config._attn_implementation
    if name == before:
        yield
        return
    model.set_attn_implementation(name)
    try:
        yield
    finally:
        model.set_attn_implementation(before)
