"""Which tasks are new: every pair is scored, and every task of a pool decided, as the program of Self-Instruct did."""

from __future__ import annotations

from typing import Any

import pytest
from rapidfuzz.distance import LCSseq
from selfinstruct_reference_kit import RECORDED, cases

from filial_plugins.filters.novelty.index import RougeIndex, f_measure, tokenize

pytestmark = RECORDED


def test_scores_of_pairs():
    for pair in cases("rouge_pairs.jsonl"):
        a, b = tokenize(pair["a"], "latin"), tokenize(pair["b"], "latin")
        common = LCSseq.similarity(a, b)
        ours = f_measure(common, len(a), len(b)) if a and b else 0.0
        assert ours == pytest.approx(pair["fmeasure"], abs=1e-12), pair
        index = RougeIndex(scripts="latin")
        index.add(pair["b"])
        assert (index.find_nearest(pair["a"]) is not None) == (pair["fmeasure"] > 0.7), pair


def decide(rows: list[dict[str, Any]], index: RougeIndex, places: list[int]) -> int:
    for row in rows:
        found = index.find_nearest(row["instruction"])
        assert (found is None) == row["accept"], row
        if found is None:
            index.add(row["instruction"])
            places.append(row["i"])
        else:
            assert found.score == pytest.approx(row["max_rougeL"], abs=1e-12), row
            assert places[found.place] == row["most_similar"], row
    return len(index)


@pytest.mark.parametrize("scripts", ["latin", "all"])
def test_sequential_decisions_from_an_empty_pool(scripts):
    assert decide(cases("sequential_from_empty.jsonl"), RougeIndex(scripts=scripts), []) == 623


@pytest.mark.parametrize("scripts", ["latin", "all"])
def test_sequential_decisions_with_the_seeds_preloaded(scripts):
    index, places = RougeIndex(scripts=scripts), []
    for row in cases("sequential_from_empty.jsonl")[:175]:
        index.add(row["instruction"])
        places.append(row["i"])
    assert decide(cases("sequential_seeds_preloaded.jsonl"), index, places) == 175 + 450
