"""Chains and trees: how many children a record has, what fails is tried again, nothing depends on who is first."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stage_kit import Rows, evolution

from filial import Drop, Filter, Keep, Record, Reply, Strategy
from filial.engine.stage import StageContext
from filial_plugins.stages.evolve import SIBLING, Choice, evolve_records
from filial_plugins.stages.filter import FilterStep


class Add(Strategy):
    """Adds a word and what the teacher says; fails at a rate."""

    word: str
    failing: float = 0.0

    async def evolve(self, record, ctx):
        reply = await ctx.ask(f"{self.word} to {record.instruction}")
        if ctx.rng.random() < self.failing:
            return Drop("unlucky")
        return record.evolved(instruction=f"{record.instruction} {self.word}{reply.text}", output="x")


class Same(Strategy):
    """Always the same child."""

    async def evolve(self, record, ctx):
        return record.evolved(instruction=f"{record.instruction} again", output="x")


class Pass(Filter):
    """Keeps all, and says that it remembers, so that the stage goes round by round."""

    remembers = True

    def check(self, record, ctx):
        return Keep()


async def teacher(request):
    await asyncio.sleep(0.0004 * (len(request.messages[-1].content) % 5))
    return Reply(text=str(request.draw), key=f"{request.draw}:{request.messages[-1].content}")


def grow(n, strategies, *, rules=(), window=16, seed=1, **plan):
    rows = Rows()
    env = StageContext(stage="evolve", seed=seed, writer=rows, ask=teacher, window=window)
    choices = [Choice(name, f"d:{name}==1", strategy) for name, strategy in strategies.items()]
    records = [Record(id=f"r{i}", instruction=f"task {i}", output="old") for i in range(n)]
    sieves = [FilterStep("d:rule==1", rule) for rule in rules]
    report = asyncio.run(evolve_records(records, evolution(choices, sieves, **plan), env))
    assert env.counters.find_imbalance() == ""
    return rows, report["survival"]


TWO = {"a": Add(word="a"), "b": Add(word="b")}


def test_every_record_has_as_many_children_per_round_as_the_recipe_says():
    rows, _ = grow(1, TWO, rounds=3, branch=2)
    assert Counter(r.origin.round for r in rows.kept) == {0: 1, 1: 2, 2: 4, 3: 8}
    children = Counter(r.origin.parents[0] for r in rows.kept if r.origin.parents)
    assert set(children.values()) == {2}
    assert len({r.id for r in rows.kept}) == 15


def test_siblings_come_from_different_strategies_where_there_are_enough():
    rows, _ = grow(6, TWO, rounds=2, branch=2)
    made = Counter((r.origin.parents[0], r.origin.plugin) for r in rows.kept if r.origin.parents)
    assert set(made.values()) == {1}
    rows, table = grow(2, {"a": TWO["a"]}, branch=3)
    assert table["a"]["1"]["kept"] == 6, "one strategy alone makes all three, from three draws"
    assert len({r.instruction for r in rows.kept}) == 8


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 5), st.integers(1, 3), st.integers(1, 3), st.floats(0, 1), st.integers(0, 9),
       st.sampled_from(["all", "last"]))  # fmt: skip
def test_every_slot_that_failed_is_tried_once_more_each_round(n, rounds, branch, failing, seed, keep):
    strategies = {"a": Add(word="a", failing=failing), "b": Add(word="b")}
    rows, table = grow(n, strategies, rounds=rounds, branch=branch, seed=seed, keep=keep)
    tried = {t: sum(turns[str(t)]["tried"] for turns in table.values() if str(t) in turns) for t in range(1, 4)}
    kept = {t: sum(turns[str(t)]["kept"] for turns in table.values() if str(t) in turns) for t in range(1, 4)}
    assert tried[1] == n * branch
    for t in range(2, rounds + 1):
        assert tried[t] == branch * kept[t - 1] + (tried[t - 1] - kept[t - 1])
    reasons = Counter(d.reason for d in rows.dropped)
    assert reasons["unlucky"] == sum(tried.values()) - sum(kept.values())
    assert len(rows.kept) + reasons["superseded"] == n + sum(kept.values())
    if keep == "last":
        born = [*rows.kept, *(d.record for d in rows.dropped if d.reason == "superseded")]
        assert not {p for r in born for p in r.origin.parents} & {r.id for r in rows.kept}


def test_children_that_say_the_same_are_one_child():
    rows, table = grow(1, {"same": Same()}, branch=3)
    assert table["same"]["1"]["dropped"] == {SIBLING: 2}
    assert [r.instruction for r in rows.kept] == ["task 0", "task 0 again"]
    assert rows.kept[1].id in rows.dropped[0].detail


@pytest.mark.parametrize("branch", [1, 2])
def test_the_order_of_work_changes_nothing(branch):
    strategies = {"a": Add(word="a", failing=0.3), "b": Add(word="b", failing=0.1)}
    plan = {"rounds": 3, "branch": branch}
    (one, first), (many, second) = (grow(7, strategies, window=w, **plan) for w in (1, 64))
    assert (one.kept, one.dropped, first) == (many.kept, many.dropped, second)
    (rounds, third) = grow(7, strategies, rules=[Pass()], **plan)
    assert [r.id for r in rounds.kept] == [r.id for r in one.kept]
    assert third == first


def test_in_a_fixed_order_siblings_take_the_strategies_in_turn():
    three = {name: Add(word=name) for name in "abc"}
    rows, _ = grow(2, three, rounds=1, branch=2, order="fixed")
    assert [r.origin.plugin for r in rows.kept if r.origin.parents] == ["d:a==1", "d:b==1", "d:b==1", "d:c==1"]
