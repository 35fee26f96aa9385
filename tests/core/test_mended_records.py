"""What a filter mends is a new record: its lineage leads back to the one that came, and the books add up."""

from __future__ import annotations

import asyncio

import pytest
from stage_kit import Rows, evolution

from filial import Drop, Field, FilialError, Filter, Keep, Origin, Record, Reply, Strategy
from filial.engine.stage import StageContext
from filial.testing import FilterContract
from filial_plugins.stages.evolve import Choice, evolve_records
from filial_plugins.stages.filter import FilterStep, filter_records


class Append(Filter):
    """Puts a word behind the output, later ones first."""

    word: str = Field("!", description="The word.")

    async def check(self, record, ctx):
        await asyncio.sleep(0.002 * (len(record.instruction) % 3))
        mended = record.replaced(output=f"{record.output} {self.word}", id="of its own", origin=Origin(stage="none"))
        return Keep(record=mended, tags=("mended",))


class Ask(Filter):
    """Takes the teacher's word for the output."""

    async def check(self, record, ctx):
        return Keep(record=record.replaced(output=(await ctx.ask(record.output)).text))


class Retask(Filter):
    """Changes what is no text."""

    def check(self, record, ctx):
        return Keep(record=record.replaced(task="other"), scores={"s": 1.0})


class Never(Filter):
    """Drops all."""

    def check(self, record, ctx):
        return Drop("never")


class Firsts(Filter):
    """Remembers, and mends: the output becomes the place of the record."""

    remembers = True

    def check(self, record, ctx):
        ctx.memory["n"] = ctx.memory.get("n", 0) + 1
        return Keep(record=record.replaced(output=f"place {ctx.memory['n']}"))


class Same(Filter):
    """Remembers, and mends every child into the same words."""

    remembers = True

    def check(self, record, ctx):
        return Keep(record=record.replaced(instruction="all alike", output="yes"))


class Wrong(Filter):
    """Gives no record."""

    def check(self, record, ctx):
        return Keep(record="a text")


class Half(Filter):
    """Mends a text into one that no file can hold."""

    def check(self, record, ctx):
        return Keep(record=record.replaced(output="\ud800"))


class TestAppendContract(FilterContract):
    component = Append()


async def teacher(request):
    return Reply(text=f"told {request.messages[-1].content}", key=f"k:{request.messages[-1].content}")


def filtered(records, *filters):
    rows = Rows()
    env = StageContext(stage="02-filter", seed=1, writer=rows, ask=teacher)
    asyncio.run(filter_records(records, [FilterStep(f"d:f{i}==1", f) for i, f in enumerate(filters)], env))
    assert env.counters.find_imbalance() == ""
    return rows


def records(n=3):
    origin = Origin(stage="01-generate", parents=("seed",), round=2, answers=("old",))
    return [Record(id=f"r{i}", instruction="x" * (i + 1), output=f"o{i}", origin=origin) for i in range(n)]


def test_a_mended_record_is_a_new_one_whose_parent_is_the_one_that_came():
    came = records()
    rows = filtered(came, Append())
    assert [r.output for r in rows.kept] == ["o0 !", "o1 !", "o2 !"]
    for before, after in zip(came, rows.kept, strict=True):
        assert after.id not in ("", before.id, "of its own")
        assert after.origin == Origin(stage="02-filter", plugin="d:f0==1", parents=(before.id,), round=2)
        assert after.tags == ("mended",)
    assert rows.kept == filtered(came, Append()).kept, "the same records have the same ids in every run"


def test_the_same_text_stays_the_same_record_whatever_else_a_filter_changes():
    (record,) = filtered(records(1), Retask()).kept
    assert (record.id, record.origin, record.task, record.scores) == ("r0", records(1)[0].origin, "other", {"s": 1.0})


def test_of_several_filters_that_mend_the_last_is_named_and_the_parent_is_what_entered_the_stage():
    (record,) = filtered(records(1), Append(word="a"), Ask(), Append(word="b")).kept
    assert record.output == "told o0 a b"
    assert record.origin.parents == ("r0",), "what stood between is written nowhere, so nothing may lead to it"
    assert (record.origin.plugin, record.origin.answers) == ("d:f2==1", ("k:o0 a",))


def test_records_with_one_id_and_one_text_get_ids_of_their_own_in_their_order():
    twice = [records(1)[0], records(1)[0]]
    first, second = filtered(twice, Append()).kept
    assert first.id != second.id
    assert first.id == filtered(twice[:1], Append()).kept[0].id


def test_a_mended_record_that_is_dropped_shows_its_text_and_names_its_parent():
    rows = filtered(records(2), Append(), Never())
    assert [(row.record.output, row.parent) for row in rows.dropped] == [("o0 !", "r0"), ("o1 !", "r1")]
    assert all(row.record.id not in ("r0", "r1") for row in rows.dropped)
    assert [(row.record.id, row.parent) for row in filtered(records(1), Never()).dropped] == [("r0", "")]


def test_a_filter_that_remembers_sees_what_earlier_ones_mended_in_order():
    rows = filtered(records(), Append(), Firsts())
    assert [r.output for r in rows.kept] == ["place 1", "place 2", "place 3"]


def test_a_mended_text_that_no_file_can_hold_is_a_drop_and_what_is_no_record_an_error():
    assert [row.reason for row in filtered(records(1), Half()).dropped] == ["not-unicode"]
    with pytest.raises(FilialError, match=r"record r0: Keep\.record is 'a text', not a Record"):
        filtered(records(1), Wrong())


class More(Strategy):
    """Asks for one word more."""

    async def evolve(self, record, ctx):
        reply = await ctx.ask(f"more: {record.instruction}")
        return record.evolved(instruction=f"{record.instruction} more").citing(reply)


def evolved(*rules, **plan):
    rows = Rows()
    env = StageContext(stage="02-evolve", seed=1, writer=rows, ask=teacher)
    sieves = [FilterStep(f"d:rule{i}==1", rule) for i, rule in enumerate(rules)]
    came = [r.replaced(origin=Origin()) for r in records(2)]
    asyncio.run(evolve_records(came, evolution([Choice("more", "d:more==1", More())], sieves, **plan), env))
    assert env.counters.find_imbalance() == ""
    return rows


@pytest.mark.parametrize("rule", [Append(), Firsts()], ids=["at once", "remembering"])
def test_a_rule_of_evolve_may_mend_a_child_whose_parent_stays_the_record_it_was_made_from(rule):
    rows = evolved(rule, rounds=2)
    by_id = {r.id: r for r in rows.kept}
    assert len(by_id) == len(rows.kept) == 6
    for child in (r for r in rows.kept if r.origin.round):
        assert (child.origin.stage, child.origin.plugin) == ("02-evolve", "d:more==1")
        (parent,) = child.origin.parents
        assert child.instruction == f"{by_id[parent].instruction} more"
        assert child.output.endswith("!") or child.output.startswith("place")


def test_answers_that_a_rule_mended_a_child_by_are_among_those_it_was_made_from():
    child = evolved(Ask()).kept[1]
    assert child.output == "told told x more"
    assert child.origin.answers == ("k:more: x", "k:x more", "k:told x more")


def test_children_that_a_rule_mends_into_one_text_are_one_child():
    rows = evolved(Same(), branch=2)
    assert [r.instruction for r in rows.kept] == ["x", "all alike", "xx", "all alike"]
    assert [row.reason for row in rows.dropped] == ["same-as-sibling"] * 2


class Mark(Filter):
    """Remembers, and only marks."""

    remembers = True

    def check(self, record, ctx):
        return Keep(scores={"marked": 1.0}, tags=("marked",))


def test_a_child_that_one_remembering_rule_marks_may_be_mended_by_the_next():
    rows = evolved(Mark(), Firsts())
    children = [r for r in rows.kept if r.origin.round]
    assert [(r.output, r.tags, r.scores) for r in children] == [
        (f"place {place}", ("marked",), {"marked": 1.0}) for place in (1, 2)
    ]
    assert rows.dropped == []


def test_a_mended_child_that_a_later_rule_drops_is_shown_as_mended():
    rows = evolved(Append(), Never())
    assert {row.record.output for row in rows.dropped} == {"told x more !", "told xx more !"}
