"""What a run would do, before anything is sent: each step, whether it is done, and who does it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from filial.discovery import OURSELVES
from filial.stages.assemble import provenance
from filial.stages.commit import MANIFEST
from filial.store import read_manifest

if TYPE_CHECKING:
    from filial.recipe import ComponentSpec, JudgeSpec, StageSpec
    from filial.run import Run

DONE, CHANGED, TO_DO = "done", "changed", "to do"


def plan_rows(run: Run) -> list[dict[str, Any]]:
    """One row per step: ``step``, ``state``, ``what`` and ``plugins`` (``dist:name==version``). Nothing is sent and
    nothing is written.

    ``state`` is "done" when the step is whole and still fits the recipe, "changed" when it is whole but will be done
    again (something it depends on is another now), else "to do".
    """
    recipe = run.recipe
    rows = [_row(run, "teacher", "", _teacher(run), [recipe.teacher])] if recipe.teacher else []
    state = DONE
    for stage, key in zip(recipe.stages, run.keys()[1:], strict=True):
        manifest = read_manifest(run.folder / "stages" / stage.name / MANIFEST)
        state = TO_DO if manifest is None else DONE if manifest.get("key") == key else CHANGED
        what = _stage(stage)
        if manifest and state == DONE:
            what += f"; {manifest['counts']['out']:,} records"
        rows.append(_row(run, stage.name, state, what, stage.components))
    if recipe.train:
        state = DONE if state == DONE and read_manifest(run.model / MANIFEST) else TO_DO
        template = recipe.template.use if recipe.template else "none"
        what = f"{recipe.train.use} on {recipe.model}, template {template}"
        rows.append(_row(run, "train", state, what, [s for s in (recipe.train, recipe.template) if s]))
    for judge in recipe.judges:
        whole = read_manifest(run.folder / "judge" / f"{judge.name}-model.json") is not None
        state_of_judge = DONE if whole and state == DONE else TO_DO
        rows.append(_row(run, f"judge {judge.name}", state_of_judge, _judging(judge), [judge.component]))
    return rows


def _row(run: Run, step: str, state: str, what: str, components: Any) -> dict[str, Any]:
    plugins = [provenance(run.manager, c) for c in components]
    others = sorted({_owner(plugin) for plugin in plugins if not plugin.startswith(f"{OURSELVES}:")})
    brought = f" (from {', '.join(others)})" if others else ""
    return {"step": step, "state": state, "what": what + brought, "plugins": plugins}


def _owner(plugin: str) -> str:
    """``dist version`` of ``dist:name==version``."""
    named, _, version = plugin.partition("==")
    return f"{named.rpartition(':')[0]} {version}"


def _teacher(run: Run) -> str:
    """Who is asked, at which host, with which key by name, below which caps."""
    spec = run.recipe.teacher
    assert spec is not None
    host = urlsplit(str(spec.options.get("base_url") or "")).netloc.rpartition("@")[2]
    words = [_named(spec), *([f"host {host}"] if host else [])]
    if spec.options.get("api_key_env") and host:
        words.append(f"key from ${spec.options['api_key_env']}")
    cap = run.recipe.budget.get("requests")
    words.append(f"at most {cap:,} requests" if cap else "no cap on requests (add budget: {requests: N})")
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
