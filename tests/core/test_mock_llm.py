"""The mock teacher keeps what load and fault tests build on: same answers, same faults, true counts, no leftovers."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "mock_llm.py"


def ask(server, text, **more):
    """(status, body) of one request; the body is None where it is no JSON, the status 0 where there is none."""
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}], **more}).encode()
    request = urllib.request.Request(f"{server.url}/chat/completions", body, {"Authorization": "Bearer abc"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            raw = answer.read()
            return 200, json.loads(raw)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())
    except json.JSONDecodeError:
        return 200, None
    except http.client.IncompleteRead:
        return 200, None
    except OSError:
        return 0, None


def text_of(body):
    return body["choices"][0]["message"]["content"]


def test_an_answer_depends_on_the_request_alone(mock_llm):
    first, second, other = mock_llm(), mock_llm(latency_ms=5), mock_llm(salt="else")
    assert ask(first, "a") == ask(first, "a") == ask(second, "a")
    assert len({text_of(ask(s, t)[1]) for s, t in ((first, "a"), (first, "b"), (other, "a"))}) == 3
    assert text_of(ask(first, "a", seed=1)[1]) != text_of(ask(first, "a", seed=2)[1])


def test_faults_depend_on_the_request_and_its_turn_alone(mock_llm):
    def course(server):
        return [ask(server, f"q{i % 20}")[0] for i in range(60)]

    faults = {"p429": 0.3, "p500": 0.3, "retry_after": 3}
    first = course(mock_llm(**faults))
    assert first == course(mock_llm(**faults))
    assert {200, 429, 500} == set(first)
    assert first != course(mock_llm(**faults, fault_seed=1))
    sticky = course(mock_llm(**faults, sticky=1))
    assert sticky[:20] == sticky[20:40] == sticky[40:]


@pytest.mark.parametrize(
    "fault", ["p429", "p500", "pquota", "preset", "phang", "pbadjson", "pcut", "pempty", "plength", "p403"]
)
def test_every_fault_is_what_it_says_and_is_counted(mock_llm, fault):
    server = mock_llm(hang_s=0.2, **{fault: 1.0})
    status, body = ask(server, "a")
    assert status == {"p429": 429, "p500": 500, "pquota": 429, "p403": 403, "preset": 0, "phang": 0}.get(fault, 200)
    if fault in ("pbadjson", "pcut"):
        assert body is None
    if fault in ("pempty", "plength"):
        assert (text_of(body) == "", body["choices"][0]["finish_reason"]) == (
            fault == "pempty",
            "length" if fault == "plength" else "stop",
        )
    stats = server.stats()
    assert (stats["requests"], stats["outcome"][fault], stats["answered"]) == (1, 1, 0)
    assert (stats["billed"]["prompt_tokens"] == 0) == (fault in ("p429", "p500", "pquota", "p403"))


def test_the_counts_tell_repeats_and_what_was_in_flight(mock_llm):
    server = mock_llm(latency_ms=100, hold_after=0)
    with ThreadPoolExecutor(8) as pool:
        asked = pool.map(lambda i: ask(server, f"q{i % 12}"), range(16))
        server.wait("in_flight", 8)
        server.config(hold_after=-1)
        list(asked)
    stats = server.stats()
    assert (stats["requests"], stats["distinct_bodies"], stats["repeated"], stats["answered_again"]) == (16, 12, 4, 4)
    assert 0 < stats["mean_in_flight"] <= stats["max_in_flight"] == 8
    server.reset()
    assert server.stats()["requests"] == 0
    assert server.config(limit_inflight=1, hold_after=0)["limit_inflight"] == 1
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ask, server, f"q{i}") for i in range(4)]
        server.wait("requests", 4)
        server.config(hold_after=-1)
        assert sorted(future.result()[0] for future in asked) == [200, 429, 429, 429]
    with pytest.raises(urllib.error.HTTPError):
        server.config(no_such_option=1)


def test_answers_are_held_until_told_otherwise(mock_llm):
    server = mock_llm(hold_after=2)
    with ThreadPoolExecutor(5) as pool:
        asked = [pool.submit(ask, server, f"q{i}") for i in range(5)]
        server.wait("requests", 5)
        stats = server.stats()
        assert (stats["answered"], stats["in_flight"]) == (2, 3)
        server.config(hold_after=4)
        assert (server.stats()["answered"], server.stats()["in_flight"]) == (4, 1)
        server.config(hold_after=-1)
        assert [future.result()[0] for future in asked] == [200] * 5


def test_what_the_options_say_of_answers(mock_llm):
    server = mock_llm(words=10)
    _, body = ask(server, "a" * 400, max_tokens=5)
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"] == {"prompt_tokens": 104, "completion_tokens": 5, "total_tokens": 109}
    assert server.stats()["billed"] == {"prompt_tokens": 104, "completion_tokens": 5}
    server.config(usage="none", echo_headers=1)
    _, body = ask(server, "a")
    assert "usage" not in body
    assert text_of(body).endswith("[Bearer abc]")
    server.config(p500=1.0)
    assert ask(server, "a")[1]["error"]["message"].endswith("[Bearer abc]")


def test_an_answer_takes_the_form_that_is_asked_for(mock_llm):
    server = mock_llm()
    schema = {"type": "object", "properties": {"n": {"type": "integer"}, "of": {"enum": ["x", "y"]}}}
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    assert json.loads(text_of(ask(server, "a", response_format=form)[1])) == {"n": 3, "of": "x"}
    listed = text_of(ask(server, "Go on:\n1. this\n2. that\n3.")[1])
    assert [line.partition(".")[0] for line in listed.splitlines()] == [str(n) for n in range(3, 11)]
    assert "\nOutput: " in text_of(ask(server, "Use this form:\nInput: …\nOutput: …")[1])


def test_it_ends_with_whoever_started_it():
    process = subprocess.Popen(
        [sys.executable, SCRIPT, "--port", "0", "--until-eof"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert int(process.stdout.readline()) > 0
        process.stdin.close()
        assert process.wait(300) == 0


def test_stopped_means_that_nobody_listens(mock_llm):
    server = mock_llm()
    server.stop()
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))
