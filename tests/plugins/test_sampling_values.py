"""Sampling values that one endpoint takes and another refuses: translated, told, and no request is lost."""

from __future__ import annotations

import asyncio
import re

import pytest
from self_instruct_kit import EXAMPLE, SEEDS
from stage_kit import Rows

from filial import Message, Request, TeacherError
from filial.engine.stage import StageContext
from filial.gateway import Gateway, Ledger
from filial_plugins.generators.self_instruct import SelfInstruct
from filial_plugins.stages.generate import generate_records
from filial_plugins.teachers.openai import OpenAI


def vllm(body):
    """EvolvingLMMs-Lab/lmms-eval#1265, microsoft/TaskWeaver#231; SGLang and DashScope as well."""
    if not 0 < body.get("top_p", 1) <= 1:
        return f"top_p must be in (0, 1], got {body['top_p']}."
    return ""


def tgi(body):
    """argilla-io/synthetic-data-generator#48; older versions refuse temperature 0, too."""
    if not 0 < body.get("top_p", 0.5) < 1:
        return "Input validation error: `top_p` must be > 0.0 and < 1.0"
    if body.get("temperature") == 0:
        return "Input validation error: `temperature` must be strictly positive"
    return "`stop` supports up to 4 stop sequences" if len(body.get("stop", ())) > 2 else ""


def mistral(body):
    return "top_p must be 1 when using greedy sampling." if body.get("temperature") == 0 and "top_p" in body else ""


def anthropic(body):
    if "temperature" in body and "top_p" in body:
        return "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
    if body.get("temperature", 0) > 1:
        return "temperature: range: 0..1"
    if any(not text.strip() for text in body.get("stop", ())):
        return "stop_sequences: each stop sequence must contain non-whitespace"
    return ""


def zhipu(body):
    """Open intervals, and one stop word."""
    if not 0 < body.get("top_p", 0.5) < 1:
        return "top_p 参数非法：取值范围 (0.0, 1.0)"
    if not 0 < body.get("temperature", 0.5) < 1:
        return "temperature 参数非法：取值范围 (0.0, 1.0)"
    return "only one stop word is supported" if len(body.get("stop", ())) > 1 else ""


def cohere(body):
    return "" if 0.01 <= body.get("top_p", 0.5) <= 0.99 else "invalid request: p must be between 0.01 and 0.99"


def minimax(body):
    return "" if 0 < body.get("temperature", 0.5) <= 1 else "invalid params, temperature must be in (0, 1]"


def xai(body):
    return "Argument not supported on this model: stop" if "stop" in body else ""


def gemini(body):
    return 'Unknown name "seed": Cannot find field.' if "seed" in body else ""


ENDPOINTS = [vllm, tgi, mistral, anthropic, zhipu, cohere, minimax, xai, gemini]
VALUES = [
    {"temperature": 0.0, "top_p": 0.0, "stop": ("\n", "Task")}, {"temperature": 1.0, "top_p": 1.0}, {"top_p": 0.0},
    {"temperature": 0.7, "top_p": 0.5, "stop": ("\n\n", "16.", "16 .")}, {"temperature": 2.0}, {"seed": 3},
]  # fmt: skip
"""Those of `style: paper` and `style: alpaca`, and the ends of the ranges of others."""


@pytest.fixture(autouse=True)
def _no_delay(monkeypatch):
    monkeypatch.setattr("filial.gateway.outages.FIRST_DELAY", 0.001)


def serving(endpoint, answers, refuse, say=lambda body: "Rivers.\nTask"):
    def answer(seen):
        if told := refuse(seen.body):
            return answers.Answer({"error": {"message": told, "type": "invalid_request_error"}}, status=400)
        return answers.Answer(answers.completion(say(seen.body)))

    return endpoint(answer)


@pytest.mark.parametrize("refuse", ENDPOINTS)
def test_no_request_is_lost_to_a_value_that_an_endpoint_refuses(endpoint, answers, tmp_path, caplog, refuse):
    served = serving(endpoint, answers, refuse)
    asked = [
        Request(messages=(Message(role="user", content=f"Which {i}?"),), **values)
        for i in range(8)
        for values in VALUES
    ]

    async def work():
        async with served.serving():
            gateway = Gateway("openai", OpenAI(model="m", base_url=served.url), Ledger(tmp_path / "l.sqlite"))
            try:
                return [await gateway.ask(asked[0]), *(await asyncio.gather(*map(gateway.ask, asked[1:])))]
            finally:
                await gateway.close()

    replies = asyncio.run(asyncio.wait_for(work(), 300))
    for request, reply in zip(asked, replies, strict=True):
        assert reply.text == ("Rivers." if "\n" in request.stop else "Rivers.\nTask"), "stop texts hold all the same"
    told = [record.message for record in caplog.records]
    assert len(told) == len(set(told))
    refused = {refuse(seen.body) for seen in served.seen} - {""}
    assert not refused or any("does not accept" in line for line in told)


@pytest.mark.parametrize(
    ("told", "wrong", "right", "options"),
    [
        (
            "'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
            "max_tokens", "max_completion_tokens", {},
        ),
        (
            "Unrecognized request argument supplied: max_completion_tokens", "max_completion_tokens", "max_tokens",
            {"token_limit": "max_completion_tokens"},
        ),
        (
            "'response_format' of type 'json_schema' is not supported with this model", "response_format", "messages",
            {"response_format": "json_schema"},
        ),
    ],
)  # fmt: skip
def test_parameters_that_a_model_does_not_know_are_changed_too(
    endpoint, answers, tmp_path, told, wrong, right, options
):
    served = serving(endpoint, answers, lambda body: told if wrong in body else "", lambda body: "{}")

    async def work():
        async with served.serving():
            gateway = Gateway(
                "openai", OpenAI(model="m", base_url=served.url, **options), Ledger(tmp_path / "l.sqlite")
            )
            try:
                turns = (Message(role="user", content="Which?"),)
                return await gateway.ask(Request(messages=turns, schema={"type": "object"}))
            finally:
                await gateway.close()

    assert asyncio.run(asyncio.wait_for(work(), 300)).text == "{}"
    assert right in served.seen[-1].body
    assert len(served.seen) == 2


def test_openai_s_own_values_are_sent_to_openai():
    body = OpenAI(model="gpt-4o")._builder.build_body(Request(messages=(), temperature=0.0, top_p=0.0), 9)
    assert (body["temperature"], body["top_p"]) == (0.0, 0.0)


def test_an_error_about_something_else_is_final(endpoint, answers, fault):
    body = {"error": {"message": "This model's maximum context length is 2048 tokens", "code": 400}}
    error = fault(
        endpoint(answers.Answer(body, status=400)),
        Request(messages=(Message(role="user", content="x"),), temperature=0.0, stop=("a",)),
    )
    assert not error.retry


def test_a_value_that_is_refused_in_any_form_is_final(endpoint, answers, tmp_path):
    served = serving(endpoint, answers, lambda body: "temperature is not good")

    async def work():
        async with served.serving():
            gateway = Gateway("openai", OpenAI(model="m", base_url=served.url), Ledger(tmp_path / "l.sqlite"))
            try:
                return await gateway.ask(Request(messages=(Message(role="user", content="x"),), temperature=0.0))
            finally:
                await gateway.close()

    with pytest.raises(TeacherError, match="not good"):
        asyncio.run(asyncio.wait_for(work(), 300))
    assert len(served.seen) <= 4


@pytest.mark.parametrize("style", ["paper", "alpaca"])
@pytest.mark.parametrize("refuse", [vllm, tgi, zhipu])
def test_the_styles_of_self_instruct_work(endpoint, answers, tmp_path, refuse, style):
    def say(body):
        asked = body["messages"][-1]["content"]
        if body.get("max_tokens") == 3:
            return "No"
        made = len(served.seen)
        if found := re.search(r"(\d+)\. Instruction:\s*\Z", asked):
            tasks = [" ".join(f"w{made}x{i}y{j}" for j in range(6)) for i in range(8)]
            form = "Instruction: {}\n{}. Input:\n<noinput>\n{}. Output:\nDone.\n###"
            parts = [f"{n}. {form.format(task, n, n)}" for n, task in enumerate(tasks, int(found[1]))]
            return "\n".join(parts).removeprefix(f"{found[1]}. Instruction:")
        if found := re.search(r"(\d+)\.\s*\Z", asked):
            return "\n".join(
                f"{int(found[1]) + i}. " + " ".join(f"w{made}x{i}y{j}" for j in range(6)) for i in range(8)
            )
        return EXAMPLE.format(n=7)

    served = serving(endpoint, answers, refuse, say)

    async def work():
        async with served.serving():
            gateway = Gateway("openai", OpenAI(model="m", base_url=served.url), Ledger(tmp_path / "l.sqlite"))
            env = StageContext(stage="s", seed=1, writer=Rows(), ask=gateway.ask)
            try:
                await generate_records(SEEDS, "self-instruct", SelfInstruct(count=3, style=style), env)
            finally:
                await gateway.close()
            return env.writer

    writer = asyncio.run(asyncio.wait_for(work(), 300))
    assert len(writer.kept) == 3
    assert not any(row.reason.startswith("teacher") for row in writer.dropped)
