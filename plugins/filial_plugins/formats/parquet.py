"""Parquet files, read and written in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, ClassVar

from msgspec import json, structs, to_builtins

from filial import Format, Message, Record, UsageError, hookimpl
from filial.formats import Fault, Row
from filial_plugins.formats.fields import EVERYTHING
from filial_plugins.formats.tables import to_json_row

BATCH = 1024


class Parquet(Format):
    """Parquet files; the format of their rows is found like that of JSON objects.

    All fields of a record are written, so filial reads back what it wrote. Scores are a list of (name, value) pairs,
    arguments of constraints are JSON.
    """

    requires: ClassVar = ("pyarrow",)
    extra: ClassVar = "data"
    binary: ClassVar = True
    holds: ClassVar = EVERYTHING

    def read(self, stream: IO[bytes]) -> Iterator[Row | Fault]:
        """Yield the rows of a file.

        Raises:
            UsageError: the file is no Parquet file, is damaged, or has two columns of one name.
        """
        pyarrow = _import_pyarrow()
        try:
            file = pyarrow.parquet.ParquetFile(stream if stream.seekable() else pyarrow.BufferReader(stream.read()))
        except (pyarrow.ArrowException, OSError) as error:
            raise UsageError(f"cannot be read as Parquet: {_first_line(error)}") from None
        with file:
            columns = file.schema_arrow.names
            if twice := [name for place, name in enumerate(columns) if name in columns[:place]]:
                raise UsageError(f"two columns are called {twice[0][:40]!r}; rename one of them")
            try:
                for batch in file.iter_batches(batch_size=BATCH):
                    yield from map(to_json_row, batch.to_pylist(maps_as_pydicts="strict"))
            except (pyarrow.ArrowException, OSError, UnicodeDecodeError, KeyError) as error:
                raise UsageError(f"the Parquet data is damaged: {_first_line(error)}") from None

    def write(self, records: Iterable[Record], stream: IO[bytes]) -> None:
        """Write all fields of each record."""
        pyarrow = _import_pyarrow()
        schema = _make_schema(pyarrow)
        with pyarrow.parquet.ParquetWriter(stream, schema) as writer:
            batch: list[Row] = []
            for row in map(_to_row, records):
                batch.append(row)
                if len(batch) == BATCH:
                    writer.write_batch(pyarrow.RecordBatch.from_pylist(batch, schema=schema))
                    batch.clear()
            if batch:
                writer.write_batch(pyarrow.RecordBatch.from_pylist(batch, schema=schema))


def _to_row(record: Record) -> Row:
    """Return every field of a record as a table cell; values without a fixed type are JSON text."""
    return {
        **structs.asdict(record),
        "messages": list(map(_to_turn, record.messages)),
        "rejected": list(map(_to_turn, record.rejected)),
        "tools": list(map(_to_json, record.tools)),
        "scores": [{"name": name, "value": float(value)} for name, value in record.scores.items()],
        "tags": list(record.tags),
        "constraints": [{**structs.asdict(c), "args": _to_json(c.args)} for c in record.constraints],
        "extra": _to_json(record.extra),
        "origin": to_builtins(structs.asdict(record.origin)),
    }


def _to_turn(turn: Message) -> Row:
    return {**structs.asdict(turn), "tool_calls": list(map(structs.asdict, turn.tool_calls))}


def _to_json(value: object) -> str:
    return json.encode(value).decode()


def _make_schema(pyarrow: Any) -> Any:
    text, texts = pyarrow.string(), pyarrow.list_(pyarrow.string())
    call = pyarrow.struct([("id", text), ("name", text), ("arguments", text)])
    turn = pyarrow.struct(
        [
            ("role", text),
            ("content", text),
            ("reasoning", text),
            ("tool_calls", pyarrow.list_(call)),
            ("tool_call_id", text),
            ("name", text),
            ("train", pyarrow.bool_()),
        ]
    )
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
            *((name, text) for name in ("id", "instruction", "input", "output", "system", "reasoning")),
            ("messages", pyarrow.list_(turn)),
            ("tools", texts),
            ("rejected", pyarrow.list_(turn)),
            ("label", pyarrow.bool_()),
            ("task", text),
            ("scores", pyarrow.list_(score)),
            ("tags", texts),
            ("constraints", pyarrow.list_(constraint)),
            ("extra", text),
            ("origin", origin),
        ]
    )


def _import_pyarrow() -> Any:
    import pyarrow
    import pyarrow.parquet

    return pyarrow


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


@hookimpl
def register_formats(register: Callable[[str, type[Format]], None]) -> None:
    register("parquet", Parquet)
