"""Choosing the weights of a mix with a real, tiny model: from files to a stage, and the losses that it rests on."""

import json
from pathlib import Path

import pytest
import yaml
from training_kit import make, write

from filial import Record, TrainContext
from filial_plugins.templates.chat import Chat
from filial_plugins.trainers.sft import SFT

pytestmark = pytest.mark.train

WORDS = ["red", "blue", "green", "one", "two", "six", "cat", "dog", "owl", "fig", "ash", "elm"]
ECHO = [Record(instruction=f"say {a} {b}", output=a, task="echo") for a in WORDS for b in WORDS]
LENGTH = [Record(instruction=f"size {a} {b}", output="x" * len(a + b), task="length") for a in WORDS for b in WORDS]
HOW = ["--template", "chat", "--steps", "30", "--pilots", "4", "--held-out", "0.2"]
OPTIONS = ["batch_size=8", "lr=1e-2", "threads=1"]


def test_each_held_out_file_has_its_loss_and_together_they_give_the_whole(tmp_path: Path) -> None:
    base, data = make(tmp_path / "base"), tmp_path / "data"
    (data / "heldout").mkdir(parents=True)
    parts = {"0": ECHO[::9], "1": LENGTH[::7]}
    write(data / "train.jsonl", [*ECHO[1::9], *LENGTH[1::7]])
    write(data / "heldout.jsonl", [record for records in parts.values() for record in records])
    for name, records in parts.items():
        write(data / "heldout" / f"{name}.jsonl", records)
    options = SFT(max_steps=5, batch_size=8, lr=1e-2, threads=1, samples=0)
    figures = options.train(data, str(base), Chat(), tmp_path / "model", TrainContext(1))
    tokens = {name: sum(len(record.output) + 1 for record in records) for name, records in parts.items()}
    assert figures["heldout_losses"].keys() == tokens.keys()
    whole = sum(figures["heldout_losses"][name] * count for name, count in tokens.items()) / sum(tokens.values())
    assert figures["heldout_loss"] == pytest.approx(whole, rel=1e-6)
    assert figures["heldout_losses"]["0"] != pytest.approx(figures["heldout_losses"]["1"], rel=0.01)


def test_from_files_to_a_stage(cli, tmp_path: Path) -> None:
    base = make(tmp_path / "base")
    write(Path("echo.jsonl"), ECHO)
    write(Path("length.jsonl"), LENGTH)
    words = ["echo=echo.jsonl", "length=length.jsonl", "--model", str(base), *HOW]
    words += [f"--trainer-option={option}" for option in OPTIONS]
    assert cli("mix", "fit", *words, "--json", toy=False) == 0
    found = json.loads(cli.out)
    assert found["trained"] == 5
    assert len(found["pilots"]) == 5
    assert {len(pilot["losses"]) for pilot in found["pilots"]} == {2}
    most = {task: max(found["pilots"], key=lambda one, task=task: one["weights"][task]) for task in ("echo", "length")}
    for task, pilot in most.items():  # who trains on a task most knows it better than who trains on it least
        least = min(found["pilots"], key=lambda one, task=task: one["weights"][task])
        assert pilot["losses"][task] < least["losses"][task]
    (stage,) = yaml.safe_load(found["stage"])
    assert sum(stage["mix"]["weights"].values()) == pytest.approx(1)
    assert cli("mix", "fit", *words, "--json", toy=False) == 0
    again = json.loads(cli.out)
    assert again["trained"] == 0
    assert {**again, "trained": 5} == found
    assert not [path for path in Path(".filial/pilots").rglob("*") if path.suffix == ".safetensors"]


def test_an_encoder_decoder_model_takes_its_own_trainer_and_its_limits_are_said(cli, tmp_path: Path) -> None:
    base = make(tmp_path / "base")
    write(Path("echo.jsonl"), ECHO)
    write(Path("length.jsonl"), LENGTH)
    words = ["echo=echo.jsonl", "length=length.jsonl", "--model", str(base), *HOW]
    assert cli("mix", "fit", *words, "--trainer", "seq2seq", toy=False) == 2
    assert "seq2seq" in cli.err or "encoder" in cli.err
    short = "--trainer-option=max_length=20"
    assert cli("mix", "fit", *words, short, "--trainer-option=threads=1", toy=False) in (1, 2)
    assert "too long" in cli.err or "nothing to train on" in cli.err
