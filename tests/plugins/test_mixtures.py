"""Mixtures of mixtures: the rates of their tasks."""

import asyncio

import pytest

from filial_plugins.mixers.examples_proportional import ExamplesProportional
from filial_plugins.mixers.proportional import Proportional
from filial_plugins.mixers.weights import Weights
from filial_plugins.mixing.mixture import Mixture


def rates(mixture, sizes):
    asked = []

    async def rates_of(mixture, sizes):
        asked.append((type(mixture.mixer).__name__, sizes))
        return mixture.mixer.rates(sizes)

    return asyncio.run(mixture.rates(sizes, rates_of)), asked


def test_a_mixture_shares_its_rate_among_its_tasks():
    inner = Mixture(Weights(weights={"b": 3, "c": 1}), {"b": None, "c": None})
    found, _ = rates(Mixture(Weights(weights={"a": 1, "bc": 2}), {"a": None, "bc": inner}), {"a": 5, "b": 5, "c": 5})
    assert found == {"a": 1.0, "b": 1.5, "c": 0.5}


def test_a_mixer_that_goes_by_size_sees_the_records_of_a_mixture():
    inner = Mixture(Proportional(), {"b": None, "c": None})
    found, asked = rates(Mixture(ExamplesProportional(), {"a": None, "bc": inner}), {"a": 10, "b": 1, "c": 19})
    assert asked[0] == ("ExamplesProportional", {"a": 10, "bc": 20})
    assert found == {"a": 10.0, "b": 10.0, "c": 10.0}


def test_the_rates_of_a_task_in_two_mixtures_add_up_and_its_records_count_in_both():
    one, two = (Mixture(ExamplesProportional(), dict.fromkeys(names)) for names in ("xy", "yz"))
    found, asked = rates(Mixture(Weights(), {"one": one, "two": two}), {"x": 1, "y": 3, "z": 1})
    assert found == {"x": 0.25, "y": 1.5, "z": 0.25}
    assert asked[0][1] == {"one": 4, "two": 4}


def test_three_levels():
    inner = Mixture(Weights(), {"c": None, "d": None})
    middle = Mixture(Weights(weights={"b": 1, "cd": 3}), {"b": None, "cd": inner})
    found, _ = rates(Mixture(Weights(), {"a": None, "bcd": middle}), dict.fromkeys("abcd", 1))
    assert found == pytest.approx({"a": 1.0, "b": 0.25, "c": 0.375, "d": 0.375})


def test_a_mixture_without_a_rate_is_not_asked_for_those_of_its_tasks():
    inner = Mixture(Proportional(), {"b": None})
    found, asked = rates(Mixture(Weights(weights={"inner": 0}), {"a": None, "inner": inner}), {"a": 1, "b": 0})
    assert found == {"a": 1.0, "b": 0.0}
    assert len(asked) == 1
