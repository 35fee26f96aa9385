"""The batches of the `transformers` teacher: each answer is what it were alone, and nothing waits or fails with it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from local_model_kit import CHAT, PROMPTS, llama, llama_of, teacher, tokenizer, told, user
from transformers import GPT2Config, GPT2LMHeadModel, LlamaForCausalLM

from filial import Message, Reply, Request
from filial.testing import run_async
from filial_plugins.teachers.local_model import LocalModel, PromptRow

pytestmark = pytest.mark.train


@pytest.mark.parametrize("kind", ["causal", "seq2seq"])
def test_sampled_answers_do_not_depend_on_who_else_is_asked(kind: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(kind)
    asks = [user(text, draw=draw, temperature=t) for text in PROMPTS for draw, t in ((0, 1.0), (1, 1.0), (0, 0.0))]
    asks.append(user("a", temperature=1.5, top_p=0.9, seed=7))
    options = {"top_k": 40, "seed": 11}
    alone = list(map(repr, told(teacher(folder, batch_size=1, **options), asks)))
    assert list(map(repr, told(teacher(folder, batch_size=32, **options), asks))) == alone
    assert list(map(repr, told(teacher(folder, batch_size=5, **options), asks[::-1]))) == alone[::-1]


def test_prompts_of_unlike_length_fill_a_context_of_few_positions_together(tmp_path: Path) -> None:
    torch.manual_seed(1)
    made = tokenizer()
    GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(made), n_embd=32, n_layer=2, n_head=2, n_positions=64, initializer_range=0.3,
            bos_token_id=None, eos_token_id=1,
        )
    ).save_pretrained(tmp_path)  # fmt: skip
    made.save_pretrained(tmp_path)
    asks = [user("x" * n, draw=n, temperature=n % 2, stop=("☃",)) for n in (1, 30, 45, 3, 58, 62)]
    alone = list(map(repr, told(teacher(tmp_path, max_tokens=200, batch_size=1), asks)))
    assert list(map(repr, told(teacher(tmp_path, max_tokens=200), asks))) == alone
    greedy = [reply for reply in told(teacher(tmp_path, max_tokens=200), asks) if isinstance(reply, Reply)]
    assert max(reply.prompt_tokens + reply.completion_tokens for reply in greedy) == 64


def test_each_row_of_a_batch_has_its_own_limit(causal: Path) -> None:
    asks = [user("what", max_tokens=n) for n in (3, 9)]
    short, long = told(teacher(causal), asks)
    assert (short.completion_tokens, long.completion_tokens) == (3, 9)
    assert long.text.startswith(short.text[:-1])


def test_a_request_that_cannot_be_asked_costs_only_itself(causal: Path) -> None:
    bad = {
        "prompt-too-long": user("x" * 128),
        "empty-prompt": user(" \n"),
        "not-unicode": user("\ud800"),
    }
    replies = told(teacher(causal), [user("what"), *bad.values(), user("x" * 126)])
    assert [getattr(reply, "reason", None) for reply in replies] == [None, *bad, None]
    assert replies[-1].completion_tokens == 2, "what room the context leaves"
    assert replies[1].retry is False
    assert "128 tokens" in replies[1].detail


def test_a_conversation_that_the_template_refuses_costs_only_itself(tmp_path: Path) -> None:
    picky = "{% if messages[0].role == 'system' %}{{ raise_exception('no system turn') }}{% endif %}" + CHAT
    asks = [Request(messages=(Message("system", "Be short."), Message("user", "what"))), user("what")]
    refused, reply = told(teacher(llama(tmp_path, chat=picky)), asks)
    assert refused.reason == "unfit-conversation"
    assert "no system turn" in refused.detail
    assert isinstance(reply, Reply)


def test_a_request_nobody_waits_for_is_left_out(causal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = teacher(causal, batch_size=1, max_tokens=100)
    begun: list[int] = []
    generated = LocalModel._generate

    def counting(self: LocalModel, rows: Sequence[PromptRow]) -> Any:
        begun.append(len(rows))
        return generated(self, rows)

    monkeypatch.setattr(LocalModel, "_generate", counting)

    async def work() -> None:
        await asked.reply(user("load it"))
        tasks = [asyncio.create_task(asked.reply(user(f"what {i}"))) for i in range(40)]
        await asyncio.sleep(0)
        for task in tasks[:-1]:
            task.cancel()
        await tasks[-1]
        assert all(task.cancelled() for task in tasks[:-1])
        await asked.close()

    run_async(work())
    assert len(begun) <= 3, "the first, the last, and one that was begun before it was given up"


def test_a_batch_ends_when_nobody_waits_for_it(causal: Path) -> None:
    asked = teacher(llama_of(causal), max_tokens=100_000)

    async def work() -> None:
        await asked.reply(user("load it", max_tokens=1))
        task = asyncio.create_task(asked.reply(user("what", stop=("☃",))))
        await asyncio.sleep(0.3)
        assert not task.done()
        task.cancel()
        await asyncio.wait_for(asked.close(), 60)  # the whole answer would take minutes

    run_async(work())


def test_the_event_loop_stays_free_and_later_requests_join_the_next_batch(
    causal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the first answer is made, and that takes until the others are asked for."""
    asked = teacher(causal, batch_size=4, max_tokens=60)
    sizes: list[int] = []
    others = threading.Event()
    generated = LocalModel._generate

    def held(self: LocalModel, rows: Sequence[PromptRow]) -> Any:
        sizes.append(len(rows))
        assert others.wait(60), "the loop is not free"
        return generated(self, rows)

    monkeypatch.setattr(LocalModel, "_generate", held)

    async def work() -> list[Reply]:
        tasks = [asyncio.create_task(asked.reply(user("what 0")))]
        while not sizes:
            await asyncio.sleep(0.01)
        tasks += [asyncio.create_task(asked.reply(user(f"what {i}"))) for i in range(1, 12)]
        await asyncio.sleep(0)
        others.set()
        replies = list(await asyncio.gather(*tasks))
        await asked.close()
        return replies

    replies = run_async(work())
    assert sizes == [1, 4, 4, 3]
    monkeypatch.undo()
    assert replies == told(teacher(causal, max_tokens=60), [user(f"what {i}") for i in range(12)], at_once=False)


def test_a_batch_too_large_for_the_device_is_halved(causal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asks = [user(text) for text in PROMPTS]
    wanted = told(teacher(causal), asks)
    generate, sizes = LlamaForCausalLM.generate, []

    def tight(self: Any, input_ids: Any, **options: Any) -> Any:
        sizes.append(len(input_ids))
        if len(input_ids) > room:
            raise torch.OutOfMemoryError
        return generate(self, input_ids=input_ids, **options)

    monkeypatch.setattr(LlamaForCausalLM, "generate", tight)
    room = 2
    assert told(teacher(causal), asks) == wanted
    assert max(sizes) == 6
    room = 0
    assert {error.reason for error in told(teacher(causal), asks)} == {"out-of-memory"}


def test_batches_keep_to_their_tokens(causal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generate, sizes = LlamaForCausalLM.generate, []

    def counted(self: Any, input_ids: Any, generation_config: Any, **options: Any) -> Any:
        sizes.append((len(input_ids), input_ids.shape[1] + generation_config.max_new_tokens))
        return generate(self, input_ids=input_ids, generation_config=generation_config, **options)

    monkeypatch.setattr(LlamaForCausalLM, "generate", counted)
    asks = [user("x" * n) for n in (1, 100, 2, 90, 3, 80, 4, 5)]
    told(teacher(causal, batch_tokens=100, max_tokens=10), asks)
    assert sum(rows for rows, _ in sizes) == len(asks)
    assert all(rows * width <= 100 or rows == 1 for rows, width in sizes)
    assert (5, 15) in sizes, "the short ones share a batch"
