"""A training that is killed and started again arrives at the same bytes as one that was not."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from training_kit import TAUGHT, loop, make, store_of, write

from filial import FilialError, TrainContext
from filial_plugins.templates.chat import Chat
from filial_plugins.trainers.devices.process_group import ProcessGroup
from filial_plugins.trainers.devices.signals import defer_signals
from filial_plugins.trainers.results import checkpoints
from filial_plugins.trainers.sft import SFT

pytestmark = pytest.mark.train

OPTIONS: dict[str, Any] = {"max_steps": 20, "batch_size": 8, "lr": 1e-3, "threads": 1, "samples": 0}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("base"), "gpt2-dropout")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write(folder / "train.jsonl", TAUGHT)
    return folder


class Killed(Exception):
    pass


def killing(at: int) -> Callable[[float, float, str], None]:
    def told(done: float, total: float, text: str) -> None:
        if text.startswith(f"step {at},"):
            raise Killed

    return told


def train(base: Path, data: Path, out: Path, kill_at: int = 0, **options: Any) -> dict[str, Any]:
    heard: list[str] = []
    ctx = TrainContext(3, progress=killing(kill_at), note=heard.append)
    figures = SFT(**{**OPTIONS, "checkpoint_steps": 5, **options}).train(data, str(base), Chat(), out, ctx)
    return {**figures, "heard": heard}


def weights(out: Path) -> bytes:
    name = "model.safetensors" if (out / "model.safetensors").is_file() else "adapter_model.safetensors"
    return (out / name).read_bytes()


KILLED = """
import os, signal, sys
from pathlib import Path
from filial import TrainContext
from filial_plugins.templates.chat import Chat
from filial_plugins.trainers.sft import SFT
def told(done, total, text):
    if text.startswith("step 12,"):
        os.kill(os.getpid(), getattr(signal, how))
signal.signal(signal.SIGINT, signal.default_int_handler)
how, options, data, base, out = sys.argv[1], eval(sys.argv[2]), *sys.argv[3:]
SFT(**options, checkpoint_steps=10).train(Path(data), base, Chat(), Path(out), TrainContext(3, progress=told))
"""


def killed(how: str, base: Path, data: Path, out: Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """A training that sends itself this signal at step 12, with a checkpoint every ten steps."""
    return subprocess.run(
        [sys.executable, "-c", KILLED, how, repr(OPTIONS | options), str(data), str(base), str(out)],
        check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True,
    )  # fmt: skip


def test_kill_9_and_start_again_gives_the_same_bytes(base: Path, data: Path, tmp_path: Path) -> None:
    """Pitfall 22: twenty steps are ten, a kill, and ten more, over three epochs of nine steps."""
    whole = train(base, data, tmp_path / "whole", checkpoint_steps=None)
    done = killed("SIGKILL", base, data, tmp_path / "killed")
    assert done.returncode == -9, done.stderr.decode()
    assert not (tmp_path / "killed").exists()
    again = train(base, data, tmp_path / "killed", checkpoint_steps=10)
    assert (again["resumed_at"], again["steps"]) == (10, 20)
    assert "resuming from the checkpoint of step 10" in again["heard"]
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")
    assert again["loss"] == whole["loss"]
    assert not (tmp_path / "killed.checkpoints").exists()


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM"])
def test_what_is_told_to_stop_finishes_its_step_and_loses_nothing(
    base: Path, data: Path, tmp_path: Path, how: str
) -> None:
    train(base, data, tmp_path / "whole", checkpoint_steps=None)
    done = killed(how, base, data, tmp_path / "killed")
    assert done.stderr.endswith(b"KeyboardInterrupt\n")
    again = train(base, data, tmp_path / "killed", checkpoint_steps=10)
    assert (again["resumed_at"], again["steps"]) == (12, 20)
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM"])
def test_processes_that_train_together_stop_together(base: Path, data: Path, tmp_path: Path, how: str) -> None:
    done = killed(how, base, data, tmp_path / "m", launch=2, max_steps=5000, lr=1e-4)
    assert done.stderr.endswith(b"KeyboardInterrupt\n"), done.stderr.decode()
    kept = sorted(p.name for p in (tmp_path / "m.checkpoints").iterdir())
    assert int(kept[-1].split("-")[1]) >= 12


def test_told_to_stop_after_the_last_step_only_looks_and_saves(base: Path, data: Path, tmp_path: Path) -> None:
    write(tmp_path / "heldout.jsonl", TAUGHT[:4])
    write(tmp_path / "train.jsonl", TAUGHT)
    done = killed("SIGTERM", base, tmp_path, tmp_path / "m", max_steps=12)
    assert done.stderr.endswith(b"KeyboardInterrupt\n")
    assert not (tmp_path / "m.trained").exists()  # the checkpoint has the weights
    again = train(base, tmp_path, tmp_path / "m", checkpoint_steps=10, max_steps=12)
    assert (again["resumed_at"], again["steps"], again["heldout_rows"]) == (12, 12, 4)
    whole = train(base, tmp_path, tmp_path / "whole", max_steps=12)
    assert again["heldout_loss"] == whole["heldout_loss"]
    assert weights(tmp_path / "m") == weights(tmp_path / "whole")


def test_a_second_ctrl_c_does_not_wait_and_handlers_are_put_back() -> None:
    before = {n: signal.signal(n, h) for n, h in USUAL.items()}
    try:
        with defer_signals() as stopping:
            assert not stopping()
            signal.raise_signal(signal.SIGTERM)
            assert stopping()
            signal.raise_signal(signal.SIGTERM)  # who stops a group may tell each of it twice
            signal.raise_signal(signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert {n: signal.getsignal(n) for n in USUAL} == USUAL
        ours = signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with defer_signals():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN, "somebody else takes care of it"
        assert ours is signal.SIG_DFL
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


USUAL = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "muon", "lr": 1e-2},
        {"packing": "pack", "max_length": 64, "batch_size": 2, "grad_accumulation": 2},
        {"packing": "off", "eval_every": 3},
        {"lora": {"rank": 4, "dropout": 0.1}},
        {"lora": {"rank": 4, "merge": False}, "schedule": "linear", "weight_decay": 0.1},
        {"dtype": "bfloat16", "gradient_checkpointing": True},
    ],
    ids=lambda options: "-".join(options),
)
def test_every_kind_of_training_goes_on_exactly(
    base: Path, data: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    if "lora" in options:
        pytest.importorskip("peft", reason="needs the extra 'lora'")
    train(base, data, tmp_path / "whole", **options)
    for kill_at in (7, 14, 18):  # a kill before the next checkpoint costs the steps since the last
        with pytest.raises(Killed):
            train(base, data, tmp_path / "killed", kill_at, **options)
    assert train(base, data, tmp_path / "killed", **options)["resumed_at"] == 15
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")


def test_the_log_of_both_parts_is_kept_and_seconds_add_up(base: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train(base, data, tmp_path / "m", 12, log_every=1)
    figures = train(base, data, tmp_path / "m", log_every=1)
    log = [json.loads(line) for line in (tmp_path / "m" / "training.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == list(range(1, 21))
    seconds = [line["seconds"] for line in log]
    assert seconds == sorted(seconds)
    assert figures["seconds"] >= seconds[9] > 0


@pytest.mark.usefixtures("ticking")
def test_seconds_used_before_count_towards_the_bound(base: Path, data: Path, tmp_path: Path) -> None:
    bound = {"max_steps": None, "max_seconds": 0.6, "checkpoint_steps": 2}
    with pytest.raises(Killed):
        train(base, data, tmp_path / "m", 4, **bound)
    (kept,) = [p for p in (tmp_path / "m.checkpoints").iterdir() if p.name.startswith("step-00000002")]
    state = torch.load(kept, weights_only=True)
    state["place"]["wall"] = 0.59
    torch.save(state, kept)
    kept.rename(kept.with_name(f"{kept.name[:26]}-{hashlib.sha256(kept.read_bytes()).hexdigest()[:16]}.pt"))
    figures = train(base, data, tmp_path / "m", **bound)
    assert 0.59 <= figures["seconds"] < 0.8
    assert figures["steps"] <= 2 + 10


def cut(whole: bytes) -> bytes:
    return whole[:1000]


def flipped(whole: bytes) -> bytes:
    """One bit of a weight, which torch would read without a word."""
    return whole[:9000] + bytes([whole[9000] ^ 16]) + whole[9001:]


@pytest.mark.parametrize("damage", [cut, flipped])
def test_the_last_two_are_kept_and_a_damaged_one_is_passed_over(
    base: Path, data: Path, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    train(base, data, tmp_path / "whole")
    with pytest.raises(Killed):
        train(base, data, tmp_path / "m", 17)
    kept = sorted((tmp_path / "m.checkpoints").iterdir())
    assert [p.name[:13] for p in kept] == ["step-00000010", "step-00000015"]
    kept[-1].write_bytes(damage(kept[-1].read_bytes()))
    figures = train(base, data, tmp_path / "m")
    assert figures["resumed_at"] == 10
    assert any(f"{kept[-1].name} is damaged" in sentence for sentence in figures["heard"])
    assert weights(tmp_path / "m") == weights(tmp_path / "whole")


@pytest.mark.parametrize("change", [{"lr": 2e-3}, {"seed": 9}, {"packing": "off"}])
def test_checkpoints_of_another_training_are_left_alone(
    base: Path, data: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    with pytest.raises(Killed):
        train(base, data, tmp_path / "m", 12)
    assert "resumed_at" not in train(base, data, tmp_path / "m", **change)


def test_a_checkpoint_is_good_for_other_options_of_logging(base: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train(base, data, tmp_path / "m", 12)
    assert train(base, data, tmp_path / "m", log_every=3, checkpoint_steps=None)["resumed_at"] == 10


def test_other_data_is_another_training(base: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train(base, data, tmp_path / "m", 12)
    (tmp_path / "other").mkdir()
    write(tmp_path / "other" / "train.jsonl", TAUGHT[1:])
    assert "resumed_at" not in train(base, tmp_path / "other", tmp_path / "m")


def test_a_full_disk_leaves_the_checkpoints_before(
    base: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(base, data, tmp_path / "whole")
    real = os.replace

    def full(source: Any, target: Any) -> None:
        if "step-00000010" in str(target):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.os, "replace", full)
        with pytest.raises(FilialError, match=r"No space left on device.*step-00000005-\S+ is kept.*resume from"):
            train(base, data, tmp_path / "m")
    assert [p.name[:13] for p in (tmp_path / "m.checkpoints").iterdir()] == ["step-00000005"]
    assert train(base, data, tmp_path / "m")["resumed_at"] == 5
    assert weights(tmp_path / "m") == weights(tmp_path / "whole")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_torchs_own_word_for_a_full_disk_is_understood(
    base: Path, data: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    real = open

    def on_a_full_disk(path: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
        return real("/dev/full" if mode == "wb" else path, mode, *args, **options)

    monkeypatch.setattr(checkpoints, "open", on_a_full_disk, raising=False)
    with pytest.raises(FilialError, match=r"the checkpoint cannot be written.*there is no earlier one"):
        train(base, data, tmp_path / "m")


def test_processes_that_see_other_checkpoints_do_not_go_on(base: Path, data: Path, tmp_path: Path) -> None:
    class Follower(ProcessGroup):
        def broadcast(self, value: float) -> float:
            return 10.0  # what the first process found

    run = loop(base, store_of(base, TAUGHT, tmp_path / "rows"), tmp_path)
    run.group = Follower(torch, 1, 1, "cpu")
    with pytest.raises(FilialError, match="process 2 would resume from step 0, the first one from step 10"):
        run.run()
