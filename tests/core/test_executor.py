"""The engine seam: order kept, window bounded, the first failure raised, nothing left running."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filial.executor import in_order


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

    out = asyncio.run(run())
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

    assert asyncio.run(asyncio.wait_for(run(), 5)) == list(range(8))


def test_items_are_taken_as_the_window_allows():
    taken = []

    def items():
        for i in range(100):
            taken.append(i)
            yield i

    async def work(i):
        return i

    async def run():
        async for i, _ in in_order(items(), work, 4):
            assert len(taken) <= i + 4

    asyncio.run(run())
    assert len(taken) == 100


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

    assert asyncio.run(leaving_nothing()) == 1, "only the test's own task may be left"
    assert seen == [0, 1, 2]
    assert set(cancelled) >= {4, 6, 7}
    assert max(ended) <= 2


def test_a_consumer_that_stops_early_leaves_nothing_running():
    async def work(i):
        await asyncio.sleep(0 if i == 0 else 10)

    async def run():
        results = in_order(range(20), work, 5)
        async for _ in results:
            break
        await results.aclose()
        return len(asyncio.all_tasks())

    assert asyncio.run(run()) == 1


def test_nothing_to_do():
    async def run():
        return [r async for r in in_order([], None, 3)]

    assert asyncio.run(run()) == []
