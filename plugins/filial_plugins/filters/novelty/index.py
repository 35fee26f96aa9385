"""Find which of many texts is too similar to a new one by ROUGE-L: exact, without comparing each pair.

Self-Instruct (Wang et al., 2023, section 2.2) rejects an instruction whose ROUGE-L F with any earlier one passes
0.7, and compares it with each. Here three steps decide, each on the texts that the step before left:

1. Lengths and bit signatures prove of nearly all texts that they are not too similar (`signatures`).
2. Of the few others, which may be some hundreds where texts follow a template, the longest common subsequence is
   found over 16-bit hashes of their tokens. Different tokens may share a hash, so this gives what ROUGE-L is at most.
3. Those that would still be too similar are read again and compared token by token, from the most similar on,
   until no other can be closer.

No step keeps a vocabulary, so memory does not depend on which words the texts hold: besides itself a text of up to
128 tokens takes about 60 bytes, 2 per token, and its name. Hashes are CRC-32 sums, the same in every process; where
two tokens share one, it costs time only.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from zlib import crc32

from rapidfuzz.distance import LCSseq

from filial_plugins.filters.novelty.packed_texts import PackedTexts
from filial_plugins.filters.novelty.signatures import (
    DifferenceLimits,
    Rule,
    SignatureStore,
    f_measure,
    find_limits,
    fold,
    make_signature,
)
from filial_plugins.filters.novelty.tokens import Scripts, tokenize

__all__ = ["Neighbour", "RougeIndex", "Rule", "Scripts", "f_measure", "tokenize"]

_CLASSES = (128, 512, 2048)  # longest text of a class, in tokens; the last class has no end
_SIGNATURE_WORDS = (4, 16, 64, 64)  # 64-bit words of a signature, per class
_HASHES = 0xD800  # below this no 16-bit code is a surrogate, so hashes can be characters of a string


@dataclass(frozen=True, slots=True)
class Neighbour:
    """The text of an index that is closest to a new one: its place, its name, their ROUGE-L F, and itself."""

    place: int
    name: str
    score: float
    text: str


@dataclass(frozen=True, slots=True)
class _Query:
    """A text, its tokens, their CRC-32 sums (``codes``), and these cut to one 16-bit character each (``hashes``)."""

    text: str
    tokens: list[str]
    codes: list[int]
    hashes: str


class RougeIndex:
    """A growing pool of texts that knows which of them is too similar to a new one.

    Args:
        threshold: ROUGE-L F, above 0 and at most 1.
        rule: when a text is new: "<=" if no F is above the threshold (the code of Self-Instruct), "<" if every F
            is below it (its paper). They differ on exact ties alone.
        scripts: what tokens are, see `tokenize`: "all" compares the words of every script, "latin" is ``rouge_score``
            for all texts, so that one without a-z and 0-9 is always new.
    """

    def __init__(self, threshold: float = 0.7, rule: Rule = "<=", scripts: Scripts = "all") -> None:
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold is {threshold}; give a number above 0 and at most 1")
        self.threshold, self.rule, self.scripts = threshold, rule, scripts
        self._texts, self._names, self._hashes = PackedTexts(), PackedTexts(), PackedTexts("utf-16-le")
        self._blocks: dict[int, SignatureStore] = {}  # by length class
        self._latest = _Query("", [], [], "")

    def __len__(self) -> int:
        return len(self._texts)

    def add(self, text: str, name: str = "") -> None:
        """Add a text, whatever it is similar to; `find_nearest` reports it as ``name``."""
        query = self._make_query(text)
        which = bisect_left(_CLASSES, len(query.codes))
        if which not in self._blocks:
            self._blocks[which] = SignatureStore(_SIGNATURE_WORDS[which])
        self._blocks[which].add(make_signature(query.codes, _SIGNATURE_WORDS[which]), len(query.codes), len(self))
        self._texts.append(text)
        self._names.append(name)
        self._hashes.append(query.hashes)

    def find_nearest(self, text: str, skip: Callable[[Neighbour], bool] | None = None) -> Neighbour | None:
        """Return the closest of the texts that are too similar to this one (of equals the earliest), or None.

        None means that the text is new by the rule: every text of the index is on the allowed side of the threshold,
        but for those that ``skip`` says not to count.
        """
        query = self._make_query(text)
        if not query.codes:
            return None
        best: tuple[float, int] | None = None  # (-F, place), ordered like the bounds: by falling F, then by place
        for bound in sorted(self._compute_bounds(query)):
            if best is not None and best < bound:  # no later bound can beat it
                break
            place = bound[1]
            found = -self._compute_score(query, place), place
            closer = self._exceeds(-found[0]) and (best is None or found < best)
            if closer and not (skip and skip(self._get_neighbour(*found))):
                best = found
        return None if best is None else self._get_neighbour(*best)

    def _get_neighbour(self, negative_score: float, place: int) -> Neighbour:
        return Neighbour(place, self._names[place], -negative_score, self._texts[place])

    def _make_query(self, text: str) -> _Query:
        """Tokenize a text; the last result is kept, since a text is first searched and then added."""
        if text != self._latest.text:
            words = tokenize(text, self.scripts)
            codes = [crc32(word.encode("utf-8", "surrogatepass")) for word in words]
            self._latest = _Query(text, words, codes, "".join([chr((code >> 12) % _HASHES) for code in codes]))
        return self._latest

    def _compute_bounds(self, query: _Query) -> list[tuple[float, int]]:
        """Return (-F, place) for every text that may be too similar; F is an upper bound of the pair's ROUGE-L F."""
        m, hashes, out = len(query.codes), query.hashes, []
        within = find_limits(m, self.threshold, self.rule)
        limit = within.limits.item
        suspects = self._find_candidates(query.codes, within)
        for place, other in zip(suspects, self._hashes.get_many(suspects), strict=True):
            n = len(other)
            least = (m + n - limit(n)) // 2  # the fewest common tokens of a too similar pair; see DifferenceLimits
            common = LCSseq.similarity(hashes, other, score_cutoff=least)
            if common >= least:
                out.append((-f_measure(common, m, n), place))
        return out

    def _find_candidates(self, codes: list[int], within: DifferenceLimits) -> list[int]:
        """Return the places of the texts that signatures cannot rule out; no too similar text is missing."""
        if within.longest < 0:
            return []
        classes = range(bisect_left(_CLASSES, within.shortest), bisect_left(_CLASSES, within.longest) + 1)
        shelves = [self._blocks[which] for which in classes if which in self._blocks]
        widest = make_signature(codes, max((shelf.words for shelf in shelves), default=1))
        found = (shelf.find_candidates(fold(widest, shelf.words), within) for shelf in shelves)
        return list(chain.from_iterable(found))

    def _compute_score(self, query: _Query, place: int) -> float:
        """Return the ROUGE-L F with a text of the index, compared token by token."""
        others = tokenize(self._texts[place], self.scripts)
        # rapidfuzz compares sequences of integers fastest: number the words of both texts.
        numbers: dict[str, int] = {}
        one, other = ([numbers.setdefault(word, len(numbers)) for word in words] for words in (query.tokens, others))
        return f_measure(LCSseq.similarity(one, other), len(one), len(other))

    def _exceeds(self, score: float) -> bool:
        """Return whether an F makes a pair too similar."""
        return score > self.threshold if self.rule == "<=" else score >= self.threshold
