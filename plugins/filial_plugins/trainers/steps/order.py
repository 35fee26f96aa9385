"""Choose which rows share a step, by lengths, seed and epoch only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from filial import seeded_rng
from filial_plugins.trainers.steps.packing import pack_best_fit

Step = list[list[int]]
"""Bins of row indices; without packing, a bin is one row."""

WINDOW_STEPS = 8  # steps whose rows are sorted together


def shuffle_rows(count: int, size: int, seed: int, epoch: int) -> list[Step]:
    """Put rows in random order, ``size`` per step (the last step may have fewer)."""
    order = _draw_order(count, seed, epoch)
    return [[[i] for i in order[at : at + size]] for at in range(0, count, size)]


def group_by_length(lengths: Sequence[int] | np.ndarray, size: int, seed: int, epoch: int) -> list[Step]:
    """Group rows of similar length into steps, so that little is padded.

    The random order is cut into windows of eight steps; each window is sorted by length and cut into steps, and the
    steps are shuffled.
    """
    order = _draw_order(len(lengths), seed, epoch)
    steps: list[Step] = []
    for at in range(0, len(order), WINDOW_STEPS * size):
        window = sorted(order[at : at + WINDOW_STEPS * size], key=lambda i: (lengths[i], i))
        steps += [[[i] for i in window[k : k + size]] for k in range(0, len(window), size)]
    seeded_rng(seed, "steps", epoch).shuffle(steps)
    return steps


def pack_rows(lengths: Sequence[int] | np.ndarray, capacity: int, size: int, seed: int, epoch: int) -> list[Step]:
    """Pack rows into bins of at most ``capacity`` tokens (best fit decreasing), ``size`` bins per step."""
    bins = pack_best_fit(lengths, capacity, seed, epoch)
    return [bins[at : at + size] for at in range(0, len(bins), size)]


def _draw_order(count: int, seed: int, epoch: int) -> list[int]:
    order = list(range(count))
    seeded_rng(seed, "epoch", epoch).shuffle(order)
    return order
