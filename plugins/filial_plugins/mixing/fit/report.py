"""What the pilots say: a table, sentences, figures for machines, and the mix stage to put into a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from filial.commands import grid, printable
from filial_plugins.mixing.fit.law import LEVEL, Fit
from filial_plugins.mixing.fit.pilots import Pilot
from filial_plugins.mixing.fit.simplex import DECIMALS, Bounds, Mixture, Vector

FITTED = "fitted"
LEAST_EXPLAINED = 0.5
"""Share of the differences between pilots that the law must predict to be believed."""
SCATTER = 4
"""Range of pilots that differ by chance only, at most, in leave-one-out errors: 2.8 is the mean for 8 of them."""
MOST_SHOWN = 6
"""Tasks up to which the table has a column for each share."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found.

    Attributes:
        tasks: names, in the order of the shares.
        best: the mixture with the smallest loss by the law.
        pilots: all of them, with the check: one on the best mixture of the others.
        check: the check, if the best mixture is still the same with it.
        moved: the lowest and the highest share of each task in the best mixtures of fits without one pilot.
    """

    tasks: list[str]
    bounds: Bounds
    pilots: list[Pilot]
    fit: Fit
    best: Mixture
    check: Pilot | None
    moved: tuple[Vector, Vector]

    @property
    def holds(self) -> bool:
        """Whether the law predicts pilots that it has not seen."""
        return self.fit.explained >= LEAST_EXPLAINED

    @property
    def best_pilot(self) -> Pilot:
        """The pilot within the bounds with the smallest measured mean loss."""
        inside = [pilot for pilot in self.pilots if self.bounds.hold(pilot.mixture.shares)]
        return min(inside, key=self.measure)

    @property
    def chosen(self) -> Mixture:
        """The mixture to use: the best by the law if it holds, else that of the best pilot."""
        return self.best if self.holds else self.best_pilot.mixture

    def measure(self, pilot: Pilot) -> float:
        """Return the mean loss of a pilot as measured."""
        return float(pilot.losses @ self.fit.target)

    def rows(self) -> list[dict[str, Any]]:
        """Return a row per mixture to compare: those without pilots, the best pilot, the fitted one."""
        shown = [pilot for pilot in self.pilots if pilot.mixture.name in ("uniform", "proportional", "random")]
        best = self.best_pilot
        rows = [self._row(pilot.mixture, pilot) for pilot in shown]
        if best not in shown and (self.check is None or best.mixture.name != "check"):
            rows.append(self._row(Mixture("best pilot", best.mixture.shares), best))
        return [*rows, self._row(self.best, self.check)]

    def _row(self, mixture: Mixture, pilot: Pilot | None) -> dict[str, Any]:
        low, high = self.fit.interval(mixture.shares)
        measured = None if pilot is None else round(self.measure(pilot), 6)
        each = None if pilot is None else dict(zip(self.tasks, _rounded(pilot.losses), strict=True))
        return {
            "mixture": mixture.name, "weights": mixture.weights(self.tasks), "measured": measured,
            "predicted": round(self.fit.mean(mixture.shares), 6), "interval": [round(low, 6), round(high, 6)],
            "measured_losses": each,
            "predicted_losses": dict(zip(self.tasks, _rounded(self.fit.law.losses(mixture.shares)), strict=True)),
        }  # fmt: skip

    def sentences(self) -> list[str]:
        """Say how far the law can be believed, and whether the differences between mixtures are more than noise."""
        fit, said = self.fit, list[str]()
        error = f"leave-one-out error {fit.error:.4f}"
        if self.holds:
            said.append(
                f"the law predicts {fit.explained:.0%} of the differences between pilots it has not seen ({error})"
            )
        else:
            said.append(
                f"warning: the law does not hold here: it predicts {max(0.0, fit.explained):.0%} of the differences "
                f"between pilots that it has not seen ({error}), so the best pilot is chosen instead; more pilots, or "
                "longer ones, may help"
            )
        spread = float(fit.means.max() - fit.means.min())
        if not self.holds and spread <= SCATTER * fit.error:
            said.append(
                f"warning: the mean losses of all pilots lie within {spread:.4f}, as they would by chance: by these "
                "pilots no mixture is better than another"
            )
        for row in self.rows()[:-1]:
            if row["mixture"] != "best pilot":
                said.append(self._compare(row))
        return said

    def _compare(self, row: dict[str, Any]) -> str:
        """Say how the chosen mixture does beside another one."""
        name, mine = row["mixture"], self.check if self.holds else self.best_pilot
        measured = None if mine is None else row["measured"] - self.measure(mine)
        if not self.holds:
            assert measured is not None
            noise = ", within noise" if abs(measured) <= 2 * self.fit.error else ""
            return f"the best pilot is {_describe(measured, row)} {name}, measured{noise}"
        other = np.array([row["weights"][task] for task in self.tasks])
        gain, error = self.fit.difference(other, self.best.shares)
        found = "" if measured is None else f"; measured: {_describe(measured, row)} it"
        noise = "; that is within noise" if abs(gain) <= 2 * error else ""
        return f"fitted is {_describe(gain, row)} {name} by the law, with a standard error of {error:.4f}{noise}{found}"

    def table(self) -> str:
        """Format the mixtures beside each other."""
        shares = self.tasks if len(self.tasks) <= MOST_SHOWN else []
        head = ["mixture", *map(printable, shares), "measured", "predicted", f"{LEVEL:.0%} interval"]
        lines = []
        for row in self.rows():
            measured = "–" if row["measured"] is None else f"{row['measured']:.4f}"
            low, high = row["interval"]
            weights = [f"{row['weights'][task]:.3f}" for task in shares]
            lines.append([row["mixture"], *weights, measured, f"{row['predicted']:.4f}", f"{low:.4f} to {high:.4f}"])
        return grid(head, lines)

    def figures(self) -> dict[str, Any]:
        """Return everything for machines."""
        return {
            "tasks": self.tasks,
            "target": dict(zip(self.tasks, _rounded(self.fit.target), strict=True)),
            "pilots": [
                {
                    "mixture": pilot.mixture.name, "weights": pilot.mixture.weights(self.tasks),
                    "losses": dict(zip(self.tasks, _rounded(pilot.losses), strict=True)),
                    "mean": round(self.measure(pilot), 6),
                }
                for pilot in self.pilots
            ],
            "law": {
                "form": "loss_i = floor_i + exp(sum_j slope_ij * share_j)",
                "floors": dict(zip(self.tasks, _rounded(self.fit.law.floors), strict=True)),
                "slopes": {
                    task: dict(zip(self.tasks, _rounded(row), strict=True))
                    for task, row in zip(self.tasks, self.fit.law.slopes, strict=True)
                },
            },
            "leave_one_out_error": round(self.fit.error, 6), "explained": round(self.fit.explained, 4),
            "holds": self.holds, "mixtures": self.rows(), "chosen": self.chosen.weights(self.tasks),
            "moved": {task: [round(float(low), DECIMALS), round(float(high), DECIMALS)]
                      for task, low, high in zip(self.tasks, *self.moved, strict=True)},
            "said": self.sentences(),
        }  # fmt: skip


def write_fragment(finding: Finding, body: dict[str, Any], about: Sequence[str]) -> str:
    """Return the mix stage with the chosen weights, as a recipe's ``stages`` takes it.

    Args:
        body: the other keys of the stage.
        about: lines of a comment above it.
    """
    import yaml

    rows = {row["mixture"]: row for row in finding.rows()}
    row = rows[FITTED] if finding.holds else rows.get("best pilot", rows.get(finding.chosen.name, rows[FITTED]))
    low, high = row["interval"]
    lines = [
        *about,
        f"Mean held-out loss of a pilot: predicted {row['predicted']:.4f} ({LEVEL:.0%} interval {low:.4f} to "
        f"{high:.4f})"
        + ("" if row["measured"] is None else f", measured {row['measured']:.4f}") + ".",
        *(f"{other['mixture']}: predicted {other['predicted']:.4f}, measured {other['measured']:.4f}."
          for other in finding.rows()[:-1] if other["measured"] is not None),
        *(f"{sentence[0].upper()}{sentence[1:]}." for sentence in finding.sentences()),
    ]  # fmt: skip
    stage = {"mix": {"use": "weights", "weights": finding.chosen.weights(finding.tasks), **body}}
    text = yaml.safe_dump([stage], sort_keys=False, allow_unicode=True, width=120)
    return "".join(f"# {printable(line)}\n" for line in lines) + text


def _describe(gain: float, row: dict[str, Any]) -> str:
    return f"{abs(gain):.4f} ({abs(gain) / row['predicted']:.1%}) {'below' if gain >= 0 else 'above'}"


def _rounded(values: Vector) -> list[float]:
    return [round(float(value), 6) for value in values]
