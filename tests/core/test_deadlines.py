"""A request's deadline does not run while the loop cannot look for the answer."""

import asyncio
import itertools
from pathlib import Path

import pytest
import virtual_time
from stage_kit import Rows, evolution

from filial import Drop, Filter, Keep, Message, Record, Reply, Request, Strategy, Teacher, TeacherError
from filial.engine.stage import StageContext
from filial.gateway import Gateway
from filial.gateway.deadlines import TICK, Deadlines
from filial.gateway.ledger import Ledger
from filial_plugins.stages.evolve import Choice, evolve_records
from filial_plugins.stages.filter import FilterStep, filter_records


def hold(seconds):
    """Compute for so long, by the clock of the test; or stop the process for that time, which is the same to it."""
    virtual_time._Clock.now += seconds


def now():
    return asyncio.get_running_loop().time()


async def late(deadlines, work):
    """Seconds until a deadline was over, or None when the work was done before."""
    start = now()
    try:
        await deadlines.run(work())
    except TimeoutError:
        return now() - start
    return None


def test_an_idle_loop_has_the_deadline_it_was_given():
    async def work():
        for seconds in (0.001, 0.3, 7.0, 120.0):
            over = await late(Deadlines(seconds), asyncio.Event().wait)
            assert seconds <= over < seconds + TICK + 0.01
            assert await late(Deadlines(seconds), lambda: asyncio.sleep(0.9 * seconds)) is None  # noqa: B023

    virtual_time.run(work())


@pytest.mark.parametrize("held", [0.3, 1.2, 60.0])
@pytest.mark.parametrize("before", [0.0, 0.01, 0.5, 0.97])
def test_time_in_which_the_loop_is_held_does_not_count(held, before):
    async def work():
        asyncio.get_running_loop().call_later(before, hold, held)
        over = await late(Deadlines(1.0), asyncio.Event().wait)
        assert 1.0 + held - TICK - 0.01 < over < 1.0 + held + TICK + 0.01

    virtual_time.run(work())


@pytest.mark.parametrize("steps", [1, 5, 20])
def test_an_answer_of_many_steps_comes_through_a_loop_that_is_held_at_each(steps):
    """As that of an endpoint does: connected, greeted, sent, read in pieces."""

    async def hog():
        while True:
            await asyncio.sleep(0)
            hold(1.2)

    async def answer():
        for _ in range(steps):
            await asyncio.sleep(0.9 / steps)

    async def work():
        hogging = asyncio.create_task(hog())
        assert await late(Deadlines(1.0), answer) is None
        hogging.cancel()

    virtual_time.run(work())


def test_a_hung_request_ends_though_the_loop_is_never_free_for_long():
    async def work():
        async def hog():
            while True:
                await asyncio.sleep(0)
                hold(0.5)

        hogging = asyncio.create_task(hog())
        over = await late(Deadlines(1.0), asyncio.Event().wait)
        assert 2.0 < over < 60.0
        hogging.cancel()

    virtual_time.run(work())


def test_a_clock_ticks_once_for_all_requests_and_only_while_there_are_some():
    async def work():
        deadlines, loop, timers = Deadlines(60.0), asyncio.get_running_loop(), 0
        at = loop.call_at

        def counted(when, callback, *args, **kwargs):
            nonlocal timers
            timers += callback == deadlines._tick
            return at(when, callback, *args, **kwargs)

        loop.call_at = counted
        await asyncio.gather(*(late(deadlines, lambda: asyncio.sleep(10 * TICK)) for _ in range(1024)))
        assert timers <= 12
        await asyncio.sleep(100 * TICK)
        assert timers <= 12

    virtual_time.run(work())


class Slow(Teacher):
    """Answers in 0.2 to 0.8 seconds."""

    _times = itertools.cycle([0.2, 0.8, 0.5])

    async def reply(self, request):
        await asyncio.sleep(next(self._times))
        return Reply(text="told " + request.messages[-1].content)


class Deaf(Teacher):
    """Never answers."""

    async def reply(self, request):
        await asyncio.Event().wait()


class Ask(Strategy):
    async def evolve(self, record, ctx):
        return record.evolved(instruction=(await ctx.ask(record.instruction)).text)


class Computing(Filter):
    """Computes for 1.2 seconds, and asks where it is told to."""

    asking: bool = False

    async def check(self, record, ctx):
        hold(1.2)
        reply = await ctx.ask(f"good? {record.instruction}") if self.asking else None
        hold(1.2)
        return Drop("bad") if reply and reply.text == "no" else Keep()


@pytest.mark.parametrize("verb", ["evolve", "filter"])
@pytest.mark.parametrize("window", [1, 2, 64])
def test_no_request_is_repeated_and_no_row_lost_to_a_filter_that_holds_the_loop(verb, window):
    """1.2 seconds at a time, with a deadline of one second for answers that take 0.8 at most."""

    async def work():
        gateway = Gateway("slow", Slow(timeout=1.0), ledger)
        rows = Rows()
        env = StageContext(stage=verb, seed=1, writer=rows, ask=gateway.ask, window=window)
        records = [Record(id=f"r{i}", instruction=f"task {i}") for i in range(6)]
        steps = [FilterStep("d:computing==1", Computing(asking=verb == "filter"))]
        if verb == "evolve":
            await evolve_records(records, evolution([Choice("ask", "d:ask==1", Ask())], steps), env)
        else:
            await filter_records(records, steps, env)
        assert rows.dropped == []
        assert len(rows.kept) == (12 if verb == "evolve" else 6)
        assert (gateway.spent.requests, gateway.spent.retries) == (12 if verb == "evolve" else 6, 0)
        await gateway.close()

    ledger = Ledger(Path(":memory:"))
    virtual_time.run(work())


def test_a_request_that_is_late_by_itself_is_late_however_the_loop_was_held():
    async def work():
        gateway = Gateway("deaf", Deaf(timeout=0.1, max_retries=0), Ledger(Path(":memory:")))
        asyncio.get_running_loop().call_later(0.05, hold, 3.0)
        with pytest.raises(TeacherError, match=r"no answer within 0\.1 s"):
            await gateway.ask(Request(messages=(Message(role="user", content="x"),)))
        await gateway.close()

    virtual_time.run(work())
