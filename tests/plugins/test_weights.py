"""The mixer `weights`: rates are the weights, of tasks that have records."""

import pytest
from pydantic import ValidationError

from filial import UsageError
from filial_plugins.mixers.weights import Weights


def test_rates_are_the_weights_whatever_the_sizes():
    assert Weights(weights={"a": 3, "b": 0.5}).rates({"a": 1, "b": 1000}) == {"a": 3, "b": 0.5}


def test_a_task_that_is_not_named_has_the_default():
    assert Weights(weights={"a": 3}).rates({"a": 5, "b": 5}) == {"a": 3, "b": 1.0}
    assert Weights(weights={"a": 3}, default=0).rates({"a": 5, "b": 5}) == {"a": 3, "b": 0}


def test_a_task_without_records_has_no_rate():
    assert Weights(weights={"a": 3, "b": 2}).rates({"a": 5, "b": 0}) == {"a": 3, "b": 0.0}


def test_a_weight_of_a_task_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(
        UsageError, match=r"weights names 'c', 'd', but no record has that task; the tasks are 'a', 'b'"
    ):
        Weights(weights={"c": 1, "d": 1, "a": 2}).rates({"b": 1, "a": 1})
    with pytest.raises(UsageError, match=r"names 'c', .* the tasks are none"):
        Weights(weights={"c": 1}).rates({})


def test_weights_that_leave_no_record_are_refused():
    for weights, sizes in (({"a": 0}, {"a": 5}), ({"a": 1}, {"a": 0}), ({}, {})):
        with pytest.raises(UsageError, match="every task has weight 0 or no record"):
            Weights(weights=weights).rates(sizes)


@pytest.mark.parametrize("weight", [-0.5, float("inf"), float("nan"), "many"])
def test_a_weight_is_a_finite_number_from_zero(weight):
    with pytest.raises(ValidationError):
        Weights(weights={"a": weight})
    with pytest.raises(ValidationError):
        Weights(default=weight)


def test_small_weights_and_zero_are_weights():
    assert Weights(weights={"a": 0.25, "b": 0}).rates({"a": 1, "b": 1}) == {"a": 0.25, "b": 0}


def test_weights_that_are_all_0_are_refused_before_anything_is_read():
    with pytest.raises(ValueError, match="every weight is 0"):
        Weights(weights={"a": 0, "b": 0}, default=0)
    assert Weights(weights={"a": 0}).default == 1
