"""Seeded sampling: exactly the distribution that was asked for, row by row."""

import pytest
import torch
from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from filial_plugins.teachers.local_sampling import Sampler, Sampling

pytestmark = pytest.mark.train

LOGITS = torch.tensor([2.0, -1.0, 0.5, 0.4, 3.0, 1.5, -torch.inf, 0.0])


def drawn(rows):
    scores = Sampler(torch, rows)(torch.zeros(len(rows), 1), LOGITS.repeat(len(rows), 1))
    return scores.argmax(-1).tolist()


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"),
    [(1.0, None, None), (0.5, None, None), (2.0, 3, None), (1.0, None, 0.8), (1.5, 5, 0.7), (1.0, 1, None)],
)
def test_tokens_come_as_often_as_the_library_s_own_settings_say(temperature, top_k, top_p):
    warpers = [TemperatureLogitsWarper(temperature)]
    warpers += [TopKLogitsWarper(top_k)] if top_k else []
    warpers += [TopPLogitsWarper(top_p)] if top_p else []
    wanted = LogitsProcessorList(warpers)(torch.zeros(1, 1), LOGITS[None]).softmax(-1)[0]
    count = 8_000
    found = drawn([Sampling(temperature, top_k, top_p, str(i)) for i in range(count)])
    seen = torch.bincount(torch.tensor(found), minlength=len(LOGITS)) / count
    assert not seen[wanted == 0].any()
    allowed = 4.5 * (wanted * (1 - wanted) / count).sqrt() + 1e-9
    assert ((seen - wanted).abs() <= allowed).all()


def test_a_row_draws_the_same_whatever_its_neighbours_want():
    row = Sampling(1.0, None, None, "mine")
    alone = drawn([row])
    others = [Sampling(0.1, 2, None, "a"), None, Sampling(3.0, None, 0.2, "b")]
    assert drawn([*others, row])[-1:] == alone
    assert {drawn([Sampling(1.0, None, None, str(i))])[0] for i in range(50)} > {0, 4}


def test_rows_that_want_no_sampling_are_left_alone():
    scores = LOGITS.repeat(2, 1)
    out = Sampler(torch, [None, Sampling(1.0, None, None, "x")])(torch.zeros(2, 1), scores)
    assert torch.equal(out[0], LOGITS)
    assert torch.isfinite(out[1]).sum() == 1


def test_a_difference_of_rounding_hardly_ever_changes_a_draw():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(2000, 1000, generator=generator)
    nudged = scores + 1e-6 * torch.randn(2000, 1000, generator=generator)
    rows = [Sampling(1.0, None, None, str(i)) for i in range(2000)]
    one, other = (Sampler(torch, rows)(torch.zeros(2000, 1), s).argmax(-1) for s in (scores, nudged))
    assert (one != other).sum() <= 1


@pytest.mark.parametrize("top_p", [0.3, 0.999])
def test_a_large_vocabulary_keeps_what_the_library_keeps(top_p):
    generator = torch.Generator().manual_seed(1)
    scores = torch.randn(1, 5000, generator=generator)
    wanted = TopPLogitsWarper(top_p)(torch.zeros(1, 1), scores.clone())[0].isfinite()
    rows = [Sampling(1.0, None, top_p, str(i)) for i in range(1500)]
    seen = Sampler(torch, rows)(torch.zeros(1500, 1), scores.repeat(1500, 1)).argmax(-1).unique()
    assert wanted[seen].all()
    assert len(seen) > min(300, 0.9 * wanted.sum())
