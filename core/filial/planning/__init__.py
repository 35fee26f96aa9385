"""What a run would do, before anything is sent: each step, whether it is done, and who does it."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from filial.asking.budget import Budget, dollars
from filial.discovery import OURSELVES
from filial.planning.estimating import EXACT, Estimate, Estimator, exam_size
from filial.stages import commit
from filial.stages.assemble import provenance
from filial.stages.commit import MANIFEST
from filial.store import read_manifest

if TYPE_CHECKING:
    from filial.recipe import ComponentSpec, JudgeSpec, StageSpec
    from filial.run import Run

DONE, CHANGED, TO_DO = "done", "changed", "to do"


def plan_rows(run: Run) -> list[dict[str, Any]]:
    """One row per step: ``step``, ``state``, ``what``, ``plugins`` (``dist:name==version``) and, for all but the
    teacher, what it would take (`Estimate`'s fields). Nothing is sent and nothing is written.

    ``state`` is "done" when the step is whole and still fits the recipe, "changed" when it is whole but will be done
    again (something it depends on is another now), else "to do".
    """
    with Estimator(run) as estimator:
        return asyncio.run(_planned(run, estimator))


async def _planned(run: Run, estimator: Estimator) -> list[dict[str, Any]]:
    recipe = run.recipe
    rows = [_row(run, "teacher", "", _teacher(run), [recipe.teacher])] if recipe.teacher else []
    state = DONE
    for stage, key in zip(recipe.stages, run.keys()[1:], strict=True):
        folder = run.folder / "stages" / stage.name
        manifest = commit.committed(folder, key, estimator.entering) if state == DONE else None
        what = _stage(stage)
        if manifest is not None:
            what += f"; {manifest['counts']['out']:,} records"
            estimate = estimator.done(commit.rows(folder, manifest))
        else:
            state = CHANGED if read_manifest(folder / MANIFEST) else TO_DO
            estimate = await estimator.stage(stage)
        rows.append(_row(run, stage.name, state, what, stage.components, estimate))
    if recipe.train:
        state = DONE if state == DONE and read_manifest(run.model / MANIFEST) else TO_DO
        template = recipe.template.use if recipe.template else "none"
        what = f"{recipe.train.use} on {recipe.model}, template {template}"
        plugins = [s for s in (recipe.train, recipe.template) if s]
        rows.append(_row(run, "train", state, what, plugins, Estimate(estimator.count, 0, 0, 0, 0.0, EXACT)))
    for judge in recipe.judges:
        whole = read_manifest(run.folder / "judge" / f"{judge.name}-model.json") is not None
        done = whole and state == DONE
        size = exam_size(run, judge)
        estimate = Estimate(size, 0, 0, 0, 0.0, EXACT) if done else estimator.judge(judge, size)
        rows.append(
            _row(run, f"judge {judge.name}", DONE if done else TO_DO, _judging(judge), [judge.component], estimate)
        )
    return rows


def _row(
    run: Run, step: str, state: str, what: str, components: Any, estimate: Estimate | None = None
) -> dict[str, Any]:
    plugins = [provenance(run.manager, c) for c in components]
    others = sorted({_owner(plugin) for plugin in plugins if not plugin.startswith(f"{OURSELVES}:")})
    brought = f" (from {', '.join(others)})" if others else ""
    row = {"step": step, "state": state, "what": what + brought, "plugins": plugins}
    return row | asdict(estimate) if estimate else row


def _owner(plugin: str) -> str:
    """``dist version`` of ``dist:name==version``."""
    named, _, version = plugin.partition("==")
    return f"{named.rpartition(':')[0]} {version}"


def _teacher(run: Run) -> str:
    """Who is asked, at which host, with which key by name, below which caps."""
    spec = run.recipe.teacher
    assert spec is not None
    teacher = run.recipe.teacher_of(run.manager)
    words = [_named(spec)]
    if place := teacher.destination():
        words += [f"host {place.host}", *([f"key from ${place.key}"] if place.key else [])]
    budget = Budget(**run.recipe.budget)
    caps = [f"{cap:,} {name}" for name in ("requests", "tokens") if (cap := getattr(budget, name))]
    caps += [dollars(budget.usd)] if budget.usd else []
    price = teacher.price()
    if caps or price is None or price.completion:
        words.append(f"at most {' and '.join(caps)}" if caps else "no cap on what it may cost (add budget: {usd: N})")
    if price is not None and price.completion:
        words.append(f"{dollars(price.prompt)} and {dollars(price.completion)} per million tokens ({price.source})")
    return ", ".join(words)


def _named(spec: ComponentSpec) -> str:
    model = spec.options.get("model")
    return f"{spec.use}, model {model}" if model else spec.use


def _stage(stage: StageSpec) -> str:
    """Who works in a stage, on what, and what it asks at most."""
    if stage.verb == "evolve":
        names = ", ".join(s.use for s in stage.of("strategies"))
        rounds = stage.settings["rounds"]
        return f"{rounds} round{'s' if rounds > 1 else ''} of {names}; a strategy and its answer are two requests"
    names = ", ".join(s.use for s in stage.components)
    if stage.verb == "generate" and stage.settings.get("seeds"):
        return f"{names} from {stage.settings['seeds']}"
    return names


def _judging(judge: JudgeSpec) -> str:
    rivals = f", against {' and '.join(judge.against)}" if judge.against else ""
    return f"{judge.component.use} on {judge.data}{rivals}"
