"""Train a model on the data set, and note in its folder how to ask it.

Two small files name the template of the training and the teacher that asks the model, each as in a recipe: ``{"use":
NAME, options}``. Paths in the teacher's options are relative to the folder, so that it can be moved.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from filial.contracts.checks import json_figures
from filial.contracts.context import TrainContext
from filial.contracts.errors import UsageError
from filial.contracts.kinds import Teacher, Template, Trainer
from filial.contracts.paths import resolve
from filial.contracts.plugin_errors import blame_plugin, breach, wrong_type
from filial.engine.build import build
from filial.engine.commit import MANIFEST
from filial.engine.keys import component_parts
from filial.plugins.options import locate_files
from filial.storage import digest, file_sha256, find_finished, write_bytes, write_manifest

if TYPE_CHECKING:
    from filial.engine.run_context import RunContext
    from filial.plugins.manager import Manager
    from filial.recipe import ComponentSpec, Recipe

TEMPLATE_NOTE, TEACHER_NOTE = "filial_template.json", "filial_teacher.json"


def base_model(recipe: Recipe) -> str:
    """Return the model to start from: a folder relative to the recipe or in a package, otherwise a hub id."""
    name = recipe.model or ""
    path = resolve(name, recipe.base)
    return str(path) if name.startswith("pkg:") or path.exists() else name


def check_base_model(recipe: Recipe, manager: Manager) -> None:
    """Check before any request that the trainer of a recipe can train its model.

    Raises:
        UsageError: it cannot, as far as `Trainer.check_model` knows.
        FilialError: the trainer fails.
    """
    if recipe.train is None:
        return
    trainer: Trainer = build(manager, recipe.train, recipe.base)
    try:
        with blame_plugin(manager.provenance(trainer), "train"):
            trainer.check_model(base_model(recipe))
    except UsageError as err:
        raise UsageError(f"{recipe.train.where}: {err}" if recipe.train.where else str(err)) from err


def trainer_and_template(recipe: Recipe) -> tuple[ComponentSpec, ComponentSpec]:
    """Return the trainer and the template of a recipe that trains; a recipe without a template was refused before."""
    assert recipe.train is not None
    assert recipe.template is not None
    return recipe.train, recipe.template


def training_key(run: RunContext, data: dict[str, Any]) -> str:
    """Return what the model depends on: the data set, trainer and template with their options, the base model, the
    seed."""
    recipe = run.recipe
    parts = component_parts(trainer_and_template(recipe), recipe.base, run.manager)
    return digest(data["files"]["train.jsonl"], parts, model_digest(base_model(recipe)), recipe.seed)


def train_model(run: RunContext, data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Train, unless the complete model for the same inputs exists. Returns its key and figures."""
    key, recipe, manager, out = training_key(run, data), run.recipe, run.manager, run.model
    if (manifest := find_finished(out / MANIFEST, key)) is not None:
        run.reporter.note("model: trained before")
        return key, manifest["figures"]
    train, template = trainer_and_template(recipe)
    trainer: Trainer = build(manager, train, recipe.base)
    base, folder, cache = base_model(recipe), run.folder / "dataset", run.home / ".filial" / "prepared"
    with manager.hook.training(run.info(), base, folder, out) as told:
        with run.reporter.training() as shown:

            def progress(done: float, total: float, text: str) -> None:
                if run.stop is not None:
                    run.stop.check()
                shown(done, total, text)

            ctx = TrainContext(recipe.seed, progress=progress, note=run.reporter.note, base=recipe.base, cache=cache)
            figures = tune(manager, trainer, folder, base, {"use": template.use, **template.options}, out, ctx)
        files = {path.name: {"sha256": file_sha256(path)} for path in _files(out) if path.name != MANIFEST}
        write_manifest(out / MANIFEST, {"format": 1, "key": key, "base": base, "figures": figures, "files": files})
        told.update(figures)
    return key, figures


def tune(
    manager: Manager, trainer: Trainer, data: Path, model: str, template: dict[str, Any], out: Path, ctx: TrainContext
) -> dict[str, Any]:
    """Train a model on a data set, and note in its folder ``out`` how to ask it. Returns the trainer's figures.

    ``template`` is its spec as in a recipe. A figure that JSON cannot represent is left out with a note, so that the
    training is not lost.

    Raises:
        FilialError: the trainer fails or breaks its contract; the folder cannot be written, or the disk is full.
    """
    plugin = manager.provenance(trainer)
    made = locate_files(cast(Template, manager.build("templates", template)), ctx.base)
    with blame_plugin(plugin, "train"):
        figures = trainer.train(data, model, made, out, ctx)
    if not isinstance(figures, dict):
        raise wrong_type(plugin, "train", "train", figures, "a dict of figures")
    if not out.is_dir():
        raise breach(plugin, "train", f"train left no model in {out}")
    figures, faults = json_figures(figures)
    for fault in faults:
        ctx.note(f"{breach(plugin, 'train', fault)}; the model is kept without it")
    _write_notes(out, trainer, template, manager, ctx.note)
    return figures


def _write_notes(
    out: Path, trainer: Trainer, template: dict[str, Any], manager: Manager, note: Callable[[str], None]
) -> None:
    """Note in a model's folder how to ask it. If the trainer's models cannot be asked, only the template is noted."""
    out = out.absolute()
    _write(out / TEMPLATE_NOTE, template)
    if type(trainer).teacher is Trainer.teacher:
        return
    teacher = build_teacher(trainer, out, manager)
    use, registered, _ = manager.provenance(teacher).partition("==")
    if not registered:
        note(f"{out} does not say how to ask its model: no plugin registers {type(teacher).__name__} as a teacher")
        return
    options = teacher.model_dump(mode="json", exclude_defaults=True)
    for name, value in options.items():
        if isinstance(value, str) and Path(value).is_relative_to(out):
            options[name] = str(Path(value).relative_to(out))
    _write(out / TEACHER_NOTE, {"use": use, **options})


def build_teacher(trainer: Trainer, out: Path, manager: Manager) -> Teacher:
    """Return the teacher that asks a model in ``out``. The manager then knows its registered name.

    Raises:
        FilialError: the trainer fails, or does not return a teacher.
    """
    plugin = manager.provenance(trainer)
    with blame_plugin(plugin, "judge"):
        teacher = trainer.teacher(out)
    if not isinstance(teacher, Teacher):
        raise wrong_type(plugin, "judge", "teacher", teacher, "Teacher")
    manager.name_of(type(teacher))
    return teacher


def load_template(folder: str | Path, manager: Manager | None = None) -> Template | None:
    """Return the template of a model's training; None if its folder does not name one.

    Without a manager, only installed templates are known.

    Raises:
        UsageError: the note cannot be read, or names a template that is not installed.
    """
    from filial.plugins.manager import Manager

    spec = _read(Path(folder) / TEMPLATE_NOTE)
    return None if spec is None else cast(Template, (manager or Manager()).build("templates", spec))


def load_teacher(folder: Path, manager: Manager) -> Teacher | None:
    """Return the teacher that asks a model; None if its folder does not name one.

    Raises:
        UsageError: the note cannot be read, or names a teacher that is not installed.
    """
    spec = _read(folder / TEACHER_NOTE)
    if spec is None:
        return None
    teacher = cast(Teacher, manager.build("teachers", spec))
    manager.check_requirements(type(teacher))
    return locate_files(teacher, folder)


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise UsageError(f"{path}: {error}; write {{use: NAME, options}} as JSON there, or delete the file") from error


def _write(path: Path, spec: dict[str, Any]) -> None:
    write_bytes(path, msgspec.json.format(msgspec.json.encode(spec), indent=2) + b"\n")


def model_digest(model: str) -> str:
    """Return a digest of a model's bytes if it is a local folder, otherwise its name."""
    folder = Path(model)
    return digest([[file.name, file_sha256(file)] for file in _files(folder)]) if folder.is_dir() else model


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())
