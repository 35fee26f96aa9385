"""Fine-tuning of encoder-decoder models: T5, FLAN-T5, BART and their kin.

The order of things, top to bottom: options; `train`, which prepares and trains; `PairLessons`, what a step computes.
What the two halves of a model read and write is decided in `pairs`, how that becomes tensors and a loss in
`encoder_decoder`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filial import Field, Record, Template, TrainContext, UsageError, hookimpl
from filial.labels import Encoder
from filial.models import import_torch, load_model, load_tokenizer
from filial_plugins.trainers import ordering, reports
from filial_plugins.trainers.caching import kept, key
from filial_plugins.trainers.encoder_decoder import Batch, collate, loss_of, start_token
from filial_plugins.trainers.launching import Job, launched, member
from filial_plugins.trainers.lessons import Lessons
from filial_plugins.trainers.options import Tuning
from filial_plugins.trainers.over_long import OverLong
from filial_plugins.trainers.pairs import Limits, prepare
from filial_plugins.trainers.preparing import DataFile
from filial_plugins.trainers.saving import check_target
from filial_plugins.trainers.session import Session, check_rows, check_vocabulary, located, records_for_samples
from filial_plugins.trainers.store import Row, TokenStore
from filial_plugins.trainers.team import Team, team


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

    def train(self, data: Path, model: str, template: Template, out: Path, ctx: TrainContext) -> dict[str, Any]:
        """Train on ``data/train.jsonl``; score on ``data/heldout.jsonl`` where there is one; save to ``out``.

        Returns:
            Steps, epochs, seconds, tokens, losses (per token of an answer), what was left out by reason, answers.

        Raises:
            UsageError: there is nothing to train on, or model, tokenizer and template do not fit together, or ``out``
                holds something that is no model.
            FilialError: the loss stopped being a number (the weights before that are kept beside ``out``), or
                something cannot be saved.
        """
        torch = import_torch()
        check_target(out)
        reports.check(self.report_to)
        if self.launch > 1 and not member():
            return launched(self.launch, Job(self, data, model, template, out, ctx.seed, ctx.base, ctx.cache), ctx)
        with team(torch) as members:
            return self._trained(data, located(model, ctx), template, out, ctx, torch, members)

    def _trained(
        self, data: Path, source: str, template: Template, out: Path, ctx: TrainContext, torch: Any, members: Team
    ) -> dict[str, Any]:
        """As `train`, in each of the processes that train together."""
        tokenizer = load_tokenizer(source)
        template, encoder = template.bind(tokenizer), Encoder(tokenizer)
        train = self._prepared(data / "train.jsonl", template, encoder, ctx)
        check_rows(train, data / "train.jsonl")
        has_exam = (data / "heldout.jsonl").is_file()
        heldout = self._prepared(data / "heldout.jsonl", template, encoder, ctx) if has_exam else None
        network = self._network(source, [train, *([heldout] if heldout else [])], torch, ctx).to(members.device)
        session = Session(
            self, "seq2seq", torch, members, ctx, network, tokenizer, template, source, data / "train.jsonl", train, out
        )
        return session.conduct(PairLessons(session, heldout, records_for_samples(data, self.samples)))

    def _prepared(self, path: Path, template: Template, encoder: Encoder, ctx: TrainContext) -> TokenStore:
        limits = Limits(self.max_input, self.max_output, self.over_long)

        def make(folder: Path) -> TokenStore:
            return prepare(DataFile(path), template, encoder, limits, folder)

        about = ("pairs", self.max_input, self.max_output, self.over_long)
        return kept(ctx.cache, lambda: key(path, template, encoder, *about), make)

    def _network(self, source: str, stores: list[TokenStore], torch: Any, ctx: TrainContext) -> Any:
        torch.manual_seed(ctx.seed if self.seed is None else self.seed)
        network = load_model(source, encoder_decoder=True, to_train=True)
        if not network.config.is_encoder_decoder:
            raise UsageError(f"{source}: this model has no encoder; train it with sft")
        check_vocabulary(network, stores, source)
        start = start_token(network)
        network.config.decoder_start_token_id = network.generation_config.decoder_start_token_id = start
        if self.gradient_checkpointing:
            network.gradient_checkpointing_enable({"use_reentrant": False})
        return network


class PairLessons(Lessons):
    """What a step computes: the `Work` of the loop."""

    def __init__(self, session: Session, heldout: TokenStore | None, asked: list[Record]) -> None:
        super().__init__(session, heldout, asked)
        self.start = start_token(session.model)
        self.loss = loss_of(session.model, session.torch, self.batch(session.store[:2]))

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
