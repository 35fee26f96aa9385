"""Generate greedy answers of a model in memory, in batches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from filial import Record, Template
from filial.labels import Encoder
from filial_plugins.local.pretrained import import_torch


def answer_records(
    model: Any, tokenizer: Any, records: Sequence[Record | str], template: Template, *, max_new_tokens: int = 256,
    batch_size: int = 32,
) -> list[tuple[str, bool]]:  # fmt: skip
    """Let a model in memory answer each record greedily.

    Args:
        records: questions; an answer in a record is not shown to the model. A string is an instruction.
        template: the one the model is trained with, bound to its tokenizer.
        max_new_tokens: tokens per answer at most; fewer if the model's context is full before.

    Returns:
        For each record the answer without surrounding white space, and whether a stop token ended it. The answer is
        empty if the question leaves no room for one.
    """
    encoder = Encoder(tokenizer)
    asked = [(Record(instruction=r) if isinstance(r, str) else r).without_answer() for r in records]
    closing = encoder.closing if model.config.is_encoder_decoder else []
    prompts = [encoder.encode(template.render(r)).ids + closing for r in asked]
    special = encoder.special_ids
    limits = {"max_new_tokens": max_new_tokens, "batch_size": batch_size}
    out = generate_answers(model, prompts, find_stop_ids(model, tokenizer), **limits)
    return [(tokenizer.decode([i for i in ids if i not in special]).strip(), ended) for ids, ended in out]


def find_stop_ids(model: Any, tokenizer: Any) -> list[int]:
    """Return the tokens that end an answer: those of the generation config and the tokenizer's end token."""
    named = model.generation_config.eos_token_id
    ids = {*(named if isinstance(named, Iterable) else [named]), tokenizer.eos_token_id}
    return sorted(i for i in ids if i is not None)


def generate_answers(
    model: Any, prompts: Sequence[list[int]], stop: Sequence[int], *, max_new_tokens: int, batch_size: int = 32
) -> list[tuple[list[int], bool]]:
    """Generate greedy answers without the stop token, in the order of the prompts, and whether a stop token ended each.

    Prompts of similar length share a batch, padded and masked so that positions count from each prompt's own first
    token. The same prompts in the same batches give the same tokens.
    """
    torch = import_torch()
    results: list[tuple[list[int], bool]] = [([], False) for _ in prompts]
    order = sorted(
        (i for i, p in enumerate(prompts) if _count_free_tokens(model, len(p)) > 0), key=lambda i: (len(prompts[i]), i)
    )
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        for at in range(0, len(order), batch_size):
            batch = order[at : at + batch_size]
            new = int(min(max_new_tokens, _count_free_tokens(model, len(prompts[batch[-1]]))))
            for i, tokens in zip(
                batch, _generate_batch(torch, model, [prompts[i] for i in batch], stop, new), strict=True
            ):
                end = next((k for k, token in enumerate(tokens) if token in stop), len(tokens))
                results[i] = (tokens[:end], end < len(tokens))
    model.train(was_training)
    return results


def _count_free_tokens(model: Any, width: int) -> float:
    """Return how many tokens can answer a prompt of ``width`` tokens: the rest of the context, or that of a decoder."""
    most = getattr(model.config, "max_position_embeddings", None) or math.inf
    if model.config.is_encoder_decoder:
        return most - 1 if width <= most else 0
    return most - width


def _generate_batch(torch: Any, model: Any, prompts: list[list[int]], stop: Sequence[int], new: int) -> list[list[int]]:
    """Generate answers with the model's own loop; rows may continue after their stop token."""
    from transformers import GenerationConfig

    width, apart = len(prompts[-1]), model.config.is_encoder_decoder
    # A decoder-only model continues the prompt, so padding must be on the left; an encoder reads it on the right.
    ids = torch.tensor([_pad(p, width, left=not apart) for p in prompts], device=model.device)
    mask = torch.tensor([_pad([1] * len(p), width, left=not apart) for p in prompts], device=model.device)
    config = GenerationConfig(
        max_new_tokens=new, do_sample=False, num_beams=1, repetition_penalty=1.0, use_cache=True,
        eos_token_id=list(stop) or None, pad_token_id=stop[0] if stop else 0,
    )  # fmt: skip
    out = model.generate(input_ids=ids, attention_mask=mask, generation_config=config)
    return [list(row) for row in out[:, 1 if apart else width :].tolist()]


def _pad(values: list[int], width: int, *, left: bool) -> list[int]:
    padding = [0] * (width - len(values))
    return padding + values if left else values + padding
