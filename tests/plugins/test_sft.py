"""The trainer: right loss and gradient however the rows are batched, bounded, reproducible, safe to interrupt."""

import json
import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from filial import FilialError, Message, Record, TrainContext, UsageError
from filial.labels import Encoder
from filial.models import answer, load_model, load_tokenizer
from filial.records import to_json
from filial_plugins.templates.chat import Chat
from filial_plugins.templates.plain import Plain
from filial_plugins.trainers import sft
from filial_plugins.trainers.loss import loss_of, selected, whole
from filial_plugins.trainers.optimizers import Optimizers, rate
from filial_plugins.trainers.rows import Row, collate, plan, prepare, read
from filial_plugins.trainers.sft import SFT

SPECIAL = ["<|pad|>", "<|user|>", "<|assistant|>", "<|end|>"]
CHAT = (
    "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
SIZES = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32, "intermediate_size": 64}
CONFIGS = {
    "llama": LlamaConfig(**SIZES, vocab_size=260, tie_word_embeddings=True, initializer_range=0.1),
    "qwen": Qwen2Config(**SIZES, num_key_value_heads=1, vocab_size=260),
    "gpt2": GPT2Config(n_layer=2, n_head=2, n_embd=32, vocab_size=260, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0),
    "gemma": Gemma2Config(
        **SIZES, head_dim=16, num_key_value_heads=2, vocab_size=260, final_logit_softcapping=0.05, sliding_window=64
    ),
}
WORDS = ["red", "blue", "green", "one", "two", "six", "cat", "dog", "owl"]
ECHO = [
    Record(id=f"r{i}", instruction=f"say {w} {v}", output=w)
    for i, (w, v) in enumerate((a, b) for a in WORDS for b in WORDS)
]
TAUGHT = [r for i, r in enumerate(ECHO) if i % 7 != 3]


def make(folder: Path, kind: str = "llama") -> Path:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({c: i for i, c in enumerate([*SPECIAL, *alphabet])}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<|pad|>", eos_token="<|end|>", additional_special_tokens=SPECIAL[1:3]
    )
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(CONFIGS[kind]).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write(folder / "train.jsonl", TAUGHT)
    write(folder / "heldout.jsonl", [r for r in ECHO if r not in TAUGHT])
    return folder


def write(path: Path, records: list[Record]) -> None:
    path.write_bytes(b"".join(to_json(r) + b"\n" for r in records))


def rows_of(folder: Path, records: list[Record] = ECHO) -> list[Row]:
    tokenizer = load_tokenizer(folder)
    return prepare(records, Chat().bind(tokenizer), Encoder(tokenizer), 512).rows


def training(folder: Path, rows: list[Row], **options: object) -> sft._Training:
    options = {"max_steps": 1, "threads": 1, "batch_size": 8} | options
    return sft._Training(SFT(**options), load_model(folder), torch, rows, TrainContext(0))


def gradient(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def reference(folder: Path, rows: list[Row]) -> tuple[float, torch.Tensor]:
    """Loss and gradient of a step by the definition: one row at a time, the model's own logits, no batches."""
    model = load_model(folder).train()
    total = sum(len(r.targets) for r in rows)
    loss = 0.0
    for row in rows:
        ids = torch.from_numpy(row.ids)[None]
        log = model(input_ids=ids, use_cache=False).logits[0].log_softmax(-1)
        one = -log[row.targets - 1, row.ids[row.targets]].sum() / total
        one.backward()
        loss += one.item()
    return loss, gradient(model)


SPLITS = [("llama", 8, 1), ("llama", 1, 8), ("llama", 2, 4), ("llama", 3, 3)]
SPLITS += [(kind, 2, 4) for kind in ("gpt2", "qwen", "gemma")]


@pytest.mark.parametrize(("kind", "batch_size", "accumulation"), SPLITS)
def test_loss_and_gradient_do_not_depend_on_how_a_step_is_split(
    tmp_path: Path, kind: str, batch_size: int, accumulation: int
) -> None:
    folder = make(tmp_path, kind)
    records = [Record(instruction="q" * (3 * i + 1), output="a" * (40 - 5 * i)) for i in range(8)]
    rows = rows_of(folder, records)
    loss, expected = reference(folder, rows)
    run = training(folder, rows, batch_size=batch_size, grad_accumulation=accumulation)
    got = float(run.gradients(rows))
    assert abs(got - loss) < 1e-6 * max(1, loss)
    assert (gradient(run.model) - expected).norm() / expected.norm() < 1e-5


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen"])
def test_the_head_on_trained_rows_gives_the_loss_of_the_head_on_all(tmp_path: Path, kind: str) -> None:
    model = load_model(make(tmp_path, kind))
    batch = collate(rows_of(tmp_path)[:5], torch, "cpu")
    with torch.no_grad():
        assert float(selected(model, torch)(batch)) == pytest.approx(float(whole(model, torch)(batch)), rel=1e-6)
    assert loss_of(model, torch, batch).__qualname__.startswith("selected")


def test_a_model_that_does_more_to_its_logits_keeps_its_own_head(tmp_path: Path) -> None:
    model = load_model(make(tmp_path, "gemma"))
    batch = collate(rows_of(tmp_path)[:5], torch, "cpu")
    with torch.no_grad():
        assert abs(float(selected(model, torch)(batch)) - float(whole(model, torch)(batch))) > 1e-2
    assert loss_of(model, torch, batch).__qualname__.startswith("whole")


def test_training_learns_and_the_saved_model_answers(base: Path, data: Path, tmp_path: Path) -> None:
    heard: list[float] = []
    ctx = TrainContext(1, progress=lambda done, total, text: heard.append(done / total))
    options = SFT(max_steps=150, batch_size=16, lr=1e-2, schedule="trapezoid", warmup=0.05, threads=1)
    figures = options.train(data, str(base), Chat(), tmp_path / "model", ctx)
    log = [json.loads(line) for line in (tmp_path / "model" / "training.jsonl").read_text().splitlines()]
    assert log[0]["loss"] > 3
    assert log[-1]["loss"] < 0.5
    assert figures["heldout_loss"] < 2.5
    assert (figures["steps"], figures["rows"], figures["heldout_rows"]) == (150, len(TAUGHT), 81 - len(TAUGHT))
    assert figures["trained_tokens"] == sum(len(r.output) + 1 for r in TAUGHT)
    assert len(figures["samples"]) == 3
    assert heard == sorted(heard)
    assert heard[-1] == 1
    said = answer(tmp_path / "model", TAUGHT, Chat(), max_new_tokens=8, batch_size=7)
    assert sum(a == r.output for a, r in zip(said, TAUGHT, strict=True)) >= 60
    saved = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert saved.generation_config.eos_token_id == SPECIAL.index("<|end|>")
    assert saved.config.use_cache
    assert AutoTokenizer.from_pretrained(tmp_path / "model").chat_template == CHAT
    assert (tmp_path / "model" / "model.safetensors").is_file()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_one_seed_gives_one_model_and_another_seed_another(
    base: Path, data: Path, tmp_path: Path, optimizer: str
) -> None:
    def weights(name: str, seed: int) -> bytes:
        options = SFT(max_steps=4, batch_size=16, lr=1e-3, optimizer=optimizer, threads=1, samples=0)
        options.train(data, str(base), Chat(), tmp_path / name, TrainContext(seed))
        return (tmp_path / name / "model.safetensors").read_bytes()

    first = weights("a", 1)
    assert weights("b", 1) == first
    assert weights("c", 2) != first


def test_muon_moves_as_torchs_own_does(base: Path) -> None:
    """Hidden matrices by torch.optim.Muon, everything else by AdamW, updates equal to theirs."""
    ours, theirs = load_model(base), load_model(base)
    batch = collate(rows_of(base)[:8], torch, "cpu")
    door = Optimizers(ours, torch, kind="muon", lr=1e-2, adam_lr=3e-3, weight_decay=0.05, beta2=0.98)
    hidden = [p for n, p in theirs.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in theirs.named_parameters() if p.ndim != 2 or "embed" in n]
    peers = [
        torch.optim.Muon(hidden, lr=1e-2, weight_decay=0.05),
        torch.optim.AdamW(others, lr=3e-3, betas=(0.9, 0.98), weight_decay=0.0),
    ]
    for _ in range(3):
        for model in (ours, theirs):
            whole(model, torch)(batch).backward()
        door.step(1.0)
        for peer in peers:
            peer.step()
            peer.zero_grad()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(a, b, atol=2e-4), (a - b).abs().max()


def test_every_record_is_trained_on_or_counted(base: Path, tmp_path: Path) -> None:
    records = [
        *ECHO[:5],
        Record(id="open", instruction="what?"),
        Record(id="long", instruction="x" * 600, output="y"),
        Record(id="call", messages=(Message("user", "a"), Message("tool_call", "f()"), Message("assistant", "b"))),
        Record(id="lone", instruction="q", output="ok"),
    ]
    lines = [to_json(r) for r in records] + [b'{"instruction": 7}', b"garbage"]
    (tmp_path / "train.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    figures = SFT(max_steps=1, threads=1).train(tmp_path, str(base), Chat(), tmp_path / "m", TrainContext(0))
    assert figures["rows"] == 6
    assert figures["dropped"] == {"no-answer": 1, "too-long": 1, "not-renderable": 1, "bad-line": 2}
    assert figures["rows"] + sum(figures["dropped"].values()) == len(lines)
    assert "max_length is 512" in figures["dropped_examples"]["too-long"]


def test_end_token_is_trained_when_padding_is_the_same(base: Path) -> None:
    tokenizer = load_tokenizer(base)
    tokenizer.pad_token = tokenizer.eos_token
    rows = prepare(ECHO, Chat().bind(tokenizer), Encoder(tokenizer), 512).rows
    batch = collate(rows, torch, "cpu")
    assert int((batch.targets == tokenizer.eos_token_id).sum()) == len(ECHO)


def test_heldout_loss_does_not_depend_on_the_batches(base: Path) -> None:
    records = [Record(instruction="q" * i, output="a" * (3 * i)) for i in range(1, 12)]
    rows = rows_of(base, records)
    losses = [training(base, rows, batch_size=size).score(rows) for size in (1, 4, 11)]
    assert max(losses) - min(losses) < 1e-5
    assert abs(losses[0] - reference(base, rows)[0]) < 1e-5


def test_the_plan_covers_every_row_once_and_is_a_function_of_seed_and_epoch() -> None:
    lengths = [(i * 37) % 101 + 1 for i in range(1003)]
    steps = plan(lengths, 16, 5, 0)
    assert sorted(i for step in steps for i in step) == list(range(1003))
    assert plan(lengths, 16, 5, 0) == steps
    assert plan(lengths, 16, 5, 1) != steps != plan(lengths, 16, 6, 0)
    padded = sum(len(s) * max(lengths[i] for i in s) for s in steps)
    assert padded < 1.25 * sum(lengths)


def half_cosine(done: float) -> float:
    return (1 + math.cos(math.pi * done)) / 2


@pytest.mark.parametrize(
    ("schedule", "floor", "expected"),
    [
        ("constant", 0.0, [0.501, 1, 1, 1, 1]),
        ("linear", 0.0, [0.501, 1, 0.6 / 0.96, 0.3 / 0.96, 0]),
        ("cosine", 0.1, [0.501, 1, half_cosine(0.36 / 0.96), half_cosine(0.66 / 0.96), 0.1]),
        ("trapezoid", 0.02, [0.501, 1, 1, 0.5, 0.02]),
    ],
)  # fmt: skip
def test_schedules(schedule: str, floor: float, expected: list[float]) -> None:
    points = [rate(p, schedule, 0.04, floor) for p in (0.02, 0.04, 0.4, 0.7, 1.0)]
    assert points == pytest.approx(expected)
    falling = [rate(i / 500, schedule, 0.04, floor) for i in range(20, 501)]
    assert all(a >= b for a, b in pairwise(falling))
    assert 0 < rate(0, schedule, 0.04, floor) < 0.01


@pytest.mark.parametrize(
    ("bound", "steps"), [({"max_steps": 3}, 3), ({"epochs": 1.5}, 8), ({}, 15), ({"max_steps": 99, "epochs": 1}, 5)]
)
def test_training_ends_at_the_first_bound(base: Path, bound: dict[str, float], steps: int) -> None:
    run = training(base, rows_of(base)[:70], **({"max_steps": None, "batch_size": 7, "grad_accumulation": 2} | bound))
    assert run.run()["steps"] == steps


@pytest.mark.parametrize("bound", ["max_seconds", "max_cpu_seconds"])
def test_time_bounds_the_training_and_the_learning_rate_falls_to_its_end(base: Path, bound: str) -> None:
    run = training(base, rows_of(base), **{"max_steps": None, bound: 0.4, "log_every": 1, "lr": 1e-3})
    figures = run.run()
    assert 0.4 <= figures["seconds" if bound == "max_seconds" else "cpu_seconds"] < 10
    assert run.log[-1]["lr"] < 0.5 * max(line["lr"] for line in run.log)


def test_divergence_stops_with_the_last_good_weights(base: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("before")
    with pytest.raises(FilialError, match=r"diverged; lower lr.*model\.last-good"):
        SFT(max_steps=400, lr=1e30, warmup=0, threads=1).train(
            data, str(base), Chat(), tmp_path / "model", TrainContext(0)
        )
    assert (tmp_path / "model" / "config.json").read_text() == "before"
    kept = AutoModelForCausalLM.from_pretrained(tmp_path / "model.last-good")
    assert all(p.isfinite().all() for p in kept.parameters())


def test_a_model_that_cannot_be_saved_leaves_the_old_one(
    base: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("before")

    def full(self: object, folder: Path) -> None:
        (folder / "half").write_text("x")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("transformers.PreTrainedTokenizerFast.save_pretrained", full)
    with pytest.raises(FilialError, match="No space left on device"):
        SFT(max_steps=1, threads=1).train(data, str(base), Chat(), tmp_path / "model", TrainContext(0))
    assert [p.name for p in tmp_path.rglob("*")] == ["model", "config.json"]


def test_a_folder_that_holds_no_model_is_never_replaced(base: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="holds no model"):
        SFT(max_steps=1, threads=1).train(data, str(base), Chat(), tmp_path, TrainContext(0))
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_what_cannot_be_trained_says_why(base: Path, data: Path, tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", [Record(id="open", instruction="what?")])
    with pytest.raises(UsageError, match=r"nothing to train on: 1 no-answer \(record open\)"):
        SFT(threads=1).train(tmp_path, str(base), Chat(), tmp_path / "m", TrainContext(0))
    small = tmp_path / "small"
    make(small)
    AutoModelForCausalLM.from_config(LlamaConfig(**SIZES, vocab_size=100)).save_pretrained(small)
    with pytest.raises(UsageError, match="the model knows only 100"):
        SFT(threads=1).train(data, str(small), Plain(), tmp_path / "m", TrainContext(0))
    with pytest.raises(UsageError, match="no such folder"):
        SFT(threads=1).train(data, str(tmp_path / "nowhere"), Plain(), tmp_path / "m", TrainContext(0))
    assert not (tmp_path / "m").exists()


def test_bfloat16_computes_almost_the_same_and_keeps_float32_weights(base: Path) -> None:
    rows = rows_of(base)[:16]
    exact, rough = training(base, rows, batch_size=16), training(base, rows, batch_size=16, dtype="bfloat16")
    assert float(rough.gradients(rows)) == pytest.approx(float(exact.gradients(rows)), rel=1e-2)
    a, b = gradient(exact.model), gradient(rough.model)
    assert torch.nn.functional.cosine_similarity(a, b, dim=0) > 0.99
    assert {p.dtype for p in rough.model.parameters()} == {torch.float32}


def test_bad_lines_are_told_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_bytes(to_json(ECHO[0]) + b"\ngarbage\n" + to_json(ECHO[1]) + b"\n")
    kinds = [r if isinstance(r, str) else r.id for r in read(tmp_path / "train.jsonl")]
    assert [kinds[0], kinds[2]] == ["r0", "r1"]
    assert "train.jsonl:2" in kinds[1]
