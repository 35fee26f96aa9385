"""The `openai` teacher over loopback: what is sent, what comes back, and every way to fail by its own name."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from email.utils import formatdate
from typing import Any

import pytest
from pydantic import ValidationError

from filial import Message, Reply, Request, TeacherError, UsageError
from filial.testing import TeacherContract
from filial_plugins.teachers.openai import OpenAI

ASK = Request(messages=(Message(role="system", content="Be short."), Message(role="user", content="Who?")))
KEY = "sk-canary-2f1d9c"


def call(endpoint: Any, request: Request = ASK, url: str | None = None, **options: Any) -> Reply:
    """One reply of a teacher at the endpoint."""

    async def work() -> Reply:
        async with endpoint.serving():
            teacher = OpenAI(model="m", base_url=url or endpoint.url, **options)
            try:
                return await teacher.reply(request)
            finally:
                await teacher.close()

    return asyncio.run(asyncio.wait_for(work(), 20))


def fault(endpoint: Any, **options: Any) -> TeacherError:
    with pytest.raises(TeacherError) as caught:
        call(endpoint, **options)
    return caught.value


class TestContract(TeacherContract):
    component = OpenAI(model="m", base_url="http://127.0.0.1:9/v1")


def test_sends_the_messages_and_only_the_options_that_are_set(endpoint, answers):
    served = endpoint(answers.Answer(answers.completion("Nobody.")))
    reply = call(served)
    assert reply == Reply(text="Nobody.", prompt_tokens=7, completion_tokens=3, model="served-model")
    (seen,) = served.seen
    assert seen.path == "/v1/chat/completions"
    assert seen.body == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Who?"}],
    }


def test_what_a_request_asks_for_goes_before_the_teacher_s_own_options(endpoint, answers):
    served = endpoint(answers.Answer(answers.completion("x")))
    request = Request(
        messages=ASK.messages, temperature=0.0, max_tokens=5, stop=("\n",), seed=3, schema={"type": "object"}, draw=2
    )
    call(served, request, temperature=1.0, top_p=0.5, max_tokens=90, token_limit_field="max_completion_tokens")
    body = served.seen[0].body
    assert body["temperature"] == 0.0
    assert body["top_p"] == 0.5
    assert body["max_completion_tokens"] == 5
    assert "max_tokens" not in body
    assert body["stop"] == ["\n"]
    assert body["seed"] == 3
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert "draw" not in body


def test_one_client_serves_many_requests_at_once(endpoint, answers):
    served = endpoint(lambda seen: answers.Answer(answers.completion(seen.body["messages"][0]["content"])))

    async def work() -> list[str]:
        async with served.serving():
            teacher = OpenAI(model="m", base_url=served.url)
            asks = [Request(messages=(Message(role="user", content=f"n{i}"),)) for i in range(40)]
            replies = await asyncio.gather(*map(teacher.reply, asks))
            await teacher.close()
            return [reply.text for reply in replies]

    assert asyncio.run(work()) == [f"n{i}" for i in range(40)]


ERROR = {"error": {"message": "told so", "type": "x", "code": "y"}}
QUOTA = {"error": {"message": "pay first", "type": "insufficient_quota", "code": "insufficient_quota"}}


@pytest.mark.parametrize(
    ("status", "body", "reason", "retry", "down"),
    [
        (400, ERROR, "http-400", False, False),
        (401, ERROR, "unauthorized", False, True),
        (403, ERROR, "forbidden", False, True),
        (404, ERROR, "http-404", False, True),
        (408, ERROR, "http-408", True, False),
        (422, ERROR, "http-422", False, False),
        (429, ERROR, "rate-limited", True, False),
        (429, QUOTA, "insufficient-quota", False, True),
        (500, ERROR, "http-500", True, False),
        (503, "<html>busy</html>", "http-503", True, False),
        (200, ERROR, "error-in-answer", True, False),
        (200, {"error": {"message": "told so", "code": 429}}, "rate-limited", True, False),
        (200, {"error": {"message": "told so", "code": 401}}, "unauthorized", False, True),
        (200, QUOTA, "insufficient-quota", False, True),
        (200, {"error": "told so"}, "error-in-answer", True, False),
        (200, {"choices": None}, "malformed-answer", True, False),
        (200, {"choices": []}, "malformed-answer", True, False),
        (200, {"choices": [{"message": {"content": 5}}]}, "malformed-answer", True, False),
        (200, [], "malformed-answer", True, False),
        (200, '{"choices": [{"mess', "malformed-answer", True, False),
    ],
)
def test_answers_that_are_no_completion(endpoint, answers, status, body, reason, retry, down):
    error = fault(endpoint(answers.Answer(body, status=status)))
    assert (error.reason, error.retry, error.down) == (reason, retry, down)
    if body is ERROR:
        assert error.detail == "told so"


def test_a_web_page_instead_of_json(endpoint, answers):
    error = fault(endpoint(answers.Answer("<html>Welcome</html>", content_type="text/html")))
    assert error.reason == "not-json"
    assert "base_url" in error.detail
    assert error.answer == "<html>Welcome</html>"


@pytest.mark.parametrize(
    ("body", "reason", "retry", "answer"),
    [
        (("", "stop", {}), "empty-answer", True, ""),
        ((" \n", "stop", {}), "empty-answer", True, " \n"),
        ((None, "stop", {"reasoning_content": "hm"}), "empty-answer", True, ""),
        (("cut of", "length", {}), "length", False, "cut of"),
        ((None, "stop", {"refusal": "I would rather not."}), "refused", False, "I would rather not."),
        (("", "content_filter", {}), "content-filter", False, ""),
    ],
)
def test_completions_without_a_whole_answer(endpoint, answers, body, reason, retry, answer):
    text, finish, message = body
    error = fault(endpoint(answers.Answer(answers.completion(text, finish=finish, **message))))
    assert (error.reason, error.retry, error.answer) == (reason, retry, answer)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_the_wait_an_endpoint_asks_for(endpoint, answers, headers, seconds):
    assert fault(endpoint(answers.Answer(ERROR, status=429, headers=headers))).retry_after == seconds


def test_the_wait_may_be_a_date(endpoint, answers):
    date = formatdate(time.time() + 30, usegmt=True)
    waited = fault(endpoint(answers.Answer(ERROR, status=503, headers={"retry-after": date}))).retry_after
    assert 25 < waited <= 30


def test_a_reset_is_no_timeout(endpoint, answers):
    error = fault(endpoint(answers.Answer(reset=True)))
    assert (error.reason, error.retry, error.down) == ("connection-reset", True, False)


def test_a_body_cut_short_is_a_lost_connection(endpoint, answers):
    error = fault(endpoint(answers.Answer(answers.completion("half"), short=True)))
    assert (error.reason, error.retry) == ("connection-reset", True)


def test_nobody_listening_is_refused(endpoint, answers):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    error = fault(endpoint(answers.Answer()), url=f"http://127.0.0.1:{port}/v1")
    assert (error.reason, error.retry, error.down) == ("connection-refused", True, True)


def test_the_deadline_holds_for_an_answer_that_drips(endpoint, answers):
    began = time.monotonic()
    error = fault(endpoint(answers.Answer(answers.completion("slow"), drip=0.05)), timeout=0.3)
    assert (error.reason, error.retry) == ("timeout", True)
    assert time.monotonic() - began < 3


def test_nothing_is_tried_again_here(endpoint, answers):
    served = endpoint(answers.Answer(ERROR, status=500))
    fault(served)
    assert len(served.seen) == 1


def test_a_redirect_is_not_followed(endpoint, answers):
    served = endpoint(answers.Answer("", status=307, headers={"location": "/v1/elsewhere"}))
    error = fault(served)
    assert (error.reason, error.down) == ("redirected", True)
    assert len(served.seen) == 1


def test_an_endpoint_here_never_sees_the_default_key(endpoint, answers, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    served = endpoint(answers.Answer(answers.completion("x")))
    call(served)
    assert KEY not in str(served.seen[0].headers)


def test_a_named_key_is_sent_and_shown_nowhere(endpoint, answers, monkeypatch, caplog, capsys):
    monkeypatch.setenv("MY_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    body = {"error": {"message": f"Wrong key {KEY}", "code": "invalid_api_key"}}
    served = endpoint([answers.Answer(answers.completion("x")), answers.Answer(body, status=401)])
    call(served, api_key_env="MY_KEY")
    assert served.seen[0].headers["authorization"] == f"Bearer {KEY}"
    error = fault(served, api_key_env="MY_KEY")
    assert error.detail == "Wrong key [key]"
    echo = endpoint(answers.Answer(f"<p>{KEY}</p>", content_type="text/html"))
    assert fault(echo, api_key_env="MY_KEY").answer == "<p>[key]</p>"
    told = caplog.text + "".join(capsys.readouterr())
    assert KEY not in told
    assert KEY not in str(OpenAI(model="m", api_key_env="MY_KEY").identity())


def test_a_missing_key_is_said_before_anything_is_sent(monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    teacher = OpenAI(model="m", base_url="https://models.example/v1", api_key_env="NO_SUCH_KEY")
    with pytest.raises(UsageError, match=r"NO_SUCH_KEY is not set.*models\.example"):
        asyncio.run(teacher.reply(ASK))


@pytest.mark.parametrize(
    "url",
    [
        f"https://user:{KEY}@host/v1",
        f"https://host/v1?token={KEY}",
        f"https://host/v1#{KEY}",
        "host/v1",
        "ftp://host/v1",
        "https:///v1",
    ],
)
def test_an_address_with_secrets_or_without_host_is_refused_and_not_repeated(url):
    with pytest.raises(ValidationError) as caught:
        OpenAI(model="m", base_url=url)
    assert KEY not in str(caught.value)


def test_identity_is_what_an_answer_depends_on():
    plain = OpenAI(model="m", base_url="http://localhost:8000/v1/")
    assert (
        plain.identity()
        == OpenAI(
            model="m", base_url="http://localhost:8000/v1", api_key_env="OTHER", timeout=3, max_concurrency=9
        ).identity()
    )
    assert plain.identity() != OpenAI(model="m", base_url="http://localhost:8000/v1", top_p=0.9).identity()


def test_half_a_surrogate_pair_cannot_be_sent(endpoint, answers):
    request = Request(messages=(Message(role="user", content="a\ud800b"),))
    with pytest.raises(TeacherError) as caught:
        call(endpoint(answers.Answer(answers.completion("x"))), request)
    assert (caught.value.reason, caught.value.retry) == ("not-utf-8", False)
