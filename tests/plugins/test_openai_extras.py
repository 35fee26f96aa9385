"""What only the user's endpoint knows can be said: fields of the body, headers, a query; and no secret in a file."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import ValidationError

from filial import Message, Request, UsageError
from filial.gateway import TeacherKeys
from filial_plugins.commands.key_bindings import allow_key
from filial_plugins.teachers.openai import OpenAI

ASK = Request(messages=(Message(role="user", content="Who?"),))
KEY = "canary+/2f1d9c5e7a3b"


@pytest.fixture
def my_key(config, monkeypatch):
    """MY_KEY is set and may go to this machine."""
    monkeypatch.setenv("MY_KEY", KEY)
    allow_key("MY_KEY", "127.0.0.1")


EXTRAS = {
    # docs.vllm.ai: extra parameters; Qwen3's thinking
    "vllm": {"chat_template_kwargs": {"enable_thinking": False}, "top_k": 20, "repetition_penalty": 1.05},
    "dashscope": {"enable_thinking": False},
    "openrouter": {"provider": {"order": ["fireworks"], "allow_fallbacks": False}, "reasoning": {"effort": "low"}},
    "ollama": {"options": {"num_ctx": 16384}, "keep_alive": "1h"},
    "openai": {"reasoning_effort": "low", "service_tier": "flex", "logit_bias": {"50256": -100}},
    "moonshot, glm": {"thinking": {"type": "disabled"}},
    "sampling for all": {"stop": ["###"], "seed": 7, "min_p": 0.1},
}


@pytest.mark.parametrize("extra", EXTRAS.values(), ids=EXTRAS)
def test_fields_of_the_body_are_sent_and_are_part_of_the_key(endpoint, answers, call, extra):
    served = endpoint(answers.Answer(answers.completion("x")))
    call(served, ASK, extra_body=extra)
    assert {name: served.seen[0].body[name] for name in extra} == extra
    assert OpenAI(model="m", extra_body=extra).identity()["extra_body"] == extra
    plain, more = OpenAI(model="m"), OpenAI(model="m", extra_body=extra)
    assert more.bound(ASK).prompt > plain.bound(ASK).prompt


def test_a_request_goes_before_the_fields(endpoint, answers, call):
    served = endpoint(answers.Answer(answers.completion("x")))
    call(served, Request(messages=ASK.messages, stop=("a",), seed=3), extra_body={"stop": ["###"], "seed": 7})
    assert (served.seen[0].body["stop"], served.seen[0].body["seed"]) == (["a"], 3)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"messages": []}, "writes it itself"), ({"n": 2}, "writes it itself"), ({"model": "x"}, "option model"),
        ({"max_tokens": 9}, "option max_tokens"), ({"max_completion_tokens": 9}, "option max_tokens"),
        ({"stream": True}, "option stream"), ({"temperature": 0}, "option temperature"),
    ],
)  # fmt: skip
def test_a_field_that_filial_writes_is_refused_with_the_way_out(fields, told):
    with pytest.raises(ValidationError, match=told):
        OpenAI(model="m", extra_body=fields)


@pytest.mark.parametrize(
    "options",
    [
        {"extra_body": {"api_key": KEY}}, {"extra_body": {"a": [{"auth_token": KEY}]}},
        {"extra_body": {"note": f"Bearer {KEY}"}}, {"extra_body": {"x": "sk-abcdefghijklmnop"}},
        {"headers": {"api-key": KEY}}, {"headers": {"x-title": "filial"}}, {"headers": {"x": "$"}},
        {"headers": {"authorization": "Bearer $MY_KEY"}}, {"headers": {"a b": "$MY_KEY"}},
        {"headers": {"Host": "$MY_KEY"}}, {"query": {"key": KEY}}, {"query": {"subscription-key": KEY}},
        {"query": {"code": KEY}}, {"query": {"sig": KEY}}, {"query": {"x": "sk-abcdefghijklmnop"}}, {"base_url": f"https://example.org/v1?key={KEY}"},
    ],
)  # fmt: skip
def test_no_secret_may_stand_in_an_option_and_no_message_repeats_it(options):
    with pytest.raises(ValidationError) as caught:
        OpenAI(**{"model": "m", "base_url": "https://example.org/v1", **options})
    assert KEY not in str(caught.value)
    assert "sk-abc" not in str(caught.value)


def test_headers_and_query_come_from_variables_and_are_shown_nowhere(endpoint, answers, call, fault, my_key):
    options = {
        "headers": {"api-key": "$MY_KEY", "X-Team": "${MY_KEY}"},
        "query": {"api-version": "2024-10-21", "key": "$MY_KEY"},
    }
    served = endpoint(answers.Answer(answers.completion(f"You sent {KEY}.")))
    assert call(served, **options).text == "You sent [key]."
    (seen,) = served.seen
    assert (seen.headers["api-key"], seen.headers["x-team"]) == (KEY, KEY)
    assert "authorization" not in seen.headers
    assert seen.path == "/v1/chat/completions?api-version=2024-10-21&key=canary%2B/2f1d9c5e7a3b"
    echo = endpoint(answers.Answer({"error": {"message": f"bad: {seen.path} {KEY}"}}, status=400))
    assert fault(echo, **options).detail == "bad: /v1/chat/completions?api-version=2024-10-21&key=[key] [key]"
    broken = fault(endpoint(answers.Answer(headers={"content-length": f"x{KEY}"})), **options)
    assert KEY not in f"{broken} {broken.detail} {broken.answer}"
    teacher = OpenAI(model="m", base_url=served.url, **options)
    assert KEY not in f"{teacher} {teacher.identity()} {teacher.model_dump()}"


def test_a_header_of_the_user_s_takes_the_place_of_the_key(endpoint, answers, call, my_key, monkeypatch):
    monkeypatch.setenv("OTHER", "other")
    allow_key("OTHER", "127.0.0.1")
    served = endpoint(answers.Answer(answers.completion("x")))
    call(served, api_key_env="MY_KEY", headers={"Authorization": "$OTHER"})
    assert served.seen[0].headers["authorization"] == "other"


@pytest.mark.parametrize(
    "options", [{"headers": {"x-title": "$AWS_SECRET"}}, {"query": {"q": "$AWS_SECRET"}}, {"headers": {"x": "$HOME"}}]
)
def test_a_variable_goes_to_no_host_that_is_not_allowed_for_it(endpoint, answers, config, monkeypatch, options, call):
    monkeypatch.setenv("AWS_SECRET", KEY)
    served = endpoint(answers.Answer(answers.completion("x")))
    with pytest.raises(UsageError, match="filial keys allow"):
        call(served, **options)
    assert served.seen == []


def test_a_variable_is_not_sent_without_encryption():
    for options in ({"headers": {"x": "$MY_KEY"}}, {"query": {"x": "$MY_KEY"}}):
        with pytest.raises(ValidationError, match=r"\$MY_KEY to example.org without encryption"):
            OpenAI(model="m", base_url="http://example.org/v1", **options)


def test_what_can_change_an_answer_is_part_of_its_key_and_nothing_else():
    def key(**options):
        return TeacherKeys(
            "filial:openai", OpenAI(model="m", base_url="https://example.org/v1", **options).identity()
        ).key(b"{}")

    plain = key()
    assert plain == key(headers={"api-key": "$A"}) == key(headers={"Authorization": "$B"}) == key(stream="always")
    others = [
        key(headers={"x-route": "$A"}), key(headers={"x-route": "$B"}), key(query={"api-version": "1"}),
        key(query={"api-version": "2"}), key(extra_body={"a": 1}), key(extra_body={"a": 2}), plain,
    ]  # fmt: skip
    assert len(set(others)) == len(others)
    assert "extra_body" not in OpenAI(model="m").identity(), "answers of earlier versions stay known"


def test_azure_takes_its_own_header_and_the_path_of_a_deployment(config, monkeypatch):
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
    url = "https://mine.openai.azure.com/openai/deployments/gpt-4o-mini"
    teacher = OpenAI(model="gpt-4o-mini", base_url=url, query={"api-version": "2024-10-21"})
    assert teacher.destination() == ("mine.openai.azure.com", "AZURE_OPENAI_API_KEY", True)

    async def connect():
        connection = teacher._connect()
        await teacher.close()
        return connection

    connection = asyncio.run(connect())
    assert connection._url == f"{url}/chat/completions?api-version=2024-10-21"
    assert connection._headers["api-key"] == KEY
    assert "Authorization" not in connection._headers
    body = teacher._builder.build_body(ASK, 9)
    assert body["max_completion_tokens"] == 9
    assert not OpenAI(model="m", base_url="https://openai.azure.com.evil.org/v1").destination().key


def test_azure_s_header_is_sent(endpoint, answers, call, my_key):
    served = endpoint(answers.Answer(answers.completion("x")))
    call(served, profile="azure", api_key_env="MY_KEY", query={"api-version": "2024-10-21"})
    assert served.seen[0].headers["api-key"] == KEY
    assert "authorization" not in served.seen[0].headers


def test_the_whole_address_may_be_given():
    assert OpenAI(model="m", base_url="https://example.org/v1/chat/completions").base_url == "https://example.org/v1"


def test_yaml_s_dates_and_numbers_are_text_in_a_query():
    import datetime

    query = OpenAI(model="m", query={"api-version": datetime.date(2024, 10, 21), "v": 3}).query
    assert query == {"api-version": "2024-10-21", "v": "3"}
