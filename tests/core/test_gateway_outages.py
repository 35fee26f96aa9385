"""An endpoint that is down stops the run; rows that fail where others are answered fail alone."""

import gateway_kit
from gateway_kit import ask

from filial import TeacherError
from filial.contracts.errors import TeacherUnreachable

gateway, waits = gateway_kit.gateway, gateway_kit.waits

FAULT = TeacherError("http-500", "it broke", retry=True)


def test_an_endpoint_that_refuses_everybody_stops_the_run(gateway):
    g = gateway(lambda r, n: TeacherError("http-401", "the key is not accepted", down=True))
    assert isinstance(ask(g, "q")[0], TeacherUnreachable)


def test_an_endpoint_that_never_answered_is_unreachable_one_that_did_is_not(gateway):
    refused = TeacherError("connection-refused", "nobody listens", retry=True)
    assert isinstance(ask(gateway(lambda r, n: refused, max_retries=1), "q")[0], TeacherUnreachable)
    g = gateway(lambda r, n: "ok" if r.messages[0].content == "first" else refused, max_retries=1)
    ask(g, "first")
    assert ask(g, "second")[0].reason == "connection-refused"


def test_what_is_waiting_when_the_run_stops_is_called_off_with_the_same_error(gateway):
    g = gateway(lambda r, n: TeacherError("unauthorized", "no such key", down=True), max_concurrency=1)
    results = ask(g, *(f"q{i}" for i in range(20)))
    (told,) = {str(r) for r in results}
    assert told.startswith("the teacher 'moody' cannot be reached: no such key; it says so to the first 10 requests")
    assert all(isinstance(r, TeacherUnreachable) for r in results)
    assert g.teacher._state["calls"] == 10


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
