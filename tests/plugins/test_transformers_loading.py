"""Which model the `transformers` teacher loads and is known by, and what it refuses to load: foreign code above all."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from answers_kit import note_template
from local_model_kit import llama, teacher, tokenizer, told, user
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

from filial import Reply, UsageError
from filial.testing import run_async
from filial_plugins.teachers.transformers import Transformers

pytestmark = pytest.mark.train


def test_another_model_is_another_identity_and_another_place_is_not(causal: Path, tmp_path: Path) -> None:
    base = teacher(causal).identity()
    assert base["model"].startswith("sha256:")
    assert str(causal) not in str(base)
    copied, other = tmp_path / "copy", llama(tmp_path / "other", seed=4)
    copied.mkdir()
    for file in causal.iterdir():
        (copied / file.name).write_bytes(file.read_bytes())
    assert teacher(copied, batch_size=3, device="cpu", threads=2, batch_tokens=99, timeout=5).identity() == base
    assert teacher(other).identity() != base
    note_template(copied, {"use": "alpaca"})
    assert teacher(copied).identity() != base
    for option in ({"temperature": 1.0}, {"seed": 1}, {"dtype": "bfloat16"}, {"max_tokens": 9}, {"chat": "plain"}):
        assert teacher(causal, **option).identity() != base
    hub = Transformers(model="acme/tiny", revision="v1").identity()
    assert (hub["model"], hub["revision"]) == ("acme/tiny", "v1")


def test_a_recipe_s_model_is_looked_for_beside_the_recipe(causal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = teacher(Path(causal.name))
    monkeypatch.chdir("/")
    assert named.locate(causal.parent).identity() == teacher(causal).identity()
    hub = Transformers(model="google/flan-t5-small")
    assert hub.locate(causal.parent) == hub


def test_a_teacher_that_has_answered_can_be_copied_and_sent_to_another_process(causal: Path) -> None:
    asked = teacher(causal, max_tokens=4)

    async def work() -> list[Reply]:
        first = await asked.reply(user("what"))
        copies = [pickle.loads(pickle.dumps(asked)), asked.model_copy(update={"max_tokens": 2})]
        return [first, *[await copy.reply(user("what")) for copy in copies]]

    first, second, shorter = run_async(work())
    assert second == first
    assert shorter.completion_tokens == 2


CODE = """
from pathlib import Path
Path(__file__).with_name("ran").write_text("")
import os
Path(os.environ["MARK"]).write_text("")
from transformers import LlamaConfig, LlamaForCausalLM
class OwnConfig(LlamaConfig):
    model_type = "own"
class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig
"""


def with_own_code(folder: Path) -> Path:
    llama(folder)
    config = json.loads((folder / "config.json").read_text())
    classes = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "own", "auto_map": classes}))
    (folder / "own.py").write_text(CODE)
    return folder


def test_code_in_a_folder_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARK", str(tmp_path / "mark"))
    folder = with_own_code(tmp_path / "own")
    (error,) = told(teacher(folder), [user("what")])
    assert isinstance(error, UsageError)
    assert "needs code that comes with it, which is not run" in str(error)
    assert not (tmp_path / "mark").exists()
    (error,) = told(teacher(folder, code=f"{folder}@{'a' * 40}"), [user("what")])
    assert isinstance(error, UsageError)
    assert "its code is not run" in str(error)
    assert not (tmp_path / "mark").exists()


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(("options", "runs"), [([], False), (["--code", f"acme/own@{COMMIT}"], True)])
def test_code_of_a_hub_model_runs_only_when_named_with_its_commit(
    tmp_path: Path, options: list[str], runs: bool
) -> None:
    repository = tmp_path / "hub" / "models--acme--own"
    with_own_code(repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    mark = tmp_path / "mark"
    done = subprocess.run(
        [sys.executable, "-m", "filial", "ask", "transformers", "what", "--model", "acme/own", "--max-tokens", "3",
         "--home", str(tmp_path), *options],
        env={**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "MARK": str(mark)},
        capture_output=True, text=True, timeout=600, cwd=tmp_path,
    )  # fmt: skip
    assert mark.exists() == runs
    if runs:
        assert "gave no answer: length" in done.stderr
    else:
        assert done.returncode == 2
        assert "needs code that comes with it" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"code": f"acme/other@{COMMIT}"}, "only the code of the model itself"),
        ({"code": f"acme/own@{COMMIT}", "revision": "main"}, "at the commit that is used"),
        ({"code": "acme/own@main"}, "pattern"),
        ({"code": "acme/own"}, "pattern"),
        ({"device": "gpu"}, "pattern"),
    ],
)
def test_options_that_would_run_other_code_are_refused(options: dict[str, str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Transformers(model="acme/own", **options)


def test_pickled_weights_are_refused(causal: Path, tmp_path: Path) -> None:
    for file in causal.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    torch.save(load_file(causal / "model.safetensors"), tmp_path / "pytorch_model.bin")
    (error,) = told(teacher(tmp_path), [user("what")])
    assert isinstance(error, UsageError)
    assert "no model can be loaded" in str(error)
    assert "safetensors" in str(error)


@pytest.mark.parametrize(
    ("model", "why"), [("./nowhere", "no such folder"), ("pkg:filial_plugins/nowhere", "this folder has no model")]
)
def test_a_folder_that_is_not_there_is_one_sentence(model: str, why: str) -> None:
    (error,) = told(Transformers(model=model), [user("what")])
    assert isinstance(error, UsageError)
    assert why in str(error)


def test_a_device_that_is_not_there_is_one_sentence(causal: Path) -> None:
    (error,) = told(teacher(causal, device="cuda:7"), [user("what")])
    assert isinstance(error, UsageError)
    assert "the device 'cuda:7' cannot be used" in str(error)


def test_a_tokenizer_of_another_model_is_told(causal: Path, tmp_path: Path) -> None:
    LlamaForCausalLM(
        LlamaConfig(vocab_size=40, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2)
    ).save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    (error,) = told(teacher(tmp_path), [user("what")])
    assert isinstance(error, UsageError)
    assert "do not belong together" in str(error)
