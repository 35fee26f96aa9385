"""Mixing rates as seqio computes them (`seqio.Mixture`, `mixing_rate_num_examples`), where its results are at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from filial_plugins.mixers.sizes import ExamplesProportional, Temperature

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
