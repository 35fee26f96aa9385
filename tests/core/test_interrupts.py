"""What a request to stop does to asynchronous work, and to whoever else takes care of signals."""

import asyncio
import signal
import threading

import pytest

from filial.contracts.plugin_errors import blame_plugin
from filial.engine import interrupts

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
STOPS = pytest.mark.parametrize("sign", SIGNALS)


@pytest.fixture(autouse=True)
def usual():
    """Signals as a fresh process has them."""
    before = {sign: signal.signal(sign, handler) for sign, handler in interrupts.USUAL.items()}
    yield
    for sign, handler in before.items():
        signal.signal(sign, handler)


async def stopped(told, *signs):
    """Work that is told to stop, and again while it clears up, for which it needs some turns of the loop."""
    first, *more = signs
    try:
        signal.raise_signal(first)
        await asyncio.Event().wait()
    finally:
        told.append("stopping")
        for sign in more:
            signal.raise_signal(sign)
        for _ in range(5):
            await asyncio.sleep(0)
        told.append("cleared up")


@STOPS
def test_one_signal_lets_the_work_clear_up(sign):
    told = []
    with pytest.raises(KeyboardInterrupt):
        interrupts.run(stopped(told, sign))
    assert told == ["stopping", "cleared up"]


@STOPS
def test_a_signal_after_the_last_await_is_not_lost(sign):
    async def work():
        await asyncio.sleep(0)
        signal.raise_signal(sign)
        return 7

    with pytest.raises(KeyboardInterrupt):
        interrupts.run(work())


@STOPS
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_one_waits_no_longer(sign, second):
    told = []
    with pytest.raises(KeyboardInterrupt):
        interrupts.run(stopped(told, sign, second))
    assert told == ["stopping"]


@STOPS
def test_a_terminal_that_closes_may_say_so_more_than_once(sign):
    told = []
    with pytest.raises(KeyboardInterrupt):
        interrupts.run(stopped(told, sign, signal.SIGHUP, signal.SIGHUP))
    assert told == ["stopping", "cleared up"]


@STOPS
def test_handlers_are_as_they_were_afterwards(sign):
    async def work():
        assert signal.getsignal(sign) is not interrupts.USUAL[sign]
        return 7

    assert interrupts.run(work()) == 7
    with pytest.raises(KeyboardInterrupt):
        interrupts.run(stopped([], sign))
    assert [signal.getsignal(each) for each in SIGNALS] == [interrupts.USUAL[each] for each in SIGNALS]


@STOPS
@pytest.mark.parametrize("theirs", [signal.SIG_IGN, lambda number, frame: None], ids=["ignored", "handled"])
def test_a_signal_that_somebody_else_takes_care_of_is_left_to_them_and_the_others_are_not(sign, theirs):
    signal.signal(sign, theirs)

    async def work():
        signal.raise_signal(sign)
        await asyncio.sleep(0)
        return signal.getsignal(sign)

    assert interrupts.run(work()) is theirs
    other = next(each for each in SIGNALS if each is not sign)
    with pytest.raises(KeyboardInterrupt):
        interrupts.run(stopped([], other))
    assert signal.getsignal(sign) is theirs


def test_outside_of_the_main_thread_no_signal_is_touched():
    seen = []

    async def work():
        seen.extend(signal.getsignal(each) for each in SIGNALS)

    thread = threading.Thread(target=lambda: interrupts.run(work()))
    thread.start()
    thread.join()
    assert seen == [interrupts.USUAL[each] for each in SIGNALS]


@STOPS
def test_a_plugin_that_is_cancelled_with_the_work_is_not_blamed(sign):
    async def work():
        with blame_plugin("p:plugin", "02-evolve"):
            signal.raise_signal(sign)
            await asyncio.Event().wait()

    with pytest.raises(KeyboardInterrupt):
        interrupts.run(work())


def test_a_plugin_whose_work_is_ended_early_is_not_blamed():
    async def work():
        with blame_plugin("p:plugin", "02-evolve"):
            await asyncio.sleep(1)

    async def begin():
        suspended = work()
        suspended.send(None)
        suspended.close()  # raises what is raised inside
        return suspended.cr_frame

    assert asyncio.run(begin()) is None


def inside_a_loop(work, stop=None):
    """Run work the way a notebook's cell does: by a plain call inside a loop that runs."""
    loop = asyncio.new_event_loop()

    async def cell():
        return interrupts.run(work, stop=stop)

    try:
        return loop.run_until_complete(cell())
    finally:
        loop.close()


def test_inside_a_loop_that_runs_the_work_has_one_of_its_own():
    async def work():
        await asyncio.sleep(0)
        return threading.current_thread() is threading.main_thread()

    assert inside_a_loop(work()) is False


def test_inside_a_loop_an_error_arrives_as_it_is():
    async def work():
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        inside_a_loop(work())


def test_inside_a_loop_a_signal_lets_the_work_clear_up():
    told, begun = [], threading.Event()
    threading.Thread(target=lambda: (begun.wait(), signal.pthread_kill(threading.main_thread().ident, 2))).start()

    async def work():
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            told.append("cleared up")

    with pytest.raises(KeyboardInterrupt):
        inside_a_loop(work())
    assert told == ["cleared up"]


@pytest.mark.parametrize("early", [True, False])
def test_another_thread_may_ask_to_stop(early):
    stop, told = interrupts.Stop(), []

    async def work():
        told.append("begun")
        stop()
        await asyncio.Event().wait()

    if early:
        stop()
    with pytest.raises(KeyboardInterrupt):
        inside_a_loop(work(), stop)
    assert told == ([] if early else ["begun"])
