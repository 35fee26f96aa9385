"""LoRA: train small matrices beside frozen ones (Hu et al., 2021), with peft.

Adapters can be merged into the model at the end. Merging is done in float32, whatever the dtype of the base model: in
half precision most of a small change would be lost to rounding. The result is checked: the merged model must compute
the same logits as the unmerged one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from filial import Field, MissingExtra, UsageError
from filial_plugins.trainers.rows.store import Row
from filial_plugins.trainers.steps.batches import collate_padded

MERGE_TOLERANCE = (
    1e-3  # largest difference of a logit before and after merging, in float32, as a share of the largest logit
)
COMPARED_TOKENS = (
    64  # first tokens of a row, whatever it holds beyond: what is compared is all logits, not those of targets
)


class LoRA(BaseModel):
    """What is trained instead of the whole model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int = Field(16, ge=1, description="Rank of the added matrices.")
    alpha: float = Field(32.0, gt=0, description="Strength: what the matrices add is multiplied by alpha / rank.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout before the added matrices.")
    targets: tuple[str, ...] | Literal["all-linear"] = Field(
        "all-linear", description="Names of the layers that get added matrices; all-linear: all but the output head."
    )
    tokens: tuple[str, ...] = Field(
        (), description="Tokens whose embeddings are also trained, for example new ones of a chat format."
    )
    merge: bool = Field(True, description="Merge the matrices into the model at the end; else an adapter is saved.")


def import_peft() -> Any:
    """Import peft.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import peft
    except ImportError as error:
        raise MissingExtra("LoRA needs peft, which is not installed: pip install 'filial[lora]'") from error
    return peft


def add_adapters(model: Any, options: LoRA, tokenizer: Any, source: str) -> Any:
    """Return the model with untrained adapters, everything else frozen.

    Raises:
        MissingExtra: peft is not installed.
        UsageError: the model has no such layers, or the tokenizer no such tokens.
    """
    peft = import_peft()
    config = peft.LoraConfig(
        r=options.rank, lora_alpha=options.alpha, lora_dropout=options.dropout, task_type="CAUSAL_LM",
        target_modules=options.targets if options.targets == "all-linear" else list(options.targets),
        trainable_token_indices=_find_token_ids(options.tokens, tokenizer, source) or None,
    )  # fmt: skip
    try:
        made = peft.get_peft_model(model, config)
    except ValueError as error:
        layers = sorted({name.rpartition(".")[2] for name, m in model.named_modules() if not any(m.children())})
        raise UsageError(f"lora.targets {options.targets!r}: {error}; the model's layers are {layers}") from error
    made.peft_config["default"].base_model_name_or_path = source
    return made


def merge_adapters(model: Any, torch: Any, rows: Sequence[Row]) -> float:
    """Merge the adapters into the model, in float32. Returns how much its logits on these rows changed.

    The change is the largest difference as a share of the largest logit. Above `MERGE_TOLERANCE` the models are not
    equal, and the adapters are unmerged again.
    """
    model.float().eval()
    sample = collate_padded(
        [Row(row.ids[:COMPARED_TOKENS], row.trained_positions[:0]) for row in rows], torch, model.device
    )
    with torch.no_grad():
        before = model(input_ids=sample.ids, use_cache=False).logits
        model.merge_adapter()
        after = model(input_ids=sample.ids, use_cache=False).logits
    moved = float((after - before).abs().max() / before.abs().max())
    if not moved <= MERGE_TOLERANCE:
        model.unmerge_adapter()
    return moved


def is_adapter(model: Any) -> bool:
    """Return whether only adapters of this model are saved."""
    return hasattr(model, "peft_config")


def save_adapter(model: Any, folder: Path) -> None:
    """Save the adapters with the configuration of their base model; config.json makes the folder known as a model."""
    model.save_pretrained(folder)
    model.get_base_model().config.save_pretrained(folder)
    model.get_base_model().generation_config.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)  # peft's own, all of it to be filled in


def _find_token_ids(tokens: Sequence[str], tokenizer: Any, source: str) -> list[int]:
    """Return the ids of these tokens."""
    vocabulary = tokenizer.get_vocab()
    if unknown := [token for token in tokens if token not in vocabulary]:
        raise UsageError(f"lora.tokens: {source} has no token {unknown[0]!r}; name tokens of its vocabulary")
    return [vocabulary[token] for token in tokens]
