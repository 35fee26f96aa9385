"""The engine seam: order kept, window bounded, the first failure raised, nothing left running."""

import asyncio
import random

import pytest
import virtual_time
from hypothesis import given, settings
from hypothesis import strategies as st

from filial import in_order
from filial.contracts import concurrency as executor


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3), max_size=40), st.integers(1, 12))
def test_results_come_in_the_order_of_the_items_and_never_more_than_the_window_at_once(delays, window):
    state = {"now": 0, "peak": 0}

    async def work(pair):
        state["now"] += 1
        state["peak"] = max(state["peak"], state["now"])
        await asyncio.sleep(pair[1] * 0.0005)
        state["now"] -= 1
        return pair[0] * 10

    async def run():
        return [(item, result) async for item, result in in_order(enumerate(delays), work, window)]

    out = virtual_time.run(run())
    assert out == [((i, d), i * 10) for i, d in enumerate(delays)]
    assert state["peak"] <= window
    assert state["now"] == 0


def test_the_window_stays_full_while_an_early_item_is_slow():
    """No barrier: behind one slow item all the others of the window are worked on."""
    started = []

    async def work(i):
        started.append(i)
        if i == 0:
            while len(started) < 8:
                await asyncio.sleep(0)
        return i

    async def run():
        return [r async for _, r in in_order(range(8), work, 8)]

    assert virtual_time.run(run()) == list(range(8))


def test_items_are_taken_one_by_one_and_only_when_there_is_room_for_their_work():
    taken, ended = [], []

    def items():
        for i in range(100):
            taken.append(i)
            assert len(taken) - len(ended) <= 4
            yield i

    async def work(i):
        await asyncio.sleep(0.0005 * (i % 3))
        ended.append(i)
        return i

    async def run():
        return [i async for i, _ in in_order(items(), work, 4)]

    assert virtual_time.run(run()) == taken == list(range(100))


def test_one_that_hangs_keeps_the_others_from_nothing_until_much_waits_behind_it(monkeypatch):
    """The window counts what is unfinished; what is finished waits outside it, up to a bound."""
    monkeypatch.setattr(executor, "LEAST_AHEAD", 40)
    started, unfinished, seen = [], set(), []

    async def work(i):
        started.append(i)
        unfinished.add(i)
        if i == 0:
            while len(started) < 40:
                assert len(unfinished) <= 2
                await asyncio.sleep(0)
            await asyncio.sleep(0.02)
            assert len(started) == 40, "nothing more is begun"
        await asyncio.sleep(0)
        unfinished.remove(i)

    async def run():
        async for i, _ in in_order(range(200), work, 2):
            seen.append(i)

    virtual_time.run(run())
    assert seen == list(range(200))


def test_nothing_is_begun_while_much_waits_for_a_slow_taker(monkeypatch):
    """Finished work takes memory; behind a slow item it is worth it, behind a slow taker nothing is won."""
    monkeypatch.setattr(executor, "BACKLOG", 20)
    started = []

    async def work(i):
        started.append(i)

    async def run():
        async for i, _ in in_order(range(1000), work, 4):
            for _ in range(3):
                await asyncio.sleep(0)
            assert len(started) - i <= 20 + executor.TURN

    virtual_time.run(run())
    assert started == list(range(1000))


def test_the_window_is_nine_tenths_full_on_average_while_work_remains():
    """Uneven work, a consumer that takes its time, and one item in fifty that takes twenty times as long."""
    rng, loads, now = random.Random(3), [], 0
    delays = [0.4 if rng.random() < 0.02 else 0.01 + 0.02 * rng.random() for _ in range(1200)]
    left = len(delays)

    async def work(i):
        nonlocal now, left
        now += 1
        left -= 1
        await asyncio.sleep(delays[i])
        now -= 1

    async def watch():
        while left:
            await asyncio.sleep(0.005)
            loads.append(now)

    async def run():
        watching = asyncio.create_task(watch())
        async for i, _ in in_order(range(1200), work, 32):
            if i % 50 == 0:
                await asyncio.sleep(0.02)
        await watching

    virtual_time.run(run())
    assert len(loads) > 50
    assert max(loads) <= 32
    assert sum(loads[:-1]) / len(loads[:-1]) >= 0.9 * 32


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 2), max_size=30), st.integers(1, 8), st.integers(1, 8))
def test_one_step_feeds_another_in_order(delays, first, second):
    async def doubled(pair):
        await asyncio.sleep(0.0004 * pair[1])
        return 2 * pair[0]

    async def told(step):
        await asyncio.sleep(0.0004 * (2 - step[0][1]))
        return f"{step[1]}"

    async def run():
        steps = in_order(enumerate(delays), doubled, first)
        return [text async for _, text in in_order(steps, told, second)], len(asyncio.all_tasks())

    assert virtual_time.run(run()) == ([str(2 * i) for i in range(len(delays))], 1)


@pytest.mark.parametrize("taken", [0, 1, 30])
def test_an_async_source_is_closed_with_its_consumer(taken):
    """Whether it stands at an item that nobody took yet or is at work on the next one."""
    closed = []

    async def items():
        try:
            for i in range(1000):
                await asyncio.sleep(0 if i < 20 else 0.001)
                yield i
        finally:
            closed.append(True)

    async def work(i):
        await asyncio.sleep(0 if i < 10 else 0.001)

    async def run():
        results = in_order(items(), work, 4)
        seen = 0
        async for _ in results:
            seen += 1
            if seen > taken:
                break
        await results.aclose()
        return len(asyncio.all_tasks())

    assert virtual_time.run(run()) == 1
    assert closed == [True]


def test_the_first_failure_in_order_is_raised_and_the_rest_is_cancelled():
    ended, cancelled = [], []

    async def work(i):
        try:
            if i == 5:
                raise KeyError("five fails at once")
            await asyncio.sleep(0.01 if i <= 3 else 10)
            if i == 3:
                raise ValueError("three fails later")
            ended.append(i)
        except asyncio.CancelledError:
            cancelled.append(i)
            raise
        return i

    seen = []

    async def run():
        async for i, _ in in_order(range(100), work, 8):
            seen.append(i)

    async def leaving_nothing():
        with pytest.raises(ValueError, match="three"):
            await run()
        return len(asyncio.all_tasks())

    assert virtual_time.run(leaving_nothing()) == 1, "only the test's own task may be left"
    assert seen == [0, 1, 2]
    assert set(cancelled) >= {4, 6, 7}
    assert max(ended) <= 2


def test_nothing_is_begun_after_a_failure():
    begun = []

    async def work(i):
        begun.append(i)
        if i == 3:
            raise ValueError("three")
        await asyncio.sleep(0.02 if i == 0 else 0)

    async def run():
        async for _ in in_order(range(1000), work, 4):
            pass

    with pytest.raises(ValueError, match="three"):
        virtual_time.run(run())
    assert max(begun) < 12


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_source_that_fails_is_heard_after_what_it_gave(kind):
    def items():
        yield from range(5)
        raise KeyError("the source")

    async def later():
        for i in items():
            yield i

    async def work(i):
        await asyncio.sleep(0.002 * (5 - i))
        return i

    seen = []

    async def run():
        async for i, _ in in_order(items() if kind == "sync" else later(), work, 3):
            seen.append(i)

    with pytest.raises(KeyError, match="the source"):
        virtual_time.run(run())
    assert seen == [0, 1, 2, 3, 4]


def test_work_that_never_waits_leaves_the_loop_its_turns():
    turns = 0

    async def ticking():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def work(i):
        return i

    async def run():
        ticks = asyncio.create_task(ticking())
        async for _ in in_order(range(2000), work, 10_000):
            pass
        ticks.cancel()

    virtual_time.run(run())
    assert turns > 20


def test_a_consumer_that_stops_early_leaves_nothing_running():
    async def work(i):
        await asyncio.sleep(0 if i == 0 else 10)

    async def run():
        results = in_order(range(20), work, 5)
        async for _ in results:
            break
        await results.aclose()
        return len(asyncio.all_tasks())

    assert virtual_time.run(run()) == 1


def test_nothing_to_do():
    async def run():
        return [r async for r in in_order([], None, 3)]

    assert virtual_time.run(run()) == []


def test_a_window_that_lets_nothing_through_is_refused():
    async def run():
        return [r async for r in in_order([1], None, 0)]

    with pytest.raises(ValueError, match="at least 1"):
        virtual_time.run(run())
