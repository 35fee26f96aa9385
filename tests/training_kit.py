"""Tiny models of several kinds, records for them, and what a step's loss and gradient are by definition."""

from collections.abc import Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from filial import Record, TrainContext
from filial.contracts.records import to_json
from filial.labels import Encoder
from filial_plugins.local.pretrained import load_model, load_tokenizer
from filial_plugins.templates.chat import Chat
from filial_plugins.trainers.devices.process_group import ProcessGroup
from filial_plugins.trainers.loop import Loop
from filial_plugins.trainers.rows.preparation import write_rows
from filial_plugins.trainers.rows.store import TokenStore
from filial_plugins.trainers.rows.training_data import TrainingData
from filial_plugins.trainers.session import Session
from filial_plugins.trainers.sft import SFT, CausalRunner

torch.set_num_threads(1)  # two would wait for each other wherever something else runs

SPECIAL = ["<|pad|>", "<|user|>", "<|assistant|>", "<|end|>"]
CHAT = (
    "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
SIZES = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32, "intermediate_size": 64}
GPT2 = {"n_layer": 2, "n_head": 2, "n_embd": 32, "bos_token_id": 3, "eos_token_id": 3}
CONFIGS = {
    "llama": LlamaConfig(**SIZES, vocab_size=260, tie_word_embeddings=True, initializer_range=0.1),
    "qwen": Qwen2Config(**SIZES, num_key_value_heads=1, vocab_size=260),
    "gpt2": GPT2Config(**GPT2, vocab_size=260, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0),
    "gpt2-dropout": GPT2Config(**GPT2, vocab_size=260),
    "mistral": MistralConfig(**SIZES, num_key_value_heads=1, vocab_size=260, sliding_window=7, initializer_range=0.1),
    "gemma": Gemma2Config(
        **SIZES, head_dim=16, num_key_value_heads=2, vocab_size=260, final_logit_softcapping=0.05, sliding_window=64
    ),
}  # fmt: skip
WORDS = ["red", "blue", "green", "one", "two", "six", "cat", "dog", "owl"]
ECHO = [
    Record(id=f"r{i}", instruction=f"say {w} {v}", output=w)
    for i, (w, v) in enumerate((a, b) for a in WORDS for b in WORDS)
]
TAUGHT = [r for i, r in enumerate(ECHO) if i % 7 != 3]
UNEQUAL = [Record(instruction="q" * (3 * i + 1), output="a" * (40 - 5 * i)) for i in range(8)]


def tokenizer(**special: str | None) -> PreTrainedTokenizerFast:
    """A token per byte, and those of a chat format."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({c: i for i, c in enumerate([*SPECIAL, *alphabet])}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    named = {"pad_token": "<|pad|>", "eos_token": "<|end|>", **special}
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend, additional_special_tokens=SPECIAL[1:3],
        **{name: token for name, token in named.items() if token is not None},
    )  # fmt: skip
    made.chat_template = CHAT
    return made


def make(folder: Path, kind: str = "llama", **special: str | None) -> Path:
    """A folder with an untrained model of that kind."""
    tokenizer(**special).save_pretrained(folder)
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(CONFIGS[kind]).save_pretrained(folder)
    return folder


def write(path: Path, records: Sequence[Record]) -> None:
    path.write_bytes(b"".join(to_json(r) + b"\n" for r in records))


def store_of(folder: Path, records: Sequence[Record], place: Path) -> TokenStore:
    made = load_tokenizer(folder)
    return write_rows(list(records), Chat().bind(made), Encoder(made), 512, "drop", place)


def session(base: Path, store: TokenStore, out: Path, **options: Any) -> Session:
    """A training of the model in ``base`` that has not begun."""
    made = SFT(**({"max_steps": 1, "threads": 1, "batch_size": 8} | options))
    network, words = load_model(base), load_tokenizer(base)
    data = TrainingData(words, Chat().bind(words), out / "train.jsonl", store)
    return Session(made, "sft", torch, ProcessGroup(torch), TrainContext(0), network, data, str(base), out)


def make_runner(made: Session) -> CausalRunner:
    return CausalRunner(made, ExitStack())


def loop(base: Path, store: TokenStore, out: Path, **options: Any) -> Loop:
    """The loop of such a training, with nothing saved."""
    made = session(base, store, out, **options)
    return Loop(made.options, made.model, torch, make_runner(made), made.ctx, seed=0)


def gradient(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def reference(base: Path, store: TokenStore) -> tuple[float, torch.Tensor]:
    """Loss and gradient of a step by the definition: one row at a time, the model's own logits, no batches."""
    model = load_model(base).train()
    loss = 0.0
    for row in store:
        ids = torch.from_numpy(row.ids).long()
        log = model(input_ids=ids[None], use_cache=False).logits[0].log_softmax(-1)
        one = -log[row.trained_positions - 1, ids[row.trained_positions]].sum() / store.trained_tokens
        one.backward()
        loss += one.item()
    return loss, gradient(model)


def falls(values: Sequence[float]) -> bool:
    return all(a >= b for a, b in pairwise(values))
