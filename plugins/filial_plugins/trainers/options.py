"""Options that every trainer here has."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import model_validator

from filial import Field, Teacher, TrainContext, Trainer
from filial_plugins.teachers.transformers import Transformers

Report = Literal["tensorboard", "wandb", "trackio"]


class Tuning(Trainer):
    """Training with gradients, whatever the model's kind.

    It ends at the first bound that is reached: epochs, steps, seconds of wall clock or of CPU. The learning rate
    follows the bound that is nearest, so that a run bounded by time decays as it should. With no bound: 3 epochs.
    """

    requires: ClassVar[tuple[str, ...]] = ("torch", "transformers", "safetensors")
    extra: ClassVar[str] = "train"

    epochs: float | None = Field(None, gt=0, description="Passes over the data at most.")
    max_steps: int | None = Field(None, ge=1, description="Updates at most.")
    max_seconds: float | None = Field(None, gt=0, description="Seconds of training at most.")
    max_cpu_seconds: float | None = Field(None, gt=0, description="CPU seconds of training at most.")
    batch_size: int = Field(32, ge=1, description="Rows computed at once.")
    grad_accumulation: int = Field(
        1, ge=1, description="Batches per update; an update sees batch_size x grad_accumulation rows on all devices."
    )
    lr: float = Field(2e-5, gt=0, description="Peak learning rate (with muon: that of the hidden matrices).")
    optimizer: Literal["adamw", "muon"] = Field("adamw", description="How weights are updated.")
    adam_lr: float = Field(3e-3, gt=0, description="With muon: peak learning rate of everything else.")
    beta2: float = Field(0.999, gt=0, lt=1, description="AdamW's second decay rate.")
    weight_decay: float = Field(0.0, ge=0, description="Decay of the weight matrices; norms and biases have none.")
    schedule: Literal["cosine", "linear", "constant", "trapezoid"] = Field(
        "cosine", description="How the learning rate falls after warm-up; trapezoid: from 40 % on, linearly."
    )
    warmup: float = Field(0.03, ge=0, lt=1, description="Share of the training in which the learning rate rises.")
    lr_floor: float = Field(0.0, ge=0, le=1, description="Lowest learning rate, as a share of the peak.")
    clip: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    dtype: Literal["float32", "bfloat16"] = Field(
        "float32", description="Precision of computation; weights that are trained stay in float32."
    )
    gradient_checkpointing: bool = Field(
        False, description="Compute activations twice instead of keeping them: a third more work, far less memory."
    )
    threads: int | Literal["auto"] = Field("auto", description="CPU threads; auto: the fastest number, measured.")
    launch: int = Field(
        1, ge=1, description="Processes to train with, one per device; torchrun and accelerate launch do as well."
    )
    seed: int | None = Field(None, description="Order of the data and dropout; by default the run's seed.")
    eval_every: int | None = Field(
        None, ge=1, description="Steps between looks at the held-out records; by default only at the end."
    )
    samples: int = Field(3, ge=0, description="Held-out questions to answer at each look.")
    sample_tokens: int = Field(64, ge=1, description="Tokens of such an answer at most.")
    log_every: int = Field(10, ge=1, description="Steps between lines of training.jsonl.")
    checkpoint_steps: int | None = Field(None, ge=1, description="Steps between checkpoints.")
    checkpoint_seconds: float | None = Field(
        600.0, gt=0, description="Seconds between checkpoints; the last two are kept until the model is saved."
    )
    report_to: tuple[Report, ...] = Field((), description="Where else figures are sent.")

    @model_validator(mode="after")
    def _each_report_once(self) -> Self:
        if len(set(self.report_to)) < len(self.report_to):
            raise ValueError("report_to names a place twice")
        return self

    def teacher(self, out: Path) -> Teacher:
        """A saved model, asked in full precision whatever it was saved in."""
        return Transformers(model=str(out), dtype="float32")

    def seed_in(self, ctx: TrainContext) -> int:
        """The seed of order and dropout."""
        return ctx.seed if self.seed is None else self.seed

    def bounded(self) -> Self:
        """These options with a bound: 3 epochs where there is none."""
        bounds = (self.epochs, self.max_steps, self.max_seconds, self.max_cpu_seconds)
        return self if any(bounds) else self.model_copy(update={"epochs": 3.0})


WITHOUT_EFFECT = frozenset(
    {
        "threads", "launch", "log_every", "eval_every", "samples", "sample_tokens", "checkpoint_steps",
        "checkpoint_seconds", "report_to", "sharding",
    }
)  # fmt: skip
"""Options that change the trained weights by rounding at most; a checkpoint is good for all their values."""
