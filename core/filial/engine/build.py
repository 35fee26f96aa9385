"""Prepare a stage of a recipe: build its plugins and read its inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filial import formats
from filial.contracts.errors import UsageError
from filial.contracts.kinds import Drop, Item
from filial.contracts.paths import is_address, resolve
from filial.contracts.records import Record
from filial.contracts.sources import SourceSpec
from filial.engine.stage import BAD_LINE, StageContext
from filial.engine.work import Job
from filial.formats.reading import add_ids
from filial.plugins.options import locate_files

if TYPE_CHECKING:
    from filial.plugins.manager import Manager
    from filial.recipe import ComponentSpec


class _BadLines:
    """Counts the bad lines of a source, and passes them on."""

    def __init__(self, name: str, put: Callable[[formats.BadLine], None] = lambda bad: None) -> None:
        self.count, self.first, self._name, self._put = 0, "", name, put

    def __call__(self, bad: formats.BadLine) -> None:
        self.count += 1
        self.first = self.first or f"; it was read as {bad.read_as}, and the first fault is {bad}"
        self._put(bad)

    def refuse_nothing(self) -> UsageError:
        """Return the error for a source without a single record."""
        why = f"none of its {self.count:,} lines is a record" if self.count else "it holds no record"
        return UsageError(f"{self._name}: {why}{self.first or '; look at its first lines, or name its format'}")


def drop_bad_line(env: StageContext, bad: formats.BadLine) -> None:
    """Count a bad line as a drop of a stage."""
    env.counters.made += 1
    env.drop(Drop(BAD_LINE, str(bad), answer=bad.raw), "", None)


def read_inputs(
    source: SourceSpec | str | Iterable[Item], base: Path, manager: Manager, env: StageContext,
    limit: int | None = None, **how: Any,
) -> Iterator[Record]:  # fmt: skip
    """Yield the records of a source or of rows in memory; bad lines become drops of the stage.

    ``how`` are arguments of `read_source`.

    Raises:
        UsageError: the source cannot be read or, at its end, it has no record.
    """
    lines, found = _BadLines(source_name(source), partial(drop_bad_line, env)), False
    records = read_source(source, base, manager, limit=limit, bad=lines, note=env.note, ids=False, **how)
    for record in add_ids(records, compact=True):
        found = True
        yield record
    if not found:
        raise lines.refuse_nothing()


class Source:
    """The records of a source, read again at each iteration; bad lines are left out.

    The first use reads the whole source and counts its records, so that a fault is found before anything is spent on
    the records before it. ``bad_line`` gets each bad line then, and ``note`` the sentence about the columns.

    Raises:
        UsageError: the source cannot be read or has no record; or it is ``strict`` and has a bad line.
    """

    def __init__(
        self, source: SourceSpec | str, base: Path, manager: Manager, limit: int | None = None,
        note: Callable[[str], None] | None = None,
    ) -> None:  # fmt: skip
        self._read = partial(read_source, source, base, manager, limit=limit)
        self._note, self._name = note, source_name(source)
        self.bad_line: Callable[[formats.BadLine], None] = lambda bad: None

    @cached_property
    def _count(self) -> int:
        lines = _BadLines(self._name, self.bad_line)
        if count := sum(1 for _ in self._read(ids=False, bad=lines, note=self._note)):
            return count
        raise lines.refuse_nothing()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Record]:
        len(self)
        return self._read(bad=lambda bad: None)


def source_name(source: SourceSpec | str | Iterable[Item]) -> str:
    """Return the name of a source in messages: as the user wrote it."""
    return str(source) if isinstance(source, SourceSpec | str) else "records"


def read_source(
    source: SourceSpec | str | Iterable[Item], base: Path, manager: Manager, **options: Any
) -> Iterator[Record]:
    """Read a source with its settings (`filial.formats.read`), or rows in memory.

    A path is relative to ``base``. Errors name the source as the user wrote it. The formats are those of ``manager``.

    Raises:
        UsageError: as in `filial.formats.read`, and if there is no such file.
    """
    if not isinstance(source, SourceSpec | str):
        limit = options.pop("limit", None)
        yield from islice(formats.read_rows(source, manager=manager, **options), limit)
        return
    spec = SourceSpec(file=source) if isinstance(source, str) else source
    name = spec.file
    path: str | Path = name if name == "-" or is_address(name) else resolve(name, base)
    try:
        called = "<stdin>" if name == "-" else name
        yield from formats.read(path, manager=manager, name=called, **{**spec.options(), **options})
    except UsageError as err:
        if type(err) is not UsageError:  # a missing package, say: the message does not name the path
            raise
        raise UsageError(str(err).replace(str(path), name)) from err


def stage_context(job: Job, manager: Manager, **more: Any) -> StageContext:
    """Return the context of the stage of a job; ``more`` are fields of it, at least its writer."""

    def seeds() -> Iterator[Record]:
        for source in job.seeds:  # bad lines are counted by the stage that names the file
            yield from read_source(source, job.base, manager, bad=lambda line: None)

    return StageContext(stage=job.stage.name, seed=job.seed, job=job, seeds=seeds, **more)


def build(manager: Manager, spec: ComponentSpec, base: Path) -> Any:
    """Build a component of a recipe: check that what it needs is installed, and locate its files."""
    manager.check_requirements(manager.get(spec.kind, spec.use))
    return locate_files(manager.build(spec.kind, {"use": spec.use, **spec.options}), base)


def provenance(manager: Manager, spec: ComponentSpec) -> str:
    """Return ``dist:name==version`` of a component of a recipe."""
    return manager.provenance(spec.kind, spec.use)
