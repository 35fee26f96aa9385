"""What ``FILE|RUN`` names: a file of records or drops, a stage of a run, all drops of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from filial import Record, UsageError, formats, resolve
from filial.commands import DropRow, read_source
from filial.formats import BadLine
from filial_plugins.show.rows import Row

if TYPE_CHECKING:
    from filial.commands import Manager

RECORDS, DROPS, MANIFEST, LOCK = "records.jsonl", "drops.jsonl", "manifest.json", "recipe.lock.yaml"


@dataclass
class BadLines:
    """Lines that are no record: how many, and the first of them."""

    total: int = 0
    first: BadLine | None = None

    def __call__(self, line: BadLine) -> None:
        self.total += 1
        self.first = self.first or line


@dataclass(frozen=True)
class Source:
    """Rows that can be read again and again.

    ``read(ids, bad)`` gives them; ``ids``: with ids made for records that have none (memory grows with their number),
    else with those they have. ``bad`` takes the lines that are none. ``optional``: nobody named it here, and what
    is wrong with it is no error.
    """

    name: str
    read: Callable[[bool, BadLines], Iterator[Row]]
    total: int | None = None
    optional: bool = False


@dataclass
class Selection:
    """What is to be shown, where else an id may be, and where parents are looked for."""

    shown: Source
    dropped: bool = False
    elsewhere: list[Source] = field(default_factory=list)
    parents: list[Source] = field(default_factory=list)
    note: str = ""
    home: Path | None = None


class RunFolder:
    """A run on disk."""

    def __init__(self, folder: Path, shown: str) -> None:
        self.folder, self.shown = folder, shown
        self.recipe = _read_lock(folder / LOCK)
        listed = [f"{n:02d}-{_verb(stage)}" for n, stage in enumerate(self.recipe.get("stages") or (), 1)]
        found = sorted(path.parent.name for path in folder.glob(f"stages/*/{MANIFEST}"))
        self.stages = listed or found
        self.done = [name for name in self.stages if name in found]

    def stage(self, word: str) -> str:
        """Return the stage that a word means: its name, its number or its verb.

        Raises:
            UsageError: there is none, there are several, or it is not done.
        """
        fits = [
            name for name in self.stages if word in (name, name.partition("-")[2], name.partition("-")[0].lstrip("0"))
        ]
        if len(fits) != 1:
            what = f"{word!r} means {' and '.join(fits)}" if fits else f"there is no stage {word!r}"
            raise UsageError(f"{self.shown}: {what}; the stages are {', '.join(self.stages) or 'none'}")
        if fits[0] not in self.done:
            raise UsageError(f"{self.shown}: {fits[0]} is not done yet; done are {', '.join(self.done) or 'none'}")
        return fits[0]

    def records(self, stage: str) -> Source:
        """Return the records of a stage that is done."""
        path = self.folder / "stages" / stage / RECORDS
        return Source(f"{stage} of {self.shown}", partial(_records, path, None, {}), self._rows(stage, RECORDS))

    def drops(self, stages: list[str]) -> Source:
        """Return what these stages dropped, one after the other."""
        paths = [self.folder / "stages" / stage / DROPS for stage in stages]
        sizes = [self._rows(stage, DROPS) for stage in stages]
        name = f"{stages[0]} of {self.shown}" if len(stages) == 1 else self.shown
        total = None if None in sizes else sum(size or 0 for size in sizes)
        return Source(name, partial(_drops, paths), total)

    def _rows(self, stage: str, file: str) -> int | None:
        """Return how many rows its manifest says a file of a stage has."""
        try:
            manifest = msgspec.json.decode((self.folder / "stages" / stage / MANIFEST).read_bytes())
            return int(manifest["files"][file]["rows"])
        except (OSError, msgspec.DecodeError, KeyError, TypeError, ValueError):
            return None  # damaged: the rows are shown all the same, without their number

    def inputs(self, manager: Manager) -> list[Source]:
        """Return the files that went in, by the recipe: those that are found here."""
        named: list[Any] = [self.recipe.get("data")]
        for stage in self.recipe.get("stages") or ():
            settings = next(iter(stage.values()), None) if isinstance(stage, Mapping) else None
            if isinstance(settings, Mapping):
                named += [{"file": settings.get("seeds"), "format": settings.get("seeds_format") or "auto"}]
                sources = settings.get("sources")
                named += list(sources.values()) if isinstance(sources, Mapping) else []
        return [source for one in named for source in self._input(one, manager)]

    def _input(self, named: Any, manager: Manager) -> Iterator[Source]:
        said = named if isinstance(named, Mapping) else {"file": named}
        file = said.get("file")
        options = {key: value for key, value in said.items() if key not in ("file", "strict") and value is not None}
        if not isinstance(file, str) or file.startswith("hf:") or file == "-":  # a look at a run asks no network
            return
        for base in (Path.cwd(), self.folder.parent.parent):
            if resolve(file, base).is_file():
                yield Source(file, partial(_records, file, manager, options, base=base), optional=True)
                return


def _verb(stage: Any) -> str:
    return str(next(iter(stage), "")).rpartition(":")[2] if isinstance(stage, Mapping) else str(stage)


def _read_lock(path: Path) -> dict[str, Any]:
    """Return the recipe that a run was done by; empty where there is none that can be read."""
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}


def select(
    name: str, *, dropped: bool, home: Path, reading: Mapping[str, Any], manager: Manager, parents: tuple[str, ...]
) -> Selection:
    """Return what a word of the command line names; ``reading`` are options of `read_source` for a file.

    Raises:
        UsageError: there is no such file, run or stage, or nothing was dropped there.
    """
    more = [_file(path, {}, manager) for path in parents]
    path = Path(name).expanduser()
    if name == "-" or path.is_file() or (":" in name and not path.exists()):
        chosen = _select_file(name, path, dropped, reading, manager)
    elif (found := find_run(path, name, home)) is not None:
        run, word = found
        _refuse_options(name, reading)
        chosen = _select_stage(run, word, dropped, manager)
    elif path.is_dir() and (runs := sorted(found.parent.name for found in path.glob("*/stages"))):
        raise UsageError(f"{name}: is a folder of runs; name one of them: {', '.join(runs[:10])}")
    elif path.is_dir():
        chosen = Selection(_file(name, reading, manager))
    else:
        raise UsageError(explain_missing(name, home))
    chosen.parents = [*more, *chosen.parents]
    return chosen


def _select_file(name: str, path: Path, dropped: bool, reading: Mapping[str, Any], manager: Manager) -> Selection:
    stage = path.absolute().parent
    run = RunFolder(stage.parent.parent, str(path.parent.parent.parent)) if _is_stage(stage) else None
    is_drops = name != "-" and path.is_file() and _holds_drops(path)
    if dropped and not is_drops:
        path, is_drops = _find_drops(name, path), True
        name = str(path)
    if is_drops:
        _refuse_options(name, reading)
    shown = Source(name, partial(_drops, [path])) if is_drops else _file(name, reading, manager)
    beside = [] if is_drops or name == "-" else [shown]
    origins = _origins(run, stage.name, manager) if run else beside
    return Selection(shown, is_drops, parents=origins, home=run.folder.parent.parent if run else None)


def _refuse_options(name: str, reading: Mapping[str, Any]) -> None:
    if reading:
        raise UsageError(f"{name}: is filial's own; leave out --format and what else says how a file is read")


def _select_stage(run: RunFolder, word: str, dropped: bool, manager: Manager) -> Selection:
    if not run.done:
        raise UsageError(f"{run.shown}: no stage of this run is done")
    stage = run.stage(word) if word else run.done[-1]
    if dropped:
        shown = run.drops([stage] if word else run.done)
    else:
        shown = run.records(stage)
    before = [run.records(name) for name in reversed(run.done[:-1])]
    others = [] if word or dropped else [*before, *run.inputs(manager), run.drops(run.done)]
    later = run.stages[run.stages.index(stage) + 1 :]
    note = f"{', '.join(later)} of {run.shown} not done yet" if later and not word else ""
    return Selection(shown, dropped, others, _origins(run, stage, manager), note, run.folder.parent.parent)


def _origins(run: RunFolder, stage: str, manager: Manager) -> list[Source]:
    """Return where the parents of a stage's records may be: the stage itself, those before it, what went in."""
    before = run.done[: run.done.index(stage) + 1] if stage in run.done else run.done
    return [*(run.records(name) for name in reversed(before)), *run.inputs(manager)]


def _is_stage(folder: Path) -> bool:
    return folder.parent.name == "stages" and (folder / RECORDS).is_file()


def find_run(path: Path, name: str, home: Path) -> tuple[RunFolder, str] | None:
    """Return the run that a path or name means, and the word for a stage behind it ("" where there is none)."""
    if _is_stage(path):
        return RunFolder(path.absolute().parent.parent, str(path.parent.parent)), path.name
    front, _, last = name.rstrip("/").rpartition("/")
    for run, word in ((name.rstrip("/"), ""), (front, last)):
        for folder in (Path(run), home / "runs" / run):
            if run and ((folder / "stages").is_dir() or (folder / LOCK).is_file()):
                return RunFolder(folder, str(folder)), word
    return None


def explain_missing(name: str, home: Path) -> str:
    kept = Path(f"{name.removesuffix('.drops.jsonl')}.jsonl")
    if name.endswith(".drops.jsonl") and kept.is_file():
        return f"{name}: there is no such file beside {kept.name}, so nothing was dropped when that was written"
    runs = sorted(path.parent.name for path in home.glob("runs/*/stages"))
    homes = sorted({str(path.parent.parent) for path in home.glob(f"*/runs/{name.partition('/')[0]}")})
    near = f"; there is one in {homes[0]}: add --home {homes[0]}" if homes and "*" not in name else ""
    known = f"; the runs in {home / 'runs'} are {', '.join(runs[:10])}" if runs else f"; there are no runs in {home}"
    hub = f"; for a data set of the hub write hf:{name}" if name.count("/") == 1 and not Path(name).suffix else ""
    return f"{name}: no such file or run{near or known}{hub}"


def _find_drops(name: str, path: Path) -> Path:
    """Return the file of drops that belongs to a file of records."""
    from filial_plugins.commands.outputs import drops_beside

    if path.name == RECORDS and (path.parent / DROPS).is_file():
        return path.parent / DROPS
    beside = drops_beside(name)
    if beside is None or not beside.is_file():
        where = f"{beside} is not there; " if beside else ""
        raise UsageError(
            f"{name}: nothing is known of what was dropped: {where}name the file of drops itself, or a run"
        )
    return beside


def _holds_drops(path: Path) -> bool:
    """Whether the first line of a file is a drop."""
    if not {".jsonl", ".ndjson"} & {*path.suffixes}:
        return False
    with formats.open_file(path) as stream:
        for _, line in formats.lines(stream, lambda *_: None):
            try:
                first = formats.parse_object(line)
            except formats.Fault:
                return False
            return {"stage", "plugin", "reason"} <= first.keys() and first.keys().isdisjoint(
                ("instruction", "messages")
            )
    return False


def _file(name: str, reading: Mapping[str, Any], manager: Manager) -> Source:
    return Source(name, partial(_records, name, manager, reading))


def _records(
    place: str | Path,
    manager: Manager | None,
    options: Mapping[str, Any],
    ids: bool,
    bad: BadLines,
    base: Path | None = None,
) -> Iterator[Row]:
    """Yield the records of a file; without a manager they are filial's own."""
    numbers = count(1)
    if manager is None:
        found: Iterator[Record] = formats.read(place, format="filial", ids=ids, bad=bad)
    else:

        def report(line: BadLine) -> None:
            bad(line if place == "-" else replace(line, file=str(place)))  # as the user named it

        found = read_source(str(place), base or Path.cwd(), manager, ids=ids, bad=report, **options)
    return (Row(next(numbers), record) for record in found)


def _drops(paths: list[Path], ids: bool, bad: BadLines) -> Iterator[Row]:
    """Yield the drops of files of them, numbered through."""
    decode = msgspec.json.Decoder(DropRow).decode
    numbers = count(1)
    for path in paths:
        with formats.open_file(path) as stream:

            def report(line: int, fault: formats.Fault, raw: bytes, file: str = str(path)) -> None:
                bad(BadLine(file, line, fault.pointer, fault.message, raw[:200].decode("utf-8", "backslashreplace")))

            for line, raw in formats.lines(stream, report):
                try:
                    drop = decode(raw)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
                    report(line, formats.Fault("", str(err)), raw)
                else:
                    yield Row(next(numbers), drop.record, drop)
