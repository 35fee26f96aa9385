"""One training from start to end, for every kind of model: the loop, then the model with log, loss plot and card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from filial import FilialError, Record, Template, TrainContext, resolve
from filial_plugins.local.generation import answer_records
from filial_plugins.trainers.devices.process_group import ProcessGroup
from filial_plugins.trainers.devices.sharding import gather_model
from filial_plugins.trainers.loop import Loop, NotANumber, StepRunner
from filial_plugins.trainers.options import GradientTrainer
from filial_plugins.trainers.results.checkpoints import Checkpoints, describe_template, hash_content, make_checkpoints
from filial_plugins.trainers.results.generation import drop_contradictions
from filial_plugins.trainers.results.loss_plot import draw_loss_plot
from filial_plugins.trainers.results.model_card import ModelCard, render_card
from filial_plugins.trainers.results.reporters import open_reporters
from filial_plugins.trainers.results.saving import ModelFolder, set_answer_config
from filial_plugins.trainers.rows.training_data import TrainingData


@dataclass(slots=True)
class Session:
    """What one training needs.

    Attributes:
        name: name of the trainer.
        source: folder or hub id of the model to train.
        method: how the model is trained, in words for the model card.
    """

    options: GradientTrainer
    name: str
    torch: Any
    group: ProcessGroup
    ctx: TrainContext
    model: Any
    data: TrainingData
    source: str
    out: Path
    method: str = "Full fine-tuning"

    @property
    def seed(self) -> int:
        """The seed of row order and dropout."""
        return self.options.choose_seed(self.ctx)

    def run(self, runner: StepRunner, merge: Callable[[dict[str, Any]], Any] | None = None) -> dict[str, Any]:
        """Train, save to ``out`` and remove the checkpoints. Returns all figures.

        The trained weights are written directly after the last step, so that no later failure can lose them.

        Args:
            merge: returns the model that is saved instead of the trained adapters, and may add to the figures.

        Raises:
            FilialError: the loss is no longer a number (the weights before that step are kept beside ``out``), or
                something cannot be saved; the message says where the trained weights are, once there are any.
        """
        for sentence in self.data.describe_records():
            self.ctx.note(sentence)
        set_answer_config(self.model, self.data.tokenizer, self.data.rows.ends, self.ctx.note)
        self._mend_generation_config()
        folder = ModelFolder(self.out, self.data.tokenizer)
        if self.group.is_leader:
            folder.try_saving(self.model)
        checkpoints = make_checkpoints(self.options, self.out, self.torch, self._checkpoint_inputs)
        with folder.explain_errors(self.ctx.note):
            figures, loop = self._train(runner, folder, checkpoints)
            if self.group.is_leader:
                folder.complete(
                    lambda folder: self._write_files(folder, loop, figures), merge and partial(merge, figures)
                )
                checkpoints.clear()
            self.group.barrier()
        return figures

    def _train(self, runner: StepRunner, folder: ModelFolder, checkpoints: Checkpoints) -> tuple[dict[str, Any], Loop]:
        """Train and save the weights. Returns the figures, and the loop with its log."""
        names = self.options.report_to if self.group.is_leader else ()
        with open_reporters(names, self.out, self._given_options()) as reporters:
            loop = Loop(
                self.options, self.model, self.torch, runner, self.ctx, seed=self.seed, group=self.group,
                checkpoints=checkpoints, reporters=reporters, on_trained=lambda: self._save_weights(folder),
            )  # fmt: skip
            try:
                return self._count_records() | loop.run(), loop
            except NotANumber as error:
                raise FilialError(
                    f"{error}; the weights before that step are in {self._save_last_good(loop)}"
                ) from None
            except KeyboardInterrupt:
                if loop.stopped:
                    folder.remove_weights()  # the checkpoint has them
                raise

    def _save_weights(self, folder: ModelFolder) -> None:
        """Write the weights as they are now. All processes must call it."""
        model = gather_model(self.model, self.torch, self.group.is_leader)
        if self.group.is_leader:
            folder.save_weights(model)

    def _mend_generation_config(self) -> None:
        """Remove what makes the generation config impossible to save, and tell the user."""
        if dropped := drop_contradictions(self.model.generation_config):
            removed = ", ".join(f"{name}: {value}" for name, value in dropped.items())
            self.ctx.note(
                f"the saved generation_config.json omits {removed}: it contradicts the rest of {self.source}'s config "
                "(for example a temperature without do_sample)"
            )

    def _count_records(self) -> dict[str, Any]:
        """Return the number of rows and tokens, and of records that were dropped, changed or noticed."""
        store = self.data.rows
        counts_by_kind = {"changed": dict(store.report.changed), "noticed": dict(store.report.noticed)}
        return {
            "rows": len(store), "dropped": dict(store.dropped), "dropped_examples": dict(store.examples),
            "tokens": store.tokens, "trained_tokens": store.trained_tokens,
            "tokens_from": store.engine,
            **{name: counts for name, counts in counts_by_kind.items() if counts},
        }  # fmt: skip

    def _save_last_good(self, loop: Loop) -> Path:
        """Save the current weights to ``OUT.last-good``. Returns that folder."""
        folder = ModelFolder(self.out.with_name(f"{self.out.name}.last-good"), self.data.tokenizer)
        with folder.explain_errors(self.ctx.note):
            self._save_weights(folder)
            if self.group.is_leader:
                folder.complete(loop.write_log)
        return folder.out

    def _write_files(self, folder: Path, loop: Loop, figures: dict[str, Any]) -> None:
        """Write log, loss plot and model card."""
        loop.write_log(folder)
        (folder / "loss.svg").write_text(draw_loss_plot(loop.state.log, f"{self.out.name}: loss"), encoding="utf-8")
        data = self.data
        card = ModelCard(
            self.name,
            Path(self.source).name if Path(self.source).is_dir() else self.source,  # a path is of this machine only
            hash_content(data.path),
            data.template,
            self._given_options(),
            self.seed,
            self.method,
        )
        (folder / "README.md").write_text(render_card(self.out.name, card, figures), encoding="utf-8")

    def _given_options(self) -> dict[str, Any]:
        """Return the options that differ from their defaults."""
        return self.options.model_dump(mode="json", exclude_unset=True)

    def _checkpoint_inputs(self) -> list[Any]:
        """Return everything besides the options that determines the trained weights."""
        folder = Path(self.source)
        base = hash_content(folder) if folder.is_dir() else self.source
        return [self.name, self.seed, base, describe_template(self.data.template), hash_content(self.data.path)]


def locate_model(model: str, ctx: TrainContext) -> str:
    """Return the path of a folder (beside the recipe, or in a package) if there is one, else the hub id unchanged."""
    path = resolve(model, ctx.base)
    return str(path) if model.startswith("pkg:") or path.exists() else model


def enable_gradient_checkpointing(model: Any) -> None:
    """Enable gradient checkpointing, by the name that this version of transformers gives it."""
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def answer_samples(
    model: Any, tokenizer: Any, records: Sequence[Record], template: Template, tokens: int
) -> dict[str, Any]:
    """Let the model answer some questions. Returns ``samples`` for people to read, and ``stop_rate``.

    ``stop_rate`` is the share of answers that a stop token ended. Near 0, the model has not learned to stop.
    """
    if not records:
        return {}
    answers = answer_records(model, tokenizer, records, template, max_new_tokens=tokens)
    asked = ["".join(turn.content for turn in record.prompt()[-1:]) for record in records]
    shown = [{"question": q, "answer": a, "ended": ended} for q, (a, ended) in zip(asked, answers, strict=True)]
    return {"samples": shown, "stop_rate": sum(ended for _, ended in answers) / len(answers)}
