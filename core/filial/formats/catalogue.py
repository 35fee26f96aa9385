"""Which format data has: by its name, by the name of the file, or by the first rows."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, TypeVar, cast

from filial.contracts.errors import ColumnsError, FilialError, UsageError, hint
from filial.contracts.plugin_errors import blame_plugin
from filial.formats.base import try_parse
from filial.formats.columns import list_columns
from filial.formats.jsontext import Row
from filial.formats.opening import PACKED
from filial.formats.records import FIELDS

if TYPE_CHECKING:
    from filial.contracts.kinds import Component, Format
    from filial.formats.rows import RowFormat
    from filial.plugins.manager import Manager

Said = TypeVar("Said")
AUTO, OWN = "auto", "filial"
LINES = (".jsonl", ".ndjson")
TEXT = (*LINES, ".json")
Spec: TypeAlias = "str | Mapping[str, Any] | Format | type[Format]"
"""A format as callers name it: its name, ``use: NAME`` with options beside it, a component or its class."""

OURS = frozenset(("scores", "tags", "constraints", "origin", "extra"))
_ORIGIN = frozenset(("stage", "plugin", "parents", "round", "answers"))

log = logging.getLogger("filial.formats")


def suffix(path: str | Path) -> str:
    """The suffix of a file's name that tells its format, in lower case: the last one, in front of ``.gz`` and such."""
    place = Path(path)
    return (Path(place.stem) if place.suffix.lower() in PACKED else place).suffix.lower()


@cache
def default_manager() -> Manager:
    """The plugins installed, for callers without a manager; read on first use."""
    from filial.plugins.manager import Manager

    return Manager()


def tells_format(path: str | Path, manager: Manager) -> bool:
    """Whether the name of a file says its format."""
    ending = suffix(path)
    return ending in TEXT or ending[1:] in manager.index["formats"]


class Catalogue:
    """The formats there are: filial's own, which the core reads, and those of a manager's plugins.

    No plugin is looked for as long as filial's own format is all that is met.
    """

    def __init__(self, manager: Manager | None = None) -> None:
        self._manager = manager

    @property
    def manager(self) -> Manager:
        """The one given, or that of the process."""
        self._manager = self._manager or default_manager()
        return self._manager

    def names(self) -> str:
        """What a format can be called."""
        return ", ".join([OWN, *self.manager.index["formats"]])

    def get(self, spec: Spec) -> Format:
        """A plugin's format, known to have what it needs.

        Raises:
            UsageError: its options are wrong, or (`PluginError`) there is none of that name, or it is broken, blocked
                or claimed twice.
            MissingExtra: it needs a package that is not installed.
        """
        from filial.contracts.kinds import Format

        made = spec() if isinstance(spec, type) else spec
        form = made if isinstance(made, Format) else cast("Format", self.manager.build("formats", made))
        self.manager.check_requirements(type(form))
        return form

    def find(self, name: str) -> Format | None:
        """The format of a plain name that may be none, such as what stands behind the last dot of a file's name."""
        return self.get(name) if name in self.manager.index["formats"] else None

    def for_file(self, path: str | Path) -> Format | None:
        """The format that a file is called after: of ``data.csv.gz`` the one registered as ``csv``."""
        ending = suffix(path)
        return self.find(ending[1:]) if ending and ending not in TEXT else None

    def for_rows(
        self, rows: Sequence[Row], own: Sequence[bool], place: str, targets: Collection[str] = ()
    ) -> RowFormat | None:
        """The format of the first rows of some data; None: filial's own, also where nothing tells.

        Rows are filial's own if all of them are valid as such, or one is that has a field which only filial writes.
        Else the format that finds most rows its own reads them, unless filial's own reads as many.

        Args:
            own: of each row, whether it is valid as filial's own.
            targets: what the user has mapped columns to.

        Raises:
            UsageError: rows that no format knows, or that two formats know equally well.
        """
        marked = any(fits and not OURS.isdisjoint(row) for row, fits in zip(rows, own, strict=True))
        if all(own) or marked or any(isinstance(o := row.get("origin"), dict) and _ORIGIN & o.keys() for row in rows):
            return None
        form = self._detect(rows, place)
        if form is None and not any("instruction" in row or "messages" in row for row in rows):
            every = FIELDS.union(*(keys for *_, keys in self._ask_formats(lambda form: form.keys + form.optional)))
            for target in sorted(set(targets) - every):
                raise UsageError(f"{place}: no format has a field {target!r} to map a column to{hint(target, every)}")
            alone = rows[0] if len(rows) == 1 and len(rows[0]) <= 3 else {}  # the rows of the file may stand in it
            lists = (name for name, value in alone.items() if value and isinstance(value, list))
            if wrapper := max(lists, key=lambda name: len(alone[name]), default=""):
                raise UsageError(
                    f"{place}: no known format has one object with the column {wrapper!r}; if the rows stand in there, "
                    f"save that array alone, as with jq .{wrapper}"
                )
            why = f"{place}: no known format has the columns {list_columns(name for row in rows for name in row)}"
            mapping = next((said for *_, said in self._ask_formats(lambda form: form.propose(rows))), {})
            ways = {"map them with": ("columns", mapping)} if mapping else {}
            raise ColumnsError(why, ways, f"or name one of the formats {self.names()}")
        if form is None:
            return None
        with blame_plugin(self.manager.provenance(form), f"the reading of {place}"):
            read = sum(bool(try_parse(form.records_in, row)) for row in rows)
        return None if sum(own) >= max(read, 1) else form

    def find_reader(self, row: Row) -> str:
        """The name of the format that a row is found to be of and that reads it; "" where there is none."""
        with suppress(FilialError):  # two formats, or one that fails
            if form := self._detect([row], ""):
                with blame_plugin(self.manager.provenance(form), "the search for a format"):
                    return self.manager.name_of(type(form)) if try_parse(form.records_in, row) else ""
        return ""

    def _ask_formats(self, ask: Callable[[RowFormat], Said]) -> Iterator[tuple[str, RowFormat, Said]]:
        """Every format of rows that says something: its full name, it, what it says. One that fails is told, and costs
        only those who name it."""
        for name, claims in self.manager.index["formats"].items():
            for full in dict.fromkeys(f"{claim.dist}:{name}" for claim in claims):
                try:
                    form = self.manager.build("formats", full)
                    with blame_plugin(self.manager.provenance(form), "the search for a format"):
                        said = ask(form) if holds_rows(form) else None
                except FilialError as err:
                    log.warning("the format %s is left out of the search for a file's format: %s", full, err)
                    continue
                if said and holds_rows(form):
                    yield full, form, said

    def _detect(self, rows: Sequence[Row], place: str) -> RowFormat | None:
        """The one format that finds most of the rows its own; of several the first by priority.

        Raises:
            UsageError: there are several of the same priority.
        """
        found: dict[tuple[int, int], dict[str, RowFormat]] = defaultdict(dict)
        for full, form, count in self._ask_formats(lambda form: _count_rows(form, rows)):
            found[count, form.priority][full] = form
        best = found[max(found)] if found else {}
        if len(best) > 1:
            raise UsageError(f"{place}: the formats {' and '.join(best)} fit equally well; name the one it is")
        for form in best.values():
            self.manager.check_requirements(type(form))
        return next(iter(best.values()), None)


def holds_rows(form: Component) -> TypeGuard[RowFormat]:
    """Whether a format is one of rows, which need no file of their own."""
    from filial.formats.rows import RowFormat

    return isinstance(form, RowFormat)


def _count_rows(form: RowFormat, rows: Sequence[Row]) -> int:
    count = form.detect(rows)
    if not isinstance(count, int):
        raise TypeError(f"detect gave {count!r:.60}, not a number of rows")
    return count
