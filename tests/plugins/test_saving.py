"""Saving what was trained: whatever a base brings along, and whatever fails after the last step."""

import os
from pathlib import Path
from typing import Any

import pytest
from training_kit import CHAT, make

from filial import TrainContext
from filial.models import load_tokenizer
from filial_plugins.templates.chat import Chat
from filial_plugins.templates.question import Question
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
