"""How the `openai` teacher reads an answer that came with status 200: whether it is whole, and what is text in it."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from filial import TeacherError
from filial_plugins.teachers.openai_answers import Answers

WHOLE = ("stop", "STOP", "eos", "eos_token", "stop_sequence", "end_turn", "COMPLETE")
CUT = (
    "length", "max_tokens", "MAX_TOKENS", "max_output_tokens", "model_length", "model_context_window_exceeded",
    "Max-Tokens",
)  # fmt: skip
WITHHELD = (
    "content_filter", "content_filtered", "SAFETY", "RECITATION", "PROHIBITED_CONTENT", "refusal", "sensitive",
    "guardrail_intervened",
)  # fmt: skip
FAILED = (
    "error", "abort", "network_error", "insufficient_system_resource", "cancelled", "timeout", "tool_calls", "tool_use",
    "function_call", "MALFORMED_FUNCTION_CALL", "OTHER", "repetition", "load",
)  # fmt: skip


@pytest.fixture
def read(answers):
    """``read(text, finish, …)``: what one reader makes of one answer after another; ``read.warned`` is what it told."""

    def one(text="The river", finish="stop", *, limit=100, stop=(), usage=None, **message):
        body = answers.completion(text, finish=finish, **message)
        body["usage"] = body["usage"] if usage is None else usage
        if finish is ...:
            del body["choices"][0]["finish_reason"]
        return reader.read(json.dumps(body).encode(), limit, stop)

    one.warned = {}
    reader = Answers("m", one.warned.setdefault)
    return one


def refused(read, *args, **options):
    with pytest.raises(TeacherError) as caught:
        read(*args, **options)
    return caught.value


@pytest.mark.parametrize("word", WHOLE)
def test_an_answer_that_its_endpoint_calls_whole_is_kept_with_its_word(read, word):
    reply = read(finish=word)
    assert (reply.text, reply.finish_reason) == ("The river", word)
    assert not read.warned


@pytest.mark.parametrize(
    ("words", "reason", "retry"),
    [(CUT, "length", False), (WITHHELD, "content-filter", False), (FAILED, "interrupted", True)],
)
def test_an_answer_that_is_not_whole_is_a_fault_that_is_charged_and_names_the_word(read, words, reason, retry):
    for word in words:
        error = refused(read, finish=word)
        assert (error.reason, error.retry, error.answer, error.billed) == (reason, retry, "The river", (7, 3)), word
        assert word in error.detail or word in ("length", "content_filter")
    assert not read.warned


def test_a_word_nobody_knows_is_never_taken_for_whole_and_told_once(read):
    for word in ("schluss", "eot!", "schluss"):
        error = refused(read, finish=word)
        assert (error.reason, error.retry, error.answer) == ("unknown-finish", True, "The river")
        assert repr(word) in error.detail
    assert len(read.warned) == 1
    assert "'schluss'" in read.warned.popitem()[1]


@pytest.mark.parametrize("none", [None, "", ...])
def test_an_endpoint_that_never_names_a_word_is_believed_and_told_of(read, none):
    assert [read(finish=none).finish_reason for _ in range(3)] == ["", "", ""]
    assert list(read.warned) == ["no finish"]


@pytest.mark.parametrize("none", [None, "", ...])
def test_an_answer_without_a_word_is_not_whole_where_others_have_one(read, none):
    assert read(finish="stop").text
    error = refused(read, finish=none)
    assert (error.reason, error.retry) == ("unknown-finish", True)


def test_an_answer_without_a_word_that_reached_its_limit_was_cut(read):
    assert read(finish=None, limit=4).text
    assert refused(read, finish=None, limit=3).reason == "length"


def test_a_broken_answer_is_asked_for_again_and_not_stored(endpoint, answers, tmp_path, caplog):
    from filial import Message, Request
    from filial.asking.gateway import Gateway
    from filial.ledger import Ledger
    from filial_plugins.teachers.openai import OpenAI

    said = [("The ri", "abort"), ("The riv", "zzz"), ("The river", "stop")]
    served = endpoint([answers.Answer(answers.completion(text, finish=finish)) for text, finish in said])

    async def work():
        async with served.serving():
            gateway = Gateway("openai", OpenAI(model="m", base_url=served.url), Ledger(tmp_path / "l.sqlite"))
            try:
                asked = Request(messages=(Message(role="user", content="Which?"),))
                return (await gateway.ask(asked)).text, len(gateway.ledger), gateway.spent
            finally:
                await gateway.close()

    with caplog.at_level(logging.WARNING, "filial"):
        text, stored, spent = asyncio.run(asyncio.wait_for(work(), 20))
    assert (text, stored, spent.requests, spent.completion_tokens) == ("The river", 1, 3, 9)
    assert [record.getMessage().count("'zzz'") for record in caplog.records] == [1]
