"""How many records of each task a mix gets."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filial import UsageError
from filial_plugins.mixing.allocation import Sizes, allocate

RATES = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0.001, 1000), min_size=1)
COUNT = st.integers(0, 200)


@st.composite
def mixes(draw, cot=False):
    rates = draw(RATES)
    sizes = {task: Sizes(draw(COUNT.filter(bool)), draw(COUNT) if cot else 0) for task in rates}
    if cot:
        sizes[next(iter(sizes))] = Sizes(draw(COUNT.filter(bool)), draw(COUNT.filter(bool)))
    return rates, sizes


def given_counts(found):
    return {(one.task, one.cot): one.given for one in found}


@given(mixes(), st.integers(1, 1000))
def test_what_is_asked_sums_to_the_total_and_follows_the_rates(mix, total):
    rates, sizes = mix
    found = allocate(rates, sizes, total)
    whole = sum(map(Fraction, rates.values()))
    assert sum(one.asked for one in found) == total
    for one in found:
        assert abs(one.asked - Fraction(rates[one.task]) * total / whole) < 1
        assert one.given == min(one.asked, one.available)
        assert one.available == sizes[one.task].all


@given(mixes(), st.integers(1, 1000))
def test_repeated_records_make_up_the_total(mix, total):
    found = allocate(*mix, total, repeat=True)
    assert sum(one.given for one in found) == total
    assert all(one.repeated == max(0, one.given - one.available) for one in found)


@given(mixes(), st.integers(1, 1000))
def test_a_mix_that_stops_keeps_the_rates_and_repeats_nothing(mix, total):
    rates, sizes = mix
    found = allocate(rates, sizes, total, stop=True)
    size = sum(one.given for one in found)
    assert all(one.given <= one.available for one in found)
    assert size <= total
    whole = sum(map(Fraction, rates.values()))
    assert all(abs(one.given - Fraction(rates[one.task]) * size / whole) < 1 for one in found)
    assert size == total or any(one.given + 1 >= one.available for one in found)  # a task has run out


@given(mixes())
def test_without_a_total_a_mix_is_as_large_as_it_can_be(mix):
    rates, sizes = mix
    exact = {task: Fraction(str(rate)) for task, rate in rates.items()}
    found = allocate(rates, sizes)
    assert all(one.given == one.asked <= one.available for one in found)
    assert sum(one.given for one in found) == int(min(sizes[t].all * sum(exact.values()) / exact[t] for t in rates))


@given(mixes(cot=True), st.sampled_from([0.05, 0.1, 0.25, 1 / 3, 0.5, 0.9]), st.integers(1, 1000))
@pytest.mark.parametrize("policy", [{}, {"repeat": True}, {"stop": True}])
def test_the_share_of_chain_of_thought_holds_to_the_unit(policy, mix, share, total):
    found = allocate(*mix, total, cot_share=share, **policy)
    size, cot = sum(one.given for one in found), sum(one.given for one in found if one.cot)
    assert cot == round(Fraction(str(share)) * size)
    assert sum(one.asked for one in found) == total
    assert size == total if policy.get("repeat") else all(one.given <= one.available for one in found)


@given(mixes(cot=True), st.sampled_from([0.1, 0.5]))
def test_without_a_total_the_share_holds_too(mix, share):
    found = allocate(*mix, cot_share=share)
    size, cot = sum(one.given for one in found), sum(one.given for one in found if one.cot)
    assert cot == round(Fraction(str(share)) * size)
    assert all(one.given == one.asked <= one.available for one in found)


@given(mixes(cot=True), st.integers(0, 1000))
def test_a_share_of_0_or_1_takes_one_side_alone(mix, total):
    rates, sizes = mix
    assert not any(one.given for one in allocate(rates, sizes, total, cot_share=0) if one.cot)
    if any(sizes[task].cot for task in rates):
        assert not any(one.given for one in allocate(rates, sizes, total, cot_share=1) if not one.cot)


@given(mixes(cot=True), st.integers(1, 1000), st.randoms(use_true_random=False))
def test_the_order_of_tasks_changes_nothing(mix, total, random):
    rates, sizes = mix
    names = list(sizes)
    random.shuffle(names)
    other = allocate(rates, {name: sizes[name] for name in names}, total, cot_share=0.1)
    assert given_counts(other) == given_counts(allocate(rates, sizes, total, cot_share=0.1))


def test_the_ratio_of_nine_to_one():
    rates = {"chat": 3.0, "code": 1.0, "maths": 1.0}
    sizes = {"chat": Sizes(9000), "code": Sizes(9000), "maths": Sizes(0, 9000)}
    assert given_counts(allocate(rates, sizes, 1000, cot_share=0.1)) == {
        ("chat", False): 675, ("code", False): 225, ("maths", True): 100,
    }  # fmt: skip


def test_a_side_that_runs_out_holds_back_the_other():
    sizes = {"chat": Sizes(9000), "maths": Sizes(0, 50)}
    found = allocate({"chat": 1.0, "maths": 1.0}, sizes, 1000, cot_share=0.1)
    assert given_counts(found) == {("chat", False): 455, ("maths", True): 50}  # 50 of 505: nearest to a tenth
    assert [one.asked for one in found] == [900, 100]


def test_a_task_of_both_kinds_is_split():
    found = allocate({"maths": 1.0}, {"maths": Sizes(30, 10)}, 20, cot_share=0.25)
    assert given_counts(found) == {("maths", False): 15, ("maths", True): 5}


@pytest.mark.parametrize(
    ("sizes", "share", "message"),
    [
        ({"a": Sizes(5)}, 0.1, "cot_share is 0.1, but no record with a rate above 0 is marked as chain of thought"),
        ({"a": Sizes(0, 5)}, 0.1, "cot_share leaves 0.9 for others, but no record .* is without chain of thought"),
    ],
)
def test_a_side_without_a_record_is_refused(sizes, share, message):
    with pytest.raises(UsageError, match=message):
        allocate({"a": 1.0}, sizes, 10, cot_share=share)


def test_rates_of_zero_are_refused():
    with pytest.raises(UsageError, match="all mixing rates are 0"):
        allocate({"a": 0.0}, {"a": Sizes(3)}, 2)


def test_many_tasks_are_exact():
    sizes = {f"task-{i}": Sizes(8000 + i) for i in range(1800)}
    rates = {task: size.all ** (1 / 3) for task, size in sizes.items()}
    found = allocate(rates, sizes, 1_000_003)
    whole = math.fsum(rates.values())
    assert sum(one.given for one in found) == 1_000_003
    assert all(abs(one.given - rates[one.task] * 1_000_003 / whole) < 1 for one in found)
