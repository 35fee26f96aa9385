"""Recipes and runs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, TypedDict, Unpack

import msgspec

from filial import recipe as recipes
from filial.api.models import Model
from filial.api.plugins import Plugin, Plugins, manager_of, plain, reporter_of
from filial.api.results import Plan, Result
from filial.contracts.errors import UsageError
from filial.contracts.records import Record
from filial.contracts.sources import SourceSpec
from filial.engine import commit, interrupts
from filial.engine.plan import plan_steps
from filial.engine.progress import Reporter
from filial.engine.run import Run, check_components
from filial.engine.stage import DropRow
from filial.plugins.manager import Manager
from filial.storage import read_manifest, write_bytes


class RunOptions(TypedDict, total=False):
    """How to run a recipe.

    ``name``: of the run; default: that of the recipe file. ``home``: the folder of ``runs/`` and ``.filial/``.
    ``limit``: run with this many records, as a separate run. ``set``: changes of the recipe, such as
    ``stages.evolve.rounds=2``. ``offline``: send nothing. ``retry_lost``: repeat stages and judges that lost rows.
    ``processes``: number of processes for evolve and filter; 0: only this one. ``plugins``: files to load as plugins.
    ``progress``: show progress.
    """

    name: str | None
    home: str | Path
    limit: int | None
    set: Sequence[str]
    offline: bool
    retry_lost: bool
    processes: int
    plugins: Plugins
    progress: bool | Reporter


class Recipe:
    """A recipe, built from the keys of its YAML or read from a file (`load`).

    Components are named as in the YAML, or given as objects or classes of registered plugins. Paths start at the
    current folder. ``plugins`` are files to load as plugins.
    """

    def __init__(
        self, *, stages: Sequence[Mapping[str, Any]] = (), teacher: Plugin | None = None,
        data: str | Path | SourceSpec | Mapping[str, Any] | None = None, budget: Mapping[str, float] | None = None,
        hooks: Sequence[Plugin] = (), heldout: int = 0, template: Plugin | None = None,
        train: Mapping[str, Any] | None = None, judge: Plugin | Sequence[Plugin] | None = None,
        seed: int = 42, plugins: Plugins = (),
    ) -> None:  # fmt: skip
        self._plugins, self._base = plugins, Path.cwd()
        self._file: Path | None = None
        self._set: tuple[str, ...] = ()
        keys = {
            "seed": seed, "teacher": teacher, "budget": budget, "hooks": hooks, "data": data, "stages": stages,
            "heldout": heldout, "template": template, "train": train, "judge": judge,
        }  # fmt: skip
        written = plain(keys, manager_of(plugins), registered=True)
        self._data = {key: value for key, value in written.items() if value not in (None, [], 0) or key == "seed"}

    @classmethod
    def load(cls, path: str | Path, set: Sequence[str] = (), plugins: Plugins = ()) -> Recipe:
        """Read the recipe of a file. ``set`` are changes, such as ``stages.evolve.rounds=2``."""
        made = cls(plugins=plugins)
        made._file, made._set = Path(path), tuple(set)
        return made

    def resolve(self, manager: Manager, set: Sequence[str] = ()) -> recipes.Recipe:
        """Return the recipe as the engine runs it.

        Raises:
            RecipeError: lists every fault.
        """
        if self._file is not None:
            return recipes.load(self._file, manager, [*self._set, *set])
        return recipes.from_dict(self._data, manager, set, name="recipe", base=self._base)

    def check(self, plugins: Plugins = ()) -> None:
        """Find every fault; send nothing. ``plugins``: files to load instead of those of the recipe.

        Raises:
            RecipeError: lists every fault.
            UsageError: a plugin or a package is missing or broken.
        """
        manager = manager_of(plugins or self._plugins)
        check_components(self.resolve(manager), manager)

    def plan(self, **options: Unpack[RunOptions]) -> Plan:
        """Return what a run would do and need, step by step; send nothing."""
        return Plan(plan_steps(open_run(self, **options)))

    def run(self, **options: Unpack[RunOptions]) -> Result:
        """Run the recipe, as `filial.run` does."""
        return run(self, **options)

    def to_yaml(self) -> str:
        """Return the recipe as YAML; a recipe read from a file has every default written out."""
        return recipes.dump(self._to_data())

    def save(self, path: str | Path) -> Path:
        """Check that the recipe is valid at this path, and write it there as YAML. Returns the path.

        A recipe does not name files of plugins: `filial --plugin FILE run` needs them.

        Raises:
            RecipeError: lists every fault it would have there, such as a file that is not found from that folder.
        """
        path, data = Path(path), self._to_data()
        recipes.from_dict(data, manager_of(self._plugins), name=str(path), base=path.absolute().parent)
        write_bytes(path, recipes.dump(data).encode())
        return path

    def _to_data(self) -> dict[str, Any]:
        return self._data if self._file is None else self.resolve(manager_of(self._plugins)).to_dict()

    def __repr__(self) -> str:
        return f"Recipe.load({str(self._file)!r})" if self._file else f"Recipe({', '.join(self._data)})"

    def _repr_html_(self) -> str:
        return f"<pre>{escape(self.to_yaml())}</pre>"


AnyRecipe = Recipe | str | Path | Mapping[str, Any]
"""A recipe, its file, or its keys."""


def open_run(
    recipe: AnyRecipe, *, name: str | None = None, home: str | Path = ".", limit: int | None = None,
    set: Sequence[str] = (), plugins: Plugins = (), progress: bool | Reporter = True, **options: Any,
) -> Run:  # fmt: skip
    """Return the run of a recipe. A run with a ``limit`` has a separate name.

    Raises:
        RecipeError: lists every fault of the recipe.
        UsageError: the name cannot be that of a folder.
    """
    if isinstance(recipe, Mapping):
        recipe = Recipe(**recipe, plugins=plugins)
    elif not isinstance(recipe, Recipe):
        recipe = Recipe.load(recipe, plugins=plugins)
    manager = manager_of(plugins or recipe._plugins)
    loaded = recipe.resolve(manager, set)
    named = _run_name(recipe._file.stem if recipe._file else "recipe", name)
    named = f"{named[:80]}-limit-{limit}" if limit else named
    return Run(loaded, manager, Path(home), named, reporter_of(progress), limit=limit, **options)


def _run_name(stem: str, name: str | None) -> str:
    """Return the name of a run, given or from the recipe's file, if it can name a folder on every system."""
    if name is None:
        return (re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip(".-") or "run")[:100]
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        use = "use letters, digits, '.', '_' and '-', at most 100, starting with a letter or digit"
        raise UsageError(f"name {name!r}: {use}")
    return name


def run(recipe: AnyRecipe, **options: Unpack[RunOptions]) -> Result:
    """Run a recipe. A run continues where it stopped; finished stages are not repeated.

    Raises:
        FilialError: as in ``filial run``; finished stages and answers are kept. Lost rows are not an error: see
            `Result.lost`.
    """
    return _execute(open_run(recipe, **options))


async def arun(recipe: AnyRecipe, **options: Unpack[RunOptions]) -> Result:
    """Run a recipe in a thread. Cancelling it ends the run cleanly.

    Raises:
        FilialError: as in `run`.
    """
    opened = open_run(recipe, **options)
    stop = opened.stop = interrupts.Stop()
    work = asyncio.get_running_loop().run_in_executor(None, _execute, opened)
    try:
        await asyncio.wait([work])
    except asyncio.CancelledError:
        stop()
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError:
            stop()
            raise
        work.exception()  # expected: the work was asked to stop
        raise
    return work.result()


def _execute(run: Run) -> Result:
    summary, folders = run.execute(), [run.stage_folder(stage) for stage in run.recipe.stages]

    def records() -> Iterable[Record]:
        manifest = read_manifest(folders[-1] / commit.MANIFEST) if folders else None
        return commit.stage_records(folders[-1], manifest) if manifest else run.data()

    def drops() -> Iterator[DropRow]:
        for folder in [run.folder, *folders]:
            if not (folder / commit.DROPS).exists():
                continue  # a run has its own only where lines are bad that enter no stage
            with open(folder / commit.DROPS, "rb") as file:
                yield from (msgspec.json.decode(line, type=DropRow) for line in file)

    model = Model(run.model, summary["train"], run.manager) if "train" in summary else None
    return Result(summary, records, drops, run.folder, model)
