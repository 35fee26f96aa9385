"""The mixers that go by numbers of records: proportional, examples-proportional, temperature."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from filial import UsageError
from filial_plugins.mixers.examples_proportional import ExamplesProportional
from filial_plugins.mixers.proportional import Proportional
from filial_plugins.mixers.temperature import Temperature

SIZES = {"few": 10, "many": 10_000, "none": 0}


def test_proportional_treats_all_tasks_with_records_alike():
    assert Proportional().rates(SIZES) == {"few": 1.0, "many": 1.0, "none": 0.0}


def test_examples_proportional_counts_records_up_to_the_maximum():
    assert ExamplesProportional().rates(SIZES) == {"few": 10, "many": 10_000, "none": 0}
    assert ExamplesProportional(maximum=3000).rates(SIZES) == {"few": 10, "many": 3000, "none": 0}


def test_a_maximum_of_0_is_none_as_in_seqio():
    assert ExamplesProportional(maximum=0).rates(SIZES) == ExamplesProportional().rates(SIZES)


def test_temperature_flattens():
    assert Temperature(temperature=2).rates({"a": 100, "b": 400}) == {"a": 10.0, "b": 20.0}
    assert Temperature().temperature == 3.0


def test_scale_comes_before_the_maximum_and_this_before_the_temperature():
    assert Temperature(scale=0.5, maximum=64, temperature=3).rates({"a": 54, "b": 1000}) == pytest.approx(
        {"a": 3.0, "b": 4.0}
    )


@given(
    st.dictionaries(st.text(max_size=3), st.integers(1, 10**9), min_size=1, max_size=8),
    st.sampled_from([0.5, 1.0, 2.0, 3.0, 100.0]),
    st.one_of(st.none(), st.integers(1, 10**6)),
)
def test_the_order_of_sizes_is_that_of_rates_and_heat_brings_them_together(sizes, temperature, maximum):
    rates = Temperature(temperature=temperature, maximum=maximum).rates(sizes)
    hotter = Temperature(temperature=2 * temperature, maximum=maximum).rates(sizes)
    for one, other in zip(sizes, list(sizes)[1:], strict=False):
        assert rates[one] == rates[other] or (rates[one] < rates[other]) == (sizes[one] < sizes[other])
        spread = abs(math.log(rates[one] / rates[other]))
        assert abs(math.log(hotter[one] / hotter[other])) <= spread + 1e-12


@pytest.mark.parametrize("mixer", [Proportional(), ExamplesProportional(), Temperature()])
@pytest.mark.parametrize("sizes", [{}, {"a": 0}])
def test_no_record_is_refused(mixer, sizes):
    with pytest.raises(UsageError, match="no task has a record"):
        mixer.rates(sizes)


@pytest.mark.parametrize("options", [{"temperature": 0.01}, {"scale": 1e300}, {"scale": 1e-300}])
def test_a_rate_that_cannot_be_computed_with_is_refused(options):
    with pytest.raises(UsageError, match=r"the rate of task 'a' is .*nearer to 1"):
        Temperature(**{"temperature": 1.0, **options}).rates({"a": 1000, "b": 1})


@pytest.mark.parametrize(
    "options",
    [{"temperature": 0}, {"temperature": -1}, {"temperature": math.nan}, {"temperature": math.inf},
     {"maximum": -1}, {"scale": 0}, {"scale": math.inf}],
)  # fmt: skip
def test_bad_options(options):
    with pytest.raises(ValidationError):
        Temperature(**options)
