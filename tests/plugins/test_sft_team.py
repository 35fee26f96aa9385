"""Several processes train as one would: the same losses, one model."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from training_kit import ECHO, make, write

from filial import FilialError, TrainContext, UsageError
from filial_plugins.templates.chat import Chat
from filial_plugins.trainers.sft import SFT

pytestmark = pytest.mark.train

OPTIONS: dict[str, Any] = {"max_steps": 8, "batch_size": 3, "grad_accumulation": 3, "lr": 1e-3, "threads": 1}


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "training.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def alone(base: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("alone") / "m"
    SFT(**OPTIONS, log_every=1).train(data, str(base), Chat(), out, TrainContext(5))
    return out


def same(out: Path, alone: Path) -> None:
    assert losses(out) == pytest.approx(losses(alone), rel=1e-5)
    ours, theirs = load_file(out / "model.safetensors"), load_file(alone / "model.safetensors")
    assert all(float((ours[name] - theirs[name]).abs().max()) < 1e-5 for name in theirs)


@pytest.mark.slow
def test_two_processes_give_the_losses_of_one(base: Path, data: Path, alone: Path, tmp_path: Path) -> None:
    """Steps of nine rows and one of six, dealt to two, who tell their losses and progress to whoever launched them."""
    heard: list[float] = []
    lines: list[dict[str, Any]] = []
    ctx = TrainContext(5, log=lines.append, progress=lambda done, total, text: heard.append(done))
    figures = SFT(**OPTIONS, log_every=1, launch=2).train(data, str(base), Chat(), tmp_path / "m", ctx)
    same(tmp_path / "m", alone)
    assert [line["loss"] for line in lines] == losses(tmp_path / "m")
    assert (figures["steps"], len(figures["samples"])) == (8, 3)
    assert heard[-1] == 1
    assert not (tmp_path / "m.checkpoints").exists()


@pytest.mark.slow
def test_processes_that_train_together_speak_with_one_voice(data: Path, tmp_path: Path) -> None:
    base, notes = make(tmp_path / "base", "gemma"), []
    SFT(launch=2, max_steps=1, threads=1, samples=0).train(
        data, str(base), Chat(), tmp_path / "m", TrainContext(5, note=notes.append)
    )
    assert [note for note in notes if note.startswith("rows are padded")]
    assert len(notes) == len(set(notes)), notes


@pytest.mark.slow
def test_torchrun_starts_the_same_trainer(base: Path, tmp_path: Path) -> None:
    """accelerate launch calls it, or sets the same variables."""
    write(tmp_path / "all.jsonl", ECHO)
    options = [w for k, v in OPTIONS.items() for w in (f"--{k.replace('_', '-')}", str(v))]
    train = ["-m", "filial", "train", "sft", "all.jsonl", "--model", str(base), "--template", "chat", *options]
    run_alone = [sys.executable, *train, "-o", "one"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    for command in (run_alone, [*torchrun, *train, "-o", "two"]):
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    same(tmp_path / "two", tmp_path / "one")
    assert done.stderr.count("the trained model; judge it with") == 1  # one of the two speaks


@pytest.mark.slow
def test_a_process_that_fails_ends_all_with_its_word(base: Path, tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("")
    with pytest.raises(UsageError, match="nothing to train on: the file is empty"):
        SFT(**OPTIONS, launch=2).train(tmp_path, str(base), Chat(), tmp_path / "m", TrainContext(5))


class Vanishing(Chat):
    """A template in whose process the lights go out."""

    def render(self, record: Any) -> Any:
        if os.environ.get("RANK") == "1":
            os._exit(3)
        return super().render(record)


@pytest.mark.slow
def test_a_process_that_dies_ends_all_and_is_named(base: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(FilialError, match="process 2 of the training ended without a result"):
        SFT(**OPTIONS, launch=2).train(data, str(base), Vanishing(), tmp_path / "m", TrainContext(5))


def test_what_cannot_be_sent_to_another_process_says_what_to_do(base: Path, data: Path, tmp_path: Path) -> None:
    class Local(Chat):
        pass

    with pytest.raises(UsageError, match=r"cannot be sent to other processes.*torchrun --nproc-per-node 2"):
        SFT(**OPTIONS, launch=2).train(data, str(base), Local(), tmp_path / "m", TrainContext(5))
