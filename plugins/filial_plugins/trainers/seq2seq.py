"""Fine-tuning of encoder-decoder models: T5, FLAN-T5, BART and related models.

Read from top to bottom: the options; `Seq2Seq.train`, which prepares the data and trains; `Seq2SeqRunner`, which
computes a step. `pairs` decides what encoder and decoder read, `encoder_decoder` makes tensors and a loss of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from filial import Field, Template, TrainContext, hookimpl
from filial.labels import Encoder
from filial_plugins.local.pretrained import check_trainable, import_torch, load_model, make_no_encoder_error
from filial_plugins.trainers.devices.launch import TrainingCall, run_training
from filial_plugins.trainers.devices.process_group import ProcessGroup
from filial_plugins.trainers.options import GradientTrainer
from filial_plugins.trainers.results import reporters
from filial_plugins.trainers.results.saving import check_target
from filial_plugins.trainers.rows.cache import compute_key, load_or_make
from filial_plugins.trainers.rows.over_long import OverLong
from filial_plugins.trainers.rows.pairs import Limits, write_pairs
from filial_plugins.trainers.rows.preparation import DataFile
from filial_plugins.trainers.rows.store import Row, TokenStore
from filial_plugins.trainers.rows.training_data import TrainingData, load_training_data
from filial_plugins.trainers.session import Session, enable_gradient_checkpointing, locate_model
from filial_plugins.trainers.steps import order
from filial_plugins.trainers.steps.encoder_decoder import PairBatch, choose_pair_loss, collate_pairs, find_start_token
from filial_plugins.trainers.steps.runner import BatchRunner


class Seq2Seq(GradientTrainer):
    """Fine-tuning of an encoder-decoder model (T5, FLAN-T5, BART) on answers.

    The encoder reads what the template writes before an answer, the decoder learns the answer and its end token. Every
    answer that the template trains is a separate pair. The template `question` writes questions without headings.

    Training ends at the first bound that is reached: epochs, steps, seconds of wall clock or of CPU. Without a bound: 3
    epochs. If the same training is started again, it resumes from its last checkpoint.
    """

    lr: float = Field(1e-4, gt=0, description="Peak learning rate (with muon: that of the hidden matrices).")
    max_input: int = Field(512, ge=2, description="Maximum tokens of an input.")
    max_output: int = Field(256, ge=2, description="Maximum tokens of an answer, with its end token.")
    over_long: OverLong = Field("drop", description="What to do with longer pairs: drop them, or cut them if possible.")

    def check_model(self, model: str) -> None:
        """Refuse models without an encoder, and models that no trainer here can train."""
        check_trainable(model, encoder_decoder=True)

    def train(self, data: Path, model: str, template: Template, out: Path, ctx: TrainContext) -> dict[str, Any]:
        """Train on ``data/train.jsonl``, evaluate on ``data/heldout.jsonl`` if it exists, and save to ``out``.

        Returns:
            Steps, epochs, seconds, tokens, losses (per token of an answer), dropped records by reason, sample answers.

        Raises:
            UsageError: there is nothing to train on, or model, tokenizer and template do not fit together, or ``out``
                is not a model and would be replaced.
            FilialError: the loss is no longer a number (the weights before that step are kept beside ``out``),
                something cannot be saved, or there is not enough memory.
        """
        torch = import_torch()
        check_target(out)
        reporters.check_reporters(self.report_to)
        job = TrainingCall(self, data, model, template, out, ctx.seed, ctx.base, ctx.cache)
        return run_training(job, ctx, torch, lambda group, context: self._train(job, context, torch, group))

    def _train(self, job: TrainingCall, ctx: TrainContext, torch: Any, group: ProcessGroup) -> dict[str, Any]:
        """Train in one of the processes that train together."""
        source = locate_model(job.model, ctx)
        data = load_training_data(job.data, source, job.template, partial(self._prepare, ctx.cache), self.samples)
        network = self._load_network(source, data, torch, ctx).to(group.device)
        session = Session(self, "seq2seq", torch, group, ctx, network, data, source, job.out)
        return session.run(Seq2SeqRunner(session))

    def _prepare(self, cache: Path | None, path: Path, template: Template, encoder: Encoder) -> TokenStore:
        limits = Limits(self.max_input, self.max_output, self.over_long)

        def make(folder: Path) -> TokenStore:
            return write_pairs(DataFile(path), template, encoder, limits, folder)

        about = ("pairs", self.max_input, self.max_output, self.over_long)
        return load_or_make(cache, lambda: compute_key(path, template, encoder, *about), make)

    def _load_network(self, source: str, data: TrainingData, torch: Any, ctx: TrainContext) -> Any:
        torch.manual_seed(self.choose_seed(ctx))
        network = load_model(source, encoder_decoder=True, to_train=True)
        if not network.config.is_encoder_decoder:
            raise make_no_encoder_error(source)
        data.check_vocabulary(network, source)
        start = find_start_token(network)
        network.config.decoder_start_token_id = network.generation_config.decoder_start_token_id = start
        if self.gradient_checkpointing:
            enable_gradient_checkpointing(network)
        return network


class Seq2SeqRunner(BatchRunner):
    """Computes the steps of an encoder-decoder model."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.start = find_start_token(session.model)
        self.loss = choose_pair_loss(session.model, session.torch, self.make_batch(self.rows[:2]))

    def plan_steps(self, epoch: int) -> list[order.Step]:
        """Group pairs by length."""
        size = self.options.batch_size * self.options.grad_accumulation
        return order.group_by_length(self.rows.lengths, size, self.session.seed, epoch)

    def make_batch(self, rows: Sequence[Row]) -> PairBatch:
        """Return pairs as tensors."""
        return collate_pairs(rows, self.start, self.torch, self.group.device)


@hookimpl
def register_trainers(register):  # type: ignore[no-untyped-def]
    register("seq2seq", Seq2Seq)
