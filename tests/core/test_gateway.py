"""The gateway: asked once, retried where that helps, below the caps, and never silent about a failure."""

import asyncio

import pytest

from filial import Message, Reply, Request, TeacherError
from filial.asking.budget import Budget, Purse
from filial.asking.gateway import Gateway
from filial.components import Teacher
from filial.errors import BudgetStop, FilialError, TeacherUnreachable
from filial.ledger import Ledger


def request(text):
    return Request(messages=(Message(role="user", content=text),))


class Moody(Teacher):
    """Says what ``answer`` returns or raises; counts calls and how many were open at once."""

    _state: dict = {}

    @classmethod
    def saying(cls, answer, **options):
        teacher = cls(**options)
        teacher._state.update(answer=answer, calls=0, open=0, peak=0)
        return teacher

    async def reply(self, request):
        s = self._state
        s["calls"] += 1
        s["open"] += 1
        s["peak"] = max(s["peak"], s["open"])
        try:
            await asyncio.sleep(0.001)
            said = s["answer"](request, s["calls"])
            if asyncio.iscoroutine(said):
                said = await said
            if isinstance(said, Exception):
                raise said
            return said if isinstance(said, Reply) else Reply(text=said, prompt_tokens=3, completion_tokens=2)
        finally:
            s["open"] -= 1


class Clock:
    """A clock that only sleeping moves; what was slept is kept in ``waits``."""

    def __init__(self):
        self.now, self.waits = 1000.0, []

    def monotonic(self):
        self.now += 1e-6
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made, sleep = Clock(), asyncio.sleep

    async def no_wait(seconds):
        if seconds < 0.01:
            await sleep(seconds)
        else:
            made.waits.append(seconds)
            made.now += seconds
            await sleep(0)

    monkeypatch.setattr("asyncio.sleep", no_wait)
    for module in ("limits", "retrying", "gateway"):
        monkeypatch.setattr(f"filial.asking.{module}.time", made)
    return made


@pytest.fixture
def gateway(tmp_path, clock):
    made = []

    def make(answer, budget=None, wrap=None, **options):
        teacher = Moody.saying(answer, **options)
        purse = Purse(budget or Budget())
        made.append(Gateway("moody", teacher, Ledger(tmp_path / "ledger.sqlite"), purse, wrap))
        made[-1].waits = clock.waits
        return made[-1]

    yield make
    for g in made:
        g.ledger.close()


def ask(gateway, *texts):
    async def all_at_once():
        return await asyncio.gather(*(gateway.ask(request(t)) for t in texts), return_exceptions=True)

    return asyncio.run(all_at_once())


def test_equal_requests_in_flight_are_asked_once(gateway):
    g = gateway(lambda r, n: f"answer {n}")
    answers = ask(g, *["same"] * 50)
    assert {a.text for a in answers} == {"answer 1"}
    assert g.teacher._state["calls"] == 1


def test_what_the_ledger_holds_is_not_asked_again(gateway):
    assert ask(gateway(lambda r, n: "first"), "q")[0].text == "first"
    again = gateway(lambda r, n: AssertionError("asked again"))
    assert ask(again, "q")[0].text == "first"
    assert (again.spent.requests, again.spent.from_ledger) == (0, 1)


def test_failures_that_pass_are_retried_and_the_wait_grows(gateway):
    g = gateway(lambda r, n: TeacherError("http-500", retry=True) if n < 4 else "at last")
    assert ask(g, "q")[0].text == "at last"
    assert g.spent.retries == 3
    assert len(g.waits) == 3
    assert g.waits[0] < g.waits[1] < g.waits[2]


def test_what_the_endpoint_asks_to_wait_is_waited(gateway):
    g = gateway(lambda r, n: TeacherError("rate-limited", retry=True, retry_after=7) if n == 1 else "ok")
    ask(g, "q")
    assert 7 <= g.waits[0] <= 7 * 1.25


def test_to_be_told_to_wait_no_time_at_all_is_no_invitation_to_hammer(gateway):
    g = gateway(lambda r, n: TeacherError("rate-limited", retry=True, retry_after=0.0) if n < 4 else "ok")
    assert ask(g, "q")[0].text == "ok"
    assert len(g.waits) == 3
    assert min(g.waits) >= 0.5


def test_failures_that_do_not_pass_are_final_at_once_and_never_stored(gateway):
    g = gateway(lambda r, n: TeacherError("insufficient-quota"))
    assert ask(g, "q")[0].reason == "insufficient-quota"
    assert (g.teacher._state["calls"], len(g.ledger)) == (1, 0)


def test_retries_end(gateway):
    g = gateway(lambda r, n: TeacherError("http-500", retry=True), max_retries=2)
    assert ask(g, "q")[0].reason == "http-500"
    assert g.teacher._state["calls"] == 3


def test_a_cut_answer_is_a_failure_with_its_text_and_is_not_stored(gateway):
    g = gateway(lambda r, n: Reply(text="The answer is for", finish_reason="length"))
    error = ask(g, "q")[0]
    assert (error.reason, error.answer, len(g.ledger)) == ("length", "The answer is for", 0)


def test_one_bad_answer_costs_no_other(gateway):
    def answer(r, n):
        return TeacherError("bad-body") if r.messages[0].content == "q3" else "ok"

    results = ask(gateway(answer), *(f"q{i}" for i in range(8)))
    assert [isinstance(r, TeacherError) for r in results] == [i == 3 for i in range(8)]


def test_never_more_in_flight_than_allowed(gateway):
    g = gateway(lambda r, n: "ok", max_concurrency=4)
    ask(g, *(f"q{i}" for i in range(40)))
    assert g.teacher._state["peak"] <= 4


@pytest.mark.parametrize("cap", [1, 5, 17])
def test_a_cap_on_requests_is_never_passed_and_what_was_paid_is_kept(gateway, cap):
    g = gateway(lambda r, n: "ok", budget=Budget(requests=cap), max_concurrency=64)
    results = ask(g, *(f"q{i}" for i in range(40)))
    assert g.teacher._state["calls"] == cap == len(g.ledger)
    assert sum(isinstance(r, BudgetStop) for r in results) == 40 - cap


def test_an_endpoint_that_refuses_everybody_stops_the_run(gateway):
    g = gateway(lambda r, n: TeacherError("http-401", "the key is not accepted", down=True))
    assert isinstance(ask(g, "q")[0], TeacherUnreachable)


def test_an_endpoint_that_never_answered_is_unreachable_one_that_did_is_not(gateway):
    refused = TeacherError("connection-refused", "nobody listens", retry=True)
    assert isinstance(ask(gateway(lambda r, n: refused, max_retries=1), "q")[0], TeacherUnreachable)
    g = gateway(lambda r, n: "ok" if r.messages[0].content == "first" else refused, max_retries=1)
    ask(g, "first")
    assert ask(g, "second")[0].reason == "connection-refused"


def test_a_request_that_takes_too_long_is_a_timeout(tmp_path):
    async def never(*_):
        await asyncio.Event().wait()

    g = Gateway("moody", Moody.saying(never, timeout=0.05, max_retries=0), Ledger(tmp_path / "l.sqlite"))
    assert ask(g, "q")[0].reason == "timeout"
    g.ledger.close()


def test_wrappers_stand_outside_the_ledger_so_what_they_change_is_what_is_stored(gateway):
    def redacting(proceed):
        async def ask(r):
            clean = r.messages[0].content.replace("Ada", "[name]")
            return await proceed(request(clean))

        return ask

    g = gateway(lambda r, n: r.messages[0].content, wrap=redacting)
    assert ask(g, "Write to Ada.")[0].text == "Write to [name]."
    stored = b"".join(row[0] for row in g.ledger._db.execute("select request from answers"))
    import zlib

    assert b"Ada" not in zlib.decompress(stored)


def test_a_fault_of_the_teachers_own_code_ends_the_run_and_names_the_teacher(gateway):
    g = gateway(lambda r, n: ZeroDivisionError("a bug"))
    error = ask(g, "q")[0]
    assert isinstance(error, FilialError)
    assert not isinstance(error, TeacherError)
    assert "'moody'" in str(error)
    assert "ZeroDivisionError: a bug" in str(error)
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert g.stopped is error


@pytest.mark.parametrize("given", [None, "a bare text"])
def test_a_teacher_that_returns_no_reply_is_named(gateway, given):
    g = gateway(lambda r, n: "unused")

    async def reply(self, request):
        return given

    type(g.teacher).reply, whole = reply, type(g.teacher).reply
    try:
        error = ask(g, "q")[0]
    finally:
        type(g.teacher).reply = whole
    assert "'moody' breaks its contract" in str(error)


@pytest.mark.parametrize("place", ["question", "answer"])
def test_half_a_character_costs_its_request_alone_and_is_never_stored(gateway, place):
    g = gateway(lambda r, n: "half \ud83d" if r.messages[0].content == "bad answer" else "ok")
    bad, good = ask(g, "half \ud83d" if place == "question" else "bad answer", "fine")
    assert bad.reason == "not-unicode"
    assert "U+D83D" in bad.detail
    assert (good.text, len(g.ledger)) == ("ok", 1)


def test_a_request_goes_on_when_its_asker_gives_up_and_serves_whoever_asks_the_same(gateway):
    released = asyncio.Event()

    async def slowly():
        await released.wait()
        return Reply(text="answered")

    g = gateway(lambda r, n: slowly())

    async def both():
        first = asyncio.create_task(g.ask(request("q")))
        while not g.teacher._state["open"]:
            await asyncio.sleep(0)
        first.cancel()
        second = asyncio.create_task(g.ask(request("q")))
        await asyncio.sleep(0)
        released.set()
        return await asyncio.wait_for(second, 5)

    assert asyncio.run(both()).text == "answered"
    assert g.teacher._state["calls"] == 1


def test_closing_waits_for_what_is_in_flight_and_stores_it_and_sends_nothing_more(tmp_path):
    async def slowly():
        await asyncio.sleep(0.05)
        return "paid for"

    told = []
    teacher = Moody.saying(lambda r, n: slowly(), max_concurrency=3)
    g = Gateway("moody", teacher, Ledger(tmp_path / "l.sqlite"), note=told.append)

    async def interrupted():
        askers = [asyncio.create_task(g.ask(request(f"q{i}"))) for i in range(10)]
        while teacher._state["open"] < 3:
            await asyncio.sleep(0.001)
        for asker in askers:
            asker.cancel()
        await asyncio.gather(*askers, return_exceptions=True)
        await g.close()

    asyncio.run(interrupted())
    assert teacher._state["calls"] == 3
    again = Ledger(tmp_path / "l.sqlite")
    assert len(again) == 3
    again.close()
    assert told == ["finishing 3 requests in flight (Ctrl-C leaves them)"]


def test_what_is_waiting_when_the_run_stops_is_called_off_with_the_same_error(gateway):
    def answer(r, n):
        return TeacherError("unauthorized", "no such key", down=True) if n == 1 else "ok"

    g = gateway(answer, max_concurrency=1)
    results = ask(g, *(f"q{i}" for i in range(20)))
    assert all(isinstance(r, TeacherUnreachable) for r in results)
    assert g.teacher._state["calls"] == 1


def test_offline_the_ledger_answers_and_nothing_is_sent(gateway, tmp_path):
    assert ask(gateway(lambda r, n: "first"), "known")[0].text == "first"
    teacher = Moody.saying(lambda r, n: "sent")
    g = Gateway("moody", teacher, Ledger(tmp_path / "ledger.sqlite"), offline=True)
    known, unknown = ask(g, "known", "unknown")
    assert known.text == "first"
    assert isinstance(unknown, TeacherUnreachable)
    assert "offline" in str(unknown)
    assert "'unknown'" in str(unknown)
    assert teacher._state["calls"] == 0
    g.ledger.close()


FAULT = TeacherError("http-500", "it broke", retry=True)


def test_a_dead_endpoint_stops_the_run_instead_of_dropping_every_row(gateway):
    g = gateway(lambda r, n: "ok" if n == 1 else FAULT, max_retries=2)
    assert ask(g, "first")[0].text == "ok"
    results = ask(g, *(f"q{i}" for i in range(100)))
    assert isinstance(g.stopped, TeacherUnreachable)
    assert "10 requests in a row have failed" in str(g.stopped)
    assert "http-500: it broke" in str(g.stopped)
    assert sum(isinstance(r, TeacherUnreachable) for r in results) >= 91


def test_rows_that_fail_one_after_the_other_fail_alone_where_what_was_answered_before_is_answered_still(gateway):
    def answer(r, n):
        return FAULT if r.messages[0].content.startswith("bad") else "ok"

    ask(gateway(answer), "good")
    again = gateway(answer, max_retries=1)
    good, *bad = ask(again, "good", *(f"bad {i}" for i in range(40)))
    assert good.text == "ok"
    assert [error.reason for error in bad] == ["http-500"] * 40
    assert again.stopped is None
    assert 80 < again.spent.requests <= 84, "a proof costs one request, for many rows at once"


def test_rows_that_fail_while_others_are_answered_fail_alone_however_many(gateway):
    def answer(r, n):
        return FAULT if r.messages[0].content.startswith("bad") else "ok"

    g = gateway(answer, max_retries=1, max_concurrency=8)
    names = [f"{'bad' if i % 3 == 0 else 'good'} {i}" for i in range(120)]
    results = ask(g, *names)
    assert g.stopped is None
    for name, result in zip(names, results, strict=True):
        assert isinstance(result, TeacherError) == name.startswith("bad")


def test_an_endpoint_that_can_do_nothing_that_is_asked_stops_the_run_too(gateway):
    g = gateway(lambda r, n: TeacherError("http-400", "unknown parameter"))
    ask(g, *(f"q{i}" for i in range(50)))
    assert "unknown parameter" in str(g.stopped)
    assert g.teacher._state["calls"] <= 64


def test_being_told_to_come_back_later_is_no_failure_while_others_are_served(gateway):
    def answer(r, n):
        crowded = r.messages[0].content == "unlucky" and n < 30
        return TeacherError("rate-limited", retry=True) if crowded else "ok"

    g = gateway(answer, max_retries=2, max_concurrency=2)
    results = ask(g, "unlucky", *(f"q{i}" for i in range(40)))
    assert [r.text for r in results] == ["ok"] * 41


def test_a_request_that_is_refused_again_and_again_waits_longer_each_time(gateway):
    def answer(r, n):
        crowded = r.messages[0].content == "unlucky" and g.teacher._state["unlucky"] < 5
        g.teacher._state["unlucky"] += r.messages[0].content == "unlucky"
        return TeacherError("rate-limited", retry=True) if crowded else "ok"

    g = gateway(answer, max_concurrency=2)
    g.teacher._state["unlucky"] = 0
    ask(g, "unlucky", *(f"q{i}" for i in range(40)))
    assert len(g.waits) == 5
    assert g.waits == sorted(g.waits)
    assert 8 <= g.waits[-1] <= 10


def test_a_wait_beyond_all_patience_ends_the_run_and_says_when_to_come_back(gateway):
    g = gateway(lambda r, n: TeacherError("rate-limited", "daily limit", retry=True, retry_after=7200.0))
    assert "asks to wait 120 minutes: daily limit" in str(ask(g, "q")[0])


def test_a_wait_that_one_caller_is_asked_for_holds_for_all(gateway, clock):
    sent = []

    def answer(r, n):
        sent.append(clock.now)
        return TeacherError("rate-limited", retry=True, retry_after=20) if n == 1 else "ok"

    ask(gateway(answer, max_concurrency=1), *(f"q{i}" for i in range(5)))
    assert len(sent) == 6
    assert all(at - sent[0] >= 20 for at in sent[1:])
