"""Local models: let them answer, remember which template they were trained with. Public, with what loads them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from filial.contracts.errors import UsageError
from filial.contracts.kinds import Template
from filial.contracts.records import Record
from filial.labels.encoder import Encoder
from filial.local.cores import cores as cores
from filial.local.cores import threads as threads
from filial.local.pretrained import import_torch as import_torch
from filial.local.pretrained import load_model as load_model
from filial.local.pretrained import load_tokenizer as load_tokenizer

if TYPE_CHECKING:
    from filial.plugins.manager import Manager

TEMPLATE_FILE = "filial_template.json"


def answer(
    model_dir: str | Path,
    records: Sequence[Record | str],
    template: Template,
    *,
    max_new_tokens: int = 256,
    batch_size: int = 32,
    thread_count: int | Literal["auto"] = "auto",
) -> list[str]:
    """What a model answers to each record, greedily.

    Args:
        records: questions; an answer that a record has is not shown to the model. A string is an instruction.
        template: the one the model was trained with; it is bound to the model's tokenizer here.
        max_new_tokens: tokens per answer at most, fewer where the model's context ends first.

    Returns:
        Answers in the order of ``records``, without blanks at both ends. Empty where a question leaves no room.

    Raises:
        MissingExtra, UsageError: as for `load_model` and `load_tokenizer`.
    """
    torch = import_torch()
    torch.set_num_threads(threads(thread_count))
    model, tokenizer = load_model(model_dir, encoder_decoder=True), load_tokenizer(model_dir)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    return replies(
        model, tokenizer, records, template.bind(tokenizer), max_new_tokens=max_new_tokens, batch_size=batch_size
    )


def replies(
    model: Any,
    tokenizer: Any,
    records: Sequence[Record | str],
    template: Template,
    *,
    max_new_tokens: int = 256,
    batch_size: int = 32,
) -> list[str]:
    """As `answer`, for a model in memory and a template that is bound to its tokenizer."""
    limits = {"max_new_tokens": max_new_tokens, "batch_size": batch_size}
    return [text for text, _ in ended_replies(model, tokenizer, records, template, **limits)]


def ended_replies(
    model: Any, tokenizer: Any, records: Sequence[Record | str], template: Template, *, max_new_tokens: int = 256,
    batch_size: int = 32,
) -> list[tuple[str, bool]]:  # fmt: skip
    """As `replies`; beside each answer, whether a stop token ended it rather than the limit."""
    encoder = Encoder(tokenizer)
    asked = [question(Record(instruction=r) if isinstance(r, str) else r) for r in records]
    closing = encoder.closing if model.config.is_encoder_decoder else []
    prompts = [encoder.encode(template.render(r)).ids + closing for r in asked]
    special = encoder.special_ids
    limits = {"max_new_tokens": max_new_tokens, "batch_size": batch_size}
    out = generate_ended(model, prompts, stops(model, tokenizer), **limits)
    return [(tokenizer.decode([i for i in ids if i not in special]).strip(), ended) for ids, ended in out]


def question(record: Record) -> Record:
    """The record without its answer: what is left to answer."""
    if not record.messages:
        return record.replaced(output="") if record.output else record
    if record.messages[-1].role == "assistant" and len(record.messages) > 1:
        return record.replaced(messages=record.messages[:-1])
    return record


def stops(model: Any, tokenizer: Any) -> list[int]:
    """The tokens that end an answer: those the model names and the tokenizer's end token."""
    named = model.generation_config.eos_token_id
    ids = {*(named if isinstance(named, Iterable) else [named]), tokenizer.eos_token_id}
    return sorted(i for i in ids if i is not None)


def generate(
    model: Any, prompts: Sequence[list[int]], stop: Sequence[int], *, max_new_tokens: int, batch_size: int = 32
) -> list[list[int]]:
    """Greedy answers, without the stop token, in the order of the prompts.

    Prompts of like length share a batch, padded and masked so that positions count from each prompt's own first
    token. The same prompts in the same batches give the same tokens.
    """
    limits = {"max_new_tokens": max_new_tokens, "batch_size": batch_size}
    return [tokens for tokens, _ in generate_ended(model, prompts, stop, **limits)]


def generate_ended(
    model: Any, prompts: Sequence[list[int]], stop: Sequence[int], *, max_new_tokens: int, batch_size: int = 32
) -> list[tuple[list[int], bool]]:
    """As `generate`; beside each answer, whether a stop token ended it rather than the limit."""
    torch = import_torch()
    results: list[tuple[list[int], bool]] = [([], False) for _ in prompts]
    order = sorted((i for i, p in enumerate(prompts) if _room(model, len(p)) > 0), key=lambda i: (len(prompts[i]), i))
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        for at in range(0, len(order), batch_size):
            batch = order[at : at + batch_size]
            new = int(min(max_new_tokens, _room(model, len(prompts[batch[-1]]))))
            for i, tokens in zip(batch, _answered(torch, model, [prompts[i] for i in batch], stop, new), strict=True):
                end = next((k for k, token in enumerate(tokens) if token in stop), len(tokens))
                results[i] = (tokens[:end], end < len(tokens))
    model.train(was_training)
    return results


def _room(model: Any, width: int) -> float:
    """How many tokens can answer a prompt of ``width`` tokens: those behind it, or in a decoder of their own."""
    most = getattr(model.config, "max_position_embeddings", None) or math.inf
    if model.config.is_encoder_decoder:
        return most - 1 if width <= most else 0
    return most - width


def _answered(torch: Any, model: Any, prompts: list[list[int]], stop: Sequence[int], new: int) -> list[list[int]]:
    """One batch through the model's own generation loop; rows may run on after their stop token."""
    from transformers import GenerationConfig

    width, apart = len(prompts[-1]), model.config.is_encoder_decoder
    ids = torch.tensor([_padded(p, width, left=not apart) for p in prompts], device=model.device)
    mask = torch.tensor([_padded([1] * len(p), width, left=not apart) for p in prompts], device=model.device)
    config = GenerationConfig(
        max_new_tokens=new, do_sample=False, num_beams=1, repetition_penalty=1.0, use_cache=True,
        eos_token_id=list(stop) or None, pad_token_id=stop[0] if stop else 0,
    )  # fmt: skip
    out = model.generate(input_ids=ids, attention_mask=mask, generation_config=config)
    return [list(row) for row in out[:, 1 if apart else width :].tolist()]


def _padded(values: list[int], width: int, *, left: bool) -> list[int]:
    padding = [0] * (width - len(values))
    return padding + values if left else values + padding


def save_template(model_dir: str | Path, spec: dict[str, Any]) -> None:
    """Note in a model's folder which template it was trained with, as a recipe would: ``{"use": name, options}``.

    Raises:
        FilialError: the folder cannot be written, or the disk is full.
    """
    from filial.storage import write_bytes

    write_bytes(Path(model_dir) / TEMPLATE_FILE, msgspec.json.format(msgspec.json.encode(spec), indent=2) + b"\n")


def load_template(model_dir: str | Path, manager: Manager | None = None) -> Template | None:
    """The template a model was trained with; None if its folder does not say.

    Without a manager, only installed templates are known.

    Raises:
        UsageError: the note cannot be read, or names a template that is not installed.
    """
    path = Path(model_dir) / TEMPLATE_FILE
    if not path.is_file():
        return None
    try:
        spec = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise UsageError(f"{path}: {error}; write a template's name and options there, or delete the file") from error
    from filial.plugins.manager import Manager

    template = (manager or Manager()).build("templates", spec)
    assert isinstance(template, Template)
    return template
