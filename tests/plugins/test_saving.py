"""Saving what was trained: whatever a base brings along, and whatever fails after the last step."""

import json
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from training_kit import CHAT, make
from transformers import GenerationConfig, T5Config, T5ForConditionalGeneration

from filial import FilialError, TrainContext
from filial_plugins.local.pretrained import load_model, load_tokenizer
from filial_plugins.templates.chat import Chat
from filial_plugins.templates.question import Question
from filial_plugins.trainers.results.generation import drop_contradictions
from filial_plugins.trainers.seq2seq import Seq2Seq
from filial_plugins.trainers.sft import SFT

pytestmark = pytest.mark.train


def train(base: Path, data: Path, out: Path, template: Any = None, **options: Any) -> list[str]:
    """Train for two steps. Returns what was noted."""
    notes: list[str] = []
    made = SFT(**{"max_steps": 2, "batch_size": 8, "threads": 1, "samples": 0, **options})
    made.train(data, str(base), template or Chat(), out, TrainContext(1, note=notes.append))
    return notes


@pytest.mark.parametrize("template", [Chat(), Question()])
def test_several_named_chat_templates_are_saved(data: Path, tmp_path: Path, template: Any) -> None:
    """transformers writes them to a folder inside the model's."""
    named = {"default": CHAT, "tool_use": CHAT + "{# tools #}"}
    base = make(tmp_path / "base")
    tokenizer = load_tokenizer(base)
    tokenizer.chat_template = named
    tokenizer.save_pretrained(base)
    train(base, data, tmp_path / "m", template)
    assert load_tokenizer(tmp_path / "m").chat_template == named


def test_all_of_a_model_is_synced_before_it_appears(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = make(tmp_path / "base")
    tokenizer = load_tokenizer(base)
    tokenizer.chat_template = {"default": CHAT, "tool_use": CHAT}
    tokenizer.save_pretrained(base)
    synced, fsync = set[int](), os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.add(os.fstat(fd).st_ino), fsync(fd)))
    train(base, data, tmp_path / "m")
    saved = [tmp_path / "m", *(tmp_path / "m").rglob("*")]
    assert tmp_path / "m" / "additional_chat_templates" / "tool_use.jinja" in saved
    assert {p.stat().st_ino for p in saved} <= synced


VICUNA = {"temperature": 0.9, "top_p": 0.6, "repetition_penalty": 1.1}


def with_generation(base: Path, **given: Any) -> Path:
    """The model with these in its generation_config.json."""
    file = base / "generation_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | given))
    return base


def saved_generation(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "generation_config.json").read_text())


@pytest.mark.parametrize("options", [{}, {"lora": {"merge": False}}, {"lora": {}}], ids=["whole", "adapter", "merged"])
def test_a_contradictory_generation_config_is_mended_and_said(
    data: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    """Vicuna 1.5 came with a temperature and no do_sample."""
    if options:
        pytest.importorskip("peft", reason="needs the extra 'lora'")
    base = with_generation(make(tmp_path / "base"), **VICUNA)
    notes = train(base, data, tmp_path / "m", **options)
    saved = saved_generation(tmp_path / "m")
    assert saved["repetition_penalty"] == 1.1
    assert not {"temperature", "top_p"} & saved.keys()
    (said,) = [note for note in notes if "generation_config.json omits" in note]
    assert "temperature: 0.9, top_p: 0.6" in said


def test_a_generation_config_that_is_sound_is_saved_whole(data: Path, tmp_path: Path) -> None:
    base = with_generation(make(tmp_path / "base"), do_sample=True, **VICUNA)
    notes = train(base, data, tmp_path / "m")
    assert saved_generation(tmp_path / "m").items() >= {"do_sample": True, **VICUNA}.items()
    assert not [note for note in notes if "generation_config" in note]


def test_the_weights_before_a_divergence_are_saved_whatever_the_generation_config(data: Path, tmp_path: Path) -> None:
    base = with_generation(make(tmp_path / "base"), **VICUNA)
    with pytest.raises(FilialError, match=r"diverged.*m\.last-good"):
        train(base, data, tmp_path / "m", max_steps=400, lr=1e30, warmup=0)
    assert (tmp_path / "m.last-good" / "model.safetensors").is_file()


def test_an_encoder_decoder_with_beam_settings_and_one_beam_is_saved(data: Path, tmp_path: Path) -> None:
    base = make(tmp_path / "base")
    sizes = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 1, "num_heads": 2, "vocab_size": 260}
    T5ForConditionalGeneration(T5Config(**sizes, decoder_start_token_id=0)).save_pretrained(base)
    with_generation(base, early_stopping=True, length_penalty=2.0, no_repeat_ngram_size=3)
    notes: list[str] = []
    options = Seq2Seq(max_steps=2, batch_size=8, threads=1, samples=0)
    options.train(data, str(base), Question(), tmp_path / "m", TrainContext(1, note=notes.append))
    saved = saved_generation(tmp_path / "m")
    assert saved["no_repeat_ngram_size"] == 3
    assert not {"early_stopping", "length_penalty"} & saved.keys()
    assert any("early_stopping: True, length_penalty: 2.0" in note for note in notes)


@pytest.mark.parametrize(
    ("given", "dropped"),
    [
        ({"num_return_sequences": 4}, {"num_return_sequences"}),
        ({"num_return_sequences": 4, "do_sample": True}, set()),
        ({"length_penalty": 2.0, "num_beams": 4, "temperature": 0.5, "eos_token_id": 3}, {"temperature"}),
        ({"output_scores": True, "max_new_tokens": 0}, {"output_scores", "max_new_tokens"}),
        ({"num_beams": "4", "top_k": 10, "do_sample": True, "num_return_sequences": 2}, {"num_return_sequences"}),
        ({"logits_processor": [], "top_p": 1.0}, {"logits_processor"}),
    ],
)
def test_what_contradicts_is_dropped_and_no_more(tmp_path: Path, given: dict[str, Any], dropped: set[str]) -> None:
    config = GenerationConfig()
    for name, value in given.items():
        setattr(config, name, value)
    assert drop_contradictions(config).keys() == dropped
    config.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "generation_config.json").read_text())
    assert {name: saved[name] for name in saved.keys() & given.keys()} == {
        name: value for name, value in given.items() if name not in dropped
    }


@pytest.mark.parametrize("kind", ["llama", "mistral"])
@pytest.mark.parametrize("options", [{}, {"lora": {"merge": False, "tokens": ["<|end|>"]}}], ids=["whole", "adapter"])
def test_a_pad_token_without_an_embedding_is_replaced_and_said(
    data: Path, tmp_path: Path, kind: str, options: dict[str, Any]
) -> None:
    """A pad token that somebody added to a tokenizer without resizing the model: the base loads."""
    if options:
        pytest.importorskip("peft", reason="needs the extra 'lora'")
    base = make(tmp_path / "base", kind)
    tokenizer = load_tokenizer(base)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.save_pretrained(base)
    assert tokenizer.pad_token_id == load_model(base).get_input_embeddings().num_embeddings == 260
    notes = train(base, data, tmp_path / "m", **options)
    saved, words = load_model(tmp_path / "m"), load_tokenizer(tmp_path / "m")
    end = words.convert_tokens_to_ids("<|end|>")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert (config["pad_token_id"], saved.generation_config.pad_token_id, words.pad_token_id) == (end, end, end)
    padded = words(["a", "a longer text"], padding=True, return_tensors="pt")
    assert saved(**padded).logits.shape[0] == 2
    (said,) = [note for note in notes if "embeddings" in note]
    assert said.endswith("none for '[PAD]' (pad, 260): the saved model does not name them; '<|end|>' pads instead")


def test_begin_and_end_tokens_without_an_embedding_are_not_named(data: Path, tmp_path: Path) -> None:
    base = make(tmp_path / "base")
    tokenizer = load_tokenizer(base)
    tokenizer.add_special_tokens({"bos_token": "[B]", "eos_token": "[E]"})
    tokenizer.save_pretrained(base)
    (said,) = [note for note in train(base, data, tmp_path / "m") if "embeddings" in note]
    assert "none for '[B]' (bos, 260), '[E]' (eos, 261): the saved model does not name them" in said
    saved = load_model(tmp_path / "m")
    assert (saved.config.bos_token_id, saved.config.eos_token_id, saved.config.pad_token_id) == (None, 3, 0)


LATER = {
    "look": ("filial_plugins.trainers.sft.CausalRunner.evaluate", 1),
    "tokenizer": ("transformers.PreTrainedTokenizerFast.save_pretrained", 2),
    "configuration": ("transformers.PreTrainedConfig.save_pretrained", 2),
    "generation config": ("transformers.GenerationConfig.save_pretrained", 2),
    "log": ("filial_plugins.trainers.loop.Loop.write_log", 1),
    "curve": ("filial_plugins.trainers.session.draw_loss_plot", 1),
    "card": ("filial_plugins.trainers.session.render_card", 1),
    "sync": ("filial_plugins.trainers.results.saving.sync_all", 2),
    "move": ("filial_plugins.trainers.results.saving.ModelFolder._move_to_target", 1),
    "checkpoints": ("filial_plugins.trainers.results.checkpoints.Checkpoints.clear", 1),
}
"""What comes after the last step, and which of its calls fails: the first one of some is made before training."""


def broken(*_: Any, **__: Any) -> Any:
    raise RuntimeError("broken\nfor a test")


def break_call(patch: pytest.MonkeyPatch, name: str, at: int, fault: Callable[..., Any] = broken) -> None:
    """Let a function fail from its ``at``-th call on."""
    place, _, leaf = name.rpartition(".")
    owner = resolve_name(place)
    real, calls = getattr(owner, leaf), list[Any]()

    def called(*args: Any, **options: Any) -> Any:
        calls.append(args)
        return (fault if len(calls) >= at else real)(*args, **options)

    patch.setattr(owner, leaf, called)


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Every tensor in a folder, by its name in the model."""
    found = {name: t for file in folder.glob("*.safetensors") for name, t in load_file(file).items()}
    return {name.replace(".default.", "."): t for name, t in found.items()}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, data: Path) -> dict[str, Path]:
    """A base, and what a training of it without a fault leads to."""
    folder = tmp_path_factory.mktemp("models")
    base = make(folder / "base")
    train(base, data, folder / "whole")
    train(base, data, folder / "adapter", lora={"rank": 2, "merge": False})
    return {name: folder / name for name in ("base", "whole", "adapter")}


def kept_after(models: dict[str, Path], data: Path, out: Path, **options: Any) -> Path:
    """Train to the end although something fails. Returns where the error says the weights are."""
    out.mkdir()
    (out / "config.json").write_text("before")
    with pytest.raises(FilialError, match=r"m: training is complete, but .*the trained weights are in .*") as caught:
        train(models["base"], data, out, **options)
    text = str(caught.value)
    assert "\n" not in text
    kept = Path(text.partition("the trained weights are in ")[2].split(",")[0])
    expected = tensors(models["adapter" if "lora" in options else "whole"])
    got = tensors(kept)
    assert got.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in got.items())
    if kept != out:
        assert (out / "config.json").read_text() == "before"
        assert sorted(p.name for p in out.parent.iterdir()) == ["m", kept.name]
    return kept


@pytest.mark.parametrize("later", LATER)
def test_whatever_fails_after_the_last_step_the_weights_are_kept_and_named(
    models: dict[str, Path], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: str
) -> None:
    break_call(monkeypatch, *LATER[later])
    kept = kept_after(models, data, tmp_path / "m")
    assert kept == tmp_path / ("m" if later == "checkpoints" else "m.trained")


@pytest.mark.parametrize("later", ["merge", "look", "tokenizer", "generation config", "card", "move", "merged weights"])
def test_whatever_fails_in_merging_the_adapters_are_kept_and_named(
    models: dict[str, Path], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: str
) -> None:
    pytest.importorskip("peft", reason="needs the extra 'lora'")
    more = {
        "merge": ("filial_plugins.trainers.sft.merge_adapters", 1),
        "merged weights": ("transformers.LlamaForCausalLM.save_pretrained", 1),
    }
    break_call(monkeypatch, *(LATER | more)[later])
    assert kept_after(models, data, tmp_path / "m", lora={"rank": 2}) == tmp_path / "m.trained"


@pytest.mark.parametrize("when", ["log", "finish"])
def test_a_report_that_fails_at_the_end_costs_no_weights(
    models: dict[str, Path], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    place = types.ModuleType("wandb")
    vars(place).update(init=lambda **_: None, log=lambda *_, **__: None, finish=lambda: None)
    monkeypatch.setitem(sys.modules, "wandb", place)
    break_call(monkeypatch, f"wandb.{when}", 2 if when == "log" else 1)  # the first is of step 1
    kept_after(models, data, tmp_path / "m", report_to=("wandb",))


def test_nothing_is_left_beside_a_model_that_is_whole(models: dict[str, Path]) -> None:
    assert sorted(p.name for p in models["base"].parent.iterdir()) == ["adapter", "base", "whole"]


def test_weights_take_the_place_of_no_folder_that_is_there(
    models: dict[str, Path], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m.trained").mkdir()
    (tmp_path / "m.trained" / "thesis.tex").write_text("years of work")
    break_call(monkeypatch, *LATER["card"])
    with pytest.raises(FilialError, match=r"the trained weights are in .*m\.trained-2,"):
        train(models["base"], data, tmp_path / "m")
    assert [p.name for p in (tmp_path / "m.trained").iterdir()] == ["thesis.tex"]
    assert (tmp_path / "m.trained-2" / "model.safetensors").is_file()


def test_an_interrupt_after_the_last_step_says_where_the_weights_are(
    models: dict[str, Path], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    break_call(monkeypatch, *LATER["card"], fault=interrupted)
    notes: list[str] = []
    options = SFT(max_steps=2, batch_size=8, threads=1, samples=0)
    with pytest.raises(KeyboardInterrupt):
        options.train(data, str(models["base"]), Chat(), tmp_path / "m", TrainContext(1, note=notes.append))
    assert notes[-1] == f"the trained weights are in {tmp_path / 'm.trained'}"
    assert tensors(tmp_path / "m.trained").keys() == tensors(models["whole"]).keys()


def test_weights_that_cannot_be_written_at_all_leave_the_old_model_and_the_checkpoints(
    models: dict[str, Path], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("transformers.LlamaForCausalLM.save_pretrained", full)
    monkeypatch.setattr("safetensors.torch.save_file", full)
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text("before")
    with pytest.raises(FilialError, match=r"m: the trained weights cannot be saved \(OSError: .*No space left"):
        train(models["base"], data, tmp_path / "m", checkpoint_steps=1)
    assert (tmp_path / "m" / "config.json").read_text() == "before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m", "m.checkpoints"]


@pytest.mark.parametrize("what", ["tokenizer", "configuration", "generation config"])
def test_what_cannot_be_saved_is_known_before_the_first_step(
    models: dict[str, Path], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    break_call(monkeypatch, LATER[what][0], 1)
    break_call(monkeypatch, "filial_plugins.trainers.loop.Loop.run", 1, fault=lambda loop: pytest.fail("trained"))
    with pytest.raises(FilialError, match=r"m: the model could not be saved after training \(RuntimeError: broken\)"):
        train(models["base"], data, tmp_path / "m")
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_known_before_the_first_step(
    models: dict[str, Path], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_call(monkeypatch, "filial_plugins.trainers.loop.Loop.run", 1, fault=lambda loop: pytest.fail("trained"))
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(FilialError, match="could not be saved"):
        train(models["base"], data, tmp_path / "file" / "m")
