"""How long an endpoint asks to wait, in every form that endpoints use; an empty account is not waited for."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import formatdate

import pytest

from filial_plugins.teachers.openai_errors import make_status_error
from filial_plugins.teachers.openai_waits import read_wait

SECONDS = {
    # OpenAI, Groq, Cerebras: durations as Go writes them (vectorize-io/hindsight#3508, Gitlawb/openclaude#174)
    "requests": ({"x-ratelimit-reset-requests": "43s"}, None, 43),
    "minutes": ({"x-ratelimit-reset-requests": "6m0s"}, None, 360),
    "milliseconds": ({"x-ratelimit-reset-tokens": "76ms"}, None, 0.076),
    "fractions": ({"x-ratelimit-reset-tokens": "1m43.2s"}, None, 103.2),
    "the later of both": ({"x-ratelimit-reset-requests": "8.64s", "x-ratelimit-reset-tokens": "2s"}, None, 8.64),
    "the one that is used up": (
        {
            "x-ratelimit-reset-requests": "2h", "x-ratelimit-remaining-requests": "90",
            "x-ratelimit-reset-tokens": "2s", "x-ratelimit-remaining-tokens": "0",
        },
        None, 2,
    ),
    # Azure, Together, Fireworks, IETF draft: seconds
    "seconds": ({"x-ratelimit-reset": "12"}, None, 12),
    "draft": ({"ratelimit-reset": "9"}, None, 9),
    # crmne/ruby_llm#850: Retry-After goes first
    "retry-after first": ({"retry-after": "3", "x-ratelimit-reset-requests": "43s"}, None, 3),
    "retry-after of a past date": ({"retry-after": "0", "x-ratelimit-reset-requests": "43s"}, None, 0),
    # Gemini (google.rpc.RetryInfo)
    "RetryInfo": ({}, {"error": {"details": [{"@type": "…/google.rpc.RetryInfo", "retryDelay": "43.5s"}]}}, 43.5),
    "RetryInfo in a list": ({}, [{"error": {"details": [{"retryDelay": "7s"}]}}], 7),
    "a field": ({}, {"error": {"retry_after": 5}}, 5),
    "a field in milliseconds": ({}, {"retry_after_ms": 1500}, 1.5),
    # the words of messages: OpenAI, Anthropic, Azure, Gemini (Kilo-Org/kilocode#14269)
    "again in": ({}, {"error": {"message": "Rate limit reached. Please try again in 1m43.2s. Visit …"}}, 103.2),
    "again in ms": ({}, {"error": {"message": "Please try again in 76ms."}}, 0.076),
    "after seconds": ({}, {"error": {"message": "Please retry after 20 seconds."}}, 20),
    "retry in": ({}, {"error": {"message": "Please retry in 43.09s."}}, 43.09),
    "in minutes": ({}, {"detail": "Too many requests, try again in 2 minutes"}, 120),
    "plain text": ({}, "try again in 3 sec", 3),
    # nothing
    "no words": ({}, {"error": {"message": "Limit 10000, Used 9900"}}, None),
    "nonsense": ({"x-ratelimit-reset": "soon"}, None, None),
    "far away": ({"x-ratelimit-reset-requests": "9999999h"}, None, None),
    "empty": ({}, None, None),
}  # fmt: skip


@pytest.mark.parametrize(("headers", "body", "seconds"), SECONDS.values(), ids=SECONDS)
def test_the_wait_is_read_in_every_form(headers, body, seconds):
    assert read_wait(headers, body) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    "value",
    [
        lambda t: str(int(t)), lambda t: str(int(t * 1000)), lambda t: formatdate(t, usegmt=True),
        lambda t: datetime.fromtimestamp(t, UTC).isoformat().replace("+00:00", "Z"),
    ],
    ids=["epoch", "epoch in milliseconds", "HTTP date", "RFC 3339"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["x-ratelimit-reset", "X-RateLimit-Reset", "anthropic-ratelimit-requests-reset"])
def test_a_time_of_day_is_a_wait_until_then(name, value):
    assert 55 < read_wait({name: value(time.time() + 60)}) <= 61


def test_a_router_tells_the_headers_of_its_provider_in_the_body():
    """dirge-code/dirge#719."""
    reset = str(int((time.time() + 42) * 1000))
    body = {"error": {"code": 429, "metadata": {"headers": {"X-RateLimit-Reset": reset, "X-RateLimit-Remaining": "0"}}}}
    assert 38 < read_wait({}, body) <= 43


PAY = {
    "openai": (
        429,
        {"error": {"message": "You exceeded your current quota, please check your plan and billing details."}},
    ),
    "anthropic": (400, {"error": {"message": "Your credit balance is too low to access the API."}}),
    "moonshot": (429, {"error": {"type": "exceeded_current_quota_error", "message": "suspended"}}),
    "zhipu": (429, {"error": {"code": "1113", "message": "余额不足或无可用资源包,请充值。"}}),
    "dashscope": (400, {"error": {"code": "Arrearage", "message": "Access denied, account is in arrears"}}),
    "litellm": (400, {"error": {"type": "budget_exceeded", "message": "ExceededBudget: over budget"}}),
    "fireworks": (412, {"error": {"message": "Account x is suspended, possibly due to reaching the spending limit"}}),
    "xai": (403, {"error": "Your team has either used all available credits or reached its limit"}),
    "deepseek": (402, {"error": {"message": "Insufficient Balance"}}),
}


@pytest.mark.parametrize(("status", "body"), PAY.values(), ids=PAY)
def test_an_empty_account_stops_and_is_not_waited_for(status, body):
    import json

    error = make_status_error(status, json.dumps(body).encode(), {})
    assert (error.reason, error.retry, error.down) == ("insufficient-quota", False, True)


def test_a_quota_per_minute_is_waited_for_though_it_speaks_of_billing():
    gemini = (
        b'{"error": {"code": 429, "message": "You exceeded your current quota, please check your plan and billing '
        b'details. Please retry in 43s.", "status": "RESOURCE_EXHAUSTED"}}'
    )
    openai = (
        b'{"error": {"message": "Rate limit reached. Please try again in 20s. Add a payment method at '
        b'https://platform.openai.com/account/billing", "code": "rate_limit_exceeded"}}'
    )
    for raw, wait in ((gemini, 43), (openai, 20)):
        error = make_status_error(429, raw, {})
        assert (error.reason, error.retry, error.retry_after) == ("rate-limited", True, wait)
