"""The mix stage: whole numbers that follow the rates, and every record drawn, repeated or dropped once."""

import asyncio
from collections import Counter
from contextlib import closing
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stage_kit import Rows

import filial
from filial import FilialError, Mixer, Origin, Record, UsageError
from filial.engine.stage import StageContext
from filial_plugins.mixing.allocation import divide
from filial_plugins.mixing.drawing import Pool
from filial_plugins.mixing.mixture import Mixture
from filial_plugins.stages.mix import Mix, mix_records

RATES = st.dictionaries(st.text(max_size=3), st.floats(0, 1e9, allow_nan=False), min_size=1, max_size=8).filter(
    lambda rates: any(rates.values())
)


class Rates(Mixer):
    given: dict[str, float] = {}

    def rates(self, sizes):
        return self.given or dict.fromkeys(sizes, 1.0)


def mixed(records, rates=None, *, seed=1, **keys):
    rows = Rows()
    rows.notes = []
    env = StageContext(stage="mix", seed=seed, writer=rows, note=rows.notes.append)
    settings = Mix(**{key: value for key, value in keys.items() if value is not None})

    async def mix():
        with closing(Pool(env.seed, env.stage)) as pool, closing(env.worker):
            env.counters.entered = await settings.fill(pool, records)
            if pool.sizes():
                rows.report = await mix_records(pool, settings, Mixture(Rates(given=rates or {}), {}, "d:m==1"), env)

    asyncio.run(mix())
    assert env.counters.find_imbalance() == ""
    return rows


def shares(rates, total):
    return divide({name: Fraction(str(rate)) for name, rate in rates.items()}, total)


def records(**sizes):
    return [
        Record(id=f"{task}{i}", instruction=f"{task} {i}", task=task) for task, n in sizes.items() for i in range(n)
    ]


def counts(rows):
    return dict(Counter(r.task for r in rows.kept))


@given(RATES, st.integers(0, 10_000))
def test_shares_sum_to_the_total_and_are_within_one_of_the_exact_share(rates, total):
    out = shares(rates, total)
    whole = sum(Fraction(str(rate)) for rate in rates.values())
    assert sum(out.values()) == total
    for name, rate in rates.items():
        exact = Fraction(str(rate)) * total / whole
        assert abs(out[name] - exact) < 1
        assert rate or not out[name]


@given(RATES, st.integers(0, 500))
def test_shares_go_to_the_largest_remainders(rates, total):
    """Hamilton's method: nobody rounded down has a larger remainder than somebody rounded up."""
    out, whole = shares(rates, total), sum(Fraction(str(rate)) for rate in rates.values())
    exact = {name: Fraction(str(rate)) * total / whole for name, rate in rates.items()}
    up = [exact[n] % 1 for n in rates if out[n] > exact[n]]
    down = [exact[n] % 1 for n in rates if out[n] < exact[n]]
    assert not up or not down or min(up) >= max(down)


@given(RATES, st.integers(0, 500), st.randoms())
def test_shares_do_not_depend_on_the_order_of_the_tasks(rates, total, random):
    names = list(rates)
    random.shuffle(names)
    assert shares({n: rates[n] for n in names}, total) == shares(rates, total)


@pytest.mark.parametrize(
    ("rates", "refused"),
    [
        ({"a": -1.0, "b": 1.0}, "rates gives task 'a' the rate -1.0"),
        ({"a": float("nan"), "b": 1.0}, "rates gives task 'a' the rate nan"),
        ({"a": float("inf"), "b": 1.0}, "rates gives task 'a' the rate inf"),
        ({"a": 0.0}, "all mixing rates are 0"),
    ],
)
def test_rates_that_mean_nothing_are_refused(rates, refused):
    with pytest.raises(FilialError, match=refused):
        mixed(records(a=2, b=2), rates, total=2)


def test_without_a_total_the_scarcest_task_is_used_up():
    rows = mixed(records(a=10, b=30), {"a": 1.0, "b": 2.0})
    assert counts(rows) == {"a": 10, "b": 20}
    assert [d.reason for d in rows.dropped] == ["not-drawn"] * 10


@given(st.dictionaries(st.sampled_from("abc"), st.integers(1, 20), min_size=1), st.integers(1, 60), st.booleans())
def test_every_record_goes_on_or_is_dropped_and_none_is_repeated_unless_told(sizes, total, repeat):
    given_in = records(**sizes)
    rows = mixed(given_in, total=total, repeat=repeat)
    drawn = Counter(r.id for r in rows.kept)
    dropped = Counter(d.record.id for d in rows.dropped)
    assert not drawn.keys() & dropped.keys()
    assert drawn.keys() | dropped.keys() == {r.id for r in given_in}
    assert max(dropped.values(), default=1) == 1
    if repeat:
        assert len(rows.kept) == total
        for task, want in shares(dict.fromkeys(sizes, 1.0), total).items():
            times = [drawn[r.id] for r in given_in if r.task == task]
            assert sum(times) == want
            assert max(times) - min(times) <= 1
    else:
        assert max(drawn.values(), default=1) == 1
        assert len(rows.kept) <= total


@pytest.mark.parametrize(
    ("sizes", "rates", "kept"),
    [
        ({"a": 4, "b": 4}, {"a": 1.0, "b": 0.0}, {"a": 4}),  # a task that has no rate sets no limit
        ({"a": 3, "b": 90}, {"a": 0.1, "b": 0.7}, {"a": 3, "b": 21}),  # in floats 23.999999999999996 fit, not 24
        ({"a": 3, "b": 90}, {"a": 0.3, "b": 0.4}, {"a": 3, "b": 4}),
    ],
)
def test_without_a_total_exactly_as_many_are_mixed_as_fit(sizes, rates, kept):
    assert counts(mixed(records(**sizes), rates)) == kept


def test_the_mix_depends_on_the_seed_alone():
    some = records(a=30, b=30)
    one, two, other = mixed(some, total=20), mixed(some, total=20), mixed(some, total=20, seed=2)
    assert one.kept == two.kept
    assert one.dropped == two.dropped
    assert one.kept != other.kept


def test_tasks_are_mixed_through_one_another():
    """A shuffle of two tasks of 100 changes from one to the other about 100 times (standard deviation 7)."""
    for seed in range(10):
        tasks = [record.task for record in mixed(records(a=100, b=100), total=200, seed=seed).kept]
        assert 65 <= sum(one != other for one, other in pairwise(tasks)) <= 135, seed


@pytest.mark.parametrize(("total", "repeat", "times"), [(5, False, 1), (15, True, 2)])
def test_each_record_of_a_task_is_drawn_as_often_as_any_other(total, repeat, times):
    """Half of ten are drawn, or repeated: over 300 seeds each about 150 times (standard deviation below 9)."""
    drawn = Counter()
    for seed in range(300):
        kept = Counter(record.id for record in mixed(records(a=10), total=total, repeat=repeat, seed=seed).kept)
        drawn.update(name for name, count in kept.items() if count == times)
    assert len(drawn) == 10
    assert all(110 <= count <= 190 for count in drawn.values()), drawn


def test_records_can_be_mixed_by_round_and_by_plugin():
    some = [
        Record(id=str(i), instruction=str(i), origin=Origin(round=i % 3, plugin=f"dist:p{i % 2}==1.0"))
        for i in range(12)
    ]
    by_round = mixed(some, {"0": 1.0, "1": 1.0}, by="round", total=4)
    assert Counter(r.origin.round for r in by_round.kept) == {0: 2, 1: 2}
    by_plugin = mixed(some, {"p1": 1.0}, by="plugin", total=3)
    assert {r.origin.plugin for r in by_plugin.kept} == {"dist:p1==1.0"}


def test_a_rate_for_a_task_that_there_is_not_names_those_there_are():
    with pytest.raises(UsageError, match=r"'c'.*'a', 'b'"):
        mixed(records(a=1, b=1), {"c": 1.0})


@given(
    st.dictionaries(st.sampled_from("abcdefg"), st.integers(1, 9), min_size=1),
    st.integers(1, 60) | st.none(),
    st.sampled_from(["", "repeat", "stop"]),
)
def test_what_was_asked_for_there_and_given_adds_up_and_a_gap_is_told(sizes, total, policy):
    rows = mixed(records(**sizes), total=total, **({policy: True} if policy else {}))
    groups = {row["task"]: row for row in rows.report["mix"]}
    assert {name: row["available"] for name, row in groups.items()} == sizes
    assert {name: row["given"] for name, row in groups.items()} == {**dict.fromkeys(sizes, 0), **counts(rows)}
    asked = sum(row["asked"] for row in groups.values())
    assert total in (None, asked)
    assert bool(rows.notes) == (len(rows.kept) < asked)
    if rows.notes:
        (note,) = rows.notes
        assert f"gives {len(rows.kept):,} of {asked:,} records" in note


def test_the_largest_gaps_are_named_and_the_others_add_up():
    rows = mixed(records(a=1, b=2, c=3, d=4, e=5), total=50)
    (note,) = rows.notes
    assert "task 'a' gives 1 of 10, task 'b' gives 2 of 10, task 'c' gives 3 of 10, 2 others lack 11;" in note
    assert "gives 15 of 50 records" in note


def test_nothing_in_nothing_out():
    assert mixed([]).kept == []


@pytest.fixture
def tasks(cli):
    """Files of four tasks, two of them with chains of thought."""
    for name, count in {"qa": 30, "sum": 10, "gsm": 12, "aqua": 4}.items():
        tags = ["cot"] if name in ("gsm", "aqua") else []
        rows = [{"id": f"{name}{i}", "instruction": f"{name} {i}", "output": "x", "tags": tags} for i in range(count)]
        cli.write(f"{name}.jsonl", *rows)
    return cli


NESTED = """stages:
  - mix:
      use: weights
      weights: {flan: 9, cot: 1}
      total: 20
      cot_share: 0.1
      sources:
        flan: {use: temperature, temperature: 2, maximum: 0, sources: {qa: qa.jsonl, sum: {file: sum.jsonl}}}
        cot: {use: proportional, sources: {gsm: gsm.jsonl, aqua: aqua.jsonl}}
"""


def test_a_mixture_is_a_source_of_another(tasks):
    (tasks.folder / "r.yaml").write_text(NESTED)
    assert tasks("check", "r.yaml", toy=False) == 0
    assert tasks("run", "r.yaml", toy=False) == 0
    assert "r.yaml:8:21: 'maximum: 0' means no maximum" in tasks.err
    kept = Counter(row["task"] for row in tasks.rows("runs/r/stages/01-mix/records.jsonl"))
    assert kept == {"qa": 11, "sum": 7, "gsm": 1, "aqua": 1}
    lock = (tasks.folder / "runs/r/recipe.lock.yaml").read_text()
    assert "# mixers proportional: filial:proportional==" in lock
    (tasks.folder / "qa.jsonl").rename(tasks.folder / "other.jsonl")
    (tasks.folder / "r.yaml").write_text(NESTED.replace("qa.jsonl", "other.jsonl"))
    assert tasks("run", "r.yaml", toy=False) == 0
    assert "done before" in tasks.err
    tasks.write("sum.jsonl", {"instruction": "another"})
    assert tasks("run", "r.yaml", toy=False) == 0
    assert "01-mix: runs again, because its sources flan sources sum" in tasks.err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("use: temperature", "use: temperatur", "8:21: no mixer named 'temperatur'; did you mean 'temperature'?"),
        ("temperature: 2", "temprature: 2", "8:34: mixer 'temperature' has no 'temprature'; did you mean"),
        ("use: proportional, ", "", "9:14: which mixer? add 'use: NAME'"),
        ("file: sum.jsonl", "file: nope.jsonl", "8:98: no file 'nope.jsonl'"),
        ("{gsm: gsm.jsonl, aqua: aqua.jsonl}", "{}", "9:43: at least 1 item here, not 0"),
        ("gsm: gsm.jsonl", "qa: gsm.jsonl", "3:7: mixer 'weights': the task 'qa' has two sources, qa.jsonl and gsm"),
        ("total: 20", "total: 20\n      by: round", "3:7: mixer 'weights': mixtures among the sources go with 'by: t"),
        ("total: 20", "repeat: true\n      stop: true", "3:7: mixer 'weights': repeat and stop exclude each other"),
        (
            "{gsm: gsm.jsonl,",
            "{a: {use: weights, sources: {b: {use: weights, sources: {c: {use: weights, sources: {d: d}}}}}},",
            "9:103: mixtures stand within mixtures 3 deep at most",
        ),
    ],
)
def test_what_is_wrong_in_a_nested_mixture_is_told_with_its_place(tasks, old, new, message):
    (tasks.folder / "r.yaml").write_text(NESTED.replace(old, new, 1))
    assert tasks("check", "r.yaml", toy=False) == 2
    assert f"r.yaml:{message}" in tasks.err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{flan: 9, cot: 1}", "{flan: 9, zz: 1}", "3:12: weights names 'zz', but no record has that task; the tasks a"),
        ("{flan: 9, cot: 1}", "{flan: 0, cot: 0}", "3:12: every task has weight 0 or no record"),
        ("cot_share: 0.1", "cot_share: 0.1\n      cot_tag: other", "3:12: cot_share is 0.1, but no record"),
        ("cot_share: 0.1", "cot_share: 0.1\n      cot_tasks: [zz]", "3:12: cot_tasks names 'zz', but the records ha"),
        ("sources: {qa:", "sources: {cot:", "3:12: 'cot' is the name of a mixture and of a task"),
    ],
)
def test_a_mix_that_the_records_do_not_allow_is_told_with_its_place(tasks, old, new, message):
    (tasks.folder / "r.yaml").write_text(NESTED.replace(old, new, 1))
    assert tasks("run", "r.yaml", toy=False) == 2
    assert f"Error: r.yaml:{message}" in tasks.err


def test_a_mixture_that_contains_itself_is_refused_in_python():
    mixture = {"use": "weights"}
    mixture["sources"] = {"self": mixture}
    with pytest.raises(UsageError, match="a list or dict contains itself"):
        filial.Recipe(stages=[{"mix": mixture}])


@pytest.mark.parametrize("by", ["task", "round", "plugin"])
def test_a_task_of_cot_tasks_that_no_record_has_is_refused_whatever_the_groups_are(by):
    with pytest.raises(UsageError, match="cot_tasks names 'nosuch', but the records have task 'a', 'b'"):
        mixed(records(a=3, b=3), by=by, cot_share=0.5, cot_tasks=["nosuch"])


def test_a_tag_without_a_share_says_nothing_and_is_refused():
    with pytest.raises(ValueError, match="add cot_share"):
        Mix(cot_tag="reasoned")
    assert Mix(cot_tag="cot").cot_share is None, "a lock file writes the default out"


def test_a_mix_that_stops_names_the_task_that_is_used_up():
    (note,) = mixed(records(a=5, b=100), total=100, stop=True).notes
    assert "task 'a' is used up first: it has 5 of 50" in note
    assert "repeat" not in note
