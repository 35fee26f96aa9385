"""Where records come from: files, the hub, objects and rows in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from filial import formats
from filial.api.plugins import Plugins, manager_of
from filial.api.records import Records
from filial.contracts.errors import UsageError
from filial.contracts.records import Record
from filial.engine.build import read_source
from filial.plugins.manager import Manager

Source = str | Path | Iterable[Record | Mapping[str, Any]]
"""A file, one of a package (``pkg:``), a data set of the hub (``hf:``), or `Record` objects and rows in memory."""


def plain_source(source: Source) -> str | list[Record | dict[str, Any]]:
    """Return a source as the engine reads it.

    Raises:
        UsageError: something in it is neither a record nor a row.
    """
    if isinstance(source, str | Path):
        return str(source)
    rows = [dict(row) if isinstance(row, Mapping) else row for row in source]
    for place, row in enumerate(rows):
        if not isinstance(row, Record | dict):
            table = "; of a DataFrame take df.to_dict('records')" if hasattr(source, "to_dict") else ""
            raise UsageError(f"records[{place}] is {row!r:.60}, neither a Record nor a dict{table}")
    return rows


def load(
    source: Source, *, format: str = "auto", limit: int | None = None, bad: formats.Bad | None = None,
    plugins: Plugins = (),
) -> Records:  # fmt: skip
    """Return the records of a file, or of rows in memory, each with an id.

    Args:
        format: of what is read; auto goes by suffix and content.
        bad: a list or a function for what is no record; without it the first one is an error.

    Raises:
        UsageError: it cannot be read, or not all of it.
    """
    manager, base = manager_of(plugins), Path.cwd()
    return Records(list(read_source(plain_source(source), base, manager, format=format, limit=limit, bad=bad)))


def read_good(source: Source, manager: Manager, format: str = "auto", limit: int | None = None) -> Iterator[Record]:
    """Return the records of a source as they are read, all of them good, at least one."""
    empty = True
    for record in read_source(plain_source(source), Path.cwd(), manager, format=format, limit=limit):
        empty = False
        yield record
    if empty:
        raise UsageError(f"{source if isinstance(source, str | Path) else 'records'}: it holds no record")
