"""The window, the pace and the pause: as much as the endpoint takes, and no more."""

import asyncio
import time
from itertools import pairwise

import pytest
import virtual_time

from filial.gateway.rate_limits import COOLDOWN, JITTER, Pause, RateLimit, Window


class Clock:
    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr("time.monotonic", made.monotonic)
    return made


def round_trip(window, answers="note_answer"):
    """One round: every request of a full window ends once, while more are waiting than it can take."""

    async def work():
        waiting = [asyncio.create_task(window.enter()) for _ in range(3 * window.most)]
        await asyncio.sleep(0)
        for _ in range(int(window.limit)):
            getattr(window, answers)()
            window.leave()
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        window.in_flight = 0

    asyncio.run(work())


def test_a_window_starts_at_64_and_doubles_per_round_until_its_most(clock):
    window, seen = Window(512), []
    for _ in range(5):
        seen.append(int(window.limit))
        round_trip(window)
    assert seen == [64, 128, 256, 512, 512]


def test_a_small_window_starts_whole(clock):
    assert Window(8).limit == 8


def test_a_refusal_cuts_once_what_was_lost_is_won_back_and_growth_is_slow_beyond(clock):
    window, seen = Window(512), []
    for _ in range(30):
        window.note_overload()
    assert window.limit == pytest.approx(64 * 0.7)
    clock.now += 2 * COOLDOWN
    for _ in range(8):
        round_trip(window)
        seen.append(window.limit)
    assert 0.95 * 64 <= seen[0] < 64
    for before, after in pairwise(seen):
        assert before < after <= 1.08 * before + 1


def test_answers_in_the_cooldown_count_for_nothing(clock):
    window = Window(512)
    for _ in range(30):
        window.note_overload()
    before = window.limit
    round_trip(window)
    assert before < 64
    assert window.limit == before


def test_a_refusal_now_and_then_is_waited_out_and_no_reason_to_shrink(clock):
    window = Window(64)
    for i in range(500):
        window.note_overload() if i % 10 == 0 else window.note_answer()
        clock.now += 0.1
    assert window.limit == 64


def test_an_endpoint_that_takes_24_at_once_is_soon_asked_for_no_more(clock):
    """Every round, as many are answered as it takes and the others are refused."""
    window, refused = Window(256), 0
    for _ in range(40):
        sent = int(window.limit)
        for i in range(sent):
            window.in_flight = sent
            window.note_answer() if i < 24 else window.note_overload()
        refused += max(0, sent - 24)
        clock.now += 1.1 * COOLDOWN
    assert 15 <= window.limit <= 34
    assert refused < 40 * 24 / 3


def test_a_window_that_nobody_fills_does_not_grow(clock):
    window = Window(512)

    async def trickle():
        for _ in range(500):
            await window.enter()
            window.note_answer()
            window.leave()

    asyncio.run(trickle())
    assert window.limit == 64


def test_a_failing_server_stops_growth_without_a_cut(clock):
    window = Window(512)
    window.note_trouble()
    round_trip(window)
    assert window.limit == 64


def test_never_less_than_one(clock):
    window = Window(2)
    for _ in range(50):
        window.note_overload()
        clock.now += 2 * COOLDOWN
    assert window.limit == 1


def test_places_are_given_in_the_order_of_asking_and_none_is_lost_to_a_cancelled_waiter():
    async def work():
        window, order = Window(1), []

        async def worker(i):
            await window.enter()
            order.append(i)
            await asyncio.sleep(0)
            window.leave()

        await window.enter()
        tasks = [asyncio.create_task(worker(i)) for i in range(6)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        window.leave()
        tasks[1].cancel()  # its place has just been given
        await asyncio.gather(*tasks, return_exceptions=True)
        return order, window.in_flight

    order, left = virtual_time.run(work())
    assert order == [2, 3, 4, 5]
    assert left == 0


@pytest.mark.parametrize("per_minute", [60, 600, 6000])
def test_no_minute_holds_more_than_the_pace_allows(per_minute):
    async def work():
        pace, times = RateLimit(per_minute), []
        for _ in range(3 * per_minute):
            await pace.take(1)
            times.append(time.monotonic())
        return times

    times = virtual_time.run(work())
    burst = per_minute / 60
    for i, start in enumerate(times):
        within = sum(start <= t < start + 60 for t in times[i : i + 2 * per_minute])
        assert within <= per_minute + burst + 1
        if i > 50:
            break
    assert times[-1] - times[0] <= 180


def test_what_was_not_used_is_handed_back():
    async def work():
        pace = RateLimit(60)
        await pace.take(31)
        pace.give_back(30)
        before = time.monotonic()
        await pace.take(1)
        return time.monotonic() - before

    assert virtual_time.run(work()) <= 1.0


def test_a_pause_holds_for_all_and_ends_for_each_at_another_moment():
    async def work():
        pause = Pause()
        pause.extend(20)
        start = time.monotonic()

        async def wait():
            await pause.wait()
            return time.monotonic() - start

        return await asyncio.gather(*(wait() for _ in range(50)))

    ends = virtual_time.run(work())
    assert 20 <= min(ends) < max(ends) <= 20 * (1 + JITTER)
    assert len(set(ends)) == 50
    assert max(ends) - min(ends) > 20 * JITTER / 2
