"""Tiny models with random weights in folders of their own, and the `transformers` teacher that asks them."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from filial import Message, Reply, Request
from filial.testing import run_async
from filial_plugins.teachers.transformers import Transformers

SPECIAL = ["<|pad|>", "<|end|>", "<|user|>", "<|model|>"]
CHAT = (
    "{% for m in messages %}{{ '<|' + ('model' if m.role == 'assistant' else 'user') + '|>' + m.content + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|model|>' }}{% endif %}"
)
PROMPTS = ["a", "what is it", "b", "a rather longer question of many words", "xy", "Grüß Gott"]


def tokenizer(*, chat: str | None = None, end: bool = False) -> PreTrainedTokenizerFast:
    """One token per byte; ``end`` puts the end token behind every text, as T5 does."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({c: i for i, c in enumerate([*SPECIAL, *alphabet])}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    if end:
        backend.post_processor = processors.TemplateProcessing(single="$A <|end|>", special_tokens=[("<|end|>", 1)])
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token=SPECIAL[0], eos_token=SPECIAL[1], additional_special_tokens=SPECIAL[2:]
    )
    made.chat_template = chat
    return made


def llama(folder: Path, *, chat: str | None = None, seed: int = 3, **config: Any) -> Path:
    """A folder with a Llama, which has a chat template only where ``chat`` is one."""
    made = tokenizer(chat=chat)
    torch.manual_seed(seed)
    options = {"max_position_embeddings": 128, "eos_token_id": 1, "bos_token_id": None, "pad_token_id": 0, **config}
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(made), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
            initializer_range=0.3, **options,
        )
    ).save_pretrained(folder)  # fmt: skip
    made.save_pretrained(folder)
    return folder


def llama_of(folder: Path) -> Path:
    """The same weights with more room."""
    wide = folder.with_name(f"{folder.name}-wide")
    if not wide.exists():
        LlamaForCausalLM.from_pretrained(folder, max_position_embeddings=1024).save_pretrained(wide)
        tokenizer().save_pretrained(wide)
    return wide


def t5(folder: Path) -> Path:
    """A folder with a T5."""
    made = tokenizer(end=True)
    torch.manual_seed(5)
    T5ForConditionalGeneration(
        T5Config(
            vocab_size=len(made), d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2, initializer_factor=3.0,
            decoder_start_token_id=0, eos_token_id=1, pad_token_id=0,
        )
    ).save_pretrained(folder)  # fmt: skip
    made.save_pretrained(folder)
    return folder


def teacher(folder: Path, **options: Any) -> Transformers:
    return Transformers(**{"model": str(folder), "max_tokens": 12, "threads": 1, **options})


def user(text: str, **fields: Any) -> Request:
    return Request(messages=(Message(role="user", content=text),), **fields)


def told(asked: Transformers, requests: Sequence[Request], *, at_once: bool = True) -> list[Reply | BaseException]:
    """The replies to some requests, or the errors in their place."""

    async def work() -> list[Reply | BaseException]:
        try:
            if at_once:
                return await asyncio.gather(*map(asked.reply, requests), return_exceptions=True)
            return [await asked.reply(request) for request in requests]
        finally:
            await asked.close()

    out: list[Reply | BaseException] = run_async(work())
    return out


def one(asked: Transformers, request: Request) -> Reply:
    (reply,) = told(asked, [request])
    if isinstance(reply, BaseException):
        raise reply
    return reply


def own(model: Any, ids: list[int], new: int, **options: Any) -> list[int]:
    """What the library's own greedy generation says after these tokens."""
    out = model.generate(torch.tensor([ids]), max_new_tokens=new, do_sample=False, eos_token_id=1, **options)[0]
    return out.tolist()[1 if model.config.is_encoder_decoder else len(ids) :]


def same_text(reply: Reply | BaseException, ids: list[int]) -> bool:
    assert isinstance(reply, Reply), reply
    return reply.text == tokenizer().decode(ids, skip_special_tokens=True).strip()
