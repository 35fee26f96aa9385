"""LoRA: small matrices beside frozen ones are trained (Hu et al., 2021), by way of peft.

An adapter may be merged into the model at the end. That is done in float32 whatever the base was kept in, since a
half-precision matrix would round most of a small change away, and it is checked: merged and unmerged model must say
the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from filial import Field, MissingExtra, UsageError
from filial_plugins.trainers.rows.store import Row
from filial_plugins.trainers.steps.batching import padded

ALIKE = 1e-3  # largest difference of a logit before and after merging, in float32, as a share of the largest logit
LOOKED_AT = 64  # first tokens of a row, whatever it holds beyond: what is compared is all logits, not those of targets


class LoRA(BaseModel):
    """What is trained instead of the whole model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int = Field(16, ge=1, description="Rank of the added matrices.")
    alpha: float = Field(32.0, gt=0, description="Strength: what they add is multiplied by alpha / rank.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout in front of them.")
    targets: tuple[str, ...] | Literal["all-linear"] = Field(
        "all-linear", description="Names of the layers that get them; all-linear: every one but the output head."
    )
    tokens: tuple[str, ...] = Field(
        (), description="Tokens whose embeddings are trained too, such as new ones of a chat format."
    )
    merge: bool = Field(True, description="Merge them into the model at the end; otherwise an adapter is saved.")


def import_peft() -> Any:
    """peft.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import peft
    except ImportError as error:
        raise MissingExtra("LoRA needs peft, which is not installed: pip install 'filial[lora]'") from error
    return peft


def adapted(model: Any, options: LoRA, tokenizer: Any, source: str) -> Any:
    """The model with untrained adapters in it, all else frozen.

    Raises:
        MissingExtra: peft is not installed.
        UsageError: the model has no such layers, or the tokenizer no such tokens.
    """
    peft = import_peft()
    config = peft.LoraConfig(
        r=options.rank, lora_alpha=options.alpha, lora_dropout=options.dropout, task_type="CAUSAL_LM",
        target_modules=options.targets if options.targets == "all-linear" else list(options.targets),
        trainable_token_indices=_indices(options.tokens, tokenizer, source) or None,
    )  # fmt: skip
    try:
        made = peft.get_peft_model(model, config)
    except ValueError as error:
        layers = sorted({name.rpartition(".")[2] for name, m in model.named_modules() if not any(m.children())})
        raise UsageError(f"lora.targets {options.targets!r}: {error}; the model's layers are {layers}") from error
    made.peft_config["default"].base_model_name_or_path = source
    return made


def merge(model: Any, torch: Any, rows: Sequence[Row]) -> float:
    """Merge a model's adapters into it, in float32. Returns how far its logits on these rows moved by that.

    The distance is a share of the largest logit. Where it is above `ALIKE` the two models are not the same, and the
    adapters are taken out again.
    """
    model.float().eval()
    sample = padded([Row(row.ids[:LOOKED_AT], row.targets[:0]) for row in rows], torch, model.device)
    with torch.no_grad():
        before = model(input_ids=sample.ids, use_cache=False).logits
        model.merge_adapter()
        after = model(input_ids=sample.ids, use_cache=False).logits
    moved = float((after - before).abs().max() / before.abs().max())
    if not moved <= ALIKE:
        model.unmerge_adapter()
    return moved


def is_adapter(model: Any) -> bool:
    """Whether only adapters are saved of this model."""
    return hasattr(model, "peft_config")


def save_adapter(model: Any, folder: Path) -> None:
    """Adapters, what they belong to, and how they answer; by config.json the folder is known as a model."""
    model.save_pretrained(folder)
    model.get_base_model().config.save_pretrained(folder)
    model.get_base_model().generation_config.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)  # peft's own, all of it to be filled in


def _indices(tokens: Sequence[str], tokenizer: Any, source: str) -> list[int]:
    """The ids of some tokens."""
    vocabulary = tokenizer.get_vocab()
    if unknown := [token for token in tokens if token not in vocabulary]:
        raise UsageError(f"lora.tokens: {source} has no token {unknown[0]!r}; name tokens of its vocabulary")
    return [vocabulary[token] for token in tokens]
