"""Which rows share a step, epoch by epoch: a function of lengths, seed and epoch alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from filial import seeded
from filial_plugins.trainers.steps.packing import best_fit

Step = list[list[int]]
"""Bins of row indices; without packing, a bin is one row."""

WINDOW = 8  # steps whose rows are sorted together


def shuffled(count: int, size: int, seed: int, epoch: int) -> list[Step]:
    """Rows in any order, ``size`` per step (the last may hold fewer)."""
    order = _order(count, seed, epoch)
    return [[[i] for i in order[at : at + size]] for at in range(0, count, size)]


def alike(lengths: Sequence[int] | np.ndarray, size: int, seed: int, epoch: int) -> list[Step]:
    """Rows of like length share a step, so that little is padded.

    Windows of eight steps are drawn at random, sorted by length, cut, and the steps shuffled.
    """
    order = _order(len(lengths), seed, epoch)
    steps: list[Step] = []
    for at in range(0, len(order), WINDOW * size):
        window = sorted(order[at : at + WINDOW * size], key=lambda i: (lengths[i], i))
        steps += [[[i] for i in window[k : k + size]] for k in range(0, len(window), size)]
    seeded(seed, "steps", epoch).shuffle(steps)
    return steps


def packed(lengths: Sequence[int] | np.ndarray, capacity: int, size: int, seed: int, epoch: int) -> list[Step]:
    """``size`` bins of at most ``capacity`` tokens per step, filled by best fit decreasing over all rows."""
    bins = best_fit(lengths, capacity, seed, epoch)
    return [bins[at : at + size] for at in range(0, len(bins), size)]


def _order(count: int, seed: int, epoch: int) -> list[int]:
    order = list(range(count))
    seeded(seed, "epoch", epoch).shuffle(order)
    return order
