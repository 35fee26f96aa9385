"""What a run would do, before anything is sent: each step, whether it is done, and who does it."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from filial import tuning
from filial.asking.budget import Budget, dollars
from filial.discovery import OURSELVES
from filial.planning.estimating import EXACT, Estimate, Estimator, exam_size
from filial.run import records_key
from filial.stages import commit
from filial.stages.assemble import provenance
from filial.stages.commit import MANIFEST
from filial.store import kept, read_manifest

if TYPE_CHECKING:
    from filial.recipe import ComponentSpec, JudgeSpec, StageSpec
    from filial.run import Run
    from filial.stages.rows import Records

DONE, CHANGED, TO_DO = "done", "changed", "to do"


def plan_rows(run: Run) -> list[dict[str, Any]]:
    """One row per step: ``step``, ``state``, ``what``, ``plugins`` (``dist:name==version``) and, for all but the
    teacher, what it would take (`Estimate`'s fields). Nothing is sent and nothing is written.

    ``state`` is "done" when the step is whole and still fits the recipe, "changed" when it is whole but will be done
    again (something it depends on is another now, or a step before it is to be done and may give something else),
    else "to do".
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
        data, key, model = dict[str, Any](), "", run.model / MANIFEST
        found = [tuning.judged_at(run, judge, who) for judge in recipe.judges for who in _answerers(judge)]
        if state == DONE and any(path.exists() for path in (model, *found)):
            data = _dataset(run, estimator.records)
            key = tuning.training_key(run, data)
        template = recipe.template.use if recipe.template else "none"
        what = f"{recipe.train.use} on {recipe.model}, template {template}"
        plugins = [s for s in (recipe.train, recipe.template) if s]
        estimate = Estimate(estimator.count, 0, 0, 0, 0.0, EXACT)
        rows.append(_row(run, "train", _state(model, key), what, plugins, estimate))
        rows += [_judge(run, judge, estimator, data, key) for judge in recipe.judges]
    return rows


def _judge(run: Run, judge: JudgeSpec, estimator: Estimator, data: dict[str, Any], model: str) -> dict[str, Any]:
    """The row of a judge. ``model`` is the key of the model, trained or to be trained; empty where it is not known."""
    left = []
    for who in _answerers(judge):
        key = tuning.judging_key(run, judge, who, data, model) if model else ""
        left += [state] if (state := _state(tuning.judged_at(run, judge, who), key)) != DONE else []
    state = DONE if not left else CHANGED if CHANGED in left else TO_DO
    size = exam_size(run, judge)
    estimate = estimator.judge(judge, size, len(left)) if left else Estimate(size, 0, 0, 0, 0.0, EXACT)
    return _row(run, f"judge {judge.name}", state, _judging(judge), [judge.component], estimate)


def _answerers(judge: JudgeSpec) -> tuple[str, ...]:
    return ("model", *judge.against)


def _state(manifest: Path, key: str) -> str:
    """What a run would find, by the key that it would want the manifest to have; empty: that cannot be known yet."""
    if key and kept(manifest, key) is not None:
        return DONE
    return CHANGED if read_manifest(manifest) is not None else TO_DO


def _dataset(run: Run, records: Records) -> dict[str, Any]:
    """The manifest of the data set that the run would train on. One that is not there is made elsewhere: it may hold
    the very bytes that the model was trained on."""
    key = tuning.dataset_key(run, records_key(run.keys(), records))
    if (found := kept(run.folder / "dataset" / MANIFEST, key)) is not None:
        return found
    with TemporaryDirectory(prefix="filial-") as folder:
        return tuning.write_dataset(run, records, key, Path(folder))


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
