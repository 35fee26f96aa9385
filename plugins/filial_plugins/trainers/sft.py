"""Supervised fine-tuning: a plain training loop.

The order of things, top to bottom: options; `train`, which prepares, trains, scores and saves; `_Training`, the loop.

The loss of a step is the sum over all its trained tokens divided by their number, however the step is split into
batches; so 1 x 8 and 2 x 4 rows give the same gradient, whatever the rows' lengths.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from filial import Field, FilialError, Record, Template, TrainContext, Trainer, UsageError, hookimpl, resolve
from filial.labels import Encoder
from filial.models import import_torch, load_model, load_tokenizer, question, replies
from filial_plugins.trainers.loss import Loss, loss_of
from filial_plugins.trainers.optimizers import Optimizers, rate
from filial_plugins.trainers.pace import Pace
from filial_plugins.trainers.rows import Row, Rows, collate, plan, prepare, read
from filial_plugins.trainers.saving import check_target, save

SAMPLE_TOKENS = 64


class SFT(Trainer):
    """Full fine-tuning of a causal language model on answers.

    Training ends at the first bound that is reached: epochs, steps, seconds of wall clock or of CPU. The learning rate
    follows the bound that is nearest, so that a run bounded by time decays as it should. With no bound: 3 epochs.
    """

    requires = ("torch", "transformers", "safetensors")
    extra = "train"

    epochs: float | None = Field(None, gt=0, description="Passes over the data at most.")
    max_steps: int | None = Field(None, ge=1, description="Updates at most.")
    max_seconds: float | None = Field(None, gt=0, description="Seconds of training at most.")
    max_cpu_seconds: float | None = Field(None, gt=0, description="CPU seconds of training at most.")
    batch_size: int = Field(32, ge=1, description="Rows per batch.")
    grad_accumulation: int = Field(1, ge=1, description="Batches per update.")
    lr: float = Field(2e-5, gt=0, description="Peak learning rate (with muon: that of the hidden matrices).")
    optimizer: Literal["adamw", "muon"] = Field("adamw", description="How weights are updated.")
    adam_lr: float = Field(3e-3, gt=0, description="With muon: peak learning rate of everything else.")
    beta2: float = Field(0.999, gt=0, lt=1, description="AdamW's second decay rate.")
    weight_decay: float = Field(0.0, ge=0, description="Decay of the weight matrices.")
    schedule: Literal["cosine", "linear", "constant", "trapezoid"] = Field(
        "cosine", description="How the learning rate falls after warm-up; trapezoid: from 40 % on, linearly."
    )
    warmup: float = Field(0.03, ge=0, lt=1, description="Share of the training in which the learning rate rises.")
    lr_floor: float = Field(0.0, ge=0, le=1, description="Lowest learning rate, as a share of the peak.")
    clip: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    max_length: int = Field(512, ge=2, description="Longest row, in tokens.")
    over_long: Literal["drop"] = Field("drop", description="What happens to longer rows: they are left out.")
    threads: int | Literal["auto"] = Field("auto", description="CPU threads; auto: the fastest number, measured.")
    dtype: Literal["float32", "bfloat16"] = Field(
        "float32", description="Precision of computation; the weights stay in float32."
    )
    seed: int | None = Field(None, description="Order of the data and dropout; by default the run's seed.")
    samples: int = Field(3, ge=0, description="Held-out questions to answer at the end, for a look.")
    log_every: int = Field(10, ge=1, description="Steps between lines of training.jsonl.")

    def train(self, data: Path, model: str, template: Template, out: Path, ctx: TrainContext) -> dict[str, Any]:
        """Train on ``data/train.jsonl``; score on ``data/heldout.jsonl`` where there is one; save to ``out``.

        Returns:
            Steps, epochs, seconds, tokens, losses (per trained token), dropped records by reason, sample answers.

        Raises:
            UsageError: there is nothing to train on, or model, tokenizer and template do not fit together, or ``out``
                holds something that is no model.
            FilialError: the loss stopped being a number (the weights before that are kept beside ``out``), or the
                model cannot be saved.
        """
        torch = import_torch()
        check_target(out)
        torch.manual_seed(ctx.seed if self.seed is None else self.seed)
        source = _located(model, ctx)
        tokenizer = load_tokenizer(source)
        template, encoder = template.bind(tokenizer), Encoder(tokenizer)
        train = prepare(read(data / "train.jsonl"), template, encoder, self.max_length)
        _check_rows(train, data / "train.jsonl")
        heldout = list(read(data / "heldout.jsonl")) if (data / "heldout.jsonl").is_file() else []
        exam = prepare(heldout, template, encoder, self.max_length)
        network = load_model(source)
        _check_vocabulary(network, [*train.rows, *exam.rows], source)
        network.to("cuda" if torch.cuda.is_available() else "cpu")
        training = _Training(self, network, torch, train.rows, ctx)
        try:
            figures = training.run()
        except _NotANumber as error:
            kept = out.with_name(f"{out.name}.last-good")
            save(network, tokenizer, train.ends, kept, training.write_log)
            raise FilialError(f"{error}; the weights before that step are in {kept}") from None
        figures |= {"rows": len(train.rows), "dropped": dict(train.dropped), "dropped_examples": train.examples}
        figures |= {"tokens": train.tokens, "trained_tokens": train.trained_tokens}
        if exam.rows:
            figures |= {"heldout_loss": training.score(exam.rows), "heldout_rows": len(exam.rows)}
        save(network, tokenizer, train.ends, out, training.write_log)
        looked_at = [r for r in heldout if isinstance(r, Record)][: self.samples]
        return figures | {"samples": _samples(network, tokenizer, looked_at, template)}

    def bounded(self) -> SFT:
        """These options with a bound: 3 epochs where there is none."""
        bounds = (self.epochs, self.max_steps, self.max_seconds, self.max_cpu_seconds)
        return self if any(bounds) else self.model_copy(update={"epochs": 3.0})


class _NotANumber(Exception):
    """The loss or its gradient is infinite or no number."""


@dataclass(slots=True)
class _Clock:
    """How far a training is, by each of its bounds."""

    wall: float
    cpu: float
    step: int = 0

    def progress(self, o: SFT, steps_per_epoch: int) -> float:
        """From 0 to 1, by the bound that is nearest."""
        return max(
            self.step / o.max_steps if o.max_steps else 0.0,
            self.step / (o.epochs * steps_per_epoch) if o.epochs else 0.0,
            (time.perf_counter() - self.wall) / o.max_seconds if o.max_seconds else 0.0,
            (time.process_time() - self.cpu) / o.max_cpu_seconds if o.max_cpu_seconds else 0.0,
        )


class _Training:
    """The loop."""

    def __init__(self, options: SFT, model: Any, torch: Any, rows: list[Row], ctx: TrainContext) -> None:
        self.options, self.model, self.torch, self.rows, self.ctx = options.bounded(), model, torch, rows, ctx
        self.seed = ctx.seed if options.seed is None else options.seed
        self.log: list[dict[str, Any]] = []
        o = self.options
        self.optimizers = Optimizers(
            model, torch, kind=o.optimizer, lr=o.lr, adam_lr=o.adam_lr, weight_decay=o.weight_decay, beta2=o.beta2
        )
        model.config.use_cache = False
        self.loss: Loss = loss_of(model, torch, collate(rows[:2], torch, model.device))

    def run(self) -> dict[str, Any]:
        """Train until a bound is reached."""
        o, lengths = self.options, [len(r.ids) for r in self.rows]
        size = o.batch_size * o.grad_accumulation
        per_epoch = -(-len(lengths) // size)
        clock, pace = _Clock(time.perf_counter(), time.process_time()), Pace(self.torch, o.threads)
        seen, recent = 0, 0.0
        self.model.train()
        while clock.progress(o, per_epoch) < 1:
            for step in plan(lengths, size, self.seed, clock.step // per_epoch):
                progress = clock.progress(o, per_epoch)
                if progress >= 1:
                    break
                share = rate(progress, o.schedule, o.warmup, o.lr_floor)
                tokens = sum(lengths[i] for i in step)
                with pace.step(tokens):
                    loss = self.step([self.rows[i] for i in step], share, clock.step)
                clock.step += 1
                seen += tokens
                recent = loss if clock.step == 1 else 0.95 * recent + 0.05 * loss
                if clock.step % o.log_every == 0 or clock.step == 1:
                    self.note(clock, loss, share * o.lr, seen)
                self.ctx.progress(min(1.0, clock.progress(o, per_epoch)), 1.0, f"step {clock.step}, loss {recent:.3f}")
        wall, cpu = time.perf_counter() - clock.wall, time.process_time() - clock.cpu
        return {
            "steps": clock.step, "epochs": round(clock.step / per_epoch, 3), "seconds": round(wall, 2),
            "cpu_seconds": round(cpu, 2), "tokens_seen": seen, "tokens_per_cpu_second": round(seen / cpu, 1),
            "threads": pace.threads, "loss": recent,
        }  # fmt: skip

    def step(self, rows: list[Row], share: float, number: int) -> float:
        """One update; the loss per trained token of the whole step, before it."""
        total = self.gradients(rows)
        norm = self.torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.options.clip)
        if not (total.isfinite() and norm.isfinite()):
            raise _NotANumber(
                f"the loss is {float(total)} with a gradient of norm {float(norm)} at step {number + 1}: training has "
                "diverged; lower lr, or look at the rows of training.jsonl before it"
            )
        self.optimizers.step(share)
        return float(total)

    def gradients(self, rows: list[Row]) -> Any:
        """Add the gradient of the mean loss over all trained tokens of these rows; that loss, as a tensor."""
        o, torch, device = self.options, self.torch, self.model.device
        trained = sum(len(r.targets) for r in rows)
        total = torch.zeros((), device=device)
        for at in range(0, len(rows), o.batch_size):
            batch = collate(rows[at : at + o.batch_size], torch, device)
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=o.dtype == "bfloat16"):
                loss = self.loss(batch) / trained
            loss.backward()
            total += loss.detach()
        return total

    def score(self, rows: list[Row]) -> float:
        """Mean loss per trained token, whatever the batches."""
        self.model.eval()
        total, order = 0.0, sorted(rows, key=lambda r: len(r.ids))
        with self.torch.no_grad():
            for at in range(0, len(order), self.options.batch_size):
                batch = collate(order[at : at + self.options.batch_size], self.torch, self.model.device)
                total += float(self.loss(batch))
        return total / sum(len(r.targets) for r in rows)

    def note(self, clock: _Clock, loss: float, lr: float, tokens: int) -> None:
        """One line of training.jsonl; also told to the run."""
        wall, cpu = time.perf_counter() - clock.wall, time.process_time() - clock.cpu
        line = {"step": clock.step, "loss": loss, "lr": lr, "tokens": tokens, "seconds": wall, "cpu_seconds": cpu}
        self.log.append(line)
        self.ctx.log(line)

    def write_log(self, folder: Path) -> None:
        """training.jsonl: how loss and learning rate went."""
        lines = [msgspec.json.encode(line) + b"\n" for line in self.log]
        (folder / "training.jsonl").write_bytes(b"".join(lines))


def _located(model: str, ctx: TrainContext) -> str:
    """A folder (beside the recipe, or in a package) where there is one, else a hub id as it stands."""
    path = resolve(model, ctx.base)
    return str(path) if model.startswith("pkg:") or path.exists() else model


def _samples(model: Any, tokenizer: Any, records: list[Record], template: Template) -> list[dict[str, str]]:
    """What the model says to some questions, for people to look at."""
    answers = replies(model, tokenizer, records, template, max_new_tokens=SAMPLE_TOKENS)
    asked = [question(r).turns()[-1].content for r in records]
    return [{"question": q, "answer": a} for q, a in zip(asked, answers, strict=True)]


def _check_rows(train: Rows, path: Path) -> None:
    if not train.rows:
        why = "; ".join(f"{n:,} {reason} ({train.examples[reason]})" for reason, n in train.dropped.most_common())
        raise UsageError(f"{path}: nothing to train on: {why or 'the file is empty'}")


def _check_vocabulary(model: Any, rows: list[Row], source: str) -> None:
    size, largest = model.get_input_embeddings().num_embeddings, max(int(r.ids.max()) for r in rows)
    if largest >= size:
        raise UsageError(
            f"{source}: the data uses token {largest}, but the model knows only {size}: its tokenizer belongs to "
            "another model; use the model's own, or one whose embeddings were resized"
        )


@hookimpl
def register_trainers(register):  # type: ignore[no-untyped-def]
    register("sft", SFT)
