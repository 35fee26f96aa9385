"""Save a model in a folder that appears complete or not at all; the trained weights are written first."""

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
from filial_plugins.templates.layout import find_chat_template
from filial_plugins.trainers.lora import is_adapter, save_adapter

TENSORS = "trained.safetensors"  # trained tensors by their names in memory, where they cannot be written otherwise
TRIAL_QUESTION = "Say yes."  # a question to compare prompts by


def check_target(out: Path) -> None:
    """Refuse to replace anything but a model; saving replaces the whole folder.

    Raises:
        UsageError: ``out`` is a file, or a folder that is neither empty nor a model.
    """
    if out.is_dir() and (not any(out.iterdir()) or (out / "config.json").is_file()):
        return
    if out.exists():
        raise UsageError(f"{out} exists and is not a model; saving would replace it: choose another folder")


class ModelFolder:
    """The folder of a model, which appears complete or not at all and replaces what was there.

    The weights come first: `save_weights` writes them beside it, to ``OUT.trained``; `complete` adds the other files
    there and moves the folder to its final path. If something fails in between, the weights are on disk, and an error
    inside `explain_errors` says where.

    Attributes:
        weights: where the trained weights are; None before they are written.
    """

    def __init__(self, out: Path, tokenizer: Any) -> None:
        self.out, self._tokenizer = out, tokenizer
        self.weights: Path | None = None
        self._part = out.with_name(f".{out.name}.{os.getpid()}.tmp")

    def try_saving(self, model: Any) -> None:
        """Write everything but the weights and remove it again, so that what cannot be saved is known before training.

        The configuration must have been prepared by `set_answer_config`.

        Raises:
            FilialError: something cannot be written.
        """
        base = model.get_base_model() if is_adapter(model) else model
        try:
            self._make_part()
            base.config.save_pretrained(self._part)
            base.generation_config.save_pretrained(self._part)
            self._tokenizer.save_pretrained(self._part)
        except Exception as error:  # whatever transformers raises here, it would raise after training
            raise FilialError(
                f"{self.out}: the model could not be saved after training ({_summarize(error)}), so nothing is "
                "trained; free some space, choose another folder or repair the model's files"
            ) from error
        finally:
            shutil.rmtree(self._part, ignore_errors=True)

    def save_weights(self, model: Any) -> None:
        """Write the trained weights (of a model with adapters only these) and their configuration.

        Raises:
            FilialError: they cannot be written; or transformers cannot write them, and bare tensors were written
                instead.
        """
        try:
            refused = self._write_weights(model)
            sync_all(self._part)
            kept = _find_unused(self.out.with_name(f"{self.out.name}.trained"))
            os.rename(self._part, kept)
            self.weights = kept
            sync(kept.parent)
        except Exception as error:  # safetensors has an error class of its own for a full disk; nothing is swallowed
            shutil.rmtree(self._part, ignore_errors=True)
            raise FilialError(
                f"{self.out}: the trained weights cannot be saved ({_summarize(error)}); what was there before is "
                "unchanged. Free some space and start the same training again: it resumes from its last checkpoint"
            ) from error
        if refused is not None:
            raise FilialError(f"the model cannot be written whole ({_summarize(refused)}); {TENSORS} has its tensors")

    def complete(self, fill: Callable[[Path], None], merge: Callable[[], Any] | None = None) -> None:
        """Add the tokenizer and more files to the saved weights, and move the folder to its final path.

        Args:
            fill: writes more files into the folder before it appears.
            merge: returns the model to save instead of the saved adapters, which stay until it is complete.
        """
        assert self.weights is not None, "weights are kept first"
        folder = adapters = self.weights
        self._tokenizer.save_pretrained(folder)
        try:
            if merge is not None:
                merged = merge()
                folder = self._make_part()
                merged.save_pretrained(folder)
                self._tokenizer.save_pretrained(folder)
            fill(folder)
            sync_all(folder)
            self._move_to_target(folder)
        finally:
            shutil.rmtree(self._part, ignore_errors=True)
        if merge is not None:
            shutil.rmtree(adapters, ignore_errors=True)

    def remove_weights(self) -> None:
        """Remove the saved weights, since a checkpoint has them."""
        if self.weights is not None:
            shutil.rmtree(self.weights)
            self.weights = None

    @contextmanager
    def explain_errors(self, note: Callable[[str], None]) -> Iterator[None]:
        """Say where the saved weights are if an error, or Ctrl-C, ends the block after they were written."""
        try:
            yield
        except KeyboardInterrupt:
            if self.weights is not None:
                note(f"the trained weights are in {self.weights}")
            raise
        except Exception as error:
            if self.weights is None:
                raise
            raise FilialError(
                f"{self.out}: training is complete, but a later step failed: {_summarize(error)}; the trained weights "
                "are "
                f"in {self.weights}, use them from there, or remove the cause and train again"
            ) from error

    def _make_part(self) -> Path:
        """Create an empty temporary folder beside the target. Returns its path."""
        shutil.rmtree(self._part, ignore_errors=True)
        self._part.mkdir(parents=True)
        return self._part

    def _write_weights(self, model: Any) -> Exception | None:
        """Write the weights, as bare tensors if that fails. Returns why it failed."""
        from safetensors.torch import save_file

        self._make_part()
        try:
            save_adapter(model, self._part) if is_adapter(model) else model.save_pretrained(self._part)
        except Exception as error:  # its cause may be in anything that is written beside the weights
            trained = {name: p.detach().contiguous() for name, p in model.named_parameters() if p.requires_grad}
            save_file(trained, self._make_part() / TENSORS)
            return error
        return None

    def _move_to_target(self, folder: Path) -> None:
        """Move a folder to the target's path, and restore the old one if that fails."""
        old = self.out.with_name(f".{self.out.name}.{os.getpid()}.old")
        if self.out.exists():
            os.rename(self.out, old)
        try:
            os.rename(folder, self.out)
        except OSError:
            if old.exists():
                os.rename(old, self.out)
            raise
        self.weights = self.out
        sync(self.out.parent)
        shutil.rmtree(old, ignore_errors=True)


def _find_unused(path: Path) -> Path:
    """Return the path, or the first of ``path-2``, ``path-3``, ... that does not exist."""
    numbered = (path.with_name(f"{path.name}-{k}") for k in count(2))
    return next(p for p in chain([path], numbered) if not os.path.lexists(p))


def _summarize(error: Exception) -> str:
    """Return the cause of an error in one line."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return text if isinstance(error, FilialError) else f"{type(error).__name__}: {text}"


def sync_all(folder: Path) -> None:
    """Flush a folder and everything in it to disk."""
    for place, _, names in os.walk(folder, topdown=False):
        for path in [os.path.join(place, name) for name in names] + [place]:
            sync(path)


def sync(path: str | Path) -> None:
    """Flush a file, or the names in a folder, to disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def set_chat_template(tokenizer: Any, template: Template, note: Callable[[str], None]) -> None:
    """Set a chat template on the tokenizer that writes prompts as the model was trained, for use by other programs.

    Args:
        template: bound to this tokenizer.
        note: called with an explanation if there is no such template.
    """
    try:
        text = template.chat_template()
        made = None if text is None else _add_bos(text, tokenizer, template)
        why = "has none" if text is None else "has one with other tokens"
    except Exception as error:  # a template may be anybody's
        text, made, why = "", None, f"has one that fails with {type(error).__name__}: {error}"
    if made is None:
        if text is not None or tokenizer.chat_template is not None:
            note(
                f"the saved tokenizer's chat template writes other prompts than in training, since the template "
                f"{why}: ask the model through filial, or write prompts as in training"
            )
    elif made != find_chat_template(tokenizer):
        tokenizer.chat_template = made


def _add_bos(text: str, tokenizer: Any, template: Template) -> str | None:
    """Return the chat template that encodes a question as filial does, after BOS if needed; None if neither does."""
    wanted = Encoder(tokenizer).encode(template.render(Record(instruction=TRIAL_QUESTION))).ids
    # A tokenizer that puts a blank before a text may not do so behind a BOS that stands in the text.
    for begin in ("", "{{- bos_token }}", "{{- bos_token + ' ' }}"):
        asked = [{"role": "user", "content": TRIAL_QUESTION}]
        made = tokenizer.apply_chat_template(asked, chat_template=begin + text, add_generation_prompt=True)
        if list(made["input_ids"]) == wanted:
            return begin + text
    return None


def set_answer_config(model: Any, tokenizer: Any, ends: set[int], note: Callable[[str], None]) -> None:
    """Set in a model's configuration how it answers: with a cache, and until a token that ends an answer.

    Tokens without an embedding are left out: transformers cannot load a model whose pad token has none. If the
    tokenizer's pad token has none, an end token replaces it in both.

    Args:
        ends: ids of the special tokens that ended an answer in training.
        note: called about tokens without an embedding.
    """
    size = len(model.get_input_embeddings().weight)  # LoRA's wrapper of an embedding has no num_embeddings
    named = {"bos": tokenizer.bos_token_id, "eos": tokenizer.eos_token_id, "pad": tokenizer.pad_token_id}
    known = {name: i for name, i in named.items() if i is not None and i < size}
    unknown = {name: i for name, i in named.items() if i is not None and i >= size}
    stop = sorted(ends | ({known["eos"]} if "eos" in known else set()))
    pad = known.get("pad", stop[0] if stop else None)
    if unknown:
        names = ", ".join(f"{tokenizer.convert_ids_to_tokens(i)!r} ({name}, {i})" for name, i in unknown.items())
        instead = f"; {tokenizer.convert_ids_to_tokens(pad)!r} pads instead" if "pad" in unknown and stop else ""
        note(f"the model has {size:,} embeddings, none for {names}: the saved model does not name them{instead}")
    if "pad" in unknown:
        tokenizer.pad_token = None if pad is None else tokenizer.convert_ids_to_tokens(pad)
    model.config.use_cache = True
    for config in (model.config, model.generation_config):
        config.eos_token_id = stop[0] if len(stop) == 1 else stop or None
        config.bos_token_id, config.pad_token_id = known.get("bos"), pad
