"""Sources of records: files, the hub, objects and rows in memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from filial import formats
from filial.api.plugins import Plugins, manager_of
from filial.api.records import Records
from filial.contracts.errors import UsageError, spell_columns
from filial.contracts.records import Record
from filial.contracts.sources import SourceSpec
from filial.engine.build import read_source, source_name
from filial.formats.catalogue import Spec
from filial.plugins.manager import Manager

Source = str | Path | SourceSpec | Iterable[Record | Mapping[str, Any]]
"""A file, a file of a package (``pkg:``), a data set of the hub (``hf:``), one of these with settings
(`filial.formats.SourceSpec`), or `Record` objects and rows in memory."""


def plain_source(source: Source, format: Spec = "auto") -> SourceSpec | list[Record | dict[str, Any]]:
    """Return a source in the form that the engine reads. ``format`` is used if the source names none.

    Raises:
        UsageError: an item is neither a record nor a row.
    """
    if isinstance(source, str | Path):
        source = SourceSpec(file=str(source))
    if isinstance(source, SourceSpec):
        return source.model_copy(update={"format": format}) if source.format == "auto" else source
    rows = [dict(row) if isinstance(row, Mapping) else row for row in source]
    for place, row in enumerate(rows):
        if not isinstance(row, Record | dict):
            table = "; of a DataFrame take df.to_dict('records')" if hasattr(source, "to_dict") else ""
            raise UsageError(f"records[{place}] is {row!r:.60}, neither a Record nor a dict{table}")
    return rows if format == "auto" else list(formats.read_rows(rows, format=format))


def load(
    source: Source, *, format: Spec = "auto", columns: Mapping[str, str] | None = None,
    keep: Collection[str] | None = None, ignore: Collection[str] = (), split: str | None = None,
    revision: str | None = None, encoding: str | None = None, limit: int | None = None, bad: formats.Bad | None = None,
    note: Callable[[str], None] | None = None, plugins: Plugins = (),
) -> Records:  # fmt: skip
    """Return the records of a file, or of rows in memory, each with an id.

    Args:
        format: a name, ``{"use": NAME, option: …}``, a format or its class; "auto" finds it by suffix and content.
        columns: field -> column, if the columns have other names; a dot leads into an object (``answer.value``).
        keep: columns to keep in ``extra``; None: all that the format does not read.
        ignore: columns to leave out.
        split: the split of a data set.
        revision: the revision of a data set on the hub.
        encoding: of a text file; None: as its byte order mark says, else UTF-8.
        bad: a list that collects the bad lines (`filial.formats.BadLine`), or a function that gets each of them; None:
            the first bad line is an error.
        note: a function that gets one sentence about the columns, such as `print`.

    Raises:
        UsageError: the source cannot be read completely.
    """
    manager, plain = manager_of(plugins), plain_source(source)
    how: dict[str, Any] = {"columns": columns, "keep": keep, "ignore": ignore or None}
    how |= {"format": None if format == "auto" else format, "split": split, "revision": revision, "encoding": encoding}
    if not isinstance(plain, SourceSpec) and (split or revision or encoding):
        raise UsageError("rows in memory have no split, revision or encoding; leave that out")
    said = {name: value for name, value in how.items() if value is not None}
    return Records(list(read_source(plain, Path.cwd(), manager, **said, limit=limit, bad=bad, note=note)))


def read_good(
    source: Source, manager: Manager, format: Spec = "auto", limit: int | None = None,
    note: Callable[[str], None] | None = None,
) -> Iterator[Record]:  # fmt: skip
    """Yield the records of a source: at least one, and a bad line is an error."""
    empty, plain = True, plain_source(source, format)
    how: dict[str, Any] = {"format": format} if isinstance(plain, list) else {}
    with spell_columns("source"):
        for record in read_source(plain, Path.cwd(), manager, limit=limit, note=note, **how):
            empty = False
            yield record
    if empty:
        raise UsageError(f"{source_name(plain)}: it holds no record")
