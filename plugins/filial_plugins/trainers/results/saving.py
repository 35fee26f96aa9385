"""A model folder that appears whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filial import FilialError, Record, Template, UsageError
from filial.labels import Encoder
from filial_plugins.templates.layout import own_template
from filial_plugins.trainers.lora import is_adapter, save_adapter

TRIAL = "Say yes."  # a question to compare prompts by


def check_target(out: Path) -> None:
    """Refuse to put a model in the place of something else; saving replaces the whole folder.

    Raises:
        UsageError: ``out`` is a file, or a folder that holds something and no model.
    """
    if out.is_dir() and (not any(out.iterdir()) or (out / "config.json").is_file()):
        return
    if out.exists():
        raise UsageError(
            f"{out} is there already and holds no model; the model would replace it: choose another folder"
        )


def save(model: Any, tokenizer: Any, out: Path, fill: Callable[[Path], None]) -> None:
    """Write model (safetensors), tokenizer and configuration to ``out``, replacing what was there.

    Of a model with adapters, only those are written. The configuration is expected to be `fit_for_answering`.

    Args:
        fill: writes further files into the folder before it appears.

    Raises:
        FilialError: the folder cannot be written; what was there before is untouched.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    old = out.with_name(f".{out.name}.{os.getpid()}.old")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        save_adapter(model, temporary) if is_adapter(model) else model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        fill(temporary)
        sync_all(temporary)
        if out.exists():
            os.rename(out, old)
        os.rename(temporary, out)
        shutil.rmtree(old, ignore_errors=True)
    except Exception as error:
        # safetensors has an error class of its own for a full disk, so the net is wide; nothing is swallowed.
        shutil.rmtree(temporary, ignore_errors=True)
        if old.exists() and not out.exists():
            os.rename(old, out)
        raise FilialError(
            f"{out}: the model cannot be saved ({error}); what was there before is unchanged. "
            "Free some space or choose another folder, and train again"
        ) from error


def sync_all(folder: Path) -> None:
    """Make a folder and all that is in it survive a power cut."""
    for place, _, names in os.walk(folder, topdown=False):
        for path in [os.path.join(place, name) for name in names] + [place]:
            sync(path)


def sync(path: str | Path) -> None:
    """Make a file, or the names in a folder, survive a power cut."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def fit_for_asking(tokenizer: Any, template: Template, note: Callable[[str], None]) -> None:
    """Let a tokenizer's chat template write the prompts that the model is trained with, for other programs to ask by.

    Args:
        template: bound to this tokenizer.
        note: told where that cannot be had.
    """
    try:
        text = template.chat_template()
        made = None if text is None else _with_bos(text, tokenizer, template)
        why = "has none" if text is None else "has one that asks with other tokens"
    except Exception as error:  # a template may be anybody's
        text, made, why = "", None, f"has one that fails with {type(error).__name__}: {error}"
    if made is None:
        if text is not None or tokenizer.chat_template is not None:
            note(
                f"the saved tokenizer's chat template will not ask as is trained, for the template {why}: ask the "
                "model through filial, or with prompts in the trained form"
            )
    elif made != own_template(tokenizer):
        tokenizer.chat_template = made


def _with_bos(text: str, tokenizer: Any, template: Template) -> str | None:
    """A chat template, with BOS in front where it takes that to ask a question token by token as filial does; None
    where it does not ask so."""
    wanted = Encoder(tokenizer).encode(template.render(Record(instruction=TRIAL))).ids
    # A tokenizer that puts a blank before a text may not do so behind a BOS that stands in the text.
    for begin in ("", "{{- bos_token }}", "{{- bos_token + ' ' }}"):
        asked = [{"role": "user", "content": TRIAL}]
        made = tokenizer.apply_chat_template(asked, chat_template=begin + text, add_generation_prompt=True)
        if list(made["input_ids"]) == wanted:
            return begin + text
    return None


def fit_for_answering(model: Any, tokenizer: Any, ends: set[int], note: Callable[[str], None]) -> None:
    """Let a model's configuration say how it answers: with a cache, and until a token that ends an answer.

    It names no token without an embedding: transformers cannot load a model that pads with one. Where that is the
    tokenizer's pad token, an end token takes its place in both.

    Args:
        ends: ids of the special tokens that ended an answer in training.
        note: told of tokens without an embedding.
    """
    size = len(model.get_input_embeddings().weight)  # LoRA's wrapper of an embedding has no num_embeddings
    named = {"bos": tokenizer.bos_token_id, "eos": tokenizer.eos_token_id, "pad": tokenizer.pad_token_id}
    known = {name: i for name, i in named.items() if i is not None and i < size}
    unknown = {name: i for name, i in named.items() if i is not None and i >= size}
    stop = sorted(ends | ({known["eos"]} if "eos" in known else set()))
    pad = known.get("pad", stop[0] if stop else None)
    if unknown:
        told = ", ".join(f"{tokenizer.convert_ids_to_tokens(i)!r} ({name}, {i})" for name, i in unknown.items())
        instead = f"; {tokenizer.convert_ids_to_tokens(pad)!r} pads instead" if "pad" in unknown and stop else ""
        note(f"the model has {size:,} embeddings, none for {told}: what is saved does not name them{instead}")
    if "pad" in unknown:
        tokenizer.pad_token = None if pad is None else tokenizer.convert_ids_to_tokens(pad)
    model.config.use_cache = True
    for config in (model.config, model.generation_config):
        config.eos_token_id = stop[0] if len(stop) == 1 else stop or None
        config.bos_token_id, config.pad_token_id = known.get("bos"), pad
