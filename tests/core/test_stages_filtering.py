"""The filter stage: order, memory, marks, and what a drop says."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from stage_kit import Rows

from filial import Drop, Filter, Keep, Record, Reply, TeacherError
from filial.contracts.concurrency import TURN, Worker
from filial.engine.stage import StageContext
from filial_plugins.stages.filter import FilterStep, filter_records


class Slow(Filter):
    """Answers later ones first; drops those that end with a given letter."""

    ending: str

    async def check(self, record, ctx):
        await asyncio.sleep(0.002 * (len(record.instruction) % 3))
        return Drop("ending", record.id) if record.instruction.endswith(self.ending) else Keep()


class New(Filter):
    """Remembers; says in which order it was asked."""

    remembers = True

    def check(self, record, ctx):
        seen = ctx.memory.setdefault("seen", [])
        seen.append(record.id)
        return Keep(scores={"place": float(len(seen))}, tags=("new", f"after-{seen[-2] if len(seen) > 1 else ''}"))


class Mark(Filter):
    score: float

    def check(self, record, ctx):
        return Keep(scores={"own": self.score}, tags=("a", "b"))


class Asking(Filter):
    async def check(self, record, ctx):
        reply = await ctx.ask(f"good? {record.instruction}")
        return Drop("bad", "said no") if reply.text == "no" else Keep()


def filtered(records, *filters, ask=None):
    rows = Rows()
    env = StageContext(stage="filter", seed=1, writer=rows, **({"ask": ask} if ask else {}))
    asyncio.run(filter_records(records, [FilterStep(f"d:f{i}==1", f) for i, f in enumerate(filters)], env))
    assert env.counters.find_imbalance() == ""
    return rows


def records(*texts, **fields):
    return [Record(id=f"r{i}", instruction=text, **fields) for i, text in enumerate(texts)]


@given(st.lists(st.text("abc", min_size=1, max_size=4), max_size=25))
def test_order_is_kept_whoever_answers_first(texts):
    rows = filtered(records(*texts), Slow(ending="a"))
    assert [r.instruction for r in rows.kept] == [t for t in texts if not t.endswith("a")]
    assert [d.record.instruction for d in rows.dropped] == [t for t in texts if t.endswith("a")]


def test_a_filter_that_remembers_sees_what_is_left_in_canonical_order():
    rows = filtered(records("xb", "ya", "zzb", "b"), Slow(ending="a"), New())
    assert [(r.id, r.scores["place"]) for r in rows.kept] == [("r0", 1.0), ("r2", 2.0), ("r3", 3.0)]
    assert [r.tags[1] for r in rows.kept] == ["after-", "after-r0", "after-r2"]


def test_two_filters_of_a_kind_do_not_share_their_memory():
    rows = filtered(records("x", "y"), New(), New())
    assert [r.scores["place"] for r in rows.kept] == [1.0, 2.0]


def test_marks_are_added_to_what_is_there_and_the_last_score_of_a_name_counts():
    (record,) = filtered(records("x", scores={"old": 1.0}, tags=("b", "z")), Mark(score=2.0), Mark(score=3.0)).kept
    assert record.scores == {"old": 1.0, "own": 3.0}
    assert record.tags == ("b", "z", "a")
    assert record.id == "r0"


def test_a_drop_names_the_filter_that_made_it_and_shows_the_marked_record():
    rows = filtered(records("xa"), Mark(score=1.0), Slow(ending="a"))
    (row,) = rows.dropped
    assert (row.plugin, row.stage, row.reason, row.detail) == ("d:f1==1", "filter", "ending", "r0")
    assert row.record.scores == {"own": 1.0}


def test_a_filter_that_asks_leaves_the_answer_in_the_drop_and_a_failed_call_is_a_drop():
    async def ask(request):
        text = request.messages[-1].content
        if "fail" in text:
            raise TeacherError("timeout", "too slow", answer="half")
        return Reply(text="no" if "bad" in text else "yes", key="k" + text[-1])

    rows = filtered(records("good 1", "bad 2", "fail 3"), Asking(), ask=ask)
    assert [r.id for r in rows.kept] == ["r0"]
    bad, failed = rows.dropped
    assert (bad.reason, bad.answer, bad.answers) == ("bad", "no", ("k2",))
    assert (failed.reason, failed.detail, failed.answer) == ("teacher-timeout", "too slow", "half")


def test_neighbours_that_run_in_one_way_share_a_hop_and_a_task(monkeypatch):
    hops, tasks = [], []
    call, create = Worker.call, asyncio.create_task

    async def count_hop(self, work, *args, **kwargs):
        hops.append(work)
        return await call(self, work, *args, **kwargs)

    def count_task(work, **kwargs):
        tasks.append(work)
        return create(work, **kwargs)

    monkeypatch.setattr(Worker, "call", count_hop)
    monkeypatch.setattr(asyncio, "create_task", count_task)
    came = records(*(f"text {i}" for i in range(TURN)))
    rows = filtered(came, Mark(score=1.0), New(), Mark(score=2.0))
    assert [record.scores["own"] for record in rows.kept] == [2.0] * TURN
    assert len(hops) == 1
    assert not tasks
    rows = filtered(came, *[Slow(ending="x")] * 3)
    assert len(rows.kept) == TURN
    assert len(tasks) == TURN + 1  # and the one that feeds them
