"""A status that may mean everybody or one request: it costs one row where others are answered, and ends the run where
nobody is."""

import asyncio

import gateway_kit
import pytest
import virtual_time
from gateway_kit import Moody, ask, request

from filial import Reply, TeacherError
from filial.contracts.errors import TeacherUnreachable
from filial.gateway import Gateway, Ledger
from filial_plugins.teachers.openai_errors import make_status_error

gateway, waits = gateway_kit.gateway, gateway_kit.waits

STATUSES = {
    302: "redirected",
    304: "redirected",
    401: "unauthorized",
    402: "insufficient-quota",
    403: "forbidden",
    404: "http-404",
}
REFUSED = pytest.mark.parametrize("status", STATUSES)
WIDE = pytest.mark.parametrize("concurrency", [1, 8])
GOOD = [f"good {i}" for i in range(20)]


def refusing(status, *, everybody=False, but=()):
    """Answers all but what speaks of something bad; or nobody, ``but`` some."""

    def answer(r, n):
        text = r.messages[0].content
        refused = text not in but if everybody else "bad" in text
        return make_status_error(status, b"<html>Request blocked</html>", {}) if refused else "ok"

    return answer


@REFUSED
@WIDE
@pytest.mark.parametrize("place", [0, 1, 10, 20])
def test_a_request_refused_while_others_are_answered_fails_alone_wherever_it_stands(
    gateway, status, concurrency, place
):
    g = gateway(refusing(status), max_concurrency=concurrency)
    results = ask(g, *GOOD[:place], "a bad one", *GOOD[place:])
    error = results.pop(place)
    assert [r.text for r in results] == ["ok"] * 20
    assert (type(error), error.reason) == (TeacherError, STATUSES[status])
    assert status < 400 or "<html>Request blocked</html>" in error.detail
    assert (g.stopped, g.spent.failed) == (None, 1)
    assert g.spent.requests <= 20 + 2 + 1, "it is sent twice, and what was answered once more"


@REFUSED
@WIDE
def test_all_that_are_refused_while_others_are_answered_fail_alone(gateway, status, concurrency):
    g = gateway(refusing(status), max_concurrency=concurrency)
    names = [
        *(f"bad {i}" for i in ("abcdefghi" if concurrency == 1 else "abcdefg")),
        *(f"{'bad' if i % 3 == 0 else 'good'} {i}" for i in range(1, 60)),
    ]
    results = ask(g, *names)
    assert g.stopped is None
    for name, result in zip(names, results, strict=True):
        assert isinstance(result, TeacherError) == name.startswith("bad")


@REFUSED
@WIDE
def test_where_nobody_is_answered_the_run_stops_after_a_few(gateway, status, concurrency):
    g = gateway(refusing(status, everybody=True), max_concurrency=concurrency)
    results = ask(g, *GOOD)
    assert all(isinstance(r, TeacherUnreachable) for r in results)
    assert "cannot be reached" in str(g.stopped)
    assert g.spent.requests <= concurrency + 9
    assert len(g.ledger) == 0


@REFUSED
def test_where_more_are_refused_first_the_run_says_what_it_knows_and_goes_on_once_one_was_answered(gateway, status):
    names = [*(f"bad {i}" for i in range(20)), *GOOD]
    g = gateway(refusing(status), max_concurrency=1)
    ask(g, *names)
    assert "the first 10 requests, and nothing was ever answered. If it rejects only these" in str(g.stopped)
    ask(gateway(refusing(status)), "another, by 'filial ask'")
    g = gateway(refusing(status), max_concurrency=1)
    for name, result in zip(names, ask(g, *names), strict=True):
        assert isinstance(result, TeacherError) == name.startswith("bad")
    assert g.stopped is None


@REFUSED
def test_a_single_request_that_is_refused_is_not_kept_waiting(gateway, status):
    g = gateway(refusing(status, everybody=True))
    assert isinstance(ask(g, "alone")[0], TeacherUnreachable)
    assert g.spent.requests == 1


@REFUSED
def test_one_that_is_refused_does_not_wait_for_others_that_fail_in_another_way(gateway, status):
    def answer(r, n):
        return refusing(status)(r, n) if n == 1 else TeacherError("http-400", "unknown parameter")

    refused, other = ask(gateway(answer, max_concurrency=1), "bad", "good")
    assert isinstance(refused, TeacherUnreachable)
    assert other.reason == "http-400"


@REFUSED
@WIDE
@pytest.mark.parametrize("where", ["this process", "its ledger", "the ledger"])
def test_where_others_were_answered_only_before_the_run_stops(gateway, status, concurrency, where):
    ask(gateway(refusing(status)), "first")
    g = gateway(refusing(status, everybody=True), max_concurrency=concurrency)
    if where == "this process":
        g = gateway(refusing(status, everybody=True, but=["second"]), max_concurrency=concurrency)
        ask(g, "second")
        g.teacher._state["answer"] = refusing(status, everybody=True)
    elif where == "its ledger":
        ask(g, "first")
    sent = g.spent.requests
    results = ask(g, *GOOD)
    assert all(isinstance(r, TeacherUnreachable) for r in results)
    assert g.spent.requests - sent <= concurrency + 1
    assert g.spent.failed == 0


@REFUSED
def test_the_first_request_of_a_process_fails_alone_where_one_from_the_ledger_is_answered_again(gateway, status):
    ask(gateway(refusing(status)), "good")
    g = gateway(refusing(status), max_concurrency=1)
    assert ask(g, "bad")[0].reason == STATUSES[status]
    assert (g.stopped, g.spent.requests) == (None, 3)


@REFUSED
@WIDE
@pytest.mark.parametrize("nth", [1, 5, 20])
def test_a_refusal_that_passes_among_answers_costs_nothing(gateway, status, concurrency, nth):
    def answer(r, n):
        return make_status_error(status, b"", {}) if n == nth else "ok"

    g = gateway(answer, max_concurrency=concurrency)
    assert [r.text for r in ask(g, *GOOD)] == ["ok"] * 20
    assert g.stopped is None


def test_a_proof_that_meets_a_crowd_is_asked_again(gateway):
    """Else one forbidden prompt at a busy endpoint would end the run now and then."""
    told = iter([TeacherError("rate-limited", retry=True), TeacherError("http-503", retry=True, retry_after=1.0)])

    def answer(r, n):
        known = r.messages[0].content == "good" and n > 1
        return next(told, "ok") if known else refusing(403)(r, n)

    g = gateway(answer, max_concurrency=1)
    ask(g, "good")
    assert ask(g, "bad")[0].reason == "forbidden"
    assert g.stopped is None


def test_a_proof_that_is_cut_off_proves_all_the_same(gateway):
    def answer(r, n):
        if r.messages[0].content == "good" and n > 1:
            return Reply(text="half an", finish_reason="length", prompt_tokens=3, completion_tokens=9)
        return refusing(403)(r, n)

    g = gateway(answer, max_concurrency=1)
    ask(g, "good")
    assert ask(g, "bad")[0].reason == "forbidden"


def test_an_answer_to_what_was_sent_before_proves_nothing(tmp_path):
    """The key is taken back while others are still at work for it; their answers come before the first refusal."""

    async def work():
        answered = asyncio.Event()

        async def late():
            await answered.wait()
            return make_status_error(401, b"revoked", {})

        def answer(r, n):
            if r.messages[0].content == "late":
                return late()
            return make_status_error(401, b"revoked", {}) if answered.is_set() else "ok"

        async def slow():
            reply = await g.ask(request("slow"))
            answered.set()
            return reply

        g = Gateway("moody", Moody.saying(answer), Ledger(tmp_path / "l.sqlite"))
        told = await asyncio.gather(slow(), g.ask(request("late")), return_exceptions=True)
        g.ledger.close()
        return told

    slow, late = virtual_time.run(work())
    assert slow.text == "ok"
    assert isinstance(late, TeacherUnreachable)


def test_closing_waits_for_no_proof_that_is_not_sent_yet(tmp_path):
    """Of two that wait for one proof, one is being asked; what was asked is waited for, nothing else is sent."""

    async def work():
        asked, over = asyncio.Event(), asyncio.Event()

        async def proof():
            asked.set()
            await over.wait()
            return "ok"

        def answer(r, n):
            known = r.messages[0].content == "good"
            return "ok" if n == 1 else proof() if known else make_status_error(403, b"", {})

        g = Gateway("moody", Moody.saying(answer), Ledger(tmp_path / "l.sqlite"))
        await g.ask(request("good"))
        refused = [asyncio.create_task(g.ask(request(f"bad {i}"))) for i in range(5)]
        await asked.wait()
        for each in refused:
            each.cancel()
        await asyncio.gather(*refused, return_exceptions=True)
        closing = asyncio.create_task(g.close())
        await asyncio.sleep(0)
        over.set()
        await closing
        return g.teacher._state["calls"]

    assert virtual_time.run(work()) == 1 + 5 + 1
