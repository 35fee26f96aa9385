"""The gateway asks again where that helps, and waits as long as it is told to and longer each time."""

import asyncio
import time

import gateway_kit
import pytest
from gateway_kit import Moody, ask, request, stored

from filial import TeacherError
from filial.gateway import Gateway, Ledger

gateway, waits = gateway_kit.gateway, gateway_kit.waits


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


def test_failures_that_do_not_pass_are_final_at_once_and_never_stored_as_answers(gateway):
    g = gateway(lambda r, n: TeacherError("insufficient-quota"))
    assert ask(g, "q")[0].reason == "insufficient-quota"
    assert g.teacher._state["calls"] == 1
    assert stored(g) == [(True, "insufficient-quota", "")]


def test_retries_end(gateway):
    g = gateway(lambda r, n: TeacherError("http-500", retry=True), max_retries=2)
    assert ask(g, "q")[0].reason == "http-500"
    assert g.teacher._state["calls"] == 3


def test_a_request_that_takes_too_long_is_a_timeout(tmp_path):
    async def never(*_):
        await asyncio.Event().wait()

    g = Gateway("moody", Moody.saying(never, timeout=0.05, max_retries=0), Ledger(tmp_path / "l.sqlite"))
    assert ask(g, "q")[0].reason == "timeout"
    g.ledger.close()


def test_being_told_to_come_back_later_is_no_failure_while_others_are_served(gateway):
    def answer(r, n):
        crowded = r.messages[0].content == "unlucky" and n < 30
        return TeacherError("rate-limited", retry=True) if crowded else "ok"

    g = gateway(answer, max_retries=2, max_concurrency=2)
    results = ask(g, "unlucky", *(f"q{i}" for i in range(40)))
    assert [r.text for r in results] == ["ok"] * 41


@pytest.mark.parametrize("served", [True, False])
def test_a_request_told_to_wait_more_often_than_it_may_fail_is_not_lost(gateway, served):
    """Every time while it is on its way, another one is answered, or none is."""
    sent = 0

    async def answer(r):
        nonlocal sent
        if r.messages[0].content != "unlucky":
            return "ok"
        sent += 1
        if sent == 10:
            return "ok"
        if served:
            await g.ask(request(f"another {sent}"))
        return TeacherError("rate-limited", retry=True)

    g = gateway(lambda r, n: answer(r), max_retries=2)
    (result,) = ask(g, "unlucky")
    assert (result.text, sent) == ("ok", 10)


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


def test_a_wait_that_one_caller_is_asked_for_holds_for_all(gateway):
    sent = []

    def answer(r, n):
        sent.append(time.monotonic())
        return TeacherError("rate-limited", retry=True, retry_after=20) if n == 1 else "ok"

    ask(gateway(answer, max_concurrency=1), *(f"q{i}" for i in range(5)))
    assert len(sent) == 6
    assert all(at - sent[0] >= 20 for at in sent[1:])
