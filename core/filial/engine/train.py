"""Training: the last stage's records become a data set, and a trainer's model of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from filial.contracts.checks import json_figures
from filial.contracts.context import TrainContext
from filial.contracts.errors import UsageError
from filial.contracts.kinds import Template, Trainer
from filial.contracts.paths import resolve
from filial.contracts.plugin_errors import blamed, breach, wrong_type
from filial.engine import dataset
from filial.engine.build import build, provenance
from filial.engine.commit import MANIFEST
from filial.engine.exams import TrainingRun, exam_questions
from filial.engine.keys import component_parts, source_digest
from filial.engine.model_notes import save_notes
from filial.engine.stage import Records
from filial.storage import digest, file_sha256, kept, write_manifest


def base_model(run: TrainingRun) -> str:
    """The model to start from: a folder beside the recipe or in a package, else a hub id as it stands."""
    assert run.recipe.train is not None
    name = run.recipe.model or ""
    path = resolve(name, run.recipe.base)
    return str(path) if name.startswith("pkg:") or path.exists() else name


def dataset_key(run: TrainingRun, records: str) -> str:
    """What the data set depends on; ``records`` says which records the last stage gave."""
    recipe = run.recipe
    exams = [source_digest(spec.data, recipe.base) for spec in recipe.judges if spec.data != "heldout"]
    return digest(records, recipe.heldout, recipe.seed, exams)


def write_dataset(run: TrainingRun, records: Records, key: str, folder: Path) -> dict[str, Any]:
    """Write the data set of these records to a folder, unless it is there for this key. Returns its manifest."""
    return dataset.write(folder, records, run.recipe.heldout, run.recipe.seed, key, exam_questions(run))


def training_key(run: TrainingRun, data: dict[str, Any]) -> str:
    """What the model depends on: the data set, the trainer and the template with their options, the base model, the
    seed."""
    recipe = run.recipe
    assert recipe.train is not None
    if recipe.template is None:
        raise UsageError("train needs a template; add one, such as template: {use: alpaca}")
    parts = component_parts((recipe.train, recipe.template), recipe.base, run.manager)
    return digest(data["files"]["train.jsonl"], parts, weights(base_model(run)), recipe.seed)


def train_model(run: TrainingRun, data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Train, unless a whole model for this data, template and these options is there. Returns its key and figures."""
    key = training_key(run, data)
    manifest = kept(run.model / MANIFEST, key)
    if manifest is not None:
        run.reporter.note("model: trained before")
    else:
        base = base_model(run)
        with run.manager.hook.training(run.info(), base, run.folder / "dataset", run.model) as told:
            manifest = _trained(run, base, key)
            told.update(manifest["figures"])
    return key, manifest["figures"]


def _trained(run: TrainingRun, model: str, key: str) -> dict[str, Any]:
    """Train now. Returns the new model's manifest."""
    recipe = run.recipe
    assert recipe.train is not None
    assert recipe.template is not None
    trainer: Trainer = build(run.manager, recipe.train, recipe.base)
    template: Template = build(run.manager, recipe.template, recipe.base)
    plugin = provenance(run.manager, recipe.train)
    with run.reporter.training() as progress, blamed(plugin, "train"):
        cache = run.home / ".filial" / "prepared"
        ctx = TrainContext(recipe.seed, progress=progress, note=run.reporter.note, base=recipe.base, cache=cache)
        figures = trainer.train(run.folder / "dataset", model, template, run.model, ctx)
        if not isinstance(figures, dict):
            raise wrong_type(plugin, "train", "train", figures, "a dict of figures")
        if not run.model.is_dir():
            raise breach(plugin, "train", f"train left no model in {run.model}")
    figures, faults = json_figures(figures)
    for fault in faults:  # no reason to train again
        run.reporter.note(f"{breach(plugin, 'train', fault)}; the model is kept without it")
    save_notes(
        run.model, trainer, {"use": recipe.template.use, **recipe.template.options}, run.manager, run.reporter.note
    )
    files = {p.name: {"sha256": file_sha256(p)} for p in _files(run.model) if p.name != MANIFEST}
    manifest = {"format": 1, "key": key, "base": model, "figures": figures, "files": files}
    write_manifest(run.model / MANIFEST, manifest)
    return manifest


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_file())


def weights(model: str) -> str:
    """What a model's bytes are, where it is a local folder; else its name."""
    folder = Path(model)
    return digest([[f.name, file_sha256(f)] for f in _files(folder)]) if folder.is_dir() else model
