"""Find the format of data: by its name, by the name of the file, or by the first rows."""

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
"""A format as callers give it: its name, ``{"use": NAME, option: …}``, a component or its class."""

OURS = frozenset(("scores", "tags", "constraints", "origin", "extra"))
_ORIGIN = frozenset(("stage", "plugin", "parents", "round", "answers"))

log = logging.getLogger("filial.formats")


def suffix(path: str | Path) -> str:
    """Return the suffix that tells the format of a file, in lower case: the last one before ``.gz`` and the like."""
    place = Path(path)
    return (Path(place.stem) if place.suffix.lower() in PACKED else place).suffix.lower()


@cache
def default_manager() -> Manager:
    """Return the manager of the installed plugins, for callers without one; made on first use."""
    from filial.plugins.manager import Manager

    return Manager()


def tells_format(path: str | Path, manager: Manager) -> bool:
    """Return whether the name of a file tells its format."""
    ending = suffix(path)
    return ending in TEXT or ending[1:] in manager.index["formats"]


class Catalogue:
    """All formats: filial's own, which the core reads, and those of a manager's plugins.

    Plugins are looked up only when a format other than filial's own is needed.
    """

    def __init__(self, manager: Manager | None = None) -> None:
        self._manager = manager

    @property
    def manager(self) -> Manager:
        """The given manager, or that of the process."""
        self._manager = self._manager or default_manager()
        return self._manager

    def names(self) -> str:
        """Return the names of all formats, for messages."""
        return ", ".join([OWN, *self.manager.index["formats"]])

    def get(self, spec: Spec) -> Format:
        """Return a format of a plugin, with everything it needs installed.

        Raises:
            UsageError: its options are invalid, or (`PluginError`) no plugin has that name, two have it, or it is
                broken or blocked.
            MissingExtra: it needs a package that is not installed.
        """
        from filial.contracts.kinds import Format

        made = spec() if isinstance(spec, type) else spec
        form = made if isinstance(made, Format) else cast("Format", self.manager.build("formats", made))
        self.manager.check_requirements(type(form))
        return form

    def find(self, name: str) -> Format | None:
        """Return the format of a plain name, such as a suffix; None if no format has this name."""
        return self.get(name) if name in self.manager.index["formats"] else None

    def for_file(self, path: str | Path) -> Format | None:
        """Return the format that a file's name tells: for ``data.csv.gz`` the one registered as ``csv``."""
        ending = suffix(path)
        return self.find(ending[1:]) if ending and ending not in TEXT else None

    def for_rows(
        self, rows: Sequence[Row], own: Sequence[bool], place: str, targets: Collection[str] = ()
    ) -> RowFormat | None:
        """Return the format of the first rows of some data; None: filial's own, also if no format recognizes them.

        Rows are filial's own if all of them are valid as such, or if half are and one has a field that only filial
        writes.
        Otherwise the format that recognizes most rows reads them, unless filial's own format reads as many.

        Args:
            own: for each row, whether it is valid as filial's own.
            targets: the fields to which the user has mapped columns.

        Raises:
            UsageError: no format recognizes the rows, or two recognize equally many.
        """
        marked = any(fits and not OURS.isdisjoint(row) for row, fits in zip(rows, own, strict=True))
        marked = marked and 2 * sum(own) >= len(own)
        if all(own) or marked or any(isinstance(o := row.get("origin"), dict) and _ORIGIN & o.keys() for row in rows):
            return None
        if len(rows) == 1 and _is_split_table(rows[0]):
            raise UsageError(
                f"{place}: it is a table of pandas by columns and data; write it with orient='records' and lines=True"
            )
        form = self.detect(rows, place)
        if form is None and not any("instruction" in row or "messages" in row for row in rows):
            every = FIELDS.union(*(keys for *_, keys in self._ask_formats(lambda form: form.keys + form.optional)))
            for target in sorted(set(targets) - every):
                raise UsageError(f"{place}: no format has a field {target!r} to map a column to{hint(target, every)}")
            alone = rows[0] if len(rows) == 1 and len(rows[0]) <= 3 else {}  # the rows of the file may stand in it
            lists = (name for name, value in alone.items() if value and isinstance(value, list))
            if wrapper := max(lists, key=lambda name: len(alone[name]), default=""):
                raise UsageError(
                    f"{place}: no known format has one object with the column {wrapper!r}; if the rows are in it, "
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
        """Return the name of the format that recognizes and reads a row; "" if there is none."""
        with suppress(FilialError):  # two formats, or one that fails
            if form := self.detect([row], ""):
                with blame_plugin(self.manager.provenance(form), "the search for a format"):
                    return self.manager.name_of(type(form)) if try_parse(form.records_in, row) else ""
        return ""

    def _ask_formats(self, ask: Callable[[RowFormat], Said]) -> Iterator[tuple[str, RowFormat, Said]]:
        """Yield each format of rows with an answer: its full name, the format, the answer. A format that fails is
        logged and left out; it is an error only for users who name it."""
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

    def detect(self, rows: Sequence[Row], place: str) -> RowFormat | None:
        """Return the format of the highest priority among those that recognize at least half as many rows as the one
        that recognizes most: a few empty cells must not decide. Of equal priority, the one that recognizes most.

        Raises:
            UsageError: several have the same priority and recognize equally many.
        """
        found: dict[tuple[int, int], dict[str, RowFormat]] = defaultdict(dict)
        for full, form, count in self._ask_formats(lambda form: _count_rows(form, rows)):
            found[form.priority, count][full] = form
        most = max((count for _, count in found), default=0)
        best = found[max(key for key in found if 2 * key[1] >= most)] if found else {}
        if len(best) > 1:
            raise UsageError(f"{place}: the formats {' and '.join(best)} fit equally well; name the one it is")
        for form in best.values():
            self.manager.check_requirements(type(form))
        return next(iter(best.values()), None)


def holds_rows(form: Component) -> TypeGuard[RowFormat]:
    """Return whether a format is one of rows, not of files."""
    from filial.formats.rows import RowFormat

    return isinstance(form, RowFormat)


def _is_split_table(row: Row) -> bool:
    """Return whether an object is a table as pandas writes it with ``orient="split"``."""
    columns, data = row.get("columns"), row.get("data")
    if not isinstance(columns, list) or not isinstance(data, list):
        return False
    return bool(data) and all(isinstance(cells, list) and len(cells) == len(columns) for cells in data)


def _count_rows(form: RowFormat, rows: Sequence[Row]) -> int:
    count = form.detect(rows)
    if not isinstance(count, int):
        raise TypeError(f"detect gave {count!r:.60}, not a number of rows")
    return count
