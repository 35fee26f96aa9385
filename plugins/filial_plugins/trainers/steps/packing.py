"""Packing: put rows together in bins of a fixed number of tokens.

Rows in one bin must not attend to each other; the trainer ensures that. Here it is only decided who shares a bin.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from filial import UsageError, seeded_rng

Lengths = Sequence[int] | np.ndarray


def pack_best_fit(lengths: Lengths, capacity: int, seed: int, epoch: int) -> list[list[int]]:
    """Pack row indices into bins: every row in one bin, no bin above ``capacity`` tokens.

    Each row, the longest first, goes to the fullest bin that has room for it (best fit decreasing, Johnson 1974). Rows
    of one length come in random order, and so do the bins. The result depends on lengths, capacity, seed and epoch
    only.

    Raises:
        UsageError: a row is longer than a bin.
    """
    sizes = np.asarray(lengths)
    if not len(sizes):
        return []
    if int(sizes.max()) > capacity:
        raise UsageError(
            f"a row of {int(sizes.max())} tokens does not fit into packed rows of {capacity}; raise the packed length "
            "to max_length or above"
        )
    rng = seeded_rng(seed, "packing", epoch)
    # Random keys shuffle the rows; the stable sort by length keeps that order among rows of equal length.
    keys = np.frombuffer(rng.randbytes(8 * len(sizes)), dtype="<u8")
    shuffled = np.argsort(keys, kind="stable")
    bins = _fill_bins(shuffled[np.argsort(-sizes[shuffled], kind="stable")], sizes, capacity)
    rng.shuffle(bins)
    return bins


def _fill_bins(order: np.ndarray, sizes: np.ndarray, capacity: int) -> list[list[int]]:
    """Fill bins with the rows in this order, each row in the fullest bin that has room for it."""
    bins: list[list[int]] = []
    rooms: list[int] = []  # free tokens of open bins: distinct values, ascending
    with_room: dict[int, list[list[int]]] = defaultdict(list)
    # Open bins are filed by their free tokens, so the fullest bin with room is found by one binary search.
    for row, size in zip(order.tolist(), sizes[order].tolist(), strict=True):
        if (at := bisect_left(rooms, size)) < len(rooms):
            room = rooms[at]
            chosen = with_room[room].pop()
            if not with_room[room]:
                del rooms[at]
        else:
            room, chosen = capacity, []
            bins.append(chosen)
        chosen.append(row)
        if room > size:
            if not with_room[room - size]:
                insort(rooms, room - size)
            with_room[room - size].append(chosen)
    return bins
