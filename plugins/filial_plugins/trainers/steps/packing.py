"""Packing: rows put together in bins of a fixed number of tokens.

Rows in one bin must never see each other; that is the trainer's business. Here it is only decided who shares a bin.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from filial import UsageError, seeded

FULL = 0.999
TRIES, DRAWS = 8, 4
"""How many lengths are tried as the first of three that fill a bin exactly; how many pairs are looked at."""

Lengths = Sequence[int] | np.ndarray


def best_fit(lengths: Lengths, capacity: int, seed: int, epoch: int) -> list[list[int]]:
    """Bins of row indices, every row in one bin, no bin above ``capacity`` tokens.

    Bin by bin over all rows at once. A row longer than a third of a bin begins one, the longest
    first, since it is the hardest to place; when there is none, any row does. Then, whenever one, two or three of the
    rows left fill the room to the last token, they are taken, else any row that fits. What is drawn is drawn from all
    rows left, so that short and long ones last to the end and the last bins are as full as the first. Where that
    leaves more than a thousandth empty, classical best fit is tried, too, and the better of both taken. Everything
    depends on lengths, capacity, seed and epoch alone.

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
    left = _Left(shuffled, sizes, capacity)
    bins = []
    while left:
        bins.append(left.bin())
    if int(sizes.sum()) < FULL * capacity * len(bins):
        bins = min(bins, _longest_first(shuffled, sizes, capacity), key=len)
    rng.shuffle(bins)
    return bins


def _longest_first(shuffled: np.ndarray, sizes: np.ndarray, capacity: int) -> list[list[int]]:
    """Each row, the longest first, to the fullest bin that has room for it (best fit decreasing, Johnson 1974)."""
    order = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
    bins: list[list[int]] = []
    by_room: list[list[list[int]]] = [[] for _ in range(capacity + 1)]
    rooms = 0  # bit n is set where a bin has room n
    for row, size in zip(order.tolist(), sizes[order].tolist(), strict=True):
        if fitting := rooms >> size:
            room = size + (fitting & -fitting).bit_length() - 1
            chosen = by_room[room].pop()
            if not by_room[room]:
                rooms ^= 1 << room
        else:
            room, chosen = capacity, []
            bins.append(chosen)
        chosen.append(row)
        if room > size:
            by_room[room - size].append(chosen)
            rooms |= 1 << room - size
    return bins


class _Left:
    """The rows that are in no bin yet, by length.

    Rows of one length are interchangeable, so the search is over lengths. Sets of lengths are bits of one integer, so
    that "which lengths have a partner that fills this room" is two operations: ``_set`` has bit n for length n,
    ``_mirror`` bit capacity - n.
    """

    def __init__(self, shuffled: np.ndarray, sizes: np.ndarray, capacity: int) -> None:
        self._capacity, self._set, self._mirror = capacity, 0, 0
        self._rows: dict[int, list[int]] = {}
        by_length = shuffled[np.argsort(sizes[shuffled], kind="stable")]
        values, starts = np.unique(sizes[by_length], return_index=True)
        for size, rows in zip(values.tolist(), np.split(by_length, starts[1:]), strict=True):
            self._rows[size] = rows.tolist()
            self._flip(size)
        self._drawn = sizes[shuffled].tolist()  # lengths in the proportions of all rows, in random order
        self._at = 0
        self._typical = 3 * int(sizes.mean())  # room that two or three rows may be hoped to fill

    def __bool__(self) -> bool:
        return self._set != 0

    def bin(self) -> list[int]:
        """The rows of the next bin."""
        rows: list[int] = []
        room = self._capacity
        while room and (fitting := self._set & ((2 << room) - 1)):
            longest = self._set.bit_length() - 1
            begins = not rows and 3 * longest > self._capacity
            exact = () if begins or room > self._typical else self._exact(room, fitting)
            for size in exact or (longest if begins else self._near(fitting),):
                rows.append(self._rows[size].pop())
                room -= size
                if not self._rows[size]:
                    self._flip(size)
        return rows

    def _near(self, sizes: int) -> int:
        """The length in this set that is next to a drawn one."""
        self._at = (self._at + 1) % len(self._drawn)
        drawn = self._drawn[self._at]
        above = sizes >> drawn
        return drawn + (above & -above).bit_length() - 1 if above else sizes.bit_length() - 1

    def _exact(self, room: int, fitting: int) -> tuple[int, ...]:
        """One, two or three lengths of rows left that add up to ``room``, or nothing."""
        if fitting >> room & 1:
            return (room,)
        if pair := self._pair(room):
            return pair
        for _ in range(TRIES):
            size = self._near(fitting)
            if size < room and (pair := self._pair(room - size, size)):
                return (size, *pair)
        return ()

    def _pair(self, room: int, used: int = 0) -> tuple[int, int] | None:
        """Two lengths that add up to ``room``; one row of length ``used`` is spoken for.

        Of a few drawn pairs it is the most plentiful, so that rare lengths last.
        """
        found = self._set & (self._mirror >> (self._capacity - room))
        best, most = None, 0
        for _ in range(DRAWS if found else 0):
            one = self._near(found)
            other = room - one
            many = len(self._rows[one]) - (one == other) - (one == used)
            many = min(many, len(self._rows[other]) - (other == used))
            if many > most:
                best, most = (one, other), many
        return best

    def _flip(self, size: int) -> None:
        """A length comes into the sets or leaves them."""
        self._set ^= 1 << size
        self._mirror ^= 1 << (self._capacity - size)
