"""What endpoints count, in every convention that is known, costs here at least what it costs there."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from filial import Bound, Message, Request
from filial.contracts.errors import BudgetStop
from filial.gateway import Budget, BudgetAccount, Gateway, Ledger, Usage
from filial_plugins.teachers.openai import OpenAI
from filial_plugins.teachers.openai_prices import Charges
from filial_plugins.teachers.openai_usage import read_usage

# Each makes a usage object of fresh, cached and written prompt tokens, answer and reasoning tokens.
Counts = dict[str, Any]


def openai(f: int, k: int, w: int, c: int, r: int) -> Counts:
    """The others are parts. DeepSeek, Mistral, Groq, Cerebras, Together, Fireworks, vLLM as well."""
    return {
        "prompt_tokens": f + k + w,
        "completion_tokens": c + r,
        "total_tokens": f + k + w + c + r,
        "prompt_tokens_details": {"cached_tokens": k, "cache_write_tokens": w},  # laravel/ai#846
        "completion_tokens_details": {"reasoning_tokens": r},
    }


def deepseek(f: int, k: int, w: int, c: int, r: int) -> Counts:
    return openai(f, 0, w, c, r) | {
        "prompt_tokens": f + k + w,
        "prompt_cache_hit_tokens": k,
        "prompt_cache_miss_tokens": f + w,
        "total_tokens": f + k + w + c + r,
    }


def xai(f: int, k: int, w: int, c: int, r: int) -> Counts:
    """Reasoning beside the answer: UKGovernmentBEIS/inspect_ai#5528."""
    return openai(f, k, w, c, r) | {"completion_tokens": c}


def xai_without_total(f: int, k: int, w: int, c: int, r: int) -> Counts:
    return {name: value for name, value in xai(f, k, w, c, r).items() if name != "total_tokens"}


def gemini(f: int, k: int, w: int, c: int, r: int) -> Counts:
    """Reasoning in the total only: Clarifai/clarifai-python#978."""
    return {"prompt_tokens": f + k + w, "completion_tokens": c, "total_tokens": f + k + w + c + r}


def gemini_own_names(f: int, k: int, w: int, c: int, r: int) -> Counts:
    counts = {"promptTokenCount": f + k + w, "candidatesTokenCount": c, "thoughtsTokenCount": r}
    return counts | {"totalTokenCount": f + k + w + c + r, "cachedContentTokenCount": k}


def cliproxy(f: int, k: int, w: int, c: int, r: int) -> Counts:
    """No answer tokens at all: router-for-me/CLIProxyAPI#5733."""
    return openai(f, k, w, c, r) | {"completion_tokens": 0}


def anthropic(f: int, k: int, w: int, c: int, r: int) -> Counts:
    """The cache beside the prompt: voidmind-io/voidllm#188, Aider-AI/aider#5518, future-agi/future-agi#1122."""
    cache = {"cache_read_input_tokens": k, "cache_creation_input_tokens": w}
    return {"prompt_tokens": f, "completion_tokens": c + r, "total_tokens": f + c + r, **cache}


def anthropic_in_total(f: int, k: int, w: int, c: int, r: int) -> Counts:
    return anthropic(f, k, w, c, r) | {"total_tokens": f + k + w + c + r}


def anthropic_reasoning_beside(f: int, k: int, w: int, c: int, r: int) -> Counts:
    details = {"completion_tokens_details": {"reasoning_tokens": r}}
    return anthropic(f, k, w, c, r) | details | {"completion_tokens": c, "total_tokens": f + c + r}


def anthropic_own_names(f: int, k: int, w: int, c: int, r: int) -> Counts:
    cache = {"cache_read_input_tokens": k, "cache_creation_input_tokens": w}
    return {"input_tokens": f, "output_tokens": c + r, **cache}


def bedrock(f: int, k: int, w: int, c: int, r: int) -> Counts:
    cache = {"cacheReadInputTokens": k, "cacheWriteInputTokens": w}
    return {"prompt_tokens": f, "completion_tokens": c + r, "total_tokens": f + k + w + c + r, **cache}


def litellm(f: int, k: int, w: int, c: int, r: int) -> Counts:
    """Both names; the prompt includes both."""
    return openai(f, k, w, c, r) | {"cache_read_input_tokens": k, "cache_creation_input_tokens": w}


def more_cached_than_prompt(f: int, k: int, w: int, c: int, r: int) -> Counts:
    k += f + 1
    return openai(f, k, 0, c, r) | {"prompt_tokens": f, "total_tokens": f + c + r}


CONVENTIONS = [
    openai, deepseek, xai, xai_without_total, gemini, gemini_own_names, cliproxy, anthropic, anthropic_in_total,
    anthropic_reasoning_beside, anthropic_own_names, bedrock, litellm, more_cached_than_prompt,
]  # fmt: skip
BOUND = Bound(4000, 3000)
CHARGES = Charges(prompt=1.0, completion=10.0, cached=0.1, cache_write=2.0)
PART = st.integers(0, 900)


def recorded(usage: Any, charges: Charges = CHARGES) -> float:
    """What an answer costs according to filial."""
    found = read_usage({"usage": usage}, charges.write_ratio)
    gateway: Any = SimpleNamespace(spent=Usage(), price=charges.to_price(""), use="", _note_once=lambda *told: None)
    return Gateway._cost(gateway, BOUND, *found[:4]).pico / 1e12


def billed(convention: Any, f: int, k: int, w: int, c: int, r: int, price: Charges = CHARGES) -> float:
    """What it costs according to its endpoint: each kind of token at its price."""
    write = 1.25 * price.prompt if price.cache_write is None else price.cache_write
    k, w = (k + f + 1, 0) if convention is more_cached_than_prompt else (k, w)
    w, f = (0, f + w) if convention in (gemini, gemini_own_names, deepseek) else (w, f)
    return (f * price.prompt + k * (price.cached or price.prompt) + w * write + (c + r) * price.completion) / 1e6


def as_text(usage: Any, how: str) -> Any:
    """The same numbers written otherwise."""
    if isinstance(usage, dict):
        return {name: as_text(value, how) for name, value in usage.items()}
    return {"text": str, "float": float, "text of a float": lambda n: f"{n}.0", "number": int}[how](usage)


@given(
    st.sampled_from(CONVENTIONS), PART, PART, PART, st.integers(1, 900), PART,
    st.sampled_from(["number", "text", "float", "text of a float"]), st.sampled_from([None, 2.0]),
)  # fmt: skip
def test_nothing_costs_less_here_than_there(convention, f, k, w, c, r, how, write):
    assume(f + k + w > 0)  # a prompt has a token
    price = Charges(prompt=1.0, completion=10.0, cached=0.1, cache_write=write)
    usage = as_text(convention(f, k, w, c, r), how)
    assert recorded(usage, price) >= billed(convention, f, k, w, c, r, price) - 1e-12


@given(PART, PART, PART, st.integers(1, 900), PART)
def test_the_usual_conventions_are_counted_exactly(f, k, w, c, r):
    f += 1
    for convention in (openai, litellm, xai, anthropic_in_total, bedrock):
        if convention in (anthropic_in_total, bedrock) and (k + w == 0 or k + w == r):
            continue
        assert recorded(convention(f, k, w, c, r)) == pytest.approx(billed(convention, f, k, w, c, r))


NOISE = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=5)),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(sorted(openai(1, 1, 1, 1, 1))), inner),
    max_leaves=8,
)


@given(NOISE)
def test_no_usage_object_is_negative_or_breaks_anything(usage):
    found = read_usage({"usage": usage})
    assert min(found[:4]) >= 0
    assert max(found[:4]) <= 10**8
    assert 0 <= recorded(usage) < 10**4


@pytest.mark.parametrize(
    "usage", [None, {}, "free", {"prompt_tokens": -5, "completion_tokens": None}, {"total_tokens": 0}]
)
def test_nothing_that_was_received_is_counted_as_nothing(usage):
    assert recorded(usage) == CHARGES.to_price("").cost(*BOUND)


@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens", "total_tokens"])
def test_a_count_that_no_model_has_counts_as_the_most_and_is_told(name):
    usage = openai(50, 0, 0, 60, 0) | {name: 2**64 - 1}
    assert recorded(usage) <= CHARGES.to_price("").cost(*BOUND)
    assert "than any model has" in read_usage({"usage": usage}).deviation


def test_the_chunks_of_a_stream_tell_their_counts_in_parts_or_again():
    from filial_plugins.teachers.openai_streams import join_stream

    told = [
        {"prompt_tokens": 7, "completion_tokens": 0}, {"completion_tokens": 3, "prompt_tokens_details": None},
        {"completion_tokens": 30, "prompt_tokens_details": {"cached_tokens": 4}}, None, {"completion_tokens": 0},
    ]  # fmt: skip
    chunks = [{"choices": [{"delta": {"content": "x"}}], "usage": usage} for usage in told]
    chunks += [{"choices": [{"delta": {}, "usage": {"total_tokens": 37}}]}, {"choices": [], "x_groq": {"usage": {}}}]
    body = join_stream("".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks).encode())
    assert read_usage(body)[:3] == (7, 30, 4)


async def _spend(url: str, folder: Any, **options: Any) -> Any:
    teacher = OpenAI(
        model="m", base_url=url, max_tokens=300, max_retries=1, max_concurrency=4,
        usd_per_million={"prompt": 1.0, "completion": 10.0, "cached": 0.1}, **options,
    )  # fmt: skip
    gateway = Gateway("openai", teacher, Ledger(folder / "l.sqlite"), BudgetAccount(Budget(usd=0.01)))
    asked = [Request(messages=(Message(role="user", content=f"Explain rivers, part {i}. " * 20),)) for i in range(60)]
    try:
        return await asyncio.gather(*map(gateway.ask, asked), return_exceptions=True)
    finally:
        await gateway.close()


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_a_cap_holds_as_the_endpoint_counts(endpoint, answers, tmp_path, convention):
    counts = (90, 60, 0, 60, 200)
    served = endpoint(answers.Answer(answers.completion("rain " * 40) | {"usage": convention(*counts)}))

    async def work():
        async with served.serving():
            return await _spend(served.url, tmp_path)

    ends = asyncio.run(asyncio.wait_for(work(), 300))
    assert any(isinstance(end, BudgetStop) for end in ends)
    price = Charges(prompt=1.0, completion=10.0, cached=0.1)
    assert len(served.seen) * billed(convention, *counts, price) <= 0.01


def test_what_an_endpoint_counts_beyond_the_most_is_reserved_from_then_on(endpoint, answers, tmp_path):
    """It puts a prompt of 4,000 tokens before every request, and reasons without a limit."""
    body = answers.completion("rain") | {"usage": openai(4100, 0, 0, 60, 400)}
    served = endpoint(answers.Answer(body))

    async def work():
        async with served.serving():
            return await _spend(served.url, tmp_path)

    asyncio.run(asyncio.wait_for(work(), 300))
    each = billed(openai, 4100, 0, 0, 60, 400)
    assert len(served.seen) * each <= 0.01 + 2 * each, "those in flight before the first answer may pass a cap"


def test_a_price_of_writing_to_the_cache_is_reserved():
    asked = Request(messages=(Message(role="user", content="x" * 1000),))
    plain, write = ({"prompt": 1.0, "completion": 1.0, "cache_write": price} for price in (None, 2.0))
    most = [OpenAI(model="m", usd_per_million=price).bound(asked).prompt for price in (plain, write)]
    assert most[1] == 2 * most[0]
