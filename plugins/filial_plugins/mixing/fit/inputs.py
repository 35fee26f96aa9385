"""What ``filial mix fit`` is given: a recipe with a mix stage, or files of records, and how pilots are to train."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filial import Record, Trainer, UsageError, resolve
from filial.commands import ComponentSpec, Manager, Recipe, StageContext, StageSpec, load, locate_files
from filial.formats import SourceSpec
from filial.stages import read_inputs
from filial_plugins.mixing.drawing import Pool
from filial_plugins.mixing.sources import flatten_sources
from filial_plugins.stages.mix import Mix

SUFFIXES = (".yaml", ".yml")


@dataclass(slots=True)
class Inputs:
    """What is to be mixed, and how it is trained.

    Attributes:
        sources: source and task of all records; the task is None where the records say theirs.
        settings: the keys of the mix stage.
        where: what errors begin with: the place of the stage in its recipe, or nothing.
        base: the folder that paths start from.
        characters: how many each record has on average, once they are read.
    """

    sources: list[tuple[SourceSpec, str | None]]
    settings: Mix = field(default_factory=Mix)
    where: str = ""
    base: Path = field(default_factory=Path.cwd)
    recipe: Recipe | None = None
    characters: float = 0.0

    async def fill(self, pool: Pool, manager: Manager, env: StageContext) -> None:
        """Put all records into a pool, grouped as the mix stage groups them.

        Raises:
            UsageError: a source cannot be read.
        """
        lengths = [0, 0]

        def measure(records: Iterable[Record]) -> Iterator[Record]:
            for record in records:
                lengths[0] += 1
                lengths[1] += sum(map(len, record.content()))
                yield record

        for source, task in self.sources:
            await self.settings.fill(pool, measure(read_inputs(source, self.base, manager, env)), task)
        self.characters = lengths[1] / max(1, lengths[0])


def read_arguments(
    words: tuple[str, ...], stage: str | None, home: Path, flags: Mapping[str, Any], manager: Manager
) -> Inputs:
    """Return what the words of a command line name: one recipe, or files, each as ``FILE`` or ``TASK=FILE``.

    Raises:
        UsageError: the recipe has faults or no mix stage; a word is not a file; a recipe is not alone.
    """
    from filial.commands import source_spec

    if words[0].endswith(SUFFIXES):
        if len(words) > 1:
            raise UsageError(f"{words[0]} is a recipe, which names its sources itself; leave out {words[1]}")
        return _read_recipe(words[0], stage, home, manager)
    if stage is not None:
        raise UsageError("--stage names a stage of a recipe, and there is none; give a recipe, or leave it out")
    sources = list[tuple[SourceSpec, str | None]]()
    for word in words:
        task, equals, file = word.partition("=")
        named = bool(equals and task) and not Path(word).exists()
        if named and any(task == other for _, other in sources):
            raise UsageError(f"the task {task!r} is given twice; give the second another name, or join the files")
        sources.append((source_spec(file if named else word, flags), task if named else None))
    return Inputs(sources)


def _read_recipe(file: str, wanted: str | None, home: Path, manager: Manager) -> Inputs:
    recipe = load(file, manager)
    stage = _choose_stage(file, recipe, wanted)
    settings, where = stage.settings, stage.components[0].where
    sources: list[tuple[SourceSpec, str | None]] = [
        (source, task) for task, source in flatten_sources(settings.sources or {}).items()
    ]
    if stage.index:
        before = recipe.stages[stage.index - 1].name
        folder = home / "runs" / Path(file).stem / "stages" / before
        if (folder / "manifest.json").is_file():
            records = str((folder / "records.jsonl").absolute())
            sources.insert(0, (SourceSpec(file=records), None))
        elif not sources:
            raise UsageError(
                f"{where}: this mix takes the records of {before}, and {folder} has none; run the recipe up to there "
                "with filial run, or give the files of records instead of the recipe"
            )
    elif recipe.data is not None:
        sources.insert(0, (recipe.data, None))
    return Inputs(sources, settings, where, recipe.base, recipe)


def _choose_stage(file: str, recipe: Recipe, wanted: str | None) -> StageSpec:
    found = [stage for stage in recipe.stages if isinstance(stage.settings, Mix)]
    if wanted is not None:
        found = [stage for stage in found if wanted in (stage.name, stage.verb, str(stage.index + 1))]
    if len(found) == 1:
        return found[0]
    names = ", ".join(stage.name for stage in found or recipe.stages) or "none"
    if found:
        raise UsageError(f"{file}: has several mix stages; choose one with --stage: {names}")
    what = f"{wanted!r} is no mix stage of this recipe" if wanted else "this recipe has no mix stage"
    raise UsageError(f"{file}: {what}; its stages are {names}")


def choose_model(inputs: Inputs, flag: str | None) -> str:
    """Return the base model of the pilots: a folder, or the id of a model on the hub.

    Raises:
        UsageError: none is named.
    """
    recipe = inputs.recipe
    name, base = (flag, Path.cwd()) if flag else (recipe.model if recipe else None, inputs.base)
    if not name:
        who = f"{recipe.name}: the recipe names no model" if recipe else "pilots need a model to train"
        raise UsageError(f"{who}; add --model with a small model, such as pkg:filial_plugins/procedural/pocket_base")
    path = resolve(name, base)
    return str(path) if name.startswith("pkg:") or path.exists() else name


def choose_part(
    kind: str, name: str | None, options: dict[str, Any], said: ComponentSpec | None, default: str | None
) -> dict[str, Any]:
    """Return the trainer or the template of the pilots: that of the flags, else that of the recipe, else the default.
    Options alone change those of the recipe.

    Raises:
        UsageError: none is named.
    """
    if name is None and said is not None:
        return {"use": said.use, **said.options, **options}
    if (name or default) is None:
        raise UsageError(f"pilots need a {kind}; add --{kind} NAME, such as --{kind} alpaca")
    return {"use": name or default, **options}


def build_trainer(spec: dict[str, Any], model: str, inputs: Inputs, manager: Manager) -> Trainer:
    """Build the trainer, and check that it can train the model.

    Raises:
        UsageError: it cannot, or an option is invalid.
    """
    trainer = locate_files(manager.build("trainers", spec, "--trainer"), inputs.base)
    assert isinstance(trainer, Trainer)
    manager.check_requirements(type(trainer))
    trainer.check_model(model)
    return trainer
