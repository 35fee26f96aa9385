"""The law of held-out losses: what each task's loss is on a model that was trained on a mixture, and the best mixture.

The loss of task i after training on shares r is ``c_i + exp(sum_j a_ij r_j)``: the exponential form of data mixing laws
(Ye et al., 2024, arXiv 2403.16952), whose factor k_i is in a_ij, since shares sum to 1. For a given c_i it is fitted by
least squares with a small ridge; c_i and the ridge are those whose leave-one-out error is smallest. The law is convex,
so its best mixture within bounds is found by descent.

Everything that is said of a prediction comes from fits that leave out one pilot each: the error, and the interval
(jackknife+; Barber et al., 2021, arXiv 1905.02928).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from filial_plugins.mixing.fit.simplex import Bounds, Vector

FLOORS = (0.0, *(1 - 0.5 ** (k / 2) for k in range(1, 17)))
"""Values tried for c_i, as a share of the task's smallest loss."""
RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Values tried for the ridge, as a share of the mean weight of a pilot."""
LEVEL = 0.8
"""Nominal coverage of the interval."""
STEPS = 3000
ITERATIONS, HIGHEST = 30, 20.0
"""Steps of a regression, and the largest exponent in it."""


@dataclass(frozen=True, slots=True)
class Law:
    """The losses of all tasks as a function of the shares.

    ``floors``: c_i, one per task. ``slopes``: a_ij, a row per task.
    """

    floors: Vector
    slopes: Vector

    def losses(self, shares: Vector) -> Vector:
        """Return each task's loss for a mixture, or for many (a row each)."""
        return self.floors + np.exp(shares @ self.slopes.T)

    def find_best(self, target: Vector, bounds: Bounds) -> Vector:
        """Return the mixture within the bounds with the smallest mean loss, weighted by ``target``."""
        shares = bounds.project(np.full(len(target), 1 / len(target)))
        step, value = 1.0, float(self.losses(shares) @ target)
        for _ in range(STEPS):  # projected gradient descent; the mean loss is convex
            gradient = (target * np.exp(shares @ self.slopes.T)) @ self.slopes
            moved = bounds.project(shares - step * gradient)
            lower = float(self.losses(moved) @ target)
            if lower < value:
                gain, shares, value, step = value - lower, moved, lower, step * 2
                if gain < 1e-13 * abs(value):
                    break
            elif step < 1e-9:
                break
            else:
                step /= 4
        return shares


def fit_law(shares: Vector, losses: Vector) -> Law:
    """Fit the law to pilots.

    Args:
        shares: a row per pilot, a column per task.
        losses: the same for the held-out losses.
    """
    found = [_fit_task(shares, column) for column in losses.T]
    return Law(np.array([floor for floor, _ in found]), np.array([slopes for _, slopes in found]))


def _fit_task(shares: Vector, losses: Vector) -> tuple[float, Vector]:
    """Return floor and slopes of one task, those with the smallest leave-one-out error."""
    parts = np.array(FLOORS)
    for _ in range(2):  # over all floors, then between the neighbours of the best
        tried, ridges = (axis.ravel() for axis in np.meshgrid(parts, RIDGES, indexing="ij"))
        errors, slopes = _solve(shares, losses, tried * losses.min(), ridges)
        best = int(np.argmin(errors))
        floor, row, at = float(tried[best] * losses.min()), slopes[best], best // len(RIDGES)
        parts = np.linspace(parts[max(0, at - 1)], parts[min(len(parts) - 1, at + 1)], 9)
    return floor, row


def _solve(shares: Vector, losses: Vector, floors: Vector, ridges: Vector) -> tuple[Vector, Vector]:
    """Return the leave-one-out error and the slopes for each pair of a floor and a ridge.

    Least squares of the losses by Levenberg-Marquardt, all pairs at once, from the regression of log(loss - floor). The
    ridge draws the slopes of a task to their mean: where pilots say little, a share matters little. The error without a
    pilot is its residual / (1 - leverage), as in linear regression.
    """
    pilots, tasks = shares.shape
    design = np.column_stack([np.ones(pilots), shares - 1 / tasks])
    above = losses - floors[:, None]
    weight = np.mean(above**2, axis=1)
    penalty = np.diag([0.0] + [1.0] * tasks) * (ridges * weight)[:, None, None]
    start = np.linalg.solve(design.T @ design + np.diag([1e-9] + [1e-2] * tasks), design.T @ np.log(above).T).T

    def cost(found: Vector) -> Vector:
        rest = above - np.exp(np.minimum(found @ design.T, HIGHEST))
        total: Vector = np.sum(rest**2, axis=1) + np.einsum("ki,kij,kj->k", found, penalty, found)
        return total

    found, damping, value = start, np.full(len(floors), 1e-2), cost(start)
    for _ in range(ITERATIONS):
        value_at = np.exp(np.minimum(found @ design.T, HIGHEST))
        slope = design * value_at[:, :, None]
        turned = slope.transpose(0, 2, 1)
        curve = turned @ slope + penalty
        pull = (turned @ (above - value_at)[:, :, None])[:, :, 0] - np.einsum("kij,kj->ki", penalty, found)
        damped = curve + np.eye(tasks + 1) * (damping * weight)[:, None, None]
        moved = found + np.linalg.solve(damped, pull[:, :, None])[:, :, 0]
        lower = cost(moved)
        better = lower < value
        found, value = np.where(better[:, None], moved, found), np.where(better, lower, value)
        damping = np.where(better, damping / 4, damping * 4)
    value_at = np.exp(np.minimum(found @ design.T, HIGHEST))
    slope = design * value_at[:, :, None]
    turned = slope.transpose(0, 2, 1)
    inverse = np.linalg.inv(turned @ slope + penalty + 1e-9 * np.eye(tasks + 1) * weight[:, None, None])
    leverage = np.einsum("kij,kjl,kil->ki", slope, inverse, slope)
    freedom = 1 - np.minimum(leverage.sum(axis=1) + 1, pilots - 0.1) / pilots  # the floor counts as a parameter, too
    errors = np.mean((above - value_at) ** 2, axis=1) / freedom**2
    constant, slopes = found[:, :1], found[:, 1:]
    return errors, slopes + constant - slopes.mean(axis=1, keepdims=True)


@dataclass(frozen=True, slots=True)
class Fit:
    """A law with what leaving out one pilot at a time says of it.

    Attributes:
        target: weight of each task in the mean loss.
        means: mean loss of each pilot, as measured.
        without: the law without one pilot, in the order of the pilots.
        errors: what that law is off by, in the mean loss of the pilot.
    """

    law: Law
    target: Vector
    means: Vector
    without: tuple[Law, ...]
    errors: Vector

    def mean(self, shares: Vector) -> float:
        """Return the predicted mean loss of a mixture."""
        return float(self.law.losses(shares) @ self.target)

    def interval(self, shares: Vector) -> tuple[float, float]:
        """Return the interval of the mean loss of a mixture, at `LEVEL` if the pilots are like it (jackknife+)."""
        centres = np.array([law.losses(shares) @ self.target for law in self.without])
        count = len(centres)
        rank = min(count, math.ceil(LEVEL * (count + 1)))
        low, high = np.sort(centres - np.abs(self.errors)), np.sort(centres + np.abs(self.errors))
        return float(low[count - rank]), float(high[rank - 1])

    def difference(self, one: Vector, other: Vector) -> tuple[float, float]:
        """Return by how much the predicted mean loss of ``one`` is above that of ``other``, with the jackknife's
        standard error."""
        values = np.array([float((law.losses(one) - law.losses(other)) @ self.target) for law in self.without])
        count = len(values)
        spread = float(np.sum((values - values.mean()) ** 2))
        return self.mean(one) - self.mean(other), math.sqrt((count - 1) / count * spread)

    @property
    def error(self) -> float:
        """The leave-one-out error of the mean loss: root of the mean square."""
        return float(np.sqrt(np.mean(self.errors**2)))

    @property
    def explained(self) -> float:
        """The share of the differences between pilots that the law predicts, each without its pilot; may be below 0."""
        others = (self.means.sum() - self.means) / (len(self.means) - 1)
        spread = float(np.sum((self.means - others) ** 2))
        return 1 - float(np.sum(self.errors**2)) / spread if spread else 0.0


def fit(shares: Sequence[Vector], losses: Sequence[Vector], target: Vector) -> Fit:
    """Fit the law to pilots, and once more without each of them."""
    points, found = np.array(shares), np.array(losses)
    means = found @ target
    rest = [[k for k in range(len(points)) if k != i] for i in range(len(points))]
    without = tuple(fit_law(points[others], found[others]) for others in rest)
    guesses = np.array([law.losses(point) @ target for law, point in zip(without, points, strict=True)])
    return Fit(fit_law(points, found), target, means, without, means - guesses)
