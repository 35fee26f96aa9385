"""Bit signatures that prove, without comparing them, that most pairs of texts are not too similar.

ROUGE-L F of two texts of m and n tokens whose longest common subsequence has L tokens is 2pr/(p+r) with p =
L/n and r = L/m (Lin, 2004). Three facts make a search fast without changing one decision:

* From m, n and the threshold follows the least L that is too similar. With many lengths it is out of reach,
  and those texts are never looked at (`DifferenceLimits`).
* L is at most the number of tokens both texts hold, counting repeats. So at most m + n - 2L tokens occur in
  only one of them.
* A signature toggles one bit per token occurrence. Tokens that both texts hold toggle the same bits, so the
  number of differing bits is at most the number of tokens that occur in only one text. More differing bits
  than m + n - 2L therefore prove that a pair is not too similar.

The third stays true of a *fold*, where bits of a signature that lie a fixed distance apart are added up to
one: of two texts with few tokens a fold of 64 bits mostly proves it, at a quarter of the memory read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Rule = Literal["<=", "<"]
Ints = npt.NDArray[np.int32]
Bits = npt.NDArray[np.uint64]

_LONGEST_CACHED = 2048  # reaches of longer texts are worked out anew each time: they are large and rare
_BITS_PER_DIFFERENCE = 2.5  # a fold with so many bits per differing token allowed tells nearly all pairs apart
_CHUNK = 1 << 17  # columns looked at together: what is kept in between stays within a few megabytes
_TAIL = 256  # texts that wait to be sorted in, at least; and one in 16 of those that are


def f_measure(common: int, m: int, n: int) -> float:
    """ROUGE-L F, in the float operations of ``rouge_score``, so that ties fall to the same side."""
    if common == 0:
        return 0.0
    precision, recall = common / n, common / m
    return 2 * precision * recall / (precision + recall)


@dataclass(frozen=True, slots=True)
class DifferenceLimits:
    """What can be too similar to a text of m tokens.

    ``limits[n]``: how many tokens at most may occur in only one text of a pair of m and n tokens that is
    too similar; -1 where no pair is. The last entry stands for all greater n. ``shortest`` and ``longest``:
    the n that are worth a look; ``longest`` is -1 when none is.
    """

    limits: Ints
    shortest: int
    longest: int


def find_limits(m: int, threshold: float, rule: Rule) -> DifferenceLimits:
    """The reach of a text of m tokens, at least one."""
    return (_cached_limits if m <= _LONGEST_CACHED else _compute_limits)(m, threshold, rule)


def _compute_limits(m: int, threshold: float, rule: Rule) -> DifferenceLimits:
    n = np.arange(int(m * (2 - threshold) / threshold) + 3)
    at_least_one = np.maximum(n, 1)
    # The exact bound is threshold * (m + n) / 2; whether a tie crosses it, the floats of f_measure decide.
    common = np.maximum(np.ceil(threshold * (m + at_least_one) / 2 - 1e-6), 1)
    precision, recall = common / at_least_one, common / m
    score = 2 * precision * recall / (precision + recall)
    common += ~(score > threshold if rule == "<=" else score >= threshold)
    possible = (n > 0) & (common <= np.minimum(m, n))
    limits = np.where(possible, m + n - 2 * common, -1).astype(np.int32)
    limits[-1] = -1
    places = np.flatnonzero(limits >= 0)
    return DifferenceLimits(limits, int(places[0]), int(places[-1])) if places.size else DifferenceLimits(limits, 0, -1)


_cached_limits = lru_cache(maxsize=_LONGEST_CACHED)(_compute_limits)


def make_signature(codes: Sequence[int], words: int) -> Bits:
    """``words`` × 64 bits, one toggled for each occurrence of each token: its first, its second, ...

    ``codes`` are hashes of the tokens. ``words`` is a power of two; a signature of fewer is a fold of this one.
    """
    bits, mask, counts = 0, 64 * words - 1, dict[int, int]()
    if len(set(codes)) == len(codes):
        for code in codes:
            bits ^= 1 << (code & mask)
    else:
        for code in codes:
            nth = counts.get(code, 0)
            counts[code] = nth + 1
            bits ^= 1 << ((_hash_repeat(code, nth) if nth else code) & mask)
    return np.frombuffer(bits.to_bytes(8 * words, "little"), np.uint64)


def _hash_repeat(code: int, nth: int) -> int:
    """The hash of a token's further occurrence."""
    return (code + nth) * 0x9E3779B97F4A7C15 >> 40


def fold(bits: Bits, words: int) -> Bits:
    """A signature's fold to so many words: what `make_signature` gives for them."""
    shorter: Bits = np.bitwise_xor.reduce(bits.reshape(-1, words))
    return shorter


def _pack(words: Bits) -> Bits:
    """Signatures so written that their first 1, 2, 4, ... words are enough to know their folds to so many words."""
    out = words.copy()
    while len(words) > 1:
        half = len(words) // 2
        out[half : len(words)] = words[half:]
        words = words[:half] ^ words[half:]
    out[0] = words[0]
    return out


def _count_dtype(words: int) -> type[np.unsignedinteger[Any]]:
    """What counts the bits of so many words. 256 bits wrap to 0: a pair compared in full for nothing."""
    return np.uint8 if words <= 4 else np.uint16


def _count_bits(rows: list[Bits]) -> npt.NDArray[Any]:
    """How many bits are set in each column of packed words."""
    words = rows[:1]
    while len(words) < len(rows):
        right = rows[len(words) : 2 * len(words)]
        words = [a ^ b for a, b in zip(words, right, strict=True)] + right
    count: npt.NDArray[Any] = np.bitwise_count(words[0]).astype(_count_dtype(len(words)), copy=False)
    for word in words[1:]:
        count += np.bitwise_count(word)
    return count


class SignatureStore:
    """Signatures of texts of one length class: a block sorted by length, and a short unsorted tail.

    The order lets a search touch only the lengths it must; the tail makes adding cheap. When the tail is full,
    it is sorted in, one row of words after the other, so that little memory is needed beside. A text takes 8
    bytes per word and 4 for its place.
    """

    def __init__(self, words: int) -> None:
        self.words = words
        self._rows, self._places = [np.zeros(0, np.uint64) for _ in range(words)], np.zeros(0, np.int32)
        self._starts = np.zeros(1, np.intp)  # where each length begins in the block, and at last the block's end
        self._reset_tail(_TAIL)

    def _reset_tail(self, size: int) -> None:
        self._tail, self._filled = np.zeros((self.words, size), np.uint64), 0
        self._tail_lengths, self._tail_places = np.zeros(size, np.int32), np.zeros(size, np.int32)

    def add(self, bits: Bits, length: int, place: int) -> None:
        if self._filled == len(self._tail_lengths):
            self._merge_tail()
        self._tail[:, self._filled] = bits
        self._tail_lengths[self._filled], self._tail_places[self._filled] = length, place
        self._filled += 1

    def _merge_tail(self) -> None:
        order = np.argsort(self._tail_lengths, kind="stable")
        lengths = self._tail_lengths[order]
        longest = max(int(lengths[-1]), len(self._starts) - 2)
        starts = np.pad(self._starts, (0, longest + 2 - len(self._starts)), mode="edge")
        added = starts[lengths + 1] + np.arange(len(order))  # where the tail's texts come to stand
        kept = np.ones(len(self._places) + len(order), bool)
        kept[added] = False

        def merged(old: npt.NDArray[Any], new: npt.NDArray[Any]) -> npt.NDArray[Any]:
            both = np.empty(len(kept), old.dtype)
            both[kept], both[added] = old, new[order]
            return both

        for i, new in enumerate(_pack(self._tail)):
            self._rows[i] = merged(self._rows[i], new)
        self._places = merged(self._places, self._tail_places)
        self._starts = starts + np.searchsorted(lengths, np.arange(len(starts)))
        self._reset_tail(max(_TAIL, len(kept) // 16))

    def find_candidates(self, sought: Bits, reach: DifferenceLimits) -> list[int]:
        """Places of all texts that may be too similar; every one that is, is among them."""
        return self._search_tail(sought, reach) + self._search_block(sought, reach)

    def _search_tail(self, sought: Bits, reach: DifferenceLimits) -> list[int]:
        limits = np.take(reach.limits, self._tail_lengths[: self._filled], mode="clip")
        weight = np.bitwise_count(self._tail[:, : self._filled] ^ sought[:, None]).sum(axis=0)
        found: list[int] = self._tail_places[np.flatnonzero(weight <= limits)].tolist()
        return found

    def _search_block(self, sought: Bits, reach: DifferenceLimits) -> list[int]:
        low, high = reach.shortest, min(reach.longest, len(self._starts) - 2)
        if high < low:
            return []
        starts, kind = self._starts[low : high + 2], _count_dtype(self.words)
        limits = np.minimum(reach.limits[low : high + 1], np.iinfo(kind).max).astype(kind)
        near = _find_near(
            self._rows, int(starts[0]), int(starts[-1]), _pack(sought), np.repeat(limits, np.diff(starts))
        )
        found: list[int] = self._places[near].tolist()
        return found


def _find_near(rows: list[Bits], first: int, end: int, sought: Bits, limits: npt.NDArray[Any]) -> list[int]:
    """The columns from first to end that differ from the words sought in no more bits than their limit."""
    few, found, loosest = 1, list[int](), int(limits.max(initial=0))
    while few < len(rows) and 64 * few < _BITS_PER_DIFFERENCE * loosest:
        few *= 2
    for start in range(first, end, _CHUNK):
        stop = min(start + _CHUNK, end)
        allowed = limits[start - first : stop - first]
        weight = _count_bits([row[start:stop] ^ word for row, word in zip(rows[:few], sought[:few], strict=True)])
        near = np.flatnonzero(weight <= allowed)
        if few < len(rows) and near.size:
            at = near + start
            weight = _count_bits([row[at] ^ word for row, word in zip(rows, sought, strict=True)])
            near = near[weight <= allowed[near]]
        found += (near + start).tolist()
    return found
