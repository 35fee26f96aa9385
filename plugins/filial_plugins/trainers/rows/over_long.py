"""What happens to a row of more than ``max_length`` tokens, by policy.

* ``drop``: the row is dropped and counted.
* ``cut-answer``: its last answer is cut at the limit, without an end token, since the answer does not end there.
  Everything before that answer stays; a row without room for any of its last answer is dropped.
* ``cut-oldest-turns``: the oldest exchanges of a conversation are removed until the rest fits. The system text stays.
  A row whose last exchange alone is too long is dropped.

No policy cuts a prompt, so an answer always follows the complete question.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from filial import Record
from filial_plugins.trainers.rows.bulk_encoding import TokenArrays

OverLong = Literal["drop", "cut-answer", "cut-oldest-turns"]
CutRow = tuple[np.ndarray, list[tuple[int, int]]]


def cut_answer(flat: TokenArrays, row: int, limit: int) -> CutRow | None:
    """Return the first ``limit`` tokens of a row with their trained ranges; None if its last answer is not reached."""
    first, last = np.searchsorted(flat.trained_ranges[:, 0], [row, row + 1])
    ranges = [(int(start), int(end)) for _, start, end in flat.trained_ranges[first:last]]
    if not ranges or ranges[-1][0] >= limit:
        return None
    at = int(flat.lengths[:row].sum(dtype=np.int64))
    start, end = ranges[-1]
    return flat.ids[at : at + limit], [*ranges[:-1], (start, min(end, limit))]


def drop_oldest_turns(record: Record, encoded: Callable[[Record], TokenArrays | None], limit: int) -> CutRow | None:
    """Remove as few of the oldest exchanges as needed to fit ``limit``; None if the last one alone is too long."""
    system = record.messages[:1] if record.messages and record.messages[0].role == "system" else ()
    rest = record.messages[len(system) :]
    starts = [i for i, turn in enumerate(rest) if turn.role == "user" and i and rest[i - 1].role != "user"]
    found: CutRow | None = None
    low, high = 0, len(starts)
    while low < high:  # binary search: the more exchanges are removed, the shorter the row
        middle = (low + high) // 2
        flat = encoded(record.replaced(messages=(*system, *rest[starts[middle] :])))
        if flat is not None and not flat.failed and flat.lengths[0] <= limit:
            found = flat.ids, [(int(start), int(end)) for _, start, end in flat.trained_ranges]
            high = middle
        else:
            low = middle + 1
    return found
