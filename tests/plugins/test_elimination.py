"""Precision and recall of the elimination rules where the truth is known: the benchmark, in small."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "elimination.py"


@pytest.fixture(scope="module")
def elimination() -> ModuleType:
    spec = importlib.util.spec_from_file_location("elimination_benchmark", BENCHMARK)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_every_rule_finds_its_faults_and_little_else(elimination, tmp_path):
    tried = elimination.run(tmp_path, seeds=250, rounds=3, noise=0.2, equality="ask")
    scores = elimination.scored(tried)
    assert set(scores) == set(elimination.ORDER)
    for rule, score in scores.items():
        assert score.caught >= 10, f"{rule}: too few faults to tell"
        assert score.recall >= 0.95, f"{rule} missed {elimination.shown(tried, rule)}"
        assert score.precision >= 0.95, f"{rule} dropped {elimination.shown(tried, rule)}"


def test_texts_alone_do_not_tell_a_task_in_other_words(elimination, tmp_path):
    """Why there is a judge: without it, only what comes back unchanged is found, and nothing is dropped wrongly."""
    score = elimination.scored(elimination.run(tmp_path, seeds=60, rounds=2, noise=0.2))["no-information-gain"]
    assert score.precision == 1
    assert 0.2 < score.recall < 0.9
