"""What a model in memory says: greedy answers to records, batch by batch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from filial import Record, Template
from filial.labels import Encoder
from filial_plugins.local.pretrained import import_torch


def ended_replies(
    model: Any, tokenizer: Any, records: Sequence[Record | str], template: Template, *, max_new_tokens: int = 256,
    batch_size: int = 32,
) -> list[tuple[str, bool]]:  # fmt: skip
    """What a model in memory says to each record, greedily; beside it, whether a stop token ended it, not the limit.

    Args:
        records: questions; an answer that a record has is not shown to the model. A string is an instruction.
        template: the one the model is trained with, bound to its tokenizer.
        max_new_tokens: tokens per answer at most, fewer where the model's context ends first.

    Returns:
        Answers in the order of ``records``, without blanks at both ends. Empty where a question leaves no room.
    """
    encoder = Encoder(tokenizer)
    asked = [(Record(instruction=r) if isinstance(r, str) else r).without_answer() for r in records]
    closing = encoder.closing if model.config.is_encoder_decoder else []
    prompts = [encoder.encode(template.render(r)).ids + closing for r in asked]
    special = encoder.special_ids
    limits = {"max_new_tokens": max_new_tokens, "batch_size": batch_size}
    out = generate_ended(model, prompts, stops(model, tokenizer), **limits)
    return [(tokenizer.decode([i for i in ids if i not in special]).strip(), ended) for ids, ended in out]


def stops(model: Any, tokenizer: Any) -> list[int]:
    """The tokens that end an answer: those the model names and the tokenizer's end token."""
    named = model.generation_config.eos_token_id
    ids = {*(named if isinstance(named, Iterable) else [named]), tokenizer.eos_token_id}
    return sorted(i for i in ids if i is not None)


def generate_ended(
    model: Any, prompts: Sequence[list[int]], stop: Sequence[int], *, max_new_tokens: int, batch_size: int = 32
) -> list[tuple[list[int], bool]]:
    """Greedy answers without the stop token, in the order of the prompts, and whether a stop token ended each.

    Prompts of like length share a batch, padded and masked so that positions count from each prompt's own first
    token. The same prompts in the same batches give the same tokens.
    """
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
