"""Methods of plugins that are not async: never on the event loop, in order, in one thread."""

import asyncio
import threading
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stage_kit import Rows, evolution

from filial import Drop, FilialError, Filter, Keep, Mixer, Record, Reply, Strategy, TeacherError, UsageError
from filial.contracts.concurrency import Worker
from filial.engine.stage import StageContext
from filial_plugins.mixing.drawing import Pool
from filial_plugins.mixing.mixture import Mixture
from filial_plugins.stages.evolve import Choice, evolve_records
from filial_plugins.stages.filter import FilterStep, filter_records
from filial_plugins.stages.mix import Mix, mix_records

PATIENCE = 300.0
"""Seconds after which a test of what waits for whom fails instead of hanging."""


def run(work):
    return asyncio.run(asyncio.wait_for(work, PATIENCE))


def test_calls_are_made_in_the_order_they_were_asked_for_in_one_thread():
    seen = []

    async def work():
        worker = Worker()

        async def ask(i):
            seen.append(i)
            return await worker.call(lambda: (i, len(made), made.append(i), threading.get_ident(), worker.current))

        made = []
        found = await asyncio.gather(*(ask(i) for i in range(300)))
        worker.close()
        assert made == seen == list(range(300))
        assert [(i, place) for i, place, *_ in found] == [(i, i) for i in range(300)]
        (thread,) = {thread for *_, thread, _ in found}
        assert thread != threading.get_ident()
        assert all(current for *_, current in found)
        assert not worker.current

    run(work())


def test_calls_that_wait_together_wake_the_thread_once_and_the_loop_once():
    async def work():
        worker, loop, woken = Worker(), asyncio.get_running_loop(), 0
        wake = loop.call_soon_threadsafe

        def counted(*args):
            nonlocal woken
            woken += 1
            return wake(*args)

        loop.call_soon_threadsafe = counted
        assert await asyncio.gather(*(worker.call(int) for _ in range(500))) == [0] * 500
        worker.close()
        assert woken < 20, "a busy machine may be told of a part of them, never of each"

    run(work())


@pytest.mark.parametrize("error", [KeyError("k"), SystemExit(3), asyncio.CancelledError()], ids=repr)
def test_what_a_call_raises_is_raised_where_it_was_asked_for(error):
    def fail():
        raise error

    async def work():
        worker = Worker()
        with pytest.raises(type(error)) as found:
            await worker.call(fail)
        assert found.value.args == error.args
        assert await worker.call(abs, -1) == 1
        worker.close()

    run(work())


def test_the_end_of_an_iterator_is_an_error_like_others():
    async def work():
        worker = Worker()
        with pytest.raises(RuntimeError, match="StopIteration"):
            await worker.call(next, iter(()))
        worker.close()

    run(work())


def test_a_call_whose_caller_has_gone_is_not_made_and_one_under_way_is_not_waited_for():
    begun, go, made = threading.Event(), threading.Event(), []

    async def work():
        worker = Worker()
        first = asyncio.ensure_future(worker.call(lambda: (begun.set(), go.wait(PATIENCE), made.append("first"))))
        second = asyncio.ensure_future(worker.call(made.append, "second"))
        await asyncio.to_thread(begun.wait, PATIENCE)
        for each in (first, second):
            each.cancel()
        assert await asyncio.gather(first, second, return_exceptions=True)
        go.set()
        await worker.call(made.append, "third")
        worker.close()
        assert made == ["first", "third"]

    run(work())


def test_a_closed_worker_lets_its_thread_go_and_starts_again():
    async def work():
        worker = Worker()
        one = await worker.call(threading.current_thread)
        worker.close()
        one.join(PATIENCE)
        assert not one.is_alive()
        two = await worker.call(threading.current_thread)
        assert two is not one
        waiting = asyncio.ensure_future(worker.call(int))
        await asyncio.sleep(0)
        worker.close()
        await asyncio.wait([waiting])
        two.join(PATIENCE)
        assert not two.is_alive()

    run(work())


class Where(Filter):
    """Says which thread it was called in."""

    def check(self, record, ctx):
        ctx.memory.setdefault("threads", set()).add(threading.get_ident())
        return Keep(scores={"n": ctx.rng.random()})


class Remembering(Where):
    remembers = True

    def check(self, record, ctx):
        ctx.memory.setdefault("order", []).append(record.id)
        return super().check(record, ctx)


class Batches(Filter):
    """Drops those that end with a letter; notes how it was called."""

    ending: str = "a"

    def check_batch(self, records, ctx):
        ctx.memory.setdefault("threads", set()).add(threading.get_ident())
        ctx.memory.setdefault("sizes", []).append(len(records))
        score = ctx.rng.random()
        ends = [r.instruction.endswith(self.ending) for r in records]
        return [Drop("ending", scores={"x": 1.0}) if end else Keep({"batch": score}, ("seen",)) for end in ends]


class Whole(Batches):
    whole_set = True


class Asking(Filter):
    """Asks about each of a batch at once; later ones are answered first."""

    async def check_batch(self, records, ctx):
        replies = await asyncio.gather(*(ctx.ask(r.instruction) for r in records))
        return tuple(Keep(scores={"length": len(r.text)}) for r in replies)


class Numbering(Filter):
    """Remembers how many came before, and takes its time over the first of them."""

    remembers = True

    async def check_batch(self, records, ctx):
        first = ctx.memory.setdefault("count", 0)
        for _ in range(0 if first else 20):
            await asyncio.sleep(0)
        ctx.memory["count"] += len(records)
        return [Keep(scores={"place": float(first + i)}) for i in range(len(records))]


class Mixed(Filter):
    """Is answered at its own speed."""

    async def check(self, record, ctx):
        await asyncio.sleep(0.001 * (len(record.id) % 2))
        return Drop("zed") if "z" in record.instruction else Keep()


async def teacher(request):
    await asyncio.sleep(0)
    if "fail" in request.messages[-1].content:
        raise TeacherError("timeout", "too slow")
    return Reply(text="told " + request.messages[-1].content, key="k")


def records(*texts):
    return [Record(id=f"r{i}", instruction=text) for i, text in enumerate(texts)]


def filtered(came, *filters, window=256):
    rows = Rows()
    env = StageContext(stage="filter", seed=1, writer=rows, ask=teacher, window=window)
    steps = [FilterStep(f"d:f{i}==1", f) for i, f in enumerate(filters)]
    run(filter_records(came, steps, env))
    assert env.counters.find_imbalance() == ""
    rows.memory = [step.memory for step in steps]
    return rows


class Grow(Strategy):
    async def evolve(self, record, ctx):
        reply = await ctx.ask(f"more: {record.instruction}")
        return record.evolved(instruction=f"{record.instruction} more").citing(reply)


def evolved(came, *rules, rounds=1):
    rows = Rows()
    env = StageContext(stage="evolve", seed=1, writer=rows, ask=teacher)
    steps = [FilterStep(f"d:f{i}==1", rule) for i, rule in enumerate(rules)]
    run(evolve_records(came, evolution([Choice("grow", "d:grow==1", Grow())], steps, rounds=rounds), env))
    assert env.counters.find_imbalance() == ""
    rows.memory = [step.memory for step in steps]
    return rows


@pytest.mark.parametrize("work", [filtered, evolved])
def test_a_check_that_is_not_async_never_runs_on_the_event_loop(work):
    """Here the loop runs in the main thread. All of a stage run in one other."""
    rows = work(records(*"abcdefgh" * 30), Where(), Remembering(), Batches(ending="z"))
    threads = set().union(*(memory["threads"] for memory in rows.memory))
    assert len(threads) == 1
    assert threads != {threading.get_ident()}
    assert rows.memory[1]["order"] == [r.id for r in rows.kept if work is filtered or r.origin.round]


@pytest.mark.parametrize("work", [filtered, evolved])
def test_the_loop_goes_on_while_a_check_takes_its_time(work):
    """The check ends only when the loop has answered others meanwhile."""
    gone_on = threading.Event()

    class Patient(Filter):
        def check(self, record, ctx):
            assert gone_on.wait(PATIENCE), "the loop stands still"
            return Keep()

    class Late(Filter):
        async def check(self, record, ctx):
            if record.id == came[-1].id or record.instruction.startswith("last"):
                gone_on.set()
            return Keep()

    came = records(*["first"] * 70, "last")
    rows = work(came, Late(), Patient())
    assert not any(row.reason != "superseded" for row in rows.dropped)


def test_a_mixer_does_not_run_on_the_event_loop():
    threads = []

    class Where(Mixer):
        def rates(self, sizes):
            threads.append(threading.get_ident())
            return dict.fromkeys(sizes, 1.0)

    env = StageContext(stage="mix", seed=1, writer=Rows())

    async def mix():
        with closing(Pool(1, "mix")) as pool, closing(env.worker):
            env.counters.entered = await Mix().fill(pool, records("a", "b"))
            await mix_records(pool, Mix(), Mixture(Where(), {}, "d:even==1"), env)

    run(mix())
    assert len(threads) == 1
    assert threads != [threading.get_ident()]


def test_batches_are_cut_by_place_whatever_goes_on_at_once():
    """By 256 of those that reach the filter; the last is smaller."""
    came = records(*(f"{i}z" if i % 3 == 0 else f"{i}" for i in range(900)))
    found = [filtered(came, Mixed(), Batches(ending="7"), window=window) for window in (1, 7, 64)]
    for rows in found:
        assert rows.memory[1]["sizes"] == [256, 256, 88]
        assert [r.id for r in rows.kept] == [r.id for i, r in enumerate(came) if i % 3 and i % 10 != 7]
        assert len({r.scores["batch"] for r in rows.kept}) == 3, "one generator for each batch"
        assert (rows.kept, rows.dropped) == (found[0].kept, found[0].dropped)
        assert {row.record.scores["x"] for row in rows.dropped if row.reason == "ending"} == {1.0}


def test_a_filter_over_the_whole_set_is_called_once_with_all_that_reach_it():
    rows = filtered(records(*(f"{i}z" if i % 3 == 0 else f"{i}" for i in range(900))), Mixed(), Whole(), Where())
    assert rows.memory[1]["sizes"] == [600]
    assert [r.tags for r in rows.kept] == [("seen",)] * 600


@pytest.mark.parametrize("filter", [Whole(), Batches(), Asking()])
def test_nothing_to_check_is_no_call(filter):
    assert filtered(records("z", "zz"), Mixed(), filter).kept == []
    assert filtered([], filter).kept == []


@given(st.lists(st.text("abz", min_size=1, max_size=3), max_size=30), st.sampled_from([1, 3, 64]))
def test_kinds_of_filters_in_a_row_give_the_same_rows_at_any_window(texts, window):
    filters = (Where(), Mixed(), Batches(), Remembering(), Asking(), Whole(ending="b"), Where())
    rows, other = (filtered(records(*texts), *filters, window=w) for w in (256, window))
    assert (rows.kept, rows.dropped) == (other.kept, other.dropped)
    assert [r.instruction for r in rows.kept] == [t for t in texts if "z" not in t and t[-1] not in "ab"]


def test_an_async_batch_asks_and_a_call_that_fails_drops_the_batch():
    assert [r.scores["length"] for r in filtered(records("a", "bcd"), Asking()).kept] == [6.0, 8.0]
    rows = filtered(records(*["a"] * 256, "fail", "b"), Asking())
    assert len(rows.kept) == 256
    assert [(row.reason, row.detail, row.record.id) for row in rows.dropped] == [
        ("teacher-timeout", "too slow", "r256"), ("teacher-timeout", "too slow", "r257"),
    ]  # fmt: skip


def test_batches_of_a_filter_that_remembers_are_checked_one_after_the_other():
    assert [r.scores["place"] for r in filtered(records(*["x"] * 600), Numbering()).kept] == list(range(600))


def test_evolve_gives_batches_of_one_and_refuses_a_filter_that_needs_all():
    rows = evolved(records("x", "y"), Batches(ending="z"), rounds=2)
    assert rows.memory[0]["sizes"] == [1] * 4
    assert {r.tags for r in rows.kept if r.origin.round} == {("seen",)}
    assert [row.reason for row in evolved(records("x"), Batches(ending="more")).dropped] == ["ending"]
    with pytest.raises(UsageError, match=r"d:f0==1 needs all records at once, but stage evolve has one at a time"):
        evolved(records("x"), Whole())


def says(value, *, method="check_batch", awaits=False):
    """A filter that gives this."""
    namespace = {"value": value}
    given = "records" if method == "check_batch" else "record"
    exec(f"{'async ' * awaits}def {method}(self, {given}, ctx):\n    return value({given}, ctx)", namespace)
    return type("Says", (Filter,), {method: namespace[method], "__module__": __name__})()


async def later(*given):
    return Keep()


@pytest.mark.parametrize("awaits", [False, True])
@pytest.mark.parametrize("work", [filtered, evolved])
@pytest.mark.parametrize(
    ("value", "what"),
    [
        (lambda records, ctx: [Keep()] * (len(records) + 1), r"check_batch gave \d verdicts on \d record"),
        (lambda records, ctx: [], r"check_batch gave 0 verdicts on \d record"),
        (lambda records, ctx: Keep(), "check_batch gave a value of type Keep, not a list of Keep or Drop"),
        (lambda records, ctx: None, r"check_batch gave nothing \(None\), not a list"),
        (lambda records, ctx: iter([Keep()]), "check_batch gave a value of type list_iterator, not a list"),
        (lambda records, ctx: ["yes"] * len(records), "check_batch gave 'yes', not Keep or Drop"),
        (lambda records, ctx: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_nonsense_from_a_batch_is_refused_naming_the_plugin(work, value, what, awaits):
    with pytest.raises(FilialError, match=f"d:f0==1.* in stage {work.__name__[:-2]}.*{what}"):
        work(records("x", "y"), says(value, awaits=awaits))


@pytest.mark.parametrize("method", ["check", "check_batch"])
@pytest.mark.parametrize("work", [filtered, evolved])
def test_a_def_that_awaits_is_told_to_be_async(work, method):
    with pytest.raises(FilialError, match=f"d:f0==1.*{method} gave .*coroutine.*'async def'"):
        work(records("x"), says(later, method=method))


def test_a_thread_that_asks_by_a_loop_of_its_own_is_refused():
    ask = says(lambda record, ctx: asyncio.run(ctx.ask("x")), method="check")
    with pytest.raises(FilialError, match=r"d:f0==1 fails .*a plain 'def' cannot ask the teacher.*'async def'"):
        filtered(records("x"), ask)


def test_a_filter_has_one_of_both_methods_and_for_the_whole_set_that_of_batches():
    class Neither(Filter):
        pass

    class Alone(Filter):
        whole_set = True

        def check(self, record, ctx):
            return Keep()

    class Heir(Neither):
        def check(self, record, ctx):
            return Keep()

    assert (Neither.__abstractmethods__, Alone.__abstractmethods__) == ({"check"}, {"check_batch"})
    for cls in (Neither, Alone):
        with pytest.raises(TypeError, match="abstract"):
            cls()
    assert Heir()
    assert Batches()
