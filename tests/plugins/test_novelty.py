"""Novelty decides as `rouge_score` does, pair by pair, at any pool size. `rouge_score` itself is the oracle."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from filial import Context, Drop, Keep, Message, Record
from filial.testing import FilterContract
from filial_plugins.filters.novelty import Novelty
from filial_plugins.filters.rouge_index import RougeIndex, tokens

SCORER = RougeScorer(["rougeL"], use_stemmer=False)


def rouge(a: str, b: str) -> float:
    return SCORER.score(a, b)["rougeL"].fmeasure


class Naive:
    """The loop of Self-Instruct: score against everything, take the maximum."""

    def __init__(self, threshold: float, rule: str) -> None:
        self.threshold, self.rule, self.pool = threshold, rule, list[str]()

    def nearest(self, text: str) -> tuple[int, float] | None:
        scores = [rouge(text, other) for other in self.pool]
        best = max(scores, default=0.0)
        keep = best <= self.threshold if self.rule == "<=" else best < self.threshold
        return None if keep else (scores.index(best), best)


def agree(texts: list[str], threshold: float, rule: str) -> int:
    """Feed both, one text after the other; both must say the same of each. Returns how many were rejected."""
    naive, index = Naive(threshold, rule), RougeIndex(threshold, rule)
    rejected = 0
    for text in texts:
        found, wanted = index.nearest(text), naive.nearest(text)
        assert (None if found is None else (found.place, found.score)) == wanted, text
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
def test_any_text_with_latin_letters(texts, rule):
    agree([text + " a" for text in texts], 0.7, rule)


def ties(longest: int, numerator: int, denominator: int) -> Iterator[tuple[int, int, int]]:
    """All (L, m, n) with 2L / (m + n) equal to the fraction."""
    for m in range(1, longest + 1):
        for n in range(1, longest + 1):
            common, rest = divmod(numerator * (m + n), 2 * denominator)
            if rest == 0 and common <= min(m, n):
                yield common, m, n


@pytest.mark.parametrize("rule", ["<=", "<"])
def test_every_tie_falls_as_the_floats_of_rouge_score_let_it(rule):
    seen = set()
    for common, m, n in ties(60, 7, 10):
        shared = [f"s{i}" for i in range(common)]
        a = " ".join(shared + [f"a{i}" for i in range(m - common)])
        b = " ".join(shared + [f"b{i}" for i in range(n - common)])
        score = rouge(a, b)
        index = RougeIndex(0.7, rule)
        index.add(b)
        found = index.nearest(a)
        assert (found is None) == (score <= 0.7 if rule == "<=" else score < 0.7), (common, m, n)
        assert found is None or found.score == score
        seen.add((score > 0.7) - (score < 0.7))
    assert seen == {-1, 0, 1}  # the floats put exact ties on the threshold and on both sides of it


def sentence(rng: random.Random, length: int, size: int = 300) -> list[str]:
    return [f"w{int(rng.paretovariate(0.6)) % size}" for _ in range(length)]


def varied(rng: random.Random, text: list[str], share: float) -> list[str]:
    """The text with a share of its words dropped, doubled or replaced."""
    out = []
    for word in text:
        out += rng.choice([[], [word, word], [f"x{rng.random():.3f}"]]) if rng.random() < share else [word]
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
        found = index.nearest(text)
        assert (found and (found.place, found.score)) == naive.nearest(text), text
        rejected += found is not None
    assert 5 < rejected < 25


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


@pytest.mark.slow
def test_more_words_than_unicode_has_characters():
    index = RougeIndex()
    for start in range(0, 1_120_000, 1000):
        index.add(" ".join(f"t{i}" for i in range(start, start + 1000)), name=str(start))
    index.add("t5 t1119999 t7 t1119998", name="mixed")
    found = index.nearest("t5 t1119999 t7 unheard")
    assert found is not None
    assert (found.name, found.score) == ("mixed", 0.75)
    tail = index.nearest(" ".join(f"t{i}" for i in range(1_119_000, 1_119_900)))
    assert tail is not None
    assert tail.name == "1119000"


@given(st.text(max_size=60))
def test_tokens_are_those_of_rouge_score(text):
    from rouge_score.tokenize import tokenize

    theirs = tokenize(text, None)
    assert tokens(text) == theirs or not theirs


def test_texts_without_latin_letters_are_compared_by_characters():
    index = RougeIndex()
    index.add("把下面的句子翻译成英文。", "first")
    assert index.nearest("把下面的句子翻译成法文。").name == "first"
    assert index.nearest("写一首关于秋天的诗") is None
    assert index.nearest("Translate the sentence below into English.") is None
    assert index.nearest("  \n") is None


@pytest.mark.parametrize("threshold", [0, -1, 1.01, float("nan")])
def test_a_threshold_that_means_nothing_is_refused(threshold):
    with pytest.raises(ValueError, match="threshold"):
        RougeIndex(threshold)


# The filter -------------------------------------------------------------------------------------------------


class TestContract(FilterContract):
    component = Novelty()


def run(novelty: Novelty, *records: Record) -> list[Keep | Drop]:
    ctx = Context(None)
    return [novelty.check(record, ctx) for record in records]


def kept(results: list[Keep | Drop]) -> list[bool]:
    return [isinstance(result, Keep) for result in results]


A = Record(id="a", instruction="Sort the list of words by length.", input="bee, ox", output="ox, bee")


def test_a_drop_names_its_nearest_neighbour_and_score():
    near = A.replaced(id="b", instruction="Sort the list of words by their length.")
    _, drop = run(Novelty(), A, near)
    assert isinstance(drop, Drop)
    assert drop.reason == "too-similar"
    assert drop.detail == "ROUGE-L 0.933 with a: Sort the list of words by length."


def test_further_examples_of_an_accepted_instruction_stay_unless_unwanted():
    more = A.replaced(id="b", input="cow, ant, gnat")
    assert kept(run(Novelty(), A, more)) == [True, True]
    assert kept(run(Novelty(instances="drop"), A, more)) == [True, False]


def test_a_rejected_instruction_opens_no_door_for_its_own_copies():
    near = A.replaced(instruction="Sort the list of words by their length.")
    assert kept(run(Novelty(), A, near, near)) == [True, False, False]


def test_compare_question_takes_the_input_into_account():
    rose = Record(instruction="Describe it.", input="a red rose in a glass of water on the table")
    ship = rose.replaced(input="an old ship far out on a cold sea")
    assert kept(run(Novelty(compare="question"), rose, ship, rose)) == [True, True, False]


def test_the_two_rules_differ_on_an_exact_tie():
    tie = [Record(instruction="one two three four five six seven " + rest) for rest in ("a b c", "x y z")]
    assert kept(run(Novelty(), *tie)) == [True, True]
    assert kept(run(Novelty(rule="<"), *tie)) == [True, False]


def test_conversations_are_compared_by_their_first_question():
    def talk(text: str) -> Record:
        return Record(messages=(Message(role="user", content=text), Message(role="assistant", content="Well.")))

    near = "Who wrote this very old song?"
    assert kept(run(Novelty(), talk("Who wrote this very old poem?"), talk(near))) == [True, False]


def test_two_filters_of_one_stage_do_not_share_a_pool():
    ctx = Context(None)
    assert isinstance(Novelty().check(A, ctx), Keep)
    assert isinstance(Novelty(instances="drop").check(A, ctx), Keep)


@pytest.mark.parametrize("text", ["\ud800", "x" * 1_000_000, "the " * 20_000, "字" * 20_000, "...", "\x00"])
def test_strange_texts_never_raise(text):
    assert kept(run(Novelty(instances="drop"), A, Record(instruction=text), Record(instruction=text)))[:2] == [True] * 2
