"""The engine's unit of work, as data: what a stage does to a batch of records.

A stage whose ``works`` is "map" processes each record separately: it cuts its records into `Work`, which its
``perform`` does in this process or in an engine, and takes the results in canonical order. A "reduce" stage, and
filters that remember, need that order and stay in the run's process. Workers write nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from filial.contracts.errors import FilialError
from filial.contracts.records import Record
from filial.contracts.sources import SourceSpec
from filial.plugins.discovery import STAGES
from filial.plugins.manager import Manager
from filial.recipe import ComponentSpec, Recipe, StageSpec
from filial.recipe.settings import stage_class


@dataclass(frozen=True, slots=True)
class Job:
    """What all work of one stage has in common.

    ``stage`` and its components are named as ``dist:name``; ``plugins`` are their exact versions. ``base`` is the
    recipe's folder, ``files`` are the plugin files to load, ``seeds`` the seed records that the recipe names before the
    stage.
    """

    stage: StageSpec
    plugins: tuple[str, ...]
    base: Path
    seed: int
    files: tuple[Path, ...]
    seeds: tuple[SourceSpec, ...]

    @classmethod
    def of(cls, recipe: Recipe, stage: StageSpec, manager: Manager) -> Job:
        """Describe a stage of a recipe whose plugins this manager has."""
        seeds = tuple(source for each in recipe.stages[: stage.index] for source in each.settings.seed_files())
        plugins, resolved = tuple(stage.plugins(manager)), tuple(_qualify(spec, manager) for spec in stage.components)
        verb = _full_name(manager, STAGES, stage.verb)
        stage = replace(stage, verb=verb, components=resolved)
        return cls(stage, plugins, recipe.base, recipe.seed, tuple(manager.files), seeds)

    def manager(self) -> Manager:
        """Return a manager that has loaded what the job needs.

        Raises:
            FilialError: a plugin has another version than in ``plugins``.
        """
        manager = Manager()
        for file in self.files:
            manager.load_file(file)
        stage_class(manager, self.stage.verb)
        for meant, found in zip(self.plugins, self.stage.plugins(manager), strict=True):
            if found != meant:
                raise FilialError(f"{meant} has become {found} since the run began; run it again")
        return manager


def _qualify(spec: ComponentSpec, manager: Manager) -> ComponentSpec:
    settings = spec.settings
    if getattr(settings, "name", "") is None:  # tables keep the name in the recipe
        settings = settings.model_copy(update={"name": spec.use})
    return replace(spec, use=_full_name(manager, spec.kind, spec.use), settings=settings)


def _full_name(manager: Manager, kind: str, name: str) -> str:
    """Return ``dist:name``: the same plugin, no matter what else is installed on the worker."""
    return manager.provenance(kind, name).partition("==")[0]


@dataclass(frozen=True, slots=True)
class Work:
    """A batch of a stage's records. ``place`` is the position of the first record; ``ranks`` distinguish records with
    the same id, if needed. Without a job it is done with the stage's own components."""

    job: Job | None
    place: int
    records: tuple[Record, ...]
    ranks: tuple[int, ...] = ()


def cut(
    job: Job | None, records: Iterable[Record], size: int, rank: Callable[[str], int] | None = None
) -> Iterator[Work]:
    """Cut the records of a stage into work, lazily."""
    rest, place = iter(records), 0
    while batch := tuple(islice(rest, size)):
        yield Work(job, place, batch, tuple(rank(record.id) for record in batch) if rank else ())
        place += len(batch)
