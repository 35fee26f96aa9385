"""Packing: every row once, no bin too full, bins of best fit decreasing, the same plan for the same seed and epoch."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filial import UsageError
from filial_plugins.trainers.steps.packing import pack_best_fit

LENGTHS = st.lists(st.integers(1, 64), max_size=120)


@settings(max_examples=150, deadline=None)
@given(lengths=LENGTHS, capacity=st.integers(64, 200), seed=st.integers(0, 3), epoch=st.integers(0, 3))
def test_every_row_is_in_one_bin_and_no_bin_is_too_full(
    lengths: list[int], capacity: int, seed: int, epoch: int
) -> None:
    bins = pack_best_fit(lengths, capacity, seed, epoch)
    assert sorted(i for rows in bins for i in rows) == list(range(len(lengths)))
    assert all(0 < sum(lengths[i] for i in rows) <= capacity for rows in bins)
    assert pack_best_fit(np.array(lengths, dtype=np.int32), capacity, seed, epoch) == bins


def best_fit_decreasing(lengths: list[int], capacity: int) -> int:
    """How many bins the textbook's method takes."""
    rooms: list[int] = []
    for size in sorted(lengths, reverse=True):
        room = min((room for room in rooms if room >= size), default=capacity)
        if room in rooms:
            rooms.remove(room)
        rooms.append(room - size)
    return len(rooms)


def like_instructions(rng: random.Random) -> int:
    """Log-normal with a template's floor, as instruction data is; median about 150."""
    return min(1024, 42 + int(rng.lognormvariate(4.7, 0.7)))


SHAPES = {
    "instructions": like_instructions,
    "short": lambda rng: rng.randint(5, 60),
    "any": lambda rng: rng.randint(1, 1024),
    "long": lambda rng: rng.randint(400, 1024),
    "two kinds": lambda rng: rng.choice([700, 324, 100]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_it_takes_as_many_bins_as_the_textbook_on_any_shape(shape: str) -> None:
    rng = random.Random(shape)
    lengths = [SHAPES[shape](rng) for _ in range(2000)]
    assert len(pack_best_fit(lengths, 1024, 0, 0)) == best_fit_decreasing(lengths, 1024)


def test_fifty_thousand_rows_fill_their_bins() -> None:
    rng = random.Random(0)
    lengths = [like_instructions(rng) for _ in range(50_000)]
    bins = pack_best_fit(lengths, 1024, 0, 0)
    assert sum(lengths) / (1024 * len(bins)) >= 0.99


def test_epochs_and_seeds_differ_and_one_of_each_is_one_plan() -> None:
    rng = random.Random(1)
    lengths = [like_instructions(rng) for _ in range(500)]
    plans = {(seed, epoch): pack_best_fit(lengths, 1024, seed, epoch) for seed in (0, 1) for epoch in (0, 1, 2)}
    assert len({str(plan) for plan in plans.values()}) == 6
    assert all(pack_best_fit(lengths, 1024, *key) == plan for key, plan in plans.items())
    together = [{frozenset(rows) for rows in plan} for plan in plans.values()]
    assert len(together[0] & together[1]) < len(together[0]) / 2, "most rows have other company in another epoch"


def test_a_row_longer_than_a_bin_is_refused_with_what_to_do() -> None:
    with pytest.raises(UsageError, match="a row of 30 tokens does not fit into packed rows of 20; raise"):
        pack_best_fit([3, 30], 20, 0, 0)
    assert pack_best_fit([], 20, 0, 0) == []
