"""Mixing rates as seqio computes them (`seqio.Mixture`, `mixing_rate_num_examples`), where its results are at hand."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from filial_plugins.mixers.examples_proportional import ExamplesProportional
from filial_plugins.mixers.temperature import Temperature
from filial_plugins.mixers.weights import Weights
from filial_plugins.mixing.mixture import Mixture

FLAN = Path(__file__).parents[2].parent / "shared" / "reference" / "flan"
pytestmark = pytest.mark.skipif(not FLAN.is_dir(), reason=f"the original's results are not here ({FLAN.parent.name}/)")


def cases() -> list[dict[str, Any]]:
    """Every case, those of all tasks with the sizes that stand in another file."""
    if not FLAN.is_dir():
        return []
    tasks = json.loads((FLAN / "task_sizes.json").read_text())["sizes"]
    found = [json.loads(line) for line in (FLAN / "mixing_rates.jsonl").read_text().splitlines()]
    everything = {name: sizes["zero_shot"] for name, sizes in tasks.items()}
    return [{"sizes": everything, **case} for case in found]


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case['set']}-{case['config']}")
def test_rates_and_expected_counts_are_those_of_seqio(case: dict[str, Any]) -> None:
    rates = Temperature(**{"temperature": 1.0, **case["params"]}).rates(case["sizes"])
    whole = sum(rates.values())
    assert whole == pytest.approx(case["total_rate"], rel=1e-9)
    assert {name: rate / whole for name, rate in rates.items()} == pytest.approx(case["proportions"], abs=1e-9)
    for theirs in ("rates", "expected_counts_100000"):  # the large set has its proportions alone
        ours = {name: rate if theirs == "rates" else 100_000 * rate / whole for name, rate in rates.items()}
        assert ours == pytest.approx(case.get(theirs, ours), rel=1e-9, abs=1e-9)
    if case["params"].keys() <= {"maximum"}:
        assert ExamplesProportional(**case["params"]).rates(case["sizes"]) == rates


def test_there_are_cases() -> None:
    assert len(cases()) >= 30


async def rates_of(mixture: Mixture, sizes: dict[str, int]) -> dict[str, float]:
    return mixture.mixer.rates(sizes)


def mixture_rates(mixture: Mixture, sizes: dict[str, int]) -> dict[str, float]:
    return asyncio.run(mixture.rates(sizes, rates_of))


def nested() -> list[Any]:
    """The mixtures of mixtures, each with its weights, caps and sizes."""
    if not FLAN.is_dir():
        return []
    found = json.loads((FLAN / "nested_mixtures.json").read_text())
    return [pytest.param(case, id=name) for name, case in found.items() if "proportion_per_task" in case]


@pytest.mark.parametrize("case", nested())
def test_a_mixture_of_mixtures_has_the_proportions_of_seqio(case: dict[str, Any]) -> None:
    members = {
        name: Mixture(ExamplesProportional(maximum=case["caps"][name]), dict.fromkeys(sizes))
        for name, sizes in case["sizes"].items()
    }
    sizes = {task: count for part in case["sizes"].values() for task, count in part.items()}
    rates = mixture_rates(Mixture(Weights(weights=case["weights"]), members), sizes)
    whole = sum(rates.values())
    assert whole == pytest.approx(case["total_rate"], rel=1e-9)
    expected = {task: share for part in case["proportion_per_task"].values() for task, share in part.items()}
    assert {task: rate / whole for task, rate in rates.items()} == pytest.approx(expected, abs=1e-9)


def test_the_rates_of_a_shared_task_add_up_as_in_seqio() -> None:
    case = json.loads((FLAN / "overlapping_submixtures.json").read_text())
    parts = {name: Mixture(Weights(weights=case[name]), dict.fromkeys(case[name])) for name in ("A", "B")}
    whole = Mixture(Weights(weights=case["T"]), {**parts, "z": None})
    rates = mixture_rates(whole, dict.fromkeys(case["get_rate"], 1))
    assert rates == pytest.approx(case["get_rate"], rel=1e-9)
    assert sum(rates.values()) == pytest.approx(case["total_rate"], rel=1e-9)
