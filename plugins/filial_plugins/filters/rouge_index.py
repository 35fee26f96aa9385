"""Which of many texts is too close to a new one, by ROUGE-L: exact, without comparing with each.

ROUGE-L F of two texts of m and n tokens whose longest common subsequence has L tokens is 2pr/(p+r) with p =
L/n and r = L/m (Lin, 2004). Self-Instruct (Wang et al., 2023, section 2.2) rejects an instruction whose F
with any earlier one passes 0.7. Three facts make the search fast without changing one decision:

* From m, n and the threshold follows the least L that is too similar. With many lengths it is out of reach,
  and those texts are never looked at.
* L is at most the number of tokens both texts hold, counting repeats. So at most m + n - 2L tokens occur in
  only one of them.
* A *signature* toggles one bit per token occurrence. Tokens that both texts hold toggle the same bits, so
  the number of differing bits is at most the number of tokens that occur in only one text. More differing
  bits than m + n - 2L therefore prove that a pair is not too similar; the few pairs left are compared in
  full.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import LCSseq

Rule = Literal["<=", "<"]
Ints = npt.NDArray[np.int32]
Bits = npt.NDArray[np.uint64]

_WORD = re.compile("[a-z0-9]+")
_CLASSES = (128, 512, 2048)  # longest text of a class, in tokens; the last class has no end
_SIGNATURE_WORDS = (4, 16, 64, 64)  # 64-bit words of a signature, per class
_LONGEST_CACHED = 2048  # tables of longer texts are made anew each time: they are large and rare
_UNKNOWN = 0  # the code of every token that no text of the index holds


@dataclass(frozen=True, slots=True)
class Neighbour:
    """The text of an index that is closest to a new one: its place, its name, and their ROUGE-L F."""

    place: int
    name: str
    score: float


def tokens(text: str) -> list[str]:
    """The tokens of ``rouge_score`` without stemmer: runs of a-z and 0-9 in the lower-cased text.

    A text without any (Chinese, say) has none there, so it would be new however often it came. Here its
    tokens are its characters.
    """
    lowered = text.lower()
    return _WORD.findall(lowered) or [c for c in lowered if not c.isspace()]


def f_measure(common: int, m: int, n: int) -> float:
    """ROUGE-L F, in the float operations of ``rouge_score``, so that ties fall to the same side."""
    if common == 0:
        return 0.0
    precision, recall = common / n, common / m
    return 2 * precision * recall / (precision + recall)


@dataclass(frozen=True, slots=True)
class _Reach:
    """What can be too similar to a text of m tokens.

    ``limits[n]``: how many tokens at most may occur in only one text of a pair of m and n tokens that is
    too similar; -1 where no pair is. The last entry stands for all greater n. ``shortest`` and ``longest``:
    the n that are worth a look; ``longest`` is -1 when none is.
    """

    limits: Ints
    shortest: int
    longest: int


def _reach(m: int, threshold: float, rule: Rule) -> _Reach:
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
    return _Reach(limits, int(places[0]), int(places[-1])) if places.size else _Reach(limits, 0, -1)


_cached_reach = lru_cache(maxsize=_LONGEST_CACHED)(_reach)


def signature(codes: Sequence[int], words: int) -> Bits:
    """``words`` × 64 bits, one toggled for each occurrence of each token: its first, its second, ..."""
    bits, seen, size = 0, dict[int, int](), 64 * words
    for code in codes:
        nth = seen.get(code, 0)
        seen[code] = nth + 1
        mixed = (code * 0x9E3779B97F4A7C15 + nth * 0xC2B2AE3D27D4EB4F) & 0xFFFFFFFFFFFFFFFF
        bits ^= 1 << (mixed * size >> 64)
    return np.frombuffer(bits.to_bytes(8 * words, "little"), np.uint64)


def _differing(columns: Bits, sought: Bits) -> npt.NDArray[Any]:
    """How many bits of each column differ from the signature sought."""
    # Up to 256 bits the counts stay bytes. 256 differing bits wrap to 0: a pair compared in full for nothing.
    count: npt.NDArray[Any] = np.bitwise_count(columns[0] ^ sought[0])
    if len(columns) > 4:
        count = count.astype(np.uint16)
    for row, word in zip(columns[1:], sought[1:], strict=True):
        count += np.bitwise_count(row ^ word)
    return count


class _Shelf:
    """Signatures of texts of one length class: a block sorted by length, and a short unsorted tail.

    The order lets a search touch only the lengths it must; the tail makes adding cheap. When the tail is
    full, it is sorted in.
    """

    def __init__(self, words: int) -> None:
        self.words = words
        self._bits, self._lengths, self._places = self._room(0)
        self._starts = np.zeros(1, np.intp)
        self._tail, self._filled = self._room(256), 0

    def _room(self, size: int) -> tuple[Bits, Ints, Ints]:
        return np.zeros((self.words, size), np.uint64), np.zeros(size, np.int32), np.zeros(size, np.int32)

    def add(self, bits: Bits, length: int, place: int) -> None:
        if self._filled == len(self._tail[1]):
            self._sort_in()
        columns, lengths, places = self._tail
        columns[:, self._filled], lengths[self._filled], places[self._filled] = bits, length, place
        self._filled += 1

    def _sort_in(self) -> None:
        columns, lengths, places = self._tail
        lengths = np.concatenate([self._lengths, lengths])
        order = np.argsort(lengths, kind="stable")
        self._bits = np.concatenate([self._bits, columns], axis=1)[:, order]
        self._lengths = lengths[order]
        self._places = np.concatenate([self._places, places])[order]
        self._starts = np.searchsorted(self._lengths, np.arange(self._lengths[-1] + 2))
        self._tail, self._filled = self._room(max(256, len(order) // 16)), 0

    def suspects(self, sought: Bits, reach: _Reach) -> list[int]:
        """Places of all texts that may be too similar; every one that is, is among them."""
        return self._in_block(sought, reach) + self._in_tail(sought, reach)

    def _in_block(self, sought: Bits, reach: _Reach) -> list[int]:
        lengths = len(self._starts) - 2  # the longest in the block
        low, high = reach.shortest, min(reach.longest, lengths)
        if high < low:
            return []
        starts = self._starts[low : high + 2]
        first, end = int(starts[0]), int(starts[-1])
        if first == end:
            return []
        limits = np.repeat(reach.limits[low : high + 1], np.diff(starts))
        found = np.flatnonzero(_differing(self._bits[:, first:end], sought) <= limits)
        places: list[int] = self._places[found + first].tolist()
        return places

    def _in_tail(self, sought: Bits, reach: _Reach) -> list[int]:
        columns, lengths, places = self._tail
        limits = np.take(reach.limits, lengths[: self._filled], mode="clip")
        found = np.flatnonzero(_differing(columns[:, : self._filled], sought) <= limits)
        in_tail: list[int] = places[found].tolist()
        return in_tail


class RougeIndex:
    """A growing pool of texts that knows which of them is too similar to a new one.

    Args:
        threshold: ROUGE-L F, above 0 and at most 1. rule: when a text is new: "<=" if no F is above the
        threshold (the code of Self-Instruct), "<" if every F is
            below it (its paper). They differ on exact ties alone.
    """

    def __init__(self, threshold: float = 0.7, rule: Rule = "<=") -> None:
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold is {threshold}; give a number above 0 and at most 1")
        self.threshold, self.rule = threshold, rule
        self._codes: dict[str, int] = {}
        self._texts: list[str | list[int]] = []
        self._names: list[str] = []
        self._shelves = [_Shelf(words) for words in _SIGNATURE_WORDS]

    def __len__(self) -> int:
        return len(self._texts)

    def add(self, text: str, name: str = "") -> None:
        """Put a text into the pool, whatever it is similar to. ``name`` is what `nearest` calls it."""
        codes = [self._codes.setdefault(token, len(self._codes) + 1) for token in tokens(text)]
        which = bisect_left(_CLASSES, len(codes))
        self._shelves[which].add(signature(codes, _SIGNATURE_WORDS[which]), len(codes), len(self._texts))
        self._texts.append(_packed(codes))
        self._names.append(name)

    def nearest(self, text: str) -> Neighbour | None:
        """The closest of the texts that are too similar to this one (the earliest of equals), or None.

        None means that the text is new by the rule: the F of every pair with the pool is on the right side.
        """
        codes = [self._codes.get(token, _UNKNOWN) for token in tokens(text)]
        m = len(codes)
        if not m:
            return None
        reach = (_cached_reach if m <= _LONGEST_CACHED else _reach)(m, self.threshold, self.rule)
        best, best_score, packed = -1, -math.inf, _packed(codes)
        for place in sorted(self._suspects(codes, reach)):
            other = self._texts[place]
            score = f_measure(LCSseq.similarity(packed, other), m, len(other))
            crosses = score > self.threshold if self.rule == "<=" else score >= self.threshold
            if crosses and score > best_score:
                best, best_score = place, score
        return Neighbour(best, self._names[best], best_score) if best >= 0 else None

    def _suspects(self, codes: list[int], reach: _Reach) -> list[int]:
        found: list[int] = []
        if reach.longest < 0:
            return found
        first, last = bisect_left(_CLASSES, reach.shortest), bisect_left(_CLASSES, reach.longest)
        sought: dict[int, Bits] = {}
        for shelf in self._shelves[first : last + 1]:
            if shelf.words not in sought:
                sought[shelf.words] = signature(codes, shelf.words)
            found += shelf.suspects(sought[shelf.words], reach)
        return found


def _packed(codes: list[int]) -> str | list[int]:
    """Codes as a string, one character each, which compares fastest; past the end of Unicode, as they are."""
    try:
        return "".join(map(chr, codes))
    except ValueError:
        return codes
