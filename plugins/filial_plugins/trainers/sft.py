"""Supervised fine-tuning of a causal language model.

The order of things, top to bottom: options; `train`, which prepares and trains; `RowLessons`, what a step computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator

from filial import Field, FilialError, Template, TrainContext, UsageError, hookimpl
from filial.labels import Encoder
from filial_plugins.local.pretrained import check_trainable, import_torch, load_model
from filial_plugins.trainers.devices.launching import Job, member, together
from filial_plugins.trainers.devices.sharding import sharded
from filial_plugins.trainers.devices.team import Team
from filial_plugins.trainers.lora import ALIKE, LoRA, adapted, import_peft, is_adapter, merge
from filial_plugins.trainers.options import Tuning
from filial_plugins.trainers.results import reports
from filial_plugins.trainers.results.saving import check_target, fit_for_asking
from filial_plugins.trainers.rows.caching import prepared
from filial_plugins.trainers.rows.material import Material, gathered
from filial_plugins.trainers.rows.over_long import OverLong
from filial_plugins.trainers.rows.store import Row, TokenStore
from filial_plugins.trainers.session import Session, keep_fewer_activations, located
from filial_plugins.trainers.steps import ordering
from filial_plugins.trainers.steps.attention import NAME, attention
from filial_plugins.trainers.steps.batching import Batch, flat, padded
from filial_plugins.trainers.steps.exactness import difference
from filial_plugins.trainers.steps.lessons import Lessons
from filial_plugins.trainers.steps.loss import loss_of


class SFT(Tuning):
    """Fine-tuning of a causal language model on answers, whole or by LoRA.

    Training ends at the first bound that is reached: epochs, steps, seconds of wall clock or of CPU. The learning rate
    follows the bound that is nearest, so that a run bounded by time decays as it should. With no bound: 3 epochs.

    It goes on from its last checkpoint by itself when the same training is started again.
    """

    max_length: int = Field(512, ge=2, description="Longest row, in tokens; with packing: pack also a packed row's.")
    over_long: OverLong = Field(
        "drop", description="What happens to longer rows: they are left out, or made shorter where that is possible."
    )
    packing: Literal["auto", "pack", "off"] = Field(
        "auto",
        description="auto: rows of a batch lie end to end, without padding, where this model is shown to compute the "
        "same as one row at a time. pack: that, and a row of the batch is max_length tokens full of rows. off: padded.",
    )
    lora: LoRA | None = Field(None, description="Train small matrices beside frozen ones; {} takes the defaults.")
    sharding: Literal["none", "fsdp"] = Field(
        "none",
        description="fsdp: each process keeps a part of the weights, gradients and AdamW's state instead of all.",
    )

    @model_validator(mode="after")
    def _muon_is_for_whole_matrices(self) -> SFT:
        if self.lora and self.optimizer == "muon":
            raise ValueError("muon is for whole matrices, not for LoRA's; choose optimizer: adamw")
        return self

    @model_validator(mode="after")
    def _shards_are_of_whole_models_and_adamw(self) -> SFT:
        if self.sharding != "none" and (self.lora or self.optimizer != "adamw"):
            raise ValueError("sharding is for full fine-tuning with adamw; choose sharding: none for LoRA and muon")
        return self

    def check_model(self, model: str) -> None:
        """Refuse what has an encoder, and what no trainer here trains."""
        check_trainable(model)

    def train(self, data: Path, model: str, template: Template, out: Path, ctx: TrainContext) -> dict[str, Any]:
        """Train on ``data/train.jsonl``; score on ``data/heldout.jsonl`` where there is one; save to ``out``.

        Returns:
            Steps, epochs, seconds, tokens, losses (per trained token), dropped records by reason, sample answers.

        Raises:
            UsageError: there is nothing to train on, or model, tokenizer, template and options do not fit together, or
                ``out`` holds something that is no model.
            FilialError: the loss stopped being a number (the weights before that are kept beside ``out``), or
                something cannot be saved, or there is not enough memory.
        """
        torch = import_torch()
        check_target(out)
        reports.check(self.report_to)
        if self.lora:
            import_peft()
        if self.sharding != "none" and self.launch == 1 and not member():
            raise UsageError(
                "sharding shares a model out among processes, and this is one alone; add launch: 2 or more, or start "
                "it with torchrun or accelerate launch"
            )
        job = Job(self, data, model, template, out, ctx.seed, ctx.base, ctx.cache)
        return together(job, ctx, torch, lambda team, heard: self._trained(job, heard, torch, team))

    def _trained(self, job: Job, ctx: TrainContext, torch: Any, team: Team) -> dict[str, Any]:
        """As `train`, in each of the processes that train together."""
        source = located(job.model, ctx)

        def prepare(path: Path, template: Template, encoder: Encoder) -> TokenStore:
            return prepared(path, template, encoder, self.max_length, self.over_long, ctx.cache)

        material = gathered(job.data, source, job.template, prepare, self.samples)
        network = self._network(source, material, torch, ctx)
        if self.sharding == "none":
            network = network.to(team.device)  # else it goes there part by part
        way = "Training of LoRA adapters" if self.lora else "Full fine-tuning"
        session = Session(self, "sft", torch, team, ctx, network, material, source, job.out, way)
        fit_for_asking(material.tokenizer, material.template, ctx.note)
        with ExitStack() as stack:
            lessons = RowLessons(session, stack)
            figures = session.conduct(lessons, lessons.merged if self.lora and self.lora.merge else None)
        return figures | {"batches": lessons.way}

    def _network(self, source: str, material: Material, torch: Any, ctx: TrainContext) -> Any:
        """The model to train, with adapters where they are asked for."""
        torch.manual_seed(self.seed_in(ctx))
        # Frozen weights lose nothing by half precision; weights that are trained would round most updates away.
        network = load_model(source, self.dtype if self.lora else "float32", to_train=True)
        material.check_vocabulary(network, source)
        if self.gradient_checkpointing:
            keep_fewer_activations(network)
        return adapted(network, self.lora, material.tokenizer, source) if self.lora else network


class RowLessons(Lessons):
    """What a step computes: the `Work` of the loop.

    Args:
        stack: the model's attention is replaced until this ends.
    """

    options: SFT
    loss: Any  # where weights are sharded, a module

    def __init__(self, session: Session, stack: ExitStack) -> None:
        super().__init__(session)
        self.network = session.model.get_base_model() if is_adapter(session.model) else session.model
        self.own_attention = self.network.config._attn_implementation
        wish = self.options.packing
        why = "packing is off" if wish == "off" else difference(self.network, self.torch, self.rows[:4])
        if why and wish == "pack":
            raise UsageError(
                f"{session.source}: rows cannot be packed, for {why}; choose packing: auto, which pads them"
            )
        if why and wish == "auto":
            session.ctx.note(f"rows are padded, not laid end to end, for {why}")
        self.way = f"padded: {why}" if why else {"auto": "end to end", "pack": "packed"}[wish]
        self.collate = padded if why else flat
        if not why:
            stack.enter_context(attention(self.network, NAME))
        self.loss = loss_of(self.network, self.torch, self.collate(self.rows[:2], self.torch, self.network.device))
        if self.options.sharding != "none":
            if not self.network._no_split_modules:
                session.ctx.note(f"{session.source} does not say what its layers are: it is gathered as a whole")
            half, device = self.options.dtype == "bfloat16", self.team.device.type
            self.loss = sharded(self.network, self.loss, self.torch, device=device, half=half)
            self.scale = self.team.size  # gradients come as a mean over processes

    def steps(self, epoch: int) -> list[ordering.Step]:
        """Packed, in any order, or of like length where they are padded."""
        o, seed = self.options, self.session.seed
        size = o.batch_size * o.grad_accumulation
        if self.way == "packed":
            return ordering.packed(self.rows.lengths, o.max_length, size, seed, epoch)
        if self.collate is flat:
            return ordering.shuffled(len(self.rows), size, seed, epoch)
        return ordering.alike(self.rows.lengths, size, seed, epoch)

    def batch(self, rows: Sequence[Row]) -> Batch:
        """Some rows as tensors."""
        return self.collate(rows, self.torch, self.team.device)

    def passes(self, mine: Sequence[int]) -> list[tuple[Sequence[int], int]]:
        """As ever; where weights are gathered, all processes make as many, some of them for nothing."""
        own = super().passes(mine)
        if self.options.sharding == "none":
            return own
        return own + [([0], 0)] * (self.team.most(len(own)) - len(own))

    def score(self, rows: TokenStore) -> float:
        """Mean loss per trained token, whatever the batches and processes."""
        figure = super().score(rows)
        if self.options.sharding != "none":
            self.loss.reshard()  # a backward pass would have done it
        return figure

    def answers(self, network: Any) -> dict[str, Any]:
        """What the model says to some questions, with its own attention."""
        with attention(network, self.own_attention):
            return super().answers(network)

    def merged(self, figures: dict[str, Any]) -> Any:
        """The model with its adapters merged into it.

        Raises:
            FilialError: it says something else than the trained one.
        """
        model = self.session.model
        with attention(self.network, self.own_attention):
            figures["merge_difference"] = moved = merge(model, self.torch, self.rows[:2])
        if not moved <= ALIKE:
            raise FilialError(
                f"merged into the model, the adapters do not do what they did before (a logit moved by {moved:.1%} of "
                "the largest), so they stay unmerged"
            )
        return model.unload()


@hookimpl
def register_trainers(register):  # type: ignore[no-untyped-def]
    register("sft", SFT)
