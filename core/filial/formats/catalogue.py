"""Which format data has: by its name, by the name of the file, or by the first rows."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

from filial.contracts.errors import FilialError, UsageError
from filial.contracts.plugin_errors import blamed
from filial.formats.jsontext import Fault, Row
from filial.formats.records import FIELDS

if TYPE_CHECKING:
    from filial.contracts.kinds import Component, Format
    from filial.formats.rows import RowFormat
    from filial.plugins.manager import Manager

AUTO, OWN = "auto", "filial"
LINES = (".jsonl", ".ndjson")
TEXT = (*LINES, ".json")
PACKED = (".gz", ".zst")
Spec: TypeAlias = "str | Mapping[str, Any] | Format"
"""A format as callers name it: its name, ``use: NAME`` with options beside it, or a component."""

OURS = ("scores", "tags", "constraints", "origin", "label", "rejected", "reasoning", "tools", "extra")
_ORIGIN = frozenset(("stage", "plugin", "parents", "round", "answers"))

_LEFT_OUT = "the format %s is left out of the search for a file's format: %s"

log = logging.getLogger("filial.formats")


def suffix(path: str | Path) -> str:
    """The suffix of a file's name that tells its format: the last one, in front of ``.gz`` or ``.zst``."""
    place = Path(path)
    return Path(place.stem).suffix if place.suffix in PACKED else place.suffix


@cache
def installed() -> Manager:
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
        self._manager = self._manager or installed()
        return self._manager

    def names(self) -> list[str]:
        """What a format can be called."""
        return [OWN, *self.manager.index["formats"]]

    def named(self, spec: Spec) -> Format:
        """A plugin's format, known to have what it needs.

        Raises:
            UsageError: there is none of that name (`PluginError`: it is broken, blocked or claimed twice), or its
                options are wrong.
            MissingExtra: it needs a package that is not installed.
        """
        from filial.contracts.kinds import Format

        if isinstance(spec, Format):
            return spec
        name = spec if isinstance(spec, str) else spec.get("use")
        if isinstance(name, str) and ":" not in name and name not in self._promised():
            raise UsageError(f"unknown format {name!r}; there are {AUTO}, {', '.join(self.names())}")
        form = self.manager.build("formats", spec)
        assert isinstance(form, Format)
        self.manager.check_requirements(type(form))
        return form

    def _promised(self) -> set[str]:
        """Names that some package has, blocked ones too: what is wrong with those, the manager says."""
        blocked = {claim.name for claim, _ in self.manager.index.blocked if claim.kind == "formats"}
        return blocked | set(self.manager.index["formats"])

    def called(self, name: str) -> Format | None:
        """The format of a plain name that may be none, such as what stands behind the last dot of a file's name."""
        return self.named(name) if name in self.manager.index["formats"] else None

    def of_file(self, path: str | Path) -> Format | None:
        """The format that a file is called after: of ``data.csv.gz`` the one registered as ``csv``."""
        ending = suffix(path)
        return self.called(ending[1:]) if ending and ending not in TEXT else None

    def of_rows(self, rows: Sequence[Row], own: Sequence[bool], place: str) -> RowFormat | None:
        """The format of the first rows of some data; None: filial's own, also where nothing tells.

        Rows are filial's own if all of them are valid as such, or one is that has a field which only filial writes.
        Else the format that finds most rows its own reads them, unless filial's own reads as many.

        Args:
            own: of each row, whether it is valid as filial's own.

        Raises:
            UsageError: rows that no format knows, or that two formats know equally well.
        """
        ours = any(fits and any(key in row for key in OURS) for row, fits in zip(rows, own, strict=True))
        if all(own) or ours or any(_has_origin(row) for row in rows):
            return None
        if (form := self._detected(rows, place)) is None:
            if not any(FIELDS & row.keys() for row in rows):
                raise self._unknown(place, rows[0])
            return None
        with blamed(self.manager.provenance(form), "read"):
            read = sum(_reads(form, row) for row in rows)
        return None if sum(own) >= max(read, 1) else form

    def _detected(self, rows: Sequence[Row], place: str) -> RowFormat | None:
        """The one format that finds most of the rows its own; of several the first by priority.

        Raises:
            UsageError: there are several of the same priority.
        """
        found: dict[tuple[int, int], dict[str, RowFormat]] = {}
        for name, form in self._row_formats():
            try:
                with blamed(self.manager.provenance(form), "read"):
                    count = form.detect(rows)
            except FilialError as err:
                log.warning(_LEFT_OUT, name, err)
                continue
            if count:
                found.setdefault((count, form.priority), {})[name] = form
        if not found:
            return None
        best = found[max(found)]
        if len(best) > 1:
            raise UsageError(f"{place}: the formats {' and '.join(best)} fit equally well; name the one it is")
        (form,) = best.values()
        self.manager.check_requirements(type(form))
        return form

    def _row_formats(self) -> Iterator[tuple[str, RowFormat]]:
        """Every format of rows that loads; one that does not is told, and costs only those who name it."""
        for name, claims in self.manager.index["formats"].items():
            for dist in dict.fromkeys(claim.dist for claim in claims):
                full = f"{dist}:{name}"
                try:
                    form = self.manager.build("formats", full)
                except UsageError as err:
                    log.warning(_LEFT_OUT, full, err)
                    continue
                if holds_rows(form):
                    yield full, form

    def _unknown(self, place: str, row: Row) -> UsageError:
        listed = ", ".join(sorted(key[:40] for key in row)[:20])
        return UsageError(
            f"{place}: no known format has the fields {listed}; rename them (instruction, input, output) or name one "
            f"of the formats {', '.join(self.names())}"
        )


def holds_rows(form: Component) -> TypeGuard[RowFormat]:
    """Whether a format is one of rows, which need no file of their own."""
    from filial.formats.rows import RowFormat

    return isinstance(form, RowFormat)


def _reads(form: RowFormat, row: Row) -> bool:
    from filial.formats.rows import records_of

    try:
        return bool(records_of(form, row))
    except Fault:
        return False


def _has_origin(row: Row) -> bool:
    origin = row.get("origin")
    return isinstance(origin, dict) and not _ORIGIN.isdisjoint(origin)
