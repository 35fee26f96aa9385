"""What happens to a row of more than ``max_length`` tokens, by policy:

* ``drop``: it is left out and counted.
* ``cut-answer``: its last answer ends at the limit, without an end token, for the answer does not end there. All that
  comes before that answer stays; a row that has no room for any of its last answer is dropped.
* ``cut-oldest-turns``: the oldest exchanges of a conversation are left out, its system text kept, until the rest fits.
  A row whose last exchange alone is too long is dropped.

None of them ever cuts a prompt, so an answer always follows the words that ask for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from filial import Record
from filial_plugins.trainers.rows.bulk import Flat

OverLong = Literal["drop", "cut-answer", "cut-oldest-turns"]
Cut = tuple[np.ndarray, list[tuple[int, int]]]


def cut_answer(flat: Flat, row: int, limit: int) -> Cut | None:
    """The first ``limit`` tokens of a row and their trained ranges; None unless they reach into its last answer."""
    first, last = np.searchsorted(flat.trained[:, 0], [row, row + 1])
    ranges = [(int(start), int(end)) for _, start, end in flat.trained[first:last]]
    if not ranges or ranges[-1][0] >= limit:
        return None
    at = int(flat.lengths[:row].sum(dtype=np.int64))
    start, end = ranges[-1]
    return flat.ids[at : at + limit], [*ranges[:-1], (start, min(end, limit))]


def fitting(record: Record, encoded: Callable[[Record], Flat | None], limit: int) -> Cut | None:
    """A conversation without as few of its oldest exchanges as it takes to fit; None where none is left that fits."""
    system = record.messages[:1] if record.messages and record.messages[0].role == "system" else ()
    rest = record.messages[len(system) :]
    starts = [i for i, turn in enumerate(rest) if turn.role == "user" and i and rest[i - 1].role != "user"]
    found: Cut | None = None
    low, high = 0, len(starts)
    while low < high:  # the more is left out, the shorter the row
        middle = (low + high) // 2
        flat = encoded(record.replaced(messages=(*system, *rest[starts[middle] :])))
        if flat is not None and not flat.failed and flat.lengths[0] <= limit:
            found = flat.ids, [(int(start), int(end)) for _, start, end in flat.trained]
            high = middle
        else:
            low = middle + 1
    return found
