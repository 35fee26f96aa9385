"""Options that all trainers here have."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import model_validator

from filial import Field, Teacher, TrainContext, Trainer
from filial_plugins.teachers.transformers import Transformers

Reporter = Literal["tensorboard", "wandb", "trackio"]


class GradientTrainer(Trainer):
    """Training by gradient descent, for every kind of model.

    It ends at the first bound that is reached: epochs, steps, seconds of wall clock or of CPU. The learning rate
    follows the bound that is nearest, so that a run that is limited by time decays to the end, too. Without a bound: 3
    epochs.
    """

    requires: ClassVar[tuple[str, ...]] = ("torch", "transformers", "safetensors")
    extra: ClassVar[str] = "train"

    epochs: float | None = Field(None, gt=0, description="Maximum passes over the data.")
    max_steps: int | None = Field(None, ge=1, description="Maximum updates of the weights.")
    max_seconds: float | None = Field(None, gt=0, description="Maximum seconds of training.")
    max_cpu_seconds: float | None = Field(None, gt=0, description="Maximum CPU seconds of training.")
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
    clip: float = Field(1.0, gt=0, description="Maximum norm of the gradient.")
    dtype: Literal["float32", "bfloat16"] = Field(
        "float32", description="Precision of computation; weights that are trained stay in float32."
    )
    gradient_checkpointing: bool = Field(
        False,
        description="Compute activations twice instead of storing them: a third more work, far less memory.",
    )
    threads: int | Literal["auto"] = Field("auto", description="CPU threads; auto: the fastest number, measured.")
    launch: int = Field(
        1, ge=1, description="Processes to train with, one per device; torchrun and accelerate launch work, too."
    )
    seed: int | None = Field(None, description="Seed of row order and dropout; by default the run's seed.")
    eval_every: int | None = Field(
        None, ge=1, description="Steps between evaluations on held-out records; by default only at the end."
    )
    samples: int = Field(3, ge=0, description="Held-out questions to answer at each evaluation.")
    sample_tokens: int = Field(64, ge=1, description="Maximum tokens of such an answer.")
    log_every: int = Field(10, ge=1, description="Steps between lines of training.jsonl.")
    checkpoint_steps: int | None = Field(None, ge=1, description="Steps between checkpoints.")
    checkpoint_seconds: float | None = Field(
        600.0, gt=0, description="Seconds between checkpoints; the last two are kept until the model is saved."
    )
    report_to: tuple[Reporter, ...] = Field((), description="Services that also receive the figures of training.")

    @model_validator(mode="after")
    def _each_report_once(self) -> Self:
        if len(set(self.report_to)) < len(self.report_to):
            raise ValueError("report_to names a service twice")
        return self

    def teacher(self, out: Path) -> Teacher:
        """Return the saved model as a teacher, computed in float32 whatever dtype it was saved in."""
        return Transformers(model=str(out), dtype="float32")

    def choose_seed(self, ctx: TrainContext) -> int:
        """Return the seed of row order and dropout: the option, or else the seed of the run."""
        return ctx.seed if self.seed is None else self.seed

    def with_bound(self) -> Self:
        """Return these options with at least one bound: 3 epochs if there is none."""
        bounds = (self.epochs, self.max_steps, self.max_seconds, self.max_cpu_seconds)
        return self if any(bounds) else self.model_copy(update={"epochs": 3.0})


WITHOUT_EFFECT = frozenset(
    {
        "threads", "launch", "log_every", "eval_every", "samples", "sample_tokens", "checkpoint_steps",
        "checkpoint_seconds", "report_to", "sharding",
    }
)  # fmt: skip
"""Options that change the trained weights by rounding at most; a checkpoint fits all their values."""
