"""Packing: rows put together in bins of a fixed number of tokens.

Rows in one bin must never see each other; that is the trainer's business. Here it is only decided who shares a bin.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from filial import UsageError, seeded

Lengths = Sequence[int] | np.ndarray


def best_fit(lengths: Lengths, capacity: int, seed: int, epoch: int) -> list[list[int]]:
    """Put row indices in bins, every row in one bin, no bin above ``capacity`` tokens.

    Each row, the longest first, goes to the fullest bin that has room for it (best fit decreasing, Johnson 1974).
    Rows of one length come in random order, and so do the bins. Everything depends on lengths, capacity, seed and
    epoch alone.

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
    rng = seeded(seed, "packing", epoch)
    keys = np.frombuffer(rng.randbytes(8 * len(sizes)), dtype="<u8")
    shuffled = np.argsort(keys, kind="stable")
    bins = _longest_first(shuffled[np.argsort(-sizes[shuffled], kind="stable")], sizes, capacity)
    rng.shuffle(bins)
    return bins


def _longest_first(order: np.ndarray, sizes: np.ndarray, capacity: int) -> list[list[int]]:
    """Bins of the rows in this order, each row in the fullest bin that has room for it."""
    bins: list[list[int]] = []
    rooms: list[int] = []  # what is left in bins that are not full, each amount once, ascending
    with_room: dict[int, list[list[int]]] = defaultdict(list)
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
