"""Fine-tuning of encoder-decoder models: T5, FLAN-T5, BART and their kin.

The order of things, top to bottom: options; `train`, which prepares and trains; `PairLessons`, what a step computes.
What the two halves of a model read and write is decided in `pairs`, how that becomes tensors and a loss in
`encoder_decoder`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from filial import Field, Template, TrainContext, hookimpl
from filial.labels import Encoder
from filial_plugins.local.pretrained import check_trainable, encoder_missing, import_torch, load_model
from filial_plugins.trainers.devices.launching import Job, together
from filial_plugins.trainers.devices.team import Team
from filial_plugins.trainers.options import Tuning
from filial_plugins.trainers.results import reports
from filial_plugins.trainers.results.saving import check_target
from filial_plugins.trainers.rows.caching import kept, key
from filial_plugins.trainers.rows.material import Material, gathered
from filial_plugins.trainers.rows.over_long import OverLong
from filial_plugins.trainers.rows.pairs import Limits, prepare
from filial_plugins.trainers.rows.preparing import DataFile
from filial_plugins.trainers.rows.store import Row, TokenStore
from filial_plugins.trainers.session import Session, keep_fewer_activations, located
from filial_plugins.trainers.steps import ordering
from filial_plugins.trainers.steps.encoder_decoder import Batch, collate, loss_of, start_token
from filial_plugins.trainers.steps.lessons import Lessons


class Seq2Seq(Tuning):
    """Fine-tuning of an encoder-decoder model (T5, FLAN-T5, BART) on answers.

    The encoder reads what the template writes before an answer, the decoder learns the answer and its end; every
    answer that the template trains is a pair of its own. The template `question` writes questions as they stand.

    Training ends at the first bound that is reached: epochs, steps, seconds of wall clock or of CPU. With no bound: 3
    epochs. It goes on from its last checkpoint by itself when the same training is started again.
    """

    lr: float = Field(1e-4, gt=0, description="Peak learning rate (with muon: that of the hidden matrices).")
    max_input: int = Field(512, ge=2, description="Longest input, in tokens.")
    max_output: int = Field(256, ge=2, description="Longest answer, in tokens, its end included.")
    over_long: OverLong = Field(
        "drop", description="What happens to longer ones: they are left out, or made shorter where that is possible."
    )

    def check_model(self, model: str) -> None:
        """Refuse what has no encoder, and what no trainer here trains."""
        check_trainable(model, encoder_decoder=True)

    def train(self, data: Path, model: str, template: Template, out: Path, ctx: TrainContext) -> dict[str, Any]:
        """Train on ``data/train.jsonl``; score on ``data/heldout.jsonl`` where there is one; save to ``out``.

        Returns:
            Steps, epochs, seconds, tokens, losses (per token of an answer), what was left out by reason, answers.

        Raises:
            UsageError: there is nothing to train on, or model, tokenizer and template do not fit together, or ``out``
                holds something that is no model.
            FilialError: the loss stopped being a number (the weights before that are kept beside ``out``), or
                something cannot be saved, or there is not enough memory.
        """
        torch = import_torch()
        check_target(out)
        reports.check(self.report_to)
        job = Job(self, data, model, template, out, ctx.seed, ctx.base, ctx.cache)
        return together(job, ctx, torch, lambda team, heard: self._trained(job, heard, torch, team))

    def _trained(self, job: Job, ctx: TrainContext, torch: Any, team: Team) -> dict[str, Any]:
        """As `train`, in each of the processes that train together."""
        source = located(job.model, ctx)
        material = gathered(job.data, source, job.template, partial(self._prepared, ctx.cache), self.samples)
        network = self._network(source, material, torch, ctx).to(team.device)
        session = Session(self, "seq2seq", torch, team, ctx, network, material, source, job.out)
        return session.conduct(PairLessons(session))

    def _prepared(self, cache: Path | None, path: Path, template: Template, encoder: Encoder) -> TokenStore:
        limits = Limits(self.max_input, self.max_output, self.over_long)

        def make(folder: Path) -> TokenStore:
            return prepare(DataFile(path), template, encoder, limits, folder)

        about = ("pairs", self.max_input, self.max_output, self.over_long)
        return kept(cache, lambda: key(path, template, encoder, *about), make)

    def _network(self, source: str, material: Material, torch: Any, ctx: TrainContext) -> Any:
        torch.manual_seed(self.seed_in(ctx))
        network = load_model(source, encoder_decoder=True, to_train=True)
        if not network.config.is_encoder_decoder:
            raise encoder_missing(source)
        material.check_vocabulary(network, source)
        start = start_token(network)
        network.config.decoder_start_token_id = network.generation_config.decoder_start_token_id = start
        if self.gradient_checkpointing:
            keep_fewer_activations(network)
        return network


class PairLessons(Lessons):
    """What a step computes: the `Work` of the loop."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.start = start_token(session.model)
        self.loss = loss_of(session.model, session.torch, self.batch(self.rows[:2]))

    def steps(self, epoch: int) -> list[ordering.Step]:
        """Pairs of like length share a step."""
        size = self.options.batch_size * self.options.grad_accumulation
        return ordering.alike(self.rows.lengths, size, self.session.seed, epoch)

    def batch(self, rows: Sequence[Row]) -> Batch:
        """Some pairs as tensors."""
        return collate(rows, self.start, self.torch, self.team.device)


@hookimpl
def register_trainers(register):  # type: ignore[no-untyped-def]
    register("seq2seq", Seq2Seq)
