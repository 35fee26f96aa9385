"""Mixtures as points: shares of tasks that sum to 1, within bounds; which of them pilots are to train on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from filial import UsageError
from filial.storage import digest

Vector = NDArray[np.float64]
Weights = dict[str, float]

DECIMALS = 4
"""Of a share as it is trained, printed and written."""
CANDIDATES = 2000
"""Random mixtures among which the next pilot is chosen."""
LEAST = 0.2
"""Lowest share of a task without bounds, as a part of an equal share: a mix that leaves a task out is for its user to
ask for."""
REACH = 2 / 3
"""How far pilots go from the uniform mixture towards a single task: losses at the corners are large, and a law that has
to follow them is worse between them."""
SAME = 0.02
"""Mixtures that differ by no more than this share in all are one pilot."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The lowest and the highest share of each task."""

    low: Vector
    high: Vector

    def hold(self, shares: Vector) -> bool:
        """Return whether rounded shares lie within the bounds."""
        slack = 10.0**-DECIMALS
        return bool((shares >= self.low - slack).all() and (shares <= self.high + slack).all())

    def project(self, point: Vector) -> Vector:
        """Return the mixture within the bounds that is nearest to a point, or one for each row of points."""
        least = np.min(self.low - point, axis=-1, keepdims=True)
        most = np.max(self.high - point, axis=-1, keepdims=True)
        for _ in range(60):  # the sum of shares grows with the shift
            shift = (least + most) / 2
            below = np.clip(point + shift, self.low, self.high).sum(axis=-1, keepdims=True) < 1
            least, most = np.where(below, shift, least), np.where(below, most, shift)
        nearest: Vector = np.clip(point + most, self.low, self.high)
        return nearest


@dataclass(frozen=True, slots=True)
class Mixture:
    """A mixture with a name."""

    name: str
    shares: Vector

    def weights(self, tasks: Sequence[str]) -> Weights:
        """Return the share of each task."""
        return dict(zip(tasks, (float(share) for share in self.shares), strict=True))


def make_bounds(tasks: Sequence[str], given: Mapping[str, tuple[float, float]]) -> Bounds:
    """Return the bounds of all tasks; those that are not given are `LEAST` of an equal share, and 1.

    Raises:
        UsageError: an unknown task, or no mixture lies within the bounds.
    """
    for task in given:
        require_task(task, tasks, "--bounds")
    left = max(0.0, 1 - sum(low for low, _ in given.values()))
    least = min(LEAST / len(tasks), left / max(1, len(tasks) - len(given)))
    low, high = (np.array([given.get(task, (least, 1.0))[side] for task in tasks]) for side in (0, 1))
    if low.sum() > 1 + 1e-9:
        raise UsageError(f"--bounds: the lowest shares sum to {low.sum():g}, more than 1; lower some of them")
    if high.sum() < 1 - 1e-9:
        raise UsageError(f"--bounds: the highest shares sum to {high.sum():g}, less than 1; raise some of them")
    return Bounds(low, high)


def require_task(name: str, tasks: Sequence[str], flag: str) -> None:
    """Refuse a task that does not exist.

    Raises:
        UsageError: names those that do.
    """
    if name not in tasks:
        raise UsageError(f"{flag} names {name!r}, but the tasks are {', '.join(map(repr, tasks))}")


def round_shares(shares: Vector) -> Vector:
    """Return shares of `DECIMALS` decimals that sum to 1, by largest remainder."""
    whole = 10**DECIMALS
    scaled = shares / shares.sum() * whole
    counts = np.floor(scaled + 1e-9)
    order = np.argsort(counts - scaled, kind="stable")
    counts[order[: int(whole - counts.sum())]] += 1
    rounded: Vector = counts / whole
    return rounded


def plan_mixtures(sizes: Sequence[int], bounds: Bounds, count: int, seed: int) -> list[Mixture]:
    """Return the mixtures of the pilots: uniform, size-proportional, one at random, then others that fill the space.

    The first three are what one would do without pilots, so they do not follow the bounds. Each further mixture is the
    one of many random ones within the bounds that is farthest from those before it (Hellinger distance). The same seed
    gives the same mixtures; more pilots add to those of fewer.
    """
    tasks = len(sizes)
    rng = np.random.default_rng(int(digest("mix fit", seed), 16))
    given = [
        Mixture("uniform", round_shares(np.ones(tasks))),
        Mixture("proportional", round_shares(np.array(sizes, dtype=float))),
        Mixture("random", round_shares(rng.dirichlet(np.ones(tasks)))),
    ]
    found: list[Mixture] = []
    for mixture in given:
        if all(np.abs(mixture.shares - one.shares).sum() > SAME for one in found):
            found.append(mixture)
    candidates = bounds.project(REACH * rng.dirichlet(np.ones(tasks), CANDIDATES) + (1 - REACH) / tasks)
    roots = np.sqrt(candidates)
    while len(found) < count:
        apart = np.min([np.linalg.norm(roots - np.sqrt(one.shares), axis=1) for one in found], axis=0)
        number = len(found) - len(given) + 4
        found.append(Mixture(f"spread {number}", round_shares(candidates[int(np.argmax(apart))])))
    return found[:count]
