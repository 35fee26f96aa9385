"""The index decides as `rouge_score` does, pair by pair, at any pool size. `rouge_score` itself is the oracle."""

from __future__ import annotations

import random
import tracemalloc
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import LCSseq
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.scoring import fmeasure

from filial_plugins.filters.novelty import index as rouge_index
from filial_plugins.filters.novelty.index import RougeIndex
from filial_plugins.filters.novelty.signatures import fold, make_signature

SCORER = RougeScorer(["rougeL"], use_stemmer=False)


def rouge(a: str, b: str) -> float:
    return SCORER.score(a, b)["rougeL"].fmeasure


class Naive:
    """The loop of Self-Instruct: score against everything, take the maximum."""

    def __init__(self, threshold: float, rule: str, score=rouge) -> None:
        self.threshold, self.rule, self.score, self.pool = threshold, rule, score, list[str]()

    def find_nearest(self, text: str) -> tuple[int, float] | None:
        scores = [self.score(text, other) for other in self.pool]
        best = max(scores, default=0.0)
        keep = best <= self.threshold if self.rule == "<=" else best < self.threshold
        return None if keep else (scores.index(best), best)


def found(index: RougeIndex, text: str) -> tuple[int, float] | None:
    near = index.find_nearest(text)
    return None if near is None else (near.place, near.score)


def agree(texts: list[str], threshold: float, rule: str) -> int:
    """Feed both, one text after the other; both must say the same of each. Returns how many were rejected."""
    naive, index = Naive(threshold, rule), RougeIndex(threshold, rule, "latin")
    rejected = 0
    for text in texts:
        wanted = naive.find_nearest(text)
        assert found(index, text) == wanted, text
        if wanted is None:
            naive.pool.append(text)
            index.add(text)
        else:
            rejected += 1
    return rejected


words = st.lists(st.sampled_from(["red", "Blue", "7", "to", "the"]), min_size=0, max_size=14).map(" ".join)
rules = st.sampled_from(["<=", "<"])


@settings(max_examples=150, deadline=None)
@given(st.lists(words, max_size=14), st.sampled_from([0.05, 0.3, 0.5, 0.6, 0.7, 0.8, 1.0]), rules)
def test_few_words_many_ties(texts, threshold, rule):
    agree(texts, threshold, rule)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(alphabet="aB1 .é-_ßİ\n字", max_size=30), max_size=8), rules)
def test_any_text(texts, rule):
    agree(texts, 0.7, rule)


def ties(longest: int, numerator: int, denominator: int) -> Iterator[tuple[int, int, int]]:
    """All (L, m, n) with 2L / (m + n) equal to the fraction."""
    for m in range(1, longest + 1):
        for n in range(1, longest + 1):
            common, rest = divmod(numerator * (m + n), 2 * denominator)
            if rest == 0 and common <= min(m, n):
                yield common, m, n


def pair(common: int, m: int, n: int) -> tuple[str, str]:
    shared = [f"s{i}" for i in range(common)]
    return " ".join(shared + [f"a{i}" for i in range(m - common)]), " ".join(
        shared + [f"b{i}" for i in range(n - common)]
    )


def test_every_tie_at_0_7_falls_as_the_floats_of_rouge_score_let_it():
    sides = Counter()
    for common, m, n in ties(300, 7, 10):
        a, b = pair(common, m, n)
        score = fmeasure(common / n, common / m)
        assert m + n > 60 or score == rouge(a, b)
        for rule in ("<=", "<"):
            index = RougeIndex(0.7, rule)
            index.add(b)
            new = score <= 0.7 if rule == "<=" else score < 0.7
            assert found(index, a) == (None if new else (0, score)), (common, m, n, rule)
        sides[(score > 0.7) - (score < 0.7)] += 1
    assert sides == {-1: 78, 0: 1048, 1: 980}  # the floats put exact ties on the threshold and on both sides of it


@pytest.mark.parametrize("fraction", [(1, 3), (3, 5), (9, 10)])
def test_ties_at_other_thresholds(fraction):
    threshold = fraction[0] / fraction[1]
    for common, m, n in ties(60, *fraction):
        a, b = pair(common, m, n)
        score = fmeasure(common / n, common / m)
        index = RougeIndex(threshold)
        index.add(b)
        assert found(index, a) == (None if score <= threshold else (0, score)), (common, m, n)


def sentence(rng: random.Random, length: int, size: int = 300) -> list[str]:
    return [f"w{int(rng.paretovariate(0.6)) % size}" for _ in range(length)]


def varied(rng: random.Random, text: list[str], share: float) -> list[str]:
    """The text with a share of its words dropped, doubled or replaced."""
    out = []
    for word in text:
        out += rng.choice([[], [word, word], [f"x{rng.randrange(10**6)}"]]) if rng.random() < share else [word]
    return out


def test_a_pool_that_is_sorted_in_several_times():
    rng = random.Random(5)
    naive, index = Naive(0.7, "<="), RougeIndex()
    for _ in range(600):
        naive.pool.append(" ".join(sentence(rng, rng.randint(1, 40))))
        index.add(naive.pool[-1])
    rejected = 0
    for _ in range(30):
        text = " ".join(varied(rng, rng.choice(naive.pool).split(), rng.choice([0.2, 0.35, 0.5, 0.9])))
        wanted = naive.find_nearest(text)
        assert found(index, text) == wanted, text
        rejected += wanted is not None
    assert 5 < rejected < 25


@pytest.mark.parametrize("longest", [40, 41, 128, 129, 512, 513])
def test_every_text_of_a_pool_is_found_again_the_longest_and_the_shortest_too(longest):
    """After a pool of more than 256 texts has been sorted in, and at both ends of the length classes."""
    index = RougeIndex()
    pool = [" ".join(f"t{i}w{j}" for j in range(longest - i % 9)) for i in range(300)]
    pool.append(" ".join(f"longest{j}" for j in range(longest + 1)))
    pool = [pool[-1], *pool[:-1]]
    for text in pool:
        index.add(text)
    assert [found(index, text) for text in pool] == [(i, 1.0) for i in range(301)]


def by_rapidfuzz(a: str, b: str) -> float:
    one, other = a.split(), b.split()
    common = LCSseq.similarity(one, other)
    return fmeasure(common / len(other), common / len(one))


@pytest.mark.slow
@pytest.mark.parametrize(("threshold", "rule"), [(0.7, "<="), (0.55, "<"), (0.9, "<=")])
def test_a_pool_of_all_length_classes_that_grows_while_it_is_asked(threshold, rule):
    rng = random.Random(7)
    naive, index = Naive(threshold, rule, by_rapidfuzz), RougeIndex(threshold, rule)
    for turn in range(1600):
        text = sentence(rng, int(rng.choice([rng.uniform(3, 60), rng.uniform(90, 180), rng.uniform(400, 700)])), 3000)
        if turn % 20 == 0 and naive.pool:
            text = varied(rng, rng.choice(naive.pool).split(), rng.choice([0.1, 0.25, 0.35, 0.45]))
            assert found(index, " ".join(text)) == naive.find_nearest(" ".join(text))
        naive.pool.append(" ".join(text or ["w"]))
        index.add(naive.pool[-1])


@pytest.mark.parametrize("length", [100, 128, 129, 240, 520])
def test_long_texts_and_texts_of_different_classes(length):
    rng = random.Random(length)
    text = sentence(rng, length, size=4000)
    others = [varied(rng, text, share) for share in (0.3, 0.4, 0.45, 0.5)] + [text[: length * 6 // 10]]
    agree([" ".join(t) for t in (text, *others)], 0.7, "<=")


@pytest.mark.slow
def test_very_long_texts():
    rng = random.Random(3)
    text = sentence(rng, 2100, size=9000)
    assert agree([" ".join(t) for t in (text, varied(rng, text, 0.3), sentence(rng, 2000))], 0.7, "<=") == 1


def test_more_different_words_than_their_hashes_have_values():
    index = RougeIndex()
    for start in range(0, 70_000, 1000):
        index.add(" ".join(f"t{i}" for i in range(start, start + 1000)), name=str(start))
    index.add("t5 t69999 t7 t69998", name="mixed")
    mixed = index.find_nearest("t5 t69999 t7 unheard")
    tail = index.find_nearest(" ".join(f"t{i}" for i in range(69_000, 69_900)))
    assert mixed is not None
    assert (mixed.name, mixed.score, mixed.text) == ("mixed", 0.75, "t5 t69999 t7 t69998")
    assert tail is not None
    assert tail.name == "69000"
    assert all(
        index.find_nearest(" ".join(f"t{i}" for i in range(s + 500, s + 1500))) is None for s in range(0, 69_000, 999)
    )


@pytest.mark.parametrize("values", [1, 2, 7])
def test_words_that_share_a_hash_change_no_decision(monkeypatch, values):
    monkeypatch.setattr(rouge_index, "crc32", lambda word: (sum(word) % values) * 0x1234567)
    rng = random.Random(values)
    texts = [sentence(rng, rng.randint(1, 12), 12) for _ in range(80)]
    assert agree([" ".join(varied(rng, t, 0.2)) for t in texts + texts], 0.7, "<=") > 10


@given(st.lists(st.sampled_from(range(12)), max_size=60), st.lists(st.sampled_from(range(12)), max_size=60))
def test_signatures_differ_in_no_more_bits_than_words_occur_in_only_one_text_and_fold(a, b):
    a, b = ([n * 2654435761 % 2**32 for n in codes] for codes in (a, b))
    only_one = (Counter(a) - Counter(b)).total() + (Counter(b) - Counter(a)).total()
    for size in (4, 16, 64):
        differing = int.from_bytes((make_signature(a, size) ^ make_signature(b, size)).tobytes(), "little").bit_count()
        assert differing <= only_one
        assert (fold(make_signature(a, 64), size) == make_signature(a, size)).all()


@pytest.mark.slow
def test_a_text_takes_less_than_200_bytes_beside_itself():
    rng = random.Random(1)
    texts = [" ".join(sentence(rng, rng.randint(8, 30), 10_000)) for _ in range(12_000)]
    tracemalloc.start()
    try:
        index = RougeIndex()
        for i, text in enumerate(texts):
            index.add(text, f"{i:016x}")
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert taken - sum(map(len, texts)) < 200 * len(texts)


@pytest.mark.parametrize("threshold", [0, -1, 1.01, float("nan")])
def test_a_threshold_that_means_nothing_is_refused(threshold):
    with pytest.raises(ValueError, match="threshold"):
        RougeIndex(threshold)
