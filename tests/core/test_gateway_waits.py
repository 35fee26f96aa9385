"""Waiting is not failing: a quota costs no row and few requests, and a model that is being loaded is waited for."""

import time

import gateway_kit
import pytest
from gateway_kit import ask

from filial import TeacherError
from filial.contracts.errors import TeacherUnreachable

gateway, waits = gateway_kit.gateway, gateway_kit.waits


def quota(per_window, window=60.0, told=True, latency=0.0):
    """An endpoint with so many requests per window, which begins with the first request after the last one."""
    state = {"start": -1e9, "used": 0}

    async def answered():
        import asyncio

        await asyncio.sleep(latency)
        return "ok"

    def answer(r, n):
        now = time.monotonic()
        if now - state["start"] > window:
            state.update(start=now, used=0)
        state["used"] += 1
        if state["used"] <= per_window:
            return answered()
        wait = window - (now - state["start"]) + 0.1 if told else None
        return TeacherError("rate-limited", "slow down", retry=True, retry_after=wait)

    return answer


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("latency", [0.0, 4.0])
@pytest.mark.parametrize(("per_window", "rows"), [(10, 100), (5, 60), (30, 200)])
def test_a_quota_per_minute_costs_no_row_and_at_most_half_a_request_more(gateway, told, latency, per_window, rows):
    g = gateway(quota(per_window, told=told, latency=latency))
    results = ask(g, *(f"q{i}" for i in range(rows)))
    assert [getattr(result, "text", result) for result in results] == ["ok"] * rows
    assert g.teacher._state["calls"] <= 1.5 * rows


@pytest.mark.parametrize(("rows", "retries"), [(1, 0), (1, 6), (3, 0), (3, 6), (300, 0), (300, 6)])
def test_a_model_that_is_being_loaded_is_waited_for(gateway, rows, retries):
    ready = []

    def answer(r, n):
        ready.append(ready[0] if ready else time.monotonic() + 70)
        return "ok" if time.monotonic() > ready[0] else TeacherError("http-503", "Loading model", retry=True)

    g = gateway(answer, max_retries=retries)
    results = ask(g, *(f"q{i}" for i in range(rows)))
    assert [getattr(result, "text", result) for result in results] == ["ok"] * rows
    assert g.teacher._state["calls"] < rows + 80


@pytest.mark.parametrize("reason", ["rate-limited", "http-503"])
def test_patience_has_an_end_and_drops_no_row(gateway, reason):
    g = gateway(lambda r, n: TeacherError(reason, "busy", retry=True))
    results = ask(g, *(f"q{i}" for i in range(30)))
    assert all(isinstance(result, TeacherUnreachable) for result in results)
    assert "minutes: busy; run again after that" in str(g.stopped)
    assert g.teacher._state["calls"] < 100


@pytest.mark.parametrize("told", [0.01, 0.1, 1, 5])
def test_a_wait_that_was_always_too_short_grows(gateway, told):
    g = gateway(lambda r, n: TeacherError("rate-limited", "busy", retry=True, retry_after=told))
    results = ask(g, *(f"q{i}" for i in range(30)))
    assert all(isinstance(result, TeacherUnreachable) for result in results)
    assert g.teacher._state["calls"] < 150


@pytest.mark.parametrize("told", [None, 0.1])
def test_a_request_that_alone_is_never_served_is_lost_after_ten_minutes(gateway, told):
    import asyncio

    tries = []

    async def late(r):
        await asyncio.sleep(1)
        return "ok"

    def answer(r, n):
        if r.messages[0].content != "bad":
            return late(r)
        tries.append(time.monotonic())
        return TeacherError("rate-limited", "not you", retry=True, retry_after=told)

    g = gateway(answer, max_concurrency=2)
    bad, *others = ask(g, "bad", *(f"q{i}" for i in range(2000)))
    assert bad.reason == "rate-limited"
    assert all(result.text == "ok" for result in others)
    assert len(tries) < 60
    assert tries[-1] - tries[0] > 500


def test_a_503_of_one_request_while_others_are_answered_is_its_own_failure(gateway):
    def answer(r, n):
        return TeacherError("http-503", "no", retry=True) if r.messages[0].content == "bad" else "ok"

    bad, *others = ask(gateway(answer, max_retries=2, max_concurrency=4), "bad", *(f"q{i}" for i in range(40)))
    assert bad.reason == "http-503"
    assert all(result.text == "ok" for result in others)
