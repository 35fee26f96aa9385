"""The trainer: it learns, is bounded, reproducible and safe to interrupt, and says what is wrong with its input."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from answers_kit import answers, own_answers
from training_kit import CHAT, ECHO, SIZES, SPECIAL, TAUGHT, falls, loop, make, store_of, write
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

from filial import FilialError, Message, Record, Template, TrainContext, UsageError
from filial.contracts.records import to_json
from filial_plugins.local.pretrained import load_model
from filial_plugins.templates.alpaca import Alpaca
from filial_plugins.templates.chat import Chat
from filial_plugins.templates.plain import Plain
from filial_plugins.trainers.optimizers import Optimizers, lr_factor
from filial_plugins.trainers.sft import SFT, CausalRunner
from filial_plugins.trainers.steps.batches import collate_padded
from filial_plugins.trainers.steps.loss import make_full_loss

pytestmark = pytest.mark.train


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
    said = answers(tmp_path / "model", TAUGHT, Chat(), max_new_tokens=8, batch_size=7)
    assert said == own_answers(tmp_path / "model", TAUGHT, Chat(), max_new_tokens=8)
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


def test_muon_moves_the_hidden_matrices_and_adamw_the_rest(base: Path, tmp_path: Path) -> None:
    ours, theirs = load_model(base), load_model(base)
    batch = collate_padded(store_of(base, ECHO, tmp_path / "rows")[:8], torch, "cpu")
    door = Optimizers(ours, torch, kind="muon", lr=1e-2, adam_lr=3e-3, weight_decay=0.05, beta2=0.98)
    hidden = [p for n, p in theirs.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in theirs.named_parameters() if p.ndim != 2 or "embed" in n]
    peers = [
        torch.optim.Muon(hidden, lr=1e-2, weight_decay=0.05),
        torch.optim.AdamW(others, lr=3e-3, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
    ]
    for _ in range(3):
        for model in (ours, theirs):
            make_full_loss(model, torch)(batch).backward()
        door.step(1.0)
        for peer in peers:
            peer.step()
            peer.zero_grad()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b), (a - b).abs().max()


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
    write(tmp_path / "heldout.jsonl", [ECHO[6], Record(instruction="why?")])
    said: list[str] = []
    ctx = TrainContext(0, note=said.append, cache=tmp_path / "cache")
    figures = SFT(max_steps=1, threads=1).train(tmp_path, str(base), Chat(), tmp_path / "m", ctx)
    assert figures["rows"] == 6
    assert figures["dropped"] == {"no-answer": 1, "too-long": 1, "not-renderable": 1, "bad-line": 2}
    assert figures["rows"] + sum(figures["dropped"].values()) == len(lines)
    assert "max_length is 512" in figures["dropped_examples"]["too-long"]
    (long,) = (s for s in said if s.startswith("train.jsonl: 1 dropped (too-long), for example record long: 6"))
    assert {long, "heldout.jsonl: 1 dropped (no-answer), for example record 2"} <= set(said)
    again = TrainContext(0, note=said.append, cache=tmp_path / "cache")
    SFT(max_steps=1, threads=1).train(tmp_path, str(base), Chat(), tmp_path / "m", again)
    assert [s.count("is already prepared") for s in said].count(1) == 2
    assert said.count(long) == 2, "what was left out is said however the rows were come by"


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
    points = [lr_factor(p, schedule, 0.04, floor) for p in (0.02, 0.04, 0.4, 0.7, 1.0)]
    assert points == pytest.approx(expected)
    falling = [lr_factor(i / 500, schedule, 0.04, floor) for i in range(20, 501)]
    assert falls(falling)
    assert 0 < lr_factor(0, schedule, 0.04, floor) < 0.01


@pytest.mark.parametrize(
    ("bound", "steps"), [({"max_steps": 3}, 3), ({"epochs": 1.5}, 8), ({}, 15), ({"max_steps": 99, "epochs": 1}, 5)]
)
def test_training_ends_at_the_first_bound(base: Path, tmp_path: Path, bound: dict[str, float], steps: int) -> None:
    store = store_of(base, ECHO[:70], tmp_path / "rows")
    run = loop(base, store, tmp_path, **({"max_steps": None, "batch_size": 7, "grad_accumulation": 2} | bound))
    assert run.run()["steps"] == steps


@pytest.mark.usefixtures("ticking")
@pytest.mark.parametrize("bound", ["max_seconds", "max_cpu_seconds"])
def test_time_bounds_the_training_and_the_learning_rate_falls_to_its_end(
    base: Path, tmp_path: Path, bound: str
) -> None:
    store = store_of(base, ECHO, tmp_path / "rows")
    run = loop(base, store, tmp_path, **{"max_steps": None, bound: 0.4, "log_every": 1, "lr": 1e-3})
    figures = run.run()
    assert 0.4 <= figures["seconds" if bound == "max_seconds" else "cpu_seconds"] < 0.6
    assert run.state.log[-1]["lr"] < 0.5 * max(line["lr"] for line in run.state.log)


def test_norms_and_biases_do_not_decay_and_matrices_do(tmp_path: Path) -> None:
    model = load_model(make(tmp_path, "gpt2"))
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(1.0)
            p.grad = torch.zeros_like(p)
    Optimizers(model, torch, kind="adamw", lr=0.1, adam_lr=0.1, weight_decay=0.5, beta2=0.9).step(1.0)
    for name, p in model.named_parameters():
        assert float(p.detach().unique()) == pytest.approx(0.95 if p.ndim == 2 else 1.0), name


def test_divergence_stops_with_the_last_good_weights(base: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("before")
    with pytest.raises(FilialError, match=r"diverged; set a lower lr.*model\.last-good"):
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
    with pytest.raises(UsageError, match="is not a model"):
        SFT(max_steps=1, threads=1).train(data, str(base), Chat(), tmp_path, TrainContext(0))
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_what_cannot_be_trained_says_why(base: Path, data: Path, tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", [Record(id="open", instruction="what?")])
    with pytest.raises(UsageError, match=r"nothing to train on: 1 no-answer \(record open\)"):
        SFT(threads=1).train(tmp_path, str(base), Chat(), tmp_path / "m", TrainContext(0))
    small = tmp_path / "small"
    make(small)
    AutoModelForCausalLM.from_config(LlamaConfig(**SIZES, vocab_size=100)).save_pretrained(small)
    with pytest.raises(UsageError, match="the model has only 100"):
        SFT(threads=1).train(data, str(small), Plain(), tmp_path / "m", TrainContext(0))
    with pytest.raises(UsageError, match="no such folder"):
        SFT(threads=1).train(data, str(tmp_path / "nowhere"), Plain(), tmp_path / "m", TrainContext(0))
    assert not (tmp_path / "m").exists()


def test_looks_during_training_are_in_the_log(base: Path, data: Path, tmp_path: Path) -> None:
    options = SFT(max_steps=45, batch_size=16, lr=1e-2, eval_every=20, log_every=15, samples=4, threads=1)
    figures = options.train(data, str(base), Chat(), tmp_path / "m", TrainContext(1))
    log = [json.loads(line) for line in (tmp_path / "m" / "training.jsonl").read_text().splitlines()]
    looks = [line for line in log if "heldout_loss" in line]
    assert [line["step"] for line in looks] == [20, 40, 45]
    assert [line["step"] for line in log] == [1, 15, 20, 30, 40, 45]
    assert looks[0]["heldout_loss"] > looks[-1]["heldout_loss"] == figures["heldout_loss"]
    assert looks[-1]["samples"] == figures["samples"]
    assert all(set(s) == {"question", "answer", "ended"} for s in figures["samples"])
    assert len(figures["samples"]) == 4


def test_the_stop_rate_tells_whether_a_model_was_taught_to_stop(base: Path, data: Path, tmp_path: Path) -> None:
    """Pitfalls 1, 2 and 9 show here: whatever keeps the end token from being trained."""

    class Endless(Chat):
        def render(self, record: Record):  # type: ignore[no-untyped-def]
            return [span for span in super().render(record) if span.text != "<|end|>" or not span.train]

    options = SFT(max_steps=120, batch_size=16, lr=1e-2, sample_tokens=16, samples=8, threads=1)
    taught = options.train(data, str(base), Chat(), tmp_path / "a", TrainContext(1))
    endless = options.train(data, str(base), Endless(), tmp_path / "b", TrainContext(1))
    assert taught["stop_rate"] == 1.0
    assert endless["stop_rate"] <= 0.25
    assert {s["ended"] for s in taught["samples"]} == {True}


def test_a_tokenizer_without_padding_will_do(data: Path, tmp_path: Path) -> None:
    base = make(tmp_path / "base", pad_token=None)
    figures = SFT(max_steps=60, batch_size=16, lr=1e-2, threads=1).train(
        data, str(base), Chat(), tmp_path / "m", TrainContext(1)
    )
    assert figures["stop_rate"] == 1.0
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "m").generation_config.pad_token_id == 3


@pytest.mark.parametrize(
    ("template", "why"),
    [
        (Alpaca(), r'no eos token; set "eos_token" in its tokenizer_config\.json'),
        (Chat(), "would never stop; use another template"),
    ],
)
def test_a_tokenizer_without_an_end_token_is_refused(data: Path, tmp_path: Path, template: Template, why: str) -> None:
    base = make(tmp_path / "base", eos_token=None)
    with pytest.raises(UsageError, match=why):
        SFT(max_steps=1, threads=1).train(data, str(base), template, tmp_path / "m", TrainContext(0))


def test_a_record_of_a_hundred_thousand_tokens_is_left_out_and_counted(base: Path, tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", [*ECHO[:5], Record(id="huge", instruction="x" * 100_000, output="y")])
    figures = SFT(max_steps=1, threads=1).train(tmp_path, str(base), Chat(), tmp_path / "m", TrainContext(0))
    assert figures["rows"] == 5
    assert figures["dropped"] == {"too-long": 1}
    assert figures["dropped_examples"]["too-long"].startswith("record huge: 100")


def test_float32_weights_all_move_where_half_precision_ones_would_stand_still(base: Path, tmp_path: Path) -> None:
    """Pitfall 18: at 2e-5, most updates of weights kept in bfloat16 are rounded away."""
    store = store_of(base, ECHO, tmp_path / "rows")
    run = loop(base, store, tmp_path, max_steps=20, lr=2e-5, warmup=0, schedule="constant", dtype="bfloat16")
    before = {name: p.detach().clone() for name, p in run.model.named_parameters()}
    run.run()
    stood = {name: float((before[name] == p).float().mean()) for name, p in run.model.named_parameters() if p.ndim == 2}
    assert max(share for name, share in stood.items() if "embed" not in name) < 0.01
    rounded = [(before[n].bfloat16() == p.detach().bfloat16()).float().mean() for n, p in run.model.named_parameters()]
    assert max(map(float, rounded)) > 0.3


def test_dropout_and_order_follow_the_seed_alone(data: Path, tmp_path: Path) -> None:
    base = make(tmp_path / "base", "gpt2-dropout")
    losses = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        run = loop(base, store_of(base, ECHO, tmp_path / "rows"), tmp_path, max_steps=3, log_every=1)
        torch.rand(noise)
        run.run()
        losses.append([line["loss"] for line in run.state.log if "loss" in line])
    assert losses[0] == losses[1]


def raising(error: Exception) -> Any:
    def run_out(*_: Any) -> None:
        raise error

    return run_out


@pytest.mark.parametrize(
    "run_out",
    [lambda *_: torch.empty(10**15), raising(MemoryError()), raising(torch.OutOfMemoryError("CUDA out of memory."))],
    ids=["cpu", "python", "cuda"],
)
def test_a_lack_of_memory_is_one_sentence_with_a_way_out(
    base: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_out: Any
) -> None:
    monkeypatch.setattr(CausalRunner, "add_gradients", run_out)
    with pytest.raises(FilialError, match=r"not enough memory .* halve batch_size and double grad_accumulation"):
        SFT(max_steps=2, threads=1).train(data, str(base), Chat(), tmp_path / "m", TrainContext(0))


def test_another_fault_of_torchs_is_not_taken_for_a_lack_of_memory(
    base: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CausalRunner, "add_gradients", lambda *_: torch.ones(2) @ torch.ones(3))
    with pytest.raises(RuntimeError, match="size"):
        SFT(max_steps=2, threads=1).train(data, str(base), Chat(), tmp_path / "m", TrainContext(0))


def test_options_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(ValueError, match="muon does not train LoRA matrices"):
        SFT(lora={}, optimizer="muon")
    with pytest.raises(ValueError, match="names a service twice"):
        SFT(report_to=["wandb", "wandb"])
