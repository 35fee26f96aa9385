"""Parquet files, read and written in batches. Columns are recognised like the keys of JSON objects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from filial.contracts.errors import MissingExtra, UsageError
from filial.formats.jsontext import Row

BATCH = 1024


def rows(path: str | Path) -> tuple[frozenset[str], Iterator[Row]]:
    """The columns and the rows of a file.

    Raises:
        MissingExtra: pyarrow is not installed.
        UsageError: the file is no Parquet file, or is damaged.
    """
    pyarrow = _pyarrow()
    try:
        file = pyarrow.parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise UsageError(f"{path}: cannot be read as Parquet: {_first_line(error)}") from None
    return frozenset(file.schema_arrow.names), _rows(path, file, pyarrow)


def _rows(path: str | Path, file: Any, pyarrow: Any) -> Iterator[Row]:
    with file:
        try:
            for batch in file.iter_batches(batch_size=BATCH):
                yield from batch.to_pylist()
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path}: the Parquet data is damaged: {_first_line(error)}") from None


def write_rows(file: IO[bytes], source: Iterator[Row]) -> None:
    """Write the rows of `filial_jsonl.to_rows`.

    Raises:
        MissingExtra: pyarrow is not installed.
    """
    pyarrow = _pyarrow()
    schema = _schema(pyarrow)
    with pyarrow.parquet.ParquetWriter(file, schema) as writer:
        batch: list[Row] = []
        for row in source:
            batch.append(row)
            if len(batch) == BATCH:
                writer.write_batch(pyarrow.RecordBatch.from_pylist(batch, schema=schema))
                batch.clear()
        if batch:
            writer.write_batch(pyarrow.RecordBatch.from_pylist(batch, schema=schema))


def _schema(pyarrow: Any) -> Any:
    text, texts = pyarrow.string(), pyarrow.list_(pyarrow.string())
    turn = pyarrow.struct([("role", text), ("content", text)])
    score = pyarrow.struct([("name", text), ("value", pyarrow.float64())])
    constraint = pyarrow.struct([("type", text), ("args", text), ("text", text)])
    origin = pyarrow.struct(
        [
            ("stage", text),
            ("plugin", text),
            ("parents", texts),
            ("round", pyarrow.int64()),
            ("answers", texts),
        ]
    )
    return pyarrow.schema(
        [
            *((name, text) for name in ("id", "instruction", "input", "output")),
            ("messages", pyarrow.list_(turn)),
            ("task", text),
            ("scores", pyarrow.list_(score)),
            ("tags", texts),
            ("constraints", pyarrow.list_(constraint)),
            ("origin", origin),
        ]
    )


def check_installed() -> None:
    """See that Parquet can be read and written, without importing what that needs.

    Raises:
        MissingExtra: pyarrow is not installed.
    """
    from importlib.util import find_spec

    if find_spec("pyarrow") is None:
        raise MissingExtra("Parquet needs pyarrow, which is not installed; run: pip install 'filial[train]'")


def _pyarrow() -> Any:
    check_installed()
    import pyarrow
    import pyarrow.parquet

    return pyarrow


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
