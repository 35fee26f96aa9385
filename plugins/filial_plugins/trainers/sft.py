"""Supervised fine-tuning of a causal language model.

Read from top to bottom: the options; `SFT.train`, which prepares the data and trains; `CausalRunner`, which computes a
step. The parts are in `rows` (tokens and loss masks), `steps` (batches and loss), `loop` (updates until a bound) and
`results` (the saved model).
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
from filial_plugins.trainers.devices.launch import TrainingCall, is_launched, run_training
from filial_plugins.trainers.devices.process_group import ProcessGroup
from filial_plugins.trainers.devices.sharding import shard_model
from filial_plugins.trainers.lora import MERGE_TOLERANCE, LoRA, add_adapters, import_peft, is_adapter, merge_adapters
from filial_plugins.trainers.options import GradientTrainer
from filial_plugins.trainers.results import reporters
from filial_plugins.trainers.results.saving import check_target, set_chat_template
from filial_plugins.trainers.rows.cache import prepare_rows
from filial_plugins.trainers.rows.over_long import OverLong
from filial_plugins.trainers.rows.store import Row, TokenStore
from filial_plugins.trainers.rows.training_data import TrainingData, load_training_data
from filial_plugins.trainers.session import Session, enable_gradient_checkpointing, locate_model
from filial_plugins.trainers.steps import order
from filial_plugins.trainers.steps.attention import ROW_ATTENTION, use_attention
from filial_plugins.trainers.steps.batches import CausalBatch, collate_flat, collate_padded
from filial_plugins.trainers.steps.equivalence import find_difference
from filial_plugins.trainers.steps.loss import choose_loss
from filial_plugins.trainers.steps.runner import BatchRunner


class SFT(GradientTrainer):
    """Fine-tuning of a causal language model on answers: all weights, or LoRA adapters.

    Training ends at the first bound that is reached: epochs, steps, seconds of wall clock or of CPU. The learning rate
    follows the bound that is nearest, so that a run with a time limit decays to the end as well. Without a bound: 3
    epochs.

    If the same training is started again, it resumes from its last checkpoint.
    """

    max_length: int = Field(512, ge=2, description="Maximum tokens of a row; with packing: pack also of a packed row.")
    over_long: OverLong = Field("drop", description="What to do with longer rows: drop them, or cut them if possible.")
    packing: Literal["auto", "pack", "off"] = Field(
        "auto",
        description="auto: rows of a batch lie end to end, without padding, if a test shows that this model computes "
        "the same as for one row at a time. pack: as auto, with rows packed to max_length tokens. off: padded.",
    )
    lora: LoRA | None = Field(None, description="Train small additional matrices; {} takes the defaults.")
    sharding: Literal["none", "fsdp"] = Field(
        "none",
        description="fsdp: each process stores only a part of the weights, gradients and AdamW state.",
    )

    @model_validator(mode="after")
    def _check_muon(self) -> SFT:
        if self.lora and self.optimizer == "muon":
            raise ValueError("muon does not train LoRA matrices; choose optimizer: adamw")
        return self

    @model_validator(mode="after")
    def _check_sharding(self) -> SFT:
        if self.sharding != "none" and (self.lora or self.optimizer != "adamw"):
            raise ValueError("sharding is for full fine-tuning with adamw; choose sharding: none for LoRA and muon")
        return self

    def check_model(self, model: str) -> None:
        """Refuse encoder-decoder models, and models that no trainer here can train."""
        check_trainable(model)

    def train(self, data: Path, model: str, template: Template, out: Path, ctx: TrainContext) -> dict[str, Any]:
        """Train on ``data/train.jsonl``, evaluate on ``data/heldout.jsonl`` if it exists, and save to ``out``.

        Returns:
            Steps, epochs, seconds, tokens, losses (per trained token), dropped records by reason, sample answers.

        Raises:
            UsageError: there is nothing to train on, or model, tokenizer, template and options do not fit together, or
                ``out`` is not a model and would be replaced.
            FilialError: the loss is no longer a number (the weights before that step are kept beside ``out``),
                something cannot be saved, or there is not enough memory.
        """
        torch = import_torch()
        check_target(out)
        reporters.check_reporters(self.report_to)
        if self.lora:
            import_peft()
        if self.sharding != "none" and self.launch == 1 and not is_launched():
            raise UsageError(
                "sharding splits a model among processes, and there is only one; set launch: 2 or more, or start "
                "training with torchrun or accelerate launch"
            )
        job = TrainingCall(self, data, model, template, out, ctx.seed, ctx.base, ctx.cache)
        return run_training(job, ctx, torch, lambda group, context: self._train(job, context, torch, group))

    def _train(self, job: TrainingCall, ctx: TrainContext, torch: Any, group: ProcessGroup) -> dict[str, Any]:
        """Train in one of the processes that train together."""
        source = locate_model(job.model, ctx)

        def prepare(path: Path, template: Template, encoder: Encoder) -> TokenStore:
            return prepare_rows(path, template, encoder, self.max_length, self.over_long, ctx.cache)

        data = load_training_data(job.data, source, job.template, prepare, self.samples)
        network = self._load_network(source, data, torch, ctx)
        if self.sharding == "none":
            network = network.to(group.device)  # else it goes there part by part
        method = "Training of LoRA adapters" if self.lora else "Full fine-tuning"
        session = Session(self, "sft", torch, group, ctx, network, data, source, job.out, method)
        set_chat_template(data.tokenizer, data.template, ctx.note)
        with ExitStack() as stack:
            runner = CausalRunner(session, stack)
            figures = session.run(runner, runner.merge_adapters if self.lora and self.lora.merge else None)
        return figures | {"batches": runner.arrangement}

    def _load_network(self, source: str, data: TrainingData, torch: Any, ctx: TrainContext) -> Any:
        """Load the model, with adapters if the options ask for them."""
        torch.manual_seed(self.choose_seed(ctx))
        # Frozen weights lose nothing by half precision; weights that are trained would round most updates away.
        network = load_model(source, self.dtype if self.lora else "float32", to_train=True)
        data.check_vocabulary(network, source)
        if self.gradient_checkpointing:
            enable_gradient_checkpointing(network)
        return add_adapters(network, self.lora, data.tokenizer, source) if self.lora else network


class CausalRunner(BatchRunner):
    """Computes the steps of a causal model.

    Args:
        stack: the model's attention is replaced until this ends.

    Attributes:
        arrangement: how the rows of a batch are arranged, in words for the figures.
    """

    options: SFT
    loss: Any  # where weights are sharded, a module

    def __init__(self, session: Session, stack: ExitStack) -> None:
        super().__init__(session)
        self.network = session.model.get_base_model() if is_adapter(session.model) else session.model
        self.own_attention = self.network.config._attn_implementation
        wish = self.options.packing
        why = "packing is off" if wish == "off" else find_difference(self.network, self.torch, self.rows[:4])
        if why and wish == "pack":
            raise UsageError(f"{session.source}: rows cannot be packed: {why}; choose packing: auto, which pads them")
        if why and wish == "auto":
            session.ctx.note(f"rows are padded instead of end to end: {why}")
        self.arrangement = f"padded: {why}" if why else {"auto": "end to end", "pack": "packed"}[wish]
        self.collate = collate_padded if why else collate_flat
        if not why:
            stack.enter_context(use_attention(self.network, ROW_ATTENTION))
        self.loss = choose_loss(self.network, self.torch, self.collate(self.rows[:2], self.torch, self.network.device))
        if self.options.sharding != "none":
            if not self.network._no_split_modules:
                session.ctx.note(f"{session.source} does not name its layer classes: all weights are gathered at once")
            half, device = self.options.dtype == "bfloat16", self.group.device.type
            self.loss = shard_model(self.network, self.loss, self.torch, device=device, half=half)
            self.scale = self.group.size  # gradients come as a mean over processes

    def plan_steps(self, epoch: int) -> list[order.Step]:
        """Pack rows, shuffle them, or group them by length if they are padded."""
        o, seed = self.options, self.session.seed
        size = o.batch_size * o.grad_accumulation
        if self.arrangement == "packed":
            return order.pack_rows(self.rows.lengths, o.max_length, size, seed, epoch)
        if self.collate is collate_flat:
            return order.shuffle_rows(len(self.rows), size, seed, epoch)
        return order.group_by_length(self.rows.lengths, size, seed, epoch)

    def make_batch(self, rows: Sequence[Row]) -> CausalBatch:
        """Return rows as tensors."""
        return self.collate(rows, self.torch, self.group.device)

    def split_batches(self, mine: Sequence[int]) -> list[tuple[Sequence[int], int]]:
        """Split items into batches; if weights are sharded, all processes make the same number of them.

        A process with fewer batches repeats row 0 with weight 0, since gathering weights needs all processes.
        """
        own = super().split_batches(mine)
        if self.options.sharding == "none":
            return own
        return own + [([0], 0)] * (self.group.all_reduce_max(len(own)) - len(own))

    def score(self, rows: TokenStore) -> float:
        """Return the mean loss per trained token; it does not depend on batches or processes."""
        figure = super().score(rows)
        if self.options.sharding != "none":
            self.loss.reshard()  # a backward pass would have done it
        return figure

    def answer_samples(self, network: Any) -> dict[str, Any]:
        """Let the model answer the sample questions, with its own attention."""
        with use_attention(network, self.own_attention):
            return super().answer_samples(network)

    def merge_adapters(self, figures: dict[str, Any]) -> Any:
        """Return the model with its adapters merged into it.

        Raises:
            FilialError: the merged model computes other logits than the trained one.
        """
        model = self.session.model
        with use_attention(self.network, self.own_attention):
            figures["merge_difference"] = moved = merge_adapters(model, self.torch, self.rows[:2])
        if not moved <= MERGE_TOLERANCE:
            raise FilialError(
                f"the merged model computes other logits than the adapters did (the change is {moved:.1%} of the "
                "largest logit), so the adapters stay unmerged"
            )
        return model.unload()


@hookimpl
def register_trainers(register):  # type: ignore[no-untyped-def]
    register("sft", SFT)
