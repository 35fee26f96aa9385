"""A model folder that appears whole or not at all, and trained weights that are on disk before all else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from typing import Any

from filial import FilialError, Record, Template, UsageError
from filial.labels import Encoder
from filial_plugins.templates.layout import own_template
from filial_plugins.trainers.lora import is_adapter, save_adapter

TENSORS = "trained.safetensors"  # trained tensors by their names in memory, where they cannot be written otherwise
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


class Target:
    """A model's folder, which appears whole or not at all, replacing what was there.

    The weights come first: `keep` writes them beside it, to ``OUT.trained``, and `finish` adds all else there and moves
    the folder to its place. Whatever fails between, the weights are on disk, and an error within `told` says where.

    Attributes:
        kept: where the trained weights are; None before they are written.
    """

    def __init__(self, out: Path, tokenizer: Any) -> None:
        self.out, self._tokenizer = out, tokenizer
        self.kept: Path | None = None
        self._part = out.with_name(f".{out.name}.{os.getpid()}.tmp")

    def rehearse(self, model: Any) -> None:
        """Write all but the weights and remove it again, so that what cannot be saved is known before training.

        The configuration is expected to be `fit_for_answering`.

        Raises:
            FilialError: something cannot be written.
        """
        base = model.get_base_model() if is_adapter(model) else model
        try:
            self._begin()
            base.config.save_pretrained(self._part)
            base.generation_config.save_pretrained(self._part)
            self._tokenizer.save_pretrained(self._part)
        except Exception as error:  # whatever transformers raises, the model could not be saved either
            raise FilialError(
                f"{self.out}: a trained model could not be saved ({_reason(error)}), so nothing is trained; free some "
                "space, choose another folder or mend the model's files"
            ) from error
        finally:
            shutil.rmtree(self._part, ignore_errors=True)

    def keep(self, model: Any) -> None:
        """Write trained weights, of a model with adapters only those, and their configuration.

        Raises:
            FilialError: they cannot be written; or transformers cannot write them, and bare tensors are kept instead.
        """
        try:
            refused = self._write(model)
            sync_all(self._part)
            kept = _unused(self.out.with_name(f"{self.out.name}.trained"))
            os.rename(self._part, kept)
            self.kept = kept
            sync(kept.parent)
        except Exception as error:  # safetensors has an error class of its own for a full disk; nothing is swallowed
            shutil.rmtree(self._part, ignore_errors=True)
            raise FilialError(
                f"{self.out}: the trained weights cannot be saved ({_reason(error)}); what was there before is "
                "unchanged. Free some space and start the same training again: it goes on from its last checkpoint"
            ) from error
        if refused is not None:
            raise FilialError(f"the model cannot be written whole ({_reason(refused)}); {TENSORS} holds its tensors")

    def finish(self, fill: Callable[[Path], None], merge: Callable[[], Any] | None = None) -> None:
        """Add the tokenizer and more files to the kept weights, and put the folder in its place.

        Args:
            fill: writes further files into the folder before it appears.
            merge: makes the model to save in place of the kept adapters, which stay until it is there.
        """
        assert self.kept is not None, "weights are kept first"
        folder = adapters = self.kept
        self._tokenizer.save_pretrained(folder)
        try:
            if merge is not None:
                merged = merge()
                folder = self._begin()
                merged.save_pretrained(folder)
                self._tokenizer.save_pretrained(folder)
            fill(folder)
            sync_all(folder)
            self._replace(folder)
        finally:
            shutil.rmtree(self._part, ignore_errors=True)
        if merge is not None:
            shutil.rmtree(adapters, ignore_errors=True)

    def drop(self) -> None:
        """Remove the kept weights, for they are elsewhere too."""
        if self.kept is not None:
            shutil.rmtree(self.kept)
            self.kept = None

    @contextmanager
    def told(self, note: Callable[[str], None]) -> Iterator[None]:
        """Within, an error that comes when the weights are kept says where they are; so does a note of Ctrl-C."""
        try:
            yield
        except KeyboardInterrupt:
            if self.kept is not None:
                note(f"the trained weights are in {self.kept}")
            raise
        except Exception as error:
            if self.kept is None:
                raise
            raise FilialError(
                f"{self.out}: the training is done, but not what comes after it: {_reason(error)}; the trained weights "
                f"are in {self.kept}, use them from there or mend the cause and train again"
            ) from error

    def _begin(self) -> Path:
        """An empty folder beside the target, to write to."""
        shutil.rmtree(self._part, ignore_errors=True)
        self._part.mkdir(parents=True)
        return self._part

    def _write(self, model: Any) -> Exception | None:
        """Write the weights; as bare tensors where that fails. Returns why it failed."""
        from safetensors.torch import save_file

        self._begin()
        try:
            save_adapter(model, self._part) if is_adapter(model) else model.save_pretrained(self._part)
        except Exception as error:  # its cause may be in anything that is written beside the weights
            trained = {name: p.detach().contiguous() for name, p in model.named_parameters() if p.requires_grad}
            save_file(trained, self._begin() / TENSORS)
            return error
        return None

    def _replace(self, folder: Path) -> None:
        """Move a folder to the target's place."""
        old = self.out.with_name(f".{self.out.name}.{os.getpid()}.old")
        if self.out.exists():
            os.rename(self.out, old)
        try:
            os.rename(folder, self.out)
        except OSError:
            if old.exists():
                os.rename(old, self.out)
            raise
        self.kept = self.out
        sync(self.out.parent)
        shutil.rmtree(old, ignore_errors=True)


def _unused(path: Path) -> Path:
    """This path or, where something is there, the first of ``path-2``, ``path-3``, ... that is free."""
    numbered = (path.with_name(f"{path.name}-{k}") for k in count(2))
    return next(p for p in chain([path], numbered) if not os.path.lexists(p))


def _reason(error: Exception) -> str:
    """Why something failed, in a line."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return text if isinstance(error, FilialError) else f"{type(error).__name__}: {text}"


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
