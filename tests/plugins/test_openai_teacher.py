"""The `openai` teacher over loopback: what is sent, what comes back, and what a recipe may say."""

from __future__ import annotations

import asyncio
import json

import pytest
from pydantic import ValidationError

from filial import Message, Reply, Request, TeacherError, ToolCall
from filial.testing import TeacherContract
from filial_plugins.teachers.openai import OpenAI

USER = Message(role="user", content="Who?")
ASK = Request(messages=(Message(role="system", content="Be short."), USER))
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}


class TestContract(TeacherContract):
    component = OpenAI(model="m", base_url="http://127.0.0.1:9/v1")


def test_sends_the_messages_a_limit_and_only_the_options_that_are_set(endpoint, answers, call):
    served = endpoint(answers.Answer(answers.completion("Nobody.")))
    reply = call(served)
    assert reply == Reply(text="Nobody.", prompt_tokens=7, completion_tokens=3, model="served-model")
    (seen,) = served.seen
    assert seen.path == "/v1/chat/completions"
    assert seen.body == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Who?"}],
        "max_tokens": 4096,
    }


def test_what_a_request_asks_for_goes_before_the_teacher_s_own_options(endpoint, answers, call):
    served = endpoint(answers.Answer(answers.completion("x")))
    request = Request(messages=ASK.messages, temperature=0.0, max_tokens=5, stop=("\n",), seed=3, draw=2)
    call(served, request, temperature=1.0, top_p=0.5, max_tokens=90, token_limit="max_completion_tokens")
    body = served.seen[0].body
    assert body["temperature"] == 0.0
    assert body["top_p"] == 0.5
    assert body["max_completion_tokens"] == 5
    assert "max_tokens" not in body
    assert body["stop"] == ["\n"]
    assert body["seed"] == 3
    assert "draw" not in body


def test_the_counts_tell_what_was_cached_and_what_was_thought(endpoint, answers, call):
    body = answers.completion("x")
    body["usage"] |= {
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    reply = call(endpoint(answers.Answer(body)))
    assert (reply.prompt_tokens, reply.cached_tokens, reply.completion_tokens, reply.reasoning_tokens) == (7, 4, 3, 2)


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": "seven", "prompt_tokens_details": None}, "free"])
def test_an_answer_without_counts_is_an_answer(endpoint, answers, call, usage):
    body = answers.completion("x") | {"usage": usage}
    assert call(endpoint(answers.Answer(body))).prompt_tokens == 0


def test_a_schema_is_given_as_such_where_the_profile_allows(endpoint, answers, call):
    served = endpoint(answers.Answer(answers.completion("{}")))
    call(served, Request(messages=(USER,), schema=SCHEMA), profile="vllm")
    body = served.seen[0].body
    assert body["response_format"] == {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
    assert body["messages"] == [{"role": "user", "content": "Who?"}]


@pytest.mark.parametrize("form", ["auto", "words", "json_object"])
def test_a_schema_is_put_in_words_elsewhere(endpoint, answers, call, form):
    served = endpoint(answers.Answer(answers.completion("{}")))
    turns = (USER, Message(role="assistant", content="No."), Message(role="user", content="Yes!"))
    call(served, Request(messages=turns, schema=SCHEMA), response_format=form)
    body = served.seen[0].body
    first, _, last = body["messages"]
    assert first["content"] == "Who?"
    assert last["content"].startswith("Yes!\n\n")
    assert json.loads(last["content"].splitlines()[-1]) == SCHEMA
    assert body.get("response_format") == ({"type": "json_object"} if form == "json_object" else None)


def test_a_schema_that_stands_in_the_prompt_is_not_said_twice(endpoint, answers, call):
    served = endpoint(answers.Answer(answers.completion("{}")))
    told = f"It must satisfy {json.dumps(SCHEMA, separators=(',', ':'))}"
    call(served, Request(messages=(Message(role="user", content=told),), schema=SCHEMA))
    assert served.seen[0].body["messages"] == [{"role": "user", "content": told}]


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


def test_a_deadline_ends_an_answer_that_drips(endpoint, answers):
    """The gateway keeps the time; the teacher has to let go when it is up."""
    served = endpoint(answers.Answer(answers.completion("slow"), drip=5))

    async def work() -> None:
        async with served.serving():
            teacher = OpenAI(model="m", base_url=served.url)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await teacher.reply(ASK)
            await teacher.close()

    asyncio.run(asyncio.wait_for(work(), 300))


@pytest.mark.parametrize(
    "url",
    [
        "https://user:hunter2@host/v1",
        "https://host/v1?token=hunter2",
        "https://host/v1#hunter2",
        "https://host\\@hunter2.example/v1",
        "https://ho st/hunter2",
        "https://host:hunter2/v1",
        "hunter2/v1",
        "ftp://hunter2/v1",
        "https:///hunter2",
    ],
)
def test_an_address_with_secrets_or_without_host_is_refused_and_not_repeated(url):
    with pytest.raises(ValidationError) as caught:
        OpenAI(model="m", base_url=url)
    assert "base_url must" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_server_that_moves_keeps_its_answers_if_the_recipe_says_so():
    old = OpenAI(model="m", base_url="http://old:8000/v1").identity()
    moved = {"model": "m", "base_url": "https://new.example.org/v1"}
    assert OpenAI(**moved).identity() != old
    for former in ("http://old:8000/v1", "http://old:8000/v1/", "http://old:8000/v1/chat/completions"):
        assert OpenAI(**moved, endpoint=former).identity() == old
    assert OpenAI(**moved, endpoint="ours").identity() == OpenAI(model="m", endpoint="ours").identity()
    with pytest.raises(ValueError, match="must not contain a user, password or query"):
        OpenAI(**moved, endpoint="http://me:secret@old:8000/v1")


def test_identity_is_what_an_answer_depends_on():
    plain = OpenAI(model="m", base_url="http://localhost:8000/v1/")
    same = OpenAI(
        model="m", base_url="http://localhost:8000/v1", api_key_env="OTHER", timeout=3, max_concurrency=9,
        profile="vllm", token_limit="max_tokens", usd_per_million={"prompt": 1, "completion": 2},
    )  # fmt: skip
    assert plain.identity() == same.identity()
    for changed in ({"top_p": 0.9}, {"temperature": 0.0}, {"model": "n"}, {"base_url": "http://localhost:8001/v1"}):
        assert (
            plain.identity() != OpenAI(**{"model": "m", "base_url": "http://localhost:8000/v1", **changed}).identity()
        )


@pytest.mark.parametrize(
    ("options", "host", "key", "known"),
    [
        ({}, "api.openai.com", "OPENAI_API_KEY", True),
        ({"base_url": "https://API.OpenAI.com:443/v1"}, "api.openai.com", "OPENAI_API_KEY", True),
        ({"api_key_env": "MINE"}, "api.openai.com", "MINE", False),
        ({"base_url": "https://openrouter.ai/api/v1"}, "openrouter.ai", "OPENROUTER_API_KEY", True),
        ({"base_url": "https://openrouter.ai/v1", "api_key_env": "K"}, "openrouter.ai", "K", False),
        ({"base_url": "https://api.openai.com.evil.example/v1"}, "api.openai.com.evil.example", "", False),
        ({"base_url": "https://evil.example/v1", "profile": "openai"}, "evil.example", "OPENAI_API_KEY", False),
        ({"base_url": "https://models.example:8443/v1"}, "models.example:8443", "", False),
        ({"base_url": "http://[::1]:8000/v1", "profile": "openai"}, "[::1]:8000", "", False),
        ({"base_url": "http://localhost:8000/v1", "api_key_env": "MINE"}, "localhost:8000", "MINE", False),
    ],
)  # fmt: skip
def test_where_requests_go_and_which_key_goes_along(options, host, key, known):
    assert OpenAI(model="m", **options).destination() == (host, key, known)


@pytest.mark.parametrize("host", ["models.example", "8.8.8.8", "0x08080808", "[::ffff:8.8.8.8]", "api.openai.com"])
def test_no_key_goes_over_plain_http_to_a_public_host(host):
    with pytest.raises(ValidationError, match=r"\$MY_KEY .* without encryption"):
        OpenAI(model="m", base_url=f"http://{host}/v1", api_key_env="MY_KEY")
    if host != "api.openai.com":
        assert OpenAI(model="m", base_url=f"http://{host}/v1").destination().key == ""


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "192.168.1.7", "10.0.0.1", "gpu-box", "gpu.local", "[fd00::1]"])
def test_a_key_may_go_over_plain_http_in_a_network_of_ones_own(host):
    assert OpenAI(model="m", base_url=f"http://{host}/v1", api_key_env="MY_KEY").destination().key == "MY_KEY"


def test_calls_of_tools_are_sent_as_endpoints_take_them_and_thoughts_are_left_out_and_said(
    endpoint, answers, call, caplog
):
    served = endpoint(answers.Answer(answers.completion("Two.")))
    told = Message("assistant", "", reasoning="a sum", tool_calls=(ToolCall(id="c1", name="add", arguments="{}"),))
    call(served, Request(messages=(USER, told, Message("tool", "2", tool_call_id="c1", name="add"))))
    function = {"name": "add", "arguments": "{}"}
    assert served.seen[0].body["messages"] == [
        {"role": "user", "content": "Who?"},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "c1", "type": "function", "function": function}]},
        {"role": "tool", "content": "2", "tool_call_id": "c1", "name": "add"},
    ]
    assert [r.message for r in caplog.records if "reasoning of earlier turns" in r.message]


def test_all_that_a_message_says_counts_for_what_a_request_can_cost():
    teacher = OpenAI(model="m", base_url="http://127.0.0.1:9/v1")
    calls = (ToolCall(name="f", arguments="x" * 99),)
    turns = Message("assistant", "b"), Message("assistant", "b", tool_calls=calls)
    plain, calling = (teacher.bound(Request(messages=(USER, turn))).prompt for turn in turns)
    assert calling - plain == 100


STREAM = (
    'data: {"choices": [{"delta": {"content": "No"}, "finish_reason": null}]}\n\n'
    'data: {"choices": [{"delta": {"content": "body."}, "finish_reason": "stop"}]}\n\n'
    'data: {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}\n\n'
    "data: [DONE]\n\n"
)
ONLY_STREAMS = (
    # DashScope and ModelScope (QwQ, Qwen3-thinking): infiniflow/ragflow#5912
    "This model only support stream mode, please enable the stream parameter to access the model.",
    "parameter.enable_thinking must be set to false for non-streaming calls",
    "Streaming is required for operations that may take longer than 10 minutes",
    "stream must be true",
)


@pytest.mark.parametrize(("stream", "asked"), [("auto", None), ("never", None), ("always", True)])
def test_a_stream_is_read_whether_it_was_asked_for_or_not(endpoint, answers, call, stream, asked):
    served = endpoint(answers.Answer(STREAM, content_type="text/event-stream"))
    reply = call(served, stream=stream)
    assert (reply.text, reply.prompt_tokens, reply.completion_tokens) == ("Nobody.", 7, 3)
    assert served.seen[0].body.get("stream") is asked
    assert ("stream_options" in served.seen[0].body) is bool(asked)


@pytest.mark.parametrize("message", ONLY_STREAMS)
def test_an_endpoint_that_only_streams_is_asked_for_a_stream(endpoint, answers, message):
    def answer(seen):
        if seen.body.get("stream"):
            return answers.Answer(STREAM, content_type="text/event-stream")
        return answers.Answer({"error": {"message": message}}, status=400)

    served = endpoint(answer)

    async def work(**options):
        async with served.serving():
            teacher = OpenAI(model="m", base_url=served.url, **options)
            try:
                return await asyncio.gather(*(teacher.reply(ASK) for _ in range(3)), return_exceptions=True), [
                    (await teacher.reply(ASK)).text
                ]
            finally:
                await teacher.close()

    refused, later = asyncio.run(asyncio.wait_for(work(), 300))
    assert [error.retry for error in refused] == [True] * 3
    assert later == ["Nobody."]
    with pytest.raises(TeacherError, match="http-400"):
        asyncio.run(asyncio.wait_for(work(stream="never"), 300))


def test_an_endpoint_that_does_not_know_the_options_of_a_stream_is_asked_without(endpoint, answers):
    def answer(seen):
        if "stream_options" in seen.body:
            return answers.Answer({"error": {"message": "Extra inputs: stream_options"}}, status=422)
        return answers.Answer(STREAM, content_type="text/event-stream")

    served = endpoint(answer)

    async def work():
        async with served.serving():
            teacher = OpenAI(model="m", base_url=served.url, stream="always")
            try:
                with pytest.raises(TeacherError) as caught:
                    await teacher.reply(ASK)
                assert caught.value.retry
                return (await teacher.reply(ASK)).text
            finally:
                await teacher.close()

    assert asyncio.run(asyncio.wait_for(work(), 300)) == "Nobody."


def test_streaming_is_no_part_of_what_answers_depend_on():
    assert OpenAI(model="m", stream="always").identity() == OpenAI(model="m").identity()


def test_a_dripping_stream_ends_at_the_deadline(endpoint, answers):
    from filial.gateway.deadlines import Deadlines
    from filial.gateway.replies import receive

    served = endpoint(answers.Answer(STREAM, content_type="text/event-stream", drip=0.05))

    async def work():
        async with served.serving():
            teacher = OpenAI(model="m", base_url=served.url, stream="always", timeout=0.3)
            try:
                await receive("openai", teacher, ASK, Deadlines(0.3))
            finally:
                await teacher.close()

    with pytest.raises(TeacherError, match="timeout"):
        asyncio.run(asyncio.wait_for(work(), 300))
