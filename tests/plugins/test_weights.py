"""The `weights` mixer."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from filial import UsageError
from filial.testing import MixerContract
from filial_plugins.mixers.weights import Weights


class TestContract(MixerContract):
    component = Weights(weights={"sums": 2.5})


def test_rates_are_the_weights_whatever_the_sizes():
    rates = Weights(weights={"a": 3, "b": 0.5}).rates({"a": 1, "b": 1000, "c": 7})
    assert rates == {"a": 3.0, "b": 0.5, "c": 1.0}


def test_default_weighs_what_is_not_named():
    assert Weights(weights={"a": 1}, default=0).rates({"a": 5, "b": 5}) == {"a": 1.0, "b": 0.0}


def test_a_task_without_records_cannot_be_drawn():
    assert Weights(weights={"a": 1, "b": 9}).rates({"a": 5, "b": 0}) == {"a": 1.0, "b": 0.0}


def test_a_weight_for_a_task_that_is_not_there_is_told():
    with pytest.raises(UsageError, match=r"'sum'.*the tasks are 'sums', 'talk'"):
        Weights(weights={"sum": 1}).rates({"talk": 1, "sums": 2})


def test_nothing_left_to_draw_is_told():
    with pytest.raises(UsageError, match="weight 0"):
        Weights(weights={"a": 0}).rates({"a": 5})


@pytest.mark.parametrize("weight", [-1, float("inf"), float("nan")])
def test_weights_are_finite_and_not_negative(weight):
    with pytest.raises(ValidationError):
        Weights(weights={"a": weight})
