"""Every way in which an endpoint can fail, by its own name: whether it is tried again, and what is charged."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import time
import tracemalloc
from email.utils import formatdate

import pytest

from filial import Message, Request, TeacherError
from filial_plugins.teachers.openai import OpenAI

ERROR = {"error": {"message": "told so", "type": "x", "code": "y"}}
QUOTA = {"error": {"message": "pay first", "type": "insufficient_quota", "code": "insufficient_quota"}}
FLAGGED = {"error": {"message": "flagged", "code": 403, "metadata": {"flagged_input": "…", "reasons": ["rude"]}}}
TOO_LARGE = {
    "error": {"message": "Request too large for m: limit 30000, requested 50000", "code": "rate_limit_exceeded"}
}
WINDOW = {"error": {"message": "This model's maximum context length is 2048 tokens", "code": 400}}


@pytest.mark.parametrize(
    ("status", "body", "reason", "retry", "down"),
    [
        (400, ERROR, "http-400", False, False),
        (400, {"error": {"message": "no", "code": "content_filter"}}, "content-filter", False, False),
        (401, ERROR, "unauthorized", False, True),
        (402, ERROR, "insufficient-quota", False, True),
        (403, ERROR, "forbidden", False, True),
        (403, FLAGGED, "content-filter", False, False),
        (404, ERROR, "http-404", False, True),
        (422, ERROR, "http-422", False, False),
        (429, ERROR, "rate-limited", True, False),
        (429, TOO_LARGE, "request-too-large", False, False),
        (429, QUOTA, "insufficient-quota", False, True),
        (500, ERROR, "http-500", True, False),
        (503, "<html>busy</html>", "http-503", True, False),
        (200, ERROR, "error-in-answer", True, False),
        (200, {"error": {"message": "told so", "code": 429}}, "rate-limited", True, False),
        (200, {"error": {"message": "told so", "code": 401}}, "unauthorized", False, True),
        (200, {"choices": [{"error": {"message": "told so", "code": 502}}]}, "http-502", True, False),
        (200, QUOTA, "insufficient-quota", False, True),
        (200, {"error": "told so"}, "error-in-answer", True, False),
    ],
)
def test_what_an_endpoint_refuses_is_not_charged(endpoint, answers, fault, status, body, reason, retry, down):
    error = fault(endpoint(answers.Answer(body, status=status)))
    assert (error.reason, error.retry, error.down) == (reason, retry, down)
    assert error.billed == (0, 0)
    if body is ERROR:
        assert "told so" in error.detail
    assert status != 404 or "base_url" in error.detail


@pytest.mark.parametrize(
    ("status", "body"),
    [(408, ERROR), (504, ERROR), (504, "<html>504</html>"), (524, ""), (502, "<html>502</html>"), (522, "")],
)
def test_what_stops_between_here_and_a_model_may_have_been_charged(endpoint, answers, fault, status, body):
    error = fault(endpoint(answers.Answer(body, status=status)))
    assert (error.reason, error.retry, error.billed) == (f"http-{status}", True, None)


def test_a_failure_that_the_endpoint_itself_explains_is_not_charged(endpoint, answers, fault):
    assert fault(endpoint(answers.Answer(ERROR, status=502))).billed == (0, 0)


@pytest.mark.parametrize("status", [200, 500])
def test_a_small_body_that_unpacks_to_a_large_one_is_not_read_to_its_end(endpoint, answers, fault, status):
    body = gzip.compress(b'{"choices": [{"message": {"content": "' + b"a" * (1 << 26) + b'"}}]}')
    served = endpoint(answers.Answer(body, status=status, headers={"content-encoding": "gzip"}))
    tracemalloc.start()
    error = fault(served)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (error.reason, error.retry, error.billed) == ("too-long", False, None)
    assert peak < 1 << 25


def test_an_answer_without_a_length_is_read_up_to_its_limit(endpoint, answers, call, fault):
    text = "many words " * 80_000
    body = json.dumps(answers.completion(text))
    assert (
        call(endpoint(answers.Answer(gzip.compress(body.encode()), headers={"content-encoding": "gzip"}))).text == text
    )
    error = fault(endpoint(answers.Answer(body * 2, headers={})), max_tokens=16)
    assert error.reason in ("too-long", "malformed-answer")


@pytest.mark.parametrize(
    "body",
    [
        {"choices": None},
        {"choices": []},
        {"choices": [{"message": {"content": 5}}]},
        [],
        "null",
        "",
        '{"choices": [{"mess',
    ],
)
def test_a_broken_answer_is_tried_again_and_may_have_been_charged(endpoint, answers, fault, body):
    error = fault(endpoint(answers.Answer(body)))
    assert (error.reason, error.retry, error.down, error.billed) == ("malformed-answer", True, False, None)


def test_a_broken_answer_is_kept_for_people(endpoint, answers, fault):
    assert fault(endpoint(answers.Answer('{"choices": [{"mess'))).answer == '{"choices": [{"mess'


def test_an_error_that_says_what_it_used_is_charged_so(endpoint, answers, fault):
    body = {"choices": [{"error": {"message": "upstream", "code": 502}}], "usage": {"prompt_tokens": 9}}
    assert fault(endpoint(answers.Answer(body))).billed == (9, 0)


@pytest.mark.parametrize("content_type", ["text/html", "application/json"])
def test_a_web_page_instead_of_json(endpoint, answers, fault, content_type):
    error = fault(endpoint(answers.Answer("<html>Welcome</html>", content_type=content_type)))
    assert (error.reason, error.retry, error.billed) == ("not-json", False, (0, 0))
    assert "base_url" in error.detail
    assert error.answer == "<html>Welcome</html>"


@pytest.mark.parametrize(
    ("body", "reason", "retry", "answer"),
    [
        (("", "stop", {}), "empty-answer", True, ""),
        ((" \n", "stop", {}), "empty-answer", True, " \n"),
        ((None, "stop", {"reasoning_content": "hm"}), "only-reasoning", False, "hm"),
        (("", "stop", {"reasoning": "hm"}), "only-reasoning", False, "hm"),
        ((None, "length", {"reasoning_content": "hm"}), "length", False, ""),
        (("cut of", "length", {}), "length", False, "cut of"),
        ((None, "stop", {"refusal": "I would rather not."}), "refused", False, "I would rather not."),
        (("", "content_filter", {}), "content-filter", False, ""),
    ],
)
def test_completions_without_a_whole_answer_are_charged_all_the_same(
    endpoint, answers, fault, body, reason, retry, answer
):
    text, finish, message = body
    error = fault(endpoint(answers.Answer(answers.completion(text, finish=finish, **message))))
    assert (error.reason, error.retry, error.answer, error.billed) == (reason, retry, answer, (7, 3))


def test_what_was_charged_is_open_where_the_endpoint_does_not_say(endpoint, answers, fault):
    body = answers.completion("cut of", finish="length")
    del body["usage"]
    assert fault(endpoint(answers.Answer(body))).billed is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "86400"}, 86400.0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "soon"}, None),
        ({"retry-after-ms": "inf"}, None),
        ({"retry-after-ms": "nan"}, None),
        ({"retry-after-ms": "1e999"}, None),
        ({"retry-after-ms": "9" * 400, "retry-after": "2"}, 2.0),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": "99999999999"}, None),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, None),
        ({}, None),
    ],
)
def test_the_wait_an_endpoint_asks_for(endpoint, answers, fault, headers, seconds):
    assert fault(endpoint(answers.Answer(ERROR, status=429, headers=headers))).retry_after == seconds


def test_the_wait_may_be_a_date(endpoint, answers, fault):
    date = formatdate(time.time() + 30, usegmt=True)
    waited = fault(endpoint(answers.Answer(ERROR, status=503, headers={"retry-after": date}))).retry_after
    assert 25 < waited <= 30


def test_a_full_context_says_which_option_may_be_to_blame(endpoint, answers, fault):
    assert fault(endpoint(answers.Answer(WINDOW, status=400))).detail.endswith("set a lower max_tokens")


def test_a_reset_is_no_timeout_and_may_have_been_charged(endpoint, answers, fault):
    error = fault(endpoint(answers.Answer(reset=True)))
    assert (error.reason, error.retry, error.down, error.billed) == ("connection-reset", True, False, None)


def test_a_body_cut_short_is_a_lost_connection(endpoint, answers, fault):
    error = fault(endpoint(answers.Answer(answers.completion("half"), short=True)))
    assert (error.reason, error.retry, error.billed) == ("connection-reset", True, None)


def test_nobody_listening_is_refused_and_costs_nothing(endpoint, answers, fault):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    error = fault(endpoint(answers.Answer()), url=f"http://127.0.0.1:{port}/v1")
    assert (error.reason, error.retry, error.down, error.billed) == ("connection-refused", True, True, (0, 0))


def test_a_host_that_does_not_exist_cannot_be_connected_to(endpoint, answers, fault, monkeypatch):
    def unknown(*args: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = fault(endpoint(answers.Answer()), url="http://no-such-host.invalid/v1")
    assert (error.reason, error.retry, error.down, error.billed) == ("cannot-connect", True, True, (0, 0))


def test_an_endpoint_without_tls_is_not_asked_again():
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def work() -> TeacherError:
        server = await asyncio.start_server(plain, "127.0.0.1", 0)
        teacher = OpenAI(model="m", base_url=f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
        with pytest.raises(TeacherError) as caught:
            await teacher.reply(Request(messages=(Message(role="user", content="Who?"),)))
        await teacher.close()
        server.close()
        return caught.value

    error = asyncio.run(asyncio.wait_for(work(), 300))
    assert (error.reason, error.retry, error.down, error.billed) == ("tls-failed", False, True, (0, 0))
    assert error.detail.endswith("does not seem to speak TLS: if so, write http:// in base_url")


def test_nothing_is_tried_again_here(endpoint, answers, fault):
    served = endpoint(answers.Answer(ERROR, status=500))
    fault(served)
    assert len(served.seen) == 1


def test_a_redirect_is_not_followed(endpoint, answers, fault):
    served = endpoint(answers.Answer("", status=307, headers={"location": "/v1/elsewhere"}))
    error = fault(served)
    assert (error.reason, error.down) == ("redirected", True)
    assert len(served.seen) == 1


def test_half_a_surrogate_pair_cannot_be_sent(endpoint, answers, fault):
    request = Request(messages=(Message(role="user", content="a\ud800b"),))
    error = fault(endpoint(answers.Answer(answers.completion("x"))), request)
    assert (error.reason, error.retry) == ("not-utf-8", False)
