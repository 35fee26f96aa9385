"""From a recipe's stage to a running one: plugins built, inputs read, what the stage depends on named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filial import formats
from filial.contracts.errors import UsageError
from filial.contracts.kinds import Drop, Item
from filial.contracts.paths import resolve
from filial.contracts.records import Record
from filial.engine.stage import BAD_LINE, StageContext
from filial.engine.work import Job
from filial.formats.reading import add_ids
from filial.plugins.options import locate_files

if TYPE_CHECKING:
    from filial.plugins.manager import Manager
    from filial.recipe import ComponentSpec


def read_inputs(
    source: str | Iterable[Item], base: Path, manager: Manager, env: StageContext, format: str = "auto",
    limit: int | None = None,
) -> Iterator[Record]:  # fmt: skip
    """Records of a file named by a user, or of rows in memory, as they are read; bad lines become drops of the stage,
    named as the user named the file.

    Raises:
        UsageError: at the end or before it: the file cannot be read, or holds no record.
    """
    lost, found, name = 0, False, source if isinstance(source, str) else "records"

    def drop_line(bad: formats.BadLine) -> None:
        nonlocal lost
        lost += 1
        env.counters.made += 1
        env.drop(Drop(BAD_LINE, str(replace(bad, file=name)), answer=bad.raw), "", None)

    records = read_source(source, base, manager, format=format, limit=limit, bad=drop_line, ids=False)
    for record in add_ids(records, compact=True):
        found = True
        yield record
    if not found:
        why = f"none of its {lost:,} lines is a record" if lost else "it holds no record"
        raise UsageError(f"{name}: {why}; look at its first lines, or name its format")


class Source:
    """The records of a file named by a user, read anew each time; a bad line is an error.

    Its first use is a reading of the whole file, which counts them: a fault is found before anything is spent on those
    in front of it.

    Raises:
        UsageError: the file cannot be read, holds a line that is no record, or holds none.
    """

    def __init__(self, source: str, base: Path, manager: Manager, limit: int | None = None) -> None:
        self._source = source
        self._read = partial(read_source, source, base, manager, strict=True, limit=limit)

    @cached_property
    def _count(self) -> int:
        if count := sum(1 for _ in self._read(ids=False)):
            return count
        raise UsageError(f"{self._source}: it holds no record")

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Record]:
        len(self)
        return self._read()


def read_source(source: str | Iterable[Item], base: Path, manager: Manager, **options: Any) -> Iterator[Record]:
    """`filial.formats.read` of what a user named: a path from ``base``, standard input or a data set of the hub. Errors
    call it what the user called it.

    The formats are those of ``manager``.

    Raises:
        UsageError: as there, and for a file that is not there.
    """
    if not isinstance(source, str):
        limit = options.pop("limit", None)
        yield from islice(formats.read_rows(source, manager=manager, **options), limit)
        return
    path: str | Path = source
    if source != "-" and not source.startswith("hf:"):
        path = resolve(source, base)
        if not path.exists():
            hub = f"; for a data set of the hub write hf:{source}" if source.count("/") == 1 and not path.suffix else ""
            raise UsageError(f"{source}: no such file{hub}")
    try:
        yield from formats.read(path, manager=manager, **options)
    except UsageError as err:
        if type(err) is not UsageError:  # a missing package: nothing to do with the path
            raise
        raise UsageError(str(err).replace(str(path), source)) from err


def stage_context(job: Job, manager: Manager, **more: Any) -> StageContext:
    """What the stage of a job runs in; ``more`` are fields of it, its writer at least."""

    def seeds() -> Iterator[Record]:
        for source, form in job.seeds:  # bad lines are drops of the stages that name the files
            yield from read_source(source, job.base, manager, format=form, bad=lambda line: None)

    return StageContext(stage=job.stage.name, seed=job.seed, job=job, seeds=seeds, **more)


def build(manager: Manager, spec: ComponentSpec, base: Path) -> Any:
    """The component a recipe describes, its files found, once everything it needs is installed."""
    manager.check_requirements(manager.get(spec.kind, spec.use))
    return locate_files(manager.build(spec.kind, {"use": spec.use, **spec.options}), base)


def provenance(manager: Manager, spec: ComponentSpec) -> str:
    """``dist:name==version`` of a component of a recipe."""
    return manager.provenance(spec.kind, spec.use)
