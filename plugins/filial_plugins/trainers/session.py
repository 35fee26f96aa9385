"""A training from beginning to end, whatever is trained: the loop, then the model with its log, curve and card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from filial import FilialError, Record, Template, TrainContext, resolve
from filial_plugins.local.models import ended_replies
from filial_plugins.trainers.devices.sharding import whole_model
from filial_plugins.trainers.devices.team import Team
from filial_plugins.trainers.loop import Loop, NotANumber, Work
from filial_plugins.trainers.options import Tuning
from filial_plugins.trainers.results.card import Story, card
from filial_plugins.trainers.results.checkpoints import Checkpoints, checkpoints, content, described
from filial_plugins.trainers.results.curve import curve
from filial_plugins.trainers.results.generation import drop_contradictions
from filial_plugins.trainers.results.reports import reports
from filial_plugins.trainers.results.saving import Target, fit_for_answering
from filial_plugins.trainers.rows.material import Material


@dataclass(slots=True)
class Session:
    """What a training is about.

    Attributes:
        source: folder or hub id of the model before.
        way: what is trained, for the card.
    """

    options: Tuning
    name: str
    torch: Any
    team: Team
    ctx: TrainContext
    model: Any
    material: Material
    source: str
    out: Path
    way: str = "Full fine-tuning"

    @property
    def seed(self) -> int:
        """Of order and dropout."""
        return self.options.seed_in(self.ctx)

    def conduct(self, work: Work, merge: Callable[[dict[str, Any]], Any] | None = None) -> dict[str, Any]:
        """Train, save to ``out``, remove the checkpoints. Returns all figures.

        The trained weights are written as soon as there are any, so that nothing that comes after can cost them.

        Args:
            merge: makes the model that is saved in place of the trained adapters, and may add to the figures.

        Raises:
            FilialError: the loss stopped being a number (the weights before that are kept beside ``out``), or
                something cannot be saved; it says where the trained weights are, once there are any.
        """
        for sentence in self.material.told():
            self.ctx.note(sentence)
        fit_for_answering(self.model, self.material.tokenizer, self.material.rows.ends, self.ctx.note)
        self._mend_generation_config()
        target = Target(self.out, self.material.tokenizer)
        if self.team.leads:
            target.rehearse(self.model)
        kept = checkpoints(self.options, self.out, self.torch, self._about)
        with target.told(self.ctx.note):
            figures, loop = self._trained(work, target, kept)
            if self.team.leads:
                target.finish(lambda folder: self._fill(folder, loop, figures), merge and partial(merge, figures))
                kept.clear()
            self.team.wait()
        return figures

    def _trained(self, work: Work, target: Target, kept: Checkpoints) -> tuple[dict[str, Any], Loop]:
        """Train, and keep the weights. Returns the figures, and the loop with its log."""
        told = self.options.report_to if self.team.leads else ()
        with reports(told, self.out, self._told_options()) as tell:
            loop = Loop(
                self.options, self.model, self.torch, work, self.ctx, seed=self.seed, team=self.team,
                checkpoints=kept, reports=tell, done=lambda: self._keep(target),
            )  # fmt: skip
            try:
                return self._counted() | loop.run(), loop
            except NotANumber as error:
                raise FilialError(f"{error}; the weights before that step are in {self._last_good(loop)}") from None
            except KeyboardInterrupt:
                if loop.stopped:
                    target.drop()  # the checkpoint has them
                raise

    def _keep(self, target: Target) -> None:
        """Write the weights as they are; all processes take part."""
        model = whole_model(self.model, self.torch, self.team.leads)
        if self.team.leads:
            target.keep(model)

    def _mend_generation_config(self) -> None:
        """Leave out of the saved generation config what it could not be saved with, and say so."""
        if dropped := drop_contradictions(self.model.generation_config):
            told = ", ".join(f"{name}: {value}" for name, value in dropped.items())
            self.ctx.note(
                f"the saved generation_config.json leaves out {told}, for it contradicts the rest of {self.source}'s "
                "(such as a temperature without do_sample)"
            )

    def _counted(self) -> dict[str, Any]:
        """What became of the records."""
        store = self.material.rows
        told = {"changed": dict(store.account.changed), "noticed": dict(store.account.noticed)}
        return {
            "rows": len(store), "dropped": dict(store.dropped), "dropped_examples": dict(store.examples),
            "tokens": store.tokens, "trained_tokens": store.trained_tokens,
            "tokens_from": store.engine,
            **{name: counts for name, counts in told.items() if counts},
        }  # fmt: skip

    def _last_good(self, loop: Loop) -> Path:
        """Save the weights as they are, beside the model that was to be."""
        target = Target(self.out.with_name(f"{self.out.name}.last-good"), self.material.tokenizer)
        with target.told(self.ctx.note):
            self._keep(target)
            if self.team.leads:
                target.finish(loop.write_log)
        return target.out

    def _fill(self, folder: Path, loop: Loop, figures: dict[str, Any]) -> None:
        """Log, curve and card."""
        loop.write_log(folder)
        (folder / "loss.svg").write_text(curve(loop.place.log, f"{self.out.name}: loss"), encoding="utf-8")
        material = self.material
        story = Story(
            self.name, self.source, content(material.data), material.template, self._told_options(), self.seed, self.way
        )
        (folder / "README.md").write_text(card(self.out.name, story, figures), encoding="utf-8")

    def _told_options(self) -> dict[str, Any]:
        return self.options.model_dump(mode="json", exclude_unset=True)

    def _about(self) -> list[Any]:
        """All that the weights follow from beside the options."""
        folder = Path(self.source)
        base = content(folder) if folder.is_dir() else self.source
        return [self.name, self.seed, base, described(self.material.template), content(self.material.data)]


def located(model: str, ctx: TrainContext) -> str:
    """A folder (beside the recipe, or in a package) where there is one, else a hub id as it stands."""
    path = resolve(model, ctx.base)
    return str(path) if model.startswith("pkg:") or path.exists() else model


def keep_fewer_activations(model: Any) -> None:
    """Switch gradient checkpointing on, by the name that this version of transformers has for it."""
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def sampled(model: Any, tokenizer: Any, records: Sequence[Record], template: Template, tokens: int) -> dict[str, Any]:
    """What the model says to some questions, for people to look at, and how often it comes to an end by itself.

    ``stop_rate`` is the share of answers that a stop token ended. Near 0, the model was not taught to stop.
    """
    if not records:
        return {}
    answers = ended_replies(model, tokenizer, records, template, max_new_tokens=tokens)
    asked = ["".join(turn.content for turn in record.prompt()[-1:]) for record in records]
    shown = [{"question": q, "answer": a, "ended": ended} for q, (a, ended) in zip(asked, answers, strict=True)]
    return {"samples": shown, "stop_rate": sum(ended for _, ended in answers) / len(answers)}
