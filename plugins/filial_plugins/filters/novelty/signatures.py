"""Bit signatures that prove, without comparing them, that most pairs of texts are not too similar.

ROUGE-L F of two texts of m and n tokens whose longest common subsequence has L tokens is 2pr/(p+r) with p =
L/n and r = L/m (Lin, 2004). Three facts make a search fast without changing one decision:

* From m, n and the threshold follows the least L that is too similar. For many n no L is large enough, and
  texts of these lengths are never read (`DifferenceLimits`).
* L is at most the number of tokens both texts hold, counting repeats. So at most m + n - 2L tokens occur in
  only one of them.
* A signature toggles one bit per token occurrence. Tokens that both texts hold toggle the same bits, so the
  number of differing bits is at most the number of tokens that occur in only one text. More differing bits
  than m + n - 2L therefore prove that a pair is not too similar.

The third fact also holds for a *fold*: the exclusive or of the 64-bit words of a signature. XOR never turns equal
bits into different ones, so a fold can only hide differences. For short texts a fold of 64 bits mostly suffices and
reads a quarter of the memory.
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

_LONGEST_CACHED = 2048  # limits of longer texts are not cached: they are large and rare
_BITS_PER_DIFFERENCE = 2.5  # a fold of at least this many bits per allowed difference rules out nearly all pairs
_CHUNK = 1 << 17  # columns per step, so that temporary arrays stay within a few megabytes
_TAIL = 256  # smallest tail; it grows with the block, to one text in 16


def f_measure(common: int, m: int, n: int) -> float:
    """Return the ROUGE-L F, computed with the float operations of ``rouge_score``, so that ties fall to the same
    side.
    """
    if common == 0:
        return 0.0
    precision, recall = common / n, common / m
    return 2 * precision * recall / (precision + recall)


@dataclass(frozen=True, slots=True)
class DifferenceLimits:
    """How different a text may be that is too similar to a text of m tokens.

    ``limits[n]`` is the largest number of tokens that may occur in only one text of a too similar pair of m and n
    tokens; -1 where no pair is too similar. The last entry stands for all greater n. ``shortest`` and ``longest`` bound
    the n with a limit of 0 or more; ``longest`` is -1 if there is none.
    """

    limits: Ints
    shortest: int
    longest: int


def find_limits(m: int, threshold: float, rule: Rule) -> DifferenceLimits:
    """Return the limits for a text of m tokens, m at least one."""
    return (_cached_limits if m <= _LONGEST_CACHED else _compute_limits)(m, threshold, rule)


def _compute_limits(m: int, threshold: float, rule: Rule) -> DifferenceLimits:
    n = np.arange(int(m * (2 - threshold) / threshold) + 3)
    at_least_one = np.maximum(n, 1)
    # The exact bound is threshold * (m + n) / 2; whether a tie crosses it, the floats of f_measure decide.
    common = np.maximum(np.ceil(threshold * (m + at_least_one) / 2 - 1e-6), 1)
    precision, recall = common / at_least_one, common / m
    score = 2 * precision * recall / (precision + recall)
    # ~ of a boolean array is its negation: one more common token where the float says that the tie does not cross.
    common += ~(score > threshold if rule == "<=" else score >= threshold)
    possible = (n > 0) & (common <= np.minimum(m, n))
    limits = np.where(possible, m + n - 2 * common, -1).astype(np.int32)
    limits[-1] = -1  # callers clip longer n to this entry
    places = np.flatnonzero(limits >= 0)
    return DifferenceLimits(limits, int(places[0]), int(places[-1])) if places.size else DifferenceLimits(limits, 0, -1)


_cached_limits = lru_cache(maxsize=_LONGEST_CACHED)(_compute_limits)


def make_signature(codes: Sequence[int], words: int) -> Bits:
    """Return a signature of ``words`` 64-bit words: one bit is toggled for each occurrence of each token.

    The first, second, … occurrence of a token toggles a different bit each. ``codes`` are hashes of the tokens.
    ``words`` is a power of two; a signature of fewer words is a fold of a longer one.
    """
    bits, mask, counts = 0, 64 * words - 1, dict[int, int]()
    # One Python integer as the bit set: XOR toggles, and & mask is the bit's place modulo a power of two, which is
    # why a shorter signature is a fold of a longer one.
    if len(set(codes)) == len(codes):  # no repeats: the common case, without counting
        for code in codes:
            bits ^= 1 << (code & mask)
    else:
        for code in codes:
            nth = counts.get(code, 0)
            counts[code] = nth + 1
            bits ^= 1 << ((_hash_repeat(code, nth) if nth else code) & mask)
    return np.frombuffer(bits.to_bytes(8 * words, "little"), np.uint64)


def _hash_repeat(code: int, nth: int) -> int:
    """Return the hash of the nth further occurrence of a token."""
    # Fibonacci hashing, 2**64 / golden ratio: repeats of one token land on unrelated bits.
    return (code + nth) * 0x9E3779B97F4A7C15 >> 40


def fold(bits: Bits, words: int) -> Bits:
    """Fold a signature to ``words`` words: the result is what `make_signature` gives for this number of words."""
    shorter: Bits = np.bitwise_xor.reduce(bits.reshape(-1, words))
    return shorter


def _pack(words: Bits) -> Bits:
    """Rearrange signatures (words × texts) so that the first 1, 2, 4, … rows are enough to compute their shorter
    folds.
    """
    out = words.copy()
    # Each step keeps the right half and folds the left half with it. The left half of the words is then
    # left ^ right, the next shorter fold; the full signature can be undone by XOR with the kept halves (_count_bits).
    while len(words) > 1:
        half = len(words) // 2
        out[half : len(words)] = words[half:]
        words = words[:half] ^ words[half:]
    out[0] = words[0]
    return out


def _count_dtype(words: int) -> type[np.unsignedinteger[Any]]:
    """Return the dtype that counts the bits of a signature of this many words.

    256 differing bits wrap to 0 in uint8. The pair is then compared in full for nothing; no decision changes.
    """
    return np.uint8 if words <= 4 else np.uint16


def _count_bits(rows: list[Bits]) -> npt.NDArray[Any]:
    """Count the bits that are set in each column of packed rows."""
    # Undo _pack as far as rows are given: from the fold f = left ^ right and the kept right, left = f ^ right.
    words = rows[:1]
    while len(words) < len(rows):
        right = rows[len(words) : 2 * len(words)]
        words = [a ^ b for a, b in zip(words, right, strict=True)] + right
    count: npt.NDArray[Any] = np.bitwise_count(words[0]).astype(_count_dtype(len(words)), copy=False)
    for word in words[1:]:
        count += np.bitwise_count(word)
    return count


class SignatureStore:
    """The signatures of the texts of one length class: a block sorted by length, and a short unsorted tail.

    The order lets a search read only the lengths that are in reach; the tail makes adding cheap. A full tail is merged
    into the block one row of words after the other, which needs little extra memory. A text takes 8 bytes per word and
    4 for its place.
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
        """Add the signature of a text of ``length`` tokens; ``place`` is the text's number in the index."""
        if self._filled == len(self._tail_lengths):
            self._merge_tail()
        self._tail[:, self._filled] = bits
        self._tail_lengths[self._filled], self._tail_places[self._filled] = length, place
        self._filled += 1

    def _merge_tail(self) -> None:
        """Sort the tail into the block."""
        order = np.argsort(self._tail_lengths, kind="stable")
        lengths = self._tail_lengths[order]
        longest = max(int(lengths[-1]), len(self._starts) - 2)
        starts = np.pad(self._starts, (0, longest + 2 - len(self._starts)), mode="edge")
        # Places of the tail's texts in the merged block: behind the block's texts of their length, and
        # behind the tail's texts that come before.
        added = starts[lengths + 1] + np.arange(len(order))
        kept = np.ones(len(self._places) + len(order), bool)
        kept[added] = False

        def merge(old: npt.NDArray[Any], new: npt.NDArray[Any]) -> npt.NDArray[Any]:
            both = np.empty(len(kept), old.dtype)
            both[kept], both[added] = old, new[order]
            return both

        for i, new in enumerate(_pack(self._tail)):
            self._rows[i] = merge(self._rows[i], new)
        self._places = merge(self._places, self._tail_places)
        self._starts = starts + np.searchsorted(lengths, np.arange(len(starts)))
        self._reset_tail(max(_TAIL, len(kept) // 16))

    def find_candidates(self, sought: Bits, reach: DifferenceLimits) -> list[int]:
        """Return the places of all texts that may be too similar; no too similar text is missing."""
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
        # A column's limit is that of its length; lengths are runs in the sorted block.
        limits = np.minimum(reach.limits[low : high + 1], np.iinfo(kind).max).astype(kind)
        near = _find_near(
            self._rows, int(starts[0]), int(starts[-1]), _pack(sought), np.repeat(limits, np.diff(starts))
        )
        found: list[int] = self._places[near].tolist()
        return found


def _find_near(rows: list[Bits], first: int, end: int, sought: Bits, limits: npt.NDArray[Any]) -> list[int]:
    """Return the columns from ``first`` to ``end`` that differ from ``sought`` in no more bits than their limit."""
    few, found, loosest = 1, list[int](), int(limits.max(initial=0))
    # Rows of words lie apart in memory, so the shortest fold that rules out nearly all columns is read first, and the
    # full signature only for the columns that remain.
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
