"""How the `openai` teacher asks each kind of endpoint, and what it knows of prices."""

from __future__ import annotations

import json
import logging

import pytest

from filial import FREE, Bound, Message, Request, UsageError
from filial.cli import invoke
from filial_plugins.teachers.openai import OpenAI
from filial_plugins.teachers.openai_profiles import PROFILES

TURNS = (Message(role="system", content="Be short."), Message(role="user", content="Who?"))
ASK = Request(messages=TURNS)


@pytest.fixture
def sent(endpoint, answers, call):
    """``sent(request, **options)``: the body that an endpoint gets."""

    def body(request=ASK, **options):
        served = endpoint(answers.Answer(answers.completion("The end. Or not.")))
        call(served, request, **options)
        return served.seen[0].body

    return body


@pytest.fixture
def warnings(caplog):
    """What the user was warned of so far."""
    return lambda: [
        r.getMessage() for r in caplog.records if (r.name, r.levelno) == ("filial.teachers", logging.WARNING)
    ]


@pytest.mark.parametrize(
    ("url", "profile"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://eu.api.openai.com/v1", "openai"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("http://localhost:11434/v1", "ollama"),
        ("http://127.0.0.1:8080/v1", "llamacpp"),
        ("http://[::1]:8000/v1", "vllm"),
        ("http://gpu-box:8000/v1", "generic"),
        ("http://127.0.0.1:9999/v1", "generic"),
        ("https://openai.example/v1", "generic"),
        ("https://api.openai.com.example/v1", "generic"),
    ],
)
def test_the_profile_goes_by_the_host(url, profile):
    assert OpenAI(model="m", base_url=url)._profile_in_use == PROFILES[profile]


def test_every_profile_may_be_named(sent):
    for name, profile in PROFILES.items():
        assert sent(profile=name)[profile.token_limit] == 4096


@pytest.mark.parametrize("model", ["o1", "o3", "o4-mini", "gpt-5", "gpt-5-mini-2025-08-07", "ft:o4-mini:me", "gpt-5.1"])
def test_a_reasoning_model_gets_no_sampling_options_and_its_user_is_told_once_each(sent, warnings, model):
    request = Request(messages=TURNS, top_p=0.5, stop=(".",), seed=1)
    body = sent(request, model=model, profile="openai", temperature=0.3)
    assert body == {
        "model": model,
        "messages": [{"role": "developer", "content": "Be short."}, {"role": "user", "content": "Who?"}],
        "max_completion_tokens": 16384,
    }
    told = warnings()
    assert len(told) == 4
    for name in ("temperature", "top_p", "stop", "seed"):
        assert f"the reasoning model {model!r} does not accept {name}; it is left out of requests" in told


def test_a_warning_comes_once_however_many_requests(endpoint, answers, warnings):
    import asyncio

    served = endpoint(answers.Answer(answers.completion("x")))

    async def work():
        async with served.serving():
            teacher = OpenAI(model="o3", base_url=served.url, profile="openai", temperature=1)
            for _ in range(3):
                await teacher.reply(ASK)
            await teacher.close()

    asyncio.run(work())
    assert len(warnings()) == 1


def test_a_command_shows_its_warnings_each_time(mock_llm, tmp_path, capsys):
    flags = ["--base-url", mock_llm().url, "--home", str(tmp_path), "--profile", "openai", "--temperature", "1"]
    for draw in ("0", "1"):
        assert invoke(["ask", "openai", "Who?", "--model", "o3", "--draw", draw, *flags]) == 0
        assert capsys.readouterr().err == (
            "warning: the reasoning model 'o3' does not accept temperature; it is left out of requests\n"
        )


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-5-chat-latest", "foo-o3", "openai/o3"])
def test_other_models_get_what_was_asked_for(sent, warnings, model):
    body = sent(model=model, profile="openai", temperature=0.3)
    assert (body["temperature"], body["messages"][0]["role"], body["max_completion_tokens"]) == (0.3, "system", 4096)
    assert warnings() == []


def test_an_answer_ends_at_its_stop_where_the_model_takes_none(endpoint, answers, call):
    served = endpoint(answers.Answer(answers.completion("The end. Or not.")))
    assert call(served, Request(messages=TURNS, stop=(".",)), model="o3", profile="openai").text == "The end"


def test_a_further_draw_has_a_seed_of_its_own_where_the_profile_takes_one(sent):
    def seed(profile, draw, **options):
        return sent(Request(messages=TURNS, draw=draw), profile=profile, **options).get("seed")

    assert [seed("vllm", draw) for draw in (0, 1, 1001)] == [None, 1, 1001]
    assert seed("ollama", 2) == seed("llamacpp", 2) == 2
    assert seed("vllm", 1, temperature=0) is None
    assert [seed(name, 1) for name in ("openai", "openrouter", "generic")] == [None] * 3


@pytest.mark.parametrize(("profile", "prompt", "warned"), [("ollama", 4093, 1), ("ollama", 4092, 0), ("vllm", 4093, 0)])
def test_an_exactly_full_context_of_ollama_is_suspicious(endpoint, answers, call, warnings, profile, prompt, warned):
    body = answers.completion("x")
    body["usage"]["prompt_tokens"] = prompt
    call(endpoint(answers.Answer(body)), profile=profile)
    assert len(warnings()) == warned
    assert all("exactly 4,096 tokens" in text for text in warnings())


def test_a_bound_is_never_below_what_the_request_says():
    teacher = OpenAI(model="m", max_tokens=100)
    plain = teacher.bound(ASK)
    assert plain.completion == 100
    assert plain.prompt >= len("Be short.Who?")
    assert teacher.bound(Request(messages=TURNS, max_tokens=7)) == Bound(plain.prompt, 7)
    schema = {"type": "object", "title": "x" * 500}
    assert teacher.bound(Request(messages=TURNS, schema=schema)).prompt > plain.prompt + 500
    assert OpenAI(model="m").bound(ASK).completion == 4096
    assert OpenAI(model="o3").bound(ASK).completion == 16384


@pytest.mark.parametrize(
    ("model", "prompt", "completion", "cached"),
    [
        ("gpt-4o-mini", 0.15, 0.6, 0.075),
        ("gpt-4o-mini-2024-07-18", 0.15, 0.6, 0.075),
        ("gpt-4o-2024-08-06", 2.5, 10.0, 1.25),
        ("gpt-4o-2024-05-13", 5.0, 15.0, None),
        ("gpt-4.1-nano", 0.1, 0.4, 0.025),
        ("gpt-3.5-turbo", 0.5, 1.5, None),
        ("o4-mini", 1.1, 4.4, 0.275),
    ],
)
def test_the_table_has_openai_s_prices_with_its_date(config, model, prompt, completion, cached):
    price = OpenAI(model=model).price()
    assert (price.prompt, price.completion, price.cached) == (prompt, completion, cached)
    assert price.source == "table of 2025-08-31"


@pytest.mark.parametrize(
    "options",
    [
        {"model": "gpt-4o-audio-preview"},
        {"model": "gpt-4o-audio-preview-2024-12-17"},
        {"model": "gpt-4o-mini-search-preview"},
        {"model": "gpt-3.5-turbo-0613"},
        {"model": "ft:gpt-4o-mini:me"},
        {"model": "gpt-4"},
        {"model": "gpt-4o-mini", "base_url": "https://proxy.example/v1"},
        {"model": "gpt-4o-mini", "base_url": "https://eu.api.openai.com/v1"},
        {"model": "gpt-4o-mini", "base_url": "https://api.openai.com:8443/v1"},
        {"model": "gpt-4o-mini", "base_url": "http://127.0.0.1:4000/v1"},
        {"model": "m", "base_url": "https://vllm.example/v1", "profile": "vllm"},
    ],
)
def test_a_price_that_nobody_told_is_not_guessed(config, options):
    assert OpenAI(**options).price() is None


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/v1", "http://192.168.0.9/v1", "http://gpu-box:9/v1"])
@pytest.mark.parametrize("profile", ["vllm", "llamacpp", "ollama"])
def test_a_server_of_one_s_own_costs_nothing(config, url, profile):
    assert OpenAI(model="m", base_url=url, profile=profile).price() == FREE


def test_the_user_s_prices_go_before_the_table_and_the_recipe_s_before_both(config):
    config.mkdir()
    table = {
        "api.openai.com": {"gpt-4o": {"prompt": 1, "completion": 2}},
        "127.0.0.1:9": {"m": {"prompt": 3, "completion": 4}},
    }
    (config / "prices.json").write_text(json.dumps(table))
    price = OpenAI(model="gpt-4o").price()
    assert (price.prompt, price.completion, price.cached, price.source) == (1.0, 2.0, None, "your prices.json")
    assert OpenAI(model="m", base_url="http://127.0.0.1:9/v1", profile="vllm").price().prompt == 3.0
    assert OpenAI(model="gpt-4o-mini").price().source == "table of 2025-08-31"
    own = OpenAI(model="gpt-4o", usd_per_million={"prompt": 7, "completion": 8, "cached": 0}).price()
    assert (own.prompt, own.completion, own.cached) == (7.0, 8.0, 0.0)
    assert own.source == "the options of the teacher"


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"h": 1}',
        '{"h": {"m": 1}}',
        '{"h": {"m": {"prompt": -1, "completion": 1}}}',
        '{"h": {"m": {"prompt": 1}}}',
    ],
)
def test_a_damaged_price_file_is_said(config, text):
    config.mkdir()
    (config / "prices.json").write_text(text)
    with pytest.raises(UsageError, match=r"prices\.json: cannot be read as prices"):
        OpenAI(model="gpt-4o").price()
