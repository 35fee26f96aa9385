"""Saving what was trained: whatever a base brings along, and whatever fails after the last step."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from training_kit import CHAT, make
from transformers import GenerationConfig, T5Config, T5ForConditionalGeneration

from filial import FilialError, TrainContext
from filial.models import load_model, load_tokenizer
from filial_plugins.templates.chat import Chat
from filial_plugins.templates.question import Question
from filial_plugins.trainers.results.generation import drop_contradictions
from filial_plugins.trainers.seq2seq import Seq2Seq
from filial_plugins.trainers.sft import SFT


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
    (said,) = [note for note in notes if "generation_config.json leaves out" in note]
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
    assert said.endswith("none for '[PAD]' (pad, 260): what is saved does not name them; '<|end|>' pads instead")


def test_begin_and_end_tokens_without_an_embedding_are_not_named(data: Path, tmp_path: Path) -> None:
    base = make(tmp_path / "base")
    tokenizer = load_tokenizer(base)
    tokenizer.add_special_tokens({"bos_token": "[B]", "eos_token": "[E]"})
    tokenizer.save_pretrained(base)
    (said,) = [note for note in train(base, data, tmp_path / "m") if "embeddings" in note]
    assert "none for '[B]' (bos, 260), '[E]' (eos, 261): what is saved does not name them" in said
    saved = load_model(tmp_path / "m")
    assert (saved.config.bos_token_id, saved.config.eos_token_id, saved.config.pad_token_id) == (None, 3, 0)
