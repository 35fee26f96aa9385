"""Novelty on real instructions, where they are at hand: every pair decided as `rouge_score` decides it."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from rouge_score.rouge_scorer import _score_lcs
from rouge_score.tokenize import tokenize as rouge_tokenize

from filial.formats import read
from filial_plugins.filters.novelty.index import RougeIndex, tokenize

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "instructions_20k.jsonl.zst"
pytestmark = pytest.mark.skipif(not DATA.is_file(), reason=f"the real records are not here ({DATA.parent.name}/)")

NEAR, FAR = 100, 100


@pytest.fixture(scope="module")
def real() -> list[str]:
    """All different instructions, in the order of the alphabet, so that those that begin alike stand together."""
    pytest.importorskip("zstandard", reason="the real records are packed with it")
    return sorted({record.instruction for record in read(DATA)})


def decide(texts: list[str], anchors: int, seed: int) -> Counter[str]:
    """Ask about each anchor's neighbours in the alphabet and as many other texts; count what was compared."""
    rng, counts = random.Random(seed), Counter[str]()
    theirs = [rouge_tokenize(text, None) for text in texts]
    latin = [tokenize(text) == words for text, words in zip(texts, theirs, strict=True)]
    for place in rng.sample(range(len(texts) - NEAR), anchors):
        others = [*range(place + 1, place + 1 + NEAR), *rng.sample(range(len(texts)), FAR)]
        indices = [RougeIndex(0.7, rule, scripts) for scripts in ("latin", "all") for rule in ("<=", "<")]
        for index in indices:
            index.add(texts[place])
        for other in others:
            score = _score_lcs(theirs[place], theirs[other]).fmeasure
            close, both_latin = 0.6 < score < 0.8, latin[place] and latin[other]
            for index in indices[2 * both_latin :][: 1 + close]:  # the rules differ near the threshold alone
                found = index.find_nearest(texts[other])
                new = score <= 0.7 if index.rule == "<=" else score < 0.7
                assert (found.score if found else None) == (None if new else score), (texts[place], texts[other])
            counts["latin"] += both_latin
            counts["pairs"] += 1
            counts["too similar"] += score > 0.7
            counts["ties"] += abs(score - 0.7) < 1e-9
            counts["close"] += close
    return counts


@pytest.mark.slow
def test_10_000_real_pairs(real):
    counts = decide(real, 50, 1)
    assert counts["pairs"] == 10_000
    assert counts["too similar"] > 20


@pytest.mark.slow
def test_300_000_real_pairs(real):
    counts = decide(real, 1500, 2)
    assert counts["pairs"] == 300_000
    assert counts["latin"] > 250_000
    assert counts["too similar"] > 2000
    assert counts["close"] > 5000
    assert counts["ties"] > 0


@pytest.mark.slow
def test_a_pool_of_real_texts_keeps_and_names_what_the_loop_of_self_instruct_does(real):
    rng = random.Random(3)
    start = rng.randrange(len(real) - 120)
    texts = rng.sample(real[start : start + 120] + rng.sample(real, 60), 180)
    index, pool = RougeIndex(scripts="latin"), list[list[str]]()
    for text in texts:
        words = rouge_tokenize(text, None)
        scores = [_score_lcs(other, words).fmeasure for other in pool]
        found, best = index.find_nearest(text), max(scores, default=0.0)
        if best > 0.7:
            assert found is not None
            assert (found.place, found.score) == (scores.index(best), best)
        else:
            assert found is None
            index.add(text)
            pool.append(words)
    assert 50 < len(pool) < 180
