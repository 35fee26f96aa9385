"""A sharded model trains as one that is whole: the same losses, the same model in the end."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from torch.optim.optimizer import register_optimizer_step_post_hook
from training_kit import ECHO, TAUGHT, make, write
from transformers import AutoModelForCausalLM

from filial import FilialError, Template, TrainContext, UsageError
from filial_plugins.templates.chat import Chat
from filial_plugins.trainers.devices.sharding import is_shard
from filial_plugins.trainers.sft import SFT

pytestmark = pytest.mark.train

OPTIONS: dict[str, Any] = {"max_steps": 8, "batch_size": 1, "grad_accumulation": 9, "lr": 1e-3, "threads": 1}
SHARDED: dict[str, Any] = {"launch": 2, "sharding": "fsdp"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Steps of nine rows and a look at eleven: of two processes, one has a batch more than the other."""
    folder = tmp_path_factory.mktemp("data")
    write(folder / "train.jsonl", TAUGHT)
    write(folder / "heldout.jsonl", [r for r in ECHO if r not in TAUGHT][:11])
    return folder


class Weighed(SFT):
    """Counts the numbers that a process holds at each update, and tells the last count."""

    def _train(self, *args: Any) -> dict[str, Any]:
        held: dict[str, int] = {}

        def size(tensors: Iterable[Any]) -> int:
            return sum((t.to_local() if is_shard(t) else t).numel() for t in tensors if t is not None)

        def weigh(optimizer: torch.optim.Optimizer, *_: Any) -> None:
            params = [p for group in optimizer.param_groups for p in group["params"]]
            held["weights"], held["gradients"] = size(params), size(p.grad for p in params)
            held["state"] = size(t for state in optimizer.state.values() for t in state.values())

        handle = register_optimizer_step_post_hook(weigh)
        try:
            return super()._train(*args) | {"held": held}
        finally:
            handle.remove()


def train(base: Path, data: Path, out: Path, template: Template | None = None, **options: Any) -> dict[str, Any]:
    made = Weighed(**{**OPTIONS, "log_every": 1, **options})
    return made.train(data, str(base), template or Chat(), out, TrainContext(5))


@pytest.fixture(scope="module")
def alone(base: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("alone") / "m"
    train(base, data, out, samples=0)
    return out


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "training.jsonl").read_text().splitlines()]


def same(out: Path, alone: Path) -> None:
    for figure in ("loss", "grad_norm"):
        got, expected = ([line[figure] for line in lines(o)] for o in (out, alone))
        assert got == pytest.approx(expected, rel=1e-5)
    ours, theirs = load_file(out / "model.safetensors"), load_file(alone / "model.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(float((ours[name] - theirs[name]).abs().max()) < 1e-5 for name in theirs)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "rows"), [("llama", 9), ("gpt2", 1)])
def test_two_processes_with_half_a_model_each_give_the_losses_of_one(
    kind: str, rows: int, data: Path, tmp_path: Path
) -> None:
    """With nine rows a step, one has five of them; with one, the other has none."""
    base = make(tmp_path / "base", kind)
    looks: dict[str, Any] = {"eval_every": 3, "samples": 2, "grad_accumulation": rows}
    alone = train(base, data, tmp_path / "alone", **looks)
    figures = train(base, data, tmp_path / "m", **looks, **SHARDED, gradient_checkpointing=kind == "llama")
    same(tmp_path / "m", tmp_path / "alone")
    for what, count in alone["held"].items():
        assert figures["held"][what] == pytest.approx(count / 2, rel=0.02), what
    assert figures["heldout_loss"] == pytest.approx(alone["heldout_loss"], rel=1e-5)
    assert figures["samples"] == alone["samples"]
    assert figures["batches"] == "end to end"
    one, two = (json.loads((tmp_path / name / "config.json").read_text()) for name in ("alone", "m"))
    assert one == two
    assert not any(p.is_meta for p in AutoModelForCausalLM.from_pretrained(tmp_path / "m").parameters())


class Fragile(Chat):
    """A template that fails when a sample is asked for, which ends a training in its midst."""

    def render(self, record: Any) -> Any:
        if os.environ.get("LIGHTS") == "out" and record.instruction.startswith("say") and not record.output:
            raise FilialError("the lights went out")
        return super().render(record)


@pytest.mark.slow
@pytest.mark.parametrize(("first", "then"), [(SHARDED, SHARDED), ({}, SHARDED), (SHARDED, {})])
def test_a_checkpoint_is_good_for_parts_and_for_the_whole(
    base: Path, data: Path, alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: dict[str, Any],
    then: dict[str, Any],
) -> None:  # fmt: skip
    options: dict[str, Any] = {"eval_every": 6, "checkpoint_steps": 4, "template": Fragile()}
    monkeypatch.setenv("LIGHTS", "out")
    with pytest.raises(FilialError, match="the lights went out"):
        train(base, data, tmp_path / "m", **options, **first)
    monkeypatch.setenv("LIGHTS", "on")
    figures = train(base, data, tmp_path / "m", **options, **then)
    assert figures["resumed_at"] == 4
    same(tmp_path / "m", alone)


@pytest.mark.slow
def test_bfloat16_is_what_is_computed_in_and_not_what_is_kept(
    base: Path, data: Path, alone: Path, tmp_path: Path
) -> None:
    train(base, data, tmp_path / "m", samples=0, dtype="bfloat16", **SHARDED)
    got, expected = ([line["loss"] for line in lines(out)] for out in (tmp_path / "m", alone))
    assert got == pytest.approx(expected, rel=2e-2)
    assert got != pytest.approx(expected, rel=1e-6)
    assert {t.dtype for t in load_file(tmp_path / "m" / "model.safetensors").values()} == {torch.float32}


@pytest.mark.slow
def test_a_sharded_training_that_diverges_leaves_the_weights_from_before(
    base: Path, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(FilialError, match=r"diverged.*last-good"):
        train(base, data, tmp_path / "m", lr=1e38, clip=1e30, samples=0, **SHARDED)
    assert load_file(tmp_path / "m.last-good" / "model.safetensors")


@pytest.mark.parametrize("other", [{"lora": {}}, {"optimizer": "muon"}])
def test_what_cannot_be_sharded_is_refused(other: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="sharding is for full fine-tuning with adamw"):
        SFT(**SHARDED, **other)


def test_one_process_alone_has_nobody_to_share_with(base: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is only one; set launch: 2"):
        train(base, data, tmp_path / "m", sharding="fsdp")
