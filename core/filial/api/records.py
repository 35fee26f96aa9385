"""Records in memory: a sequence that notebooks can display, with conversions to other libraries and files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast, overload

import msgspec

from filial import formats
from filial.api.plugins import Plugins, manager_of
from filial.api.tables import table
from filial.contracts.errors import MissingExtra
from filial.contracts.records import Record
from filial.formats.catalogue import Spec

SHOWN = 10
"""Records shown in a table."""


class Records(Sequence[Record]):
    """A sequence of records."""

    def __init__(self, records: Iterable[Record] | Callable[[], Iterable[Record]]) -> None:
        self._records = records

    @cached_property
    def records(self) -> list[Record]:
        return list(self._records() if callable(self._records) else self._records)

    @overload
    def __getitem__(self, place: int) -> Record: ...
    @overload
    def __getitem__(self, place: slice) -> list[Record]: ...
    def __getitem__(self, place: int | slice) -> Record | list[Record]:
        return self.records[place]

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)

    def to_pandas(self) -> Any:
        """Return a pandas DataFrame: a row per record, a column per field that any record has."""
        pandas = _module("pandas", "pandas")
        rows = [cast(dict[str, Any], msgspec.to_builtins(msgspec.structs.asdict(record))) for record in self]
        empty: tuple[Any, ...] = ("", (), [], {}, None)
        used = [name for name in Record.__struct_fields__ if any(row[name] not in empty for row in rows)]
        return pandas.DataFrame([{name: row[name] for name in used} for row in rows], columns=used)

    def to_dataset(self) -> Any:
        """Return a ``datasets.Dataset``, with the columns of a Parquet file written by filial."""
        datasets, parquet = _module("datasets", "'filial[data]'"), _module("pyarrow.parquet", "'filial[data]'")
        with TemporaryDirectory(prefix="filial-") as folder:
            formats.write(Path(folder, "records.parquet"), self)
            return datasets.Dataset(parquet.read_table(Path(folder, "records.parquet"), memory_map=False))

    def save(
        self, path: str | Path, format: Spec = "auto", note: Callable[[str], None] | None = None, plugins: Plugins = ()
    ) -> None:
        """Write a file in any format that filial writes; ``auto``: by suffix.

        Args:
            note: told in one sentence what the format leaves out; on standard error unless given.
            plugins: files of plugins, for a format of theirs.
        """
        said = note or (lambda text: print(text, file=sys.stderr))
        formats.write(path, self, format=format, manager=manager_of(plugins), note=said)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self):,} records)"

    def _repr_html_(self) -> str:
        rows = [[record.question(), record.answer(), record.task] for record in self.records[:SHOWN]]
        more = f"<p>The first {SHOWN} of {len(self):,} records.</p>" if len(self) > SHOWN else ""
        return table(["question", "answer", "task"], rows) + more


def _module(name: str, package: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0]:
            raise
        raise MissingExtra(f"this needs {error.name}, which is not installed; run: pip install {package}") from None
