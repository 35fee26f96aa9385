"""Whole runs of the two programs with scripted completions: the styles ``paper`` and ``alpaca`` ask for and keep the
same."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest
from selfinstruct_reference_kit import RECORDED, case, cases, seeds_of

from filial import Context, Record, Reply, Request
from filial_plugins.filters.novelty.index import RougeIndex
from filial_plugins.generators.self_instruct import SelfInstruct
from filial_plugins.generators.self_instruct.blocks import Block
from filial_plugins.generators.self_instruct.proposals import parse_reply
from filial_plugins.generators.self_instruct.styles import make_settings

pytestmark = RECORDED


class OneRandom(Context):
    """A context whose requests for tasks all draw from one generator, in order, as a program from the global one."""

    def derive(self, *parts: object, parent: Record | None = None) -> Context:
        if parts[0] in ("round", "request"):
            return self
        return super().derive(*parts, parent=parent)


def run(generator: SelfInstruct, seeds: list[Record], seed: int, model: Callable[[Request], Any]) -> list[Any]:
    ctx = OneRandom(model)
    ctx.rng = random.Random(seed)

    async def work() -> list[Any]:
        return [item async for item in generator.generate(seeds, ctx)]

    return asyncio.run(work())


def closest(index: RougeIndex, text: str) -> float:
    found = index.find_nearest(text)
    return found.score if found else 0.0


def original_seeds() -> list[Record]:
    return seeds_of([row["instruction"] for row in cases("sequential_from_empty.jsonl")[:175]])


def test_bootstrap_from_end_to_end():
    recorded = case("bootstrap_end_to_end.json")
    script, asked = iter(recorded["completions"]), []

    async def model(request: Request) -> Reply:
        text = request.messages[-1].content
        if text.endswith("Is it classification?"):
            return Reply(text=" No")
        if "Come up with a series" not in text:
            return Reply(text="Output: done")
        asked.append(request)
        completion = next(script)
        return Reply(text=completion["text"], finish_reason=completion["finish_reason"])

    accepted = recorded["accepted"]
    items = run(
        SelfInstruct(style="paper", count=len(accepted)), original_seeds(), recorded["python_random_seed"], model
    )
    made = [item for item in items if isinstance(item, Record)]
    assert [record.instruction for record in made] == [row["instruction"] for row in accepted]
    assert len(asked) == 15
    for request, row in zip(asked, recorded["first_prompts"], strict=False):
        assert request.messages[-1].content == row["prompt"]
    kwargs = recorded["api_kwargs_first_call"]
    assert (asked[0].max_tokens, asked[0].temperature, asked[0].top_p, list(asked[0].stop)) == (
        kwargs["max_tokens"], kwargs["temperature"], kwargs["top_p"], kwargs["stop_sequences"],
    )  # fmt: skip
    pool = RougeIndex(0.02, scripts="latin")
    for seed in original_seeds():
        pool.add(seed.instruction, seed.instruction)
    for row in accepted:
        best = max(row["most_similar"].values())
        found = pool.find_nearest(row["instruction"])
        assert (found.score if found else 0.0) == pytest.approx(best, abs=1e-12)
        assert found is None or row["most_similar"][found.name] == pytest.approx(best, abs=1e-12)
        pool.add(row["instruction"], row["instruction"])


def test_alpaca_from_end_to_end():
    recorded = case("alpaca_generate_main.json")
    script, asked = iter(recorded["completions"]), []

    async def model(request: Request) -> Reply:
        asked.append(request)
        completion = next(script)
        return Reply(text=completion["text"], finish_reason=completion["finish_reason"])

    blocks = recorded["request"]["first_prompt"].partition("List of 20 tasks:\n")[2]
    seeds = {seed.instruction.rstrip(":"): seed for seed in original_seeds()}
    reply = Reply(text="1. Instruction:" + blocks.partition("1. Instruction:")[2].rpartition("###")[0])
    for block in parse_reply(reply, 1, make_settings("filial", {"joint": True})):
        assert isinstance(block, Block)  # only the instructions of the seeds are recorded; of these three, all
        seeds[block.instruction] = seeds[block.instruction].replaced(input=block.input, output=block.output)
    accepted = recorded["accepted"]
    generator = SelfInstruct(style="alpaca", count=len(accepted))
    items = run(generator, list(seeds.values()), recorded["python_random_seed"], model)
    made = [item for item in items if isinstance(item, Record)]
    assert [(r.instruction, r.input, r.output) for r in made] == [
        (row["instruction"], row["input"], row["output"]) for row in accepted
    ]
    assert len(asked) == 5
    assert asked[0].messages[-1].content.endswith(f"20 tasks:\n{blocks}")
    kwargs = recorded["request"]["decoding_args"]
    assert (asked[0].max_tokens, asked[0].temperature, asked[0].top_p, list(asked[0].stop)) == (
        kwargs["max_tokens"], kwargs["temperature"], kwargs["top_p"], kwargs["stop"],
    )  # fmt: skip
    pool = RougeIndex(0.02, scripts="latin")
    for seed in original_seeds():
        pool.add(seed.instruction)
    for row in accepted:
        assert closest(pool, row["instruction"]) == pytest.approx(row["max_similarity"], abs=1e-12)
        pool.add(row["instruction"])
