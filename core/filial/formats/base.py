"""Shared by all formats: faults of a line, reports of bad lines, records that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from filial.contracts.errors import UsageError
from filial.contracts.records import Record

RAW_SHOWN = 200


class Fault(ValueError):
    """A fault of one line: a JSON pointer (empty for the whole line) and a message.

    ``raw`` is the text of the line; a format of files gives it if the caller does not have it.
    """

    def __init__(self, pointer: str, message: str, raw: str = "") -> None:
        super().__init__(f"{pointer}: {message}" if pointer else message)
        self.pointer, self.message, self.raw = pointer, message, raw


def try_parse(parse: Callable[[Any], Any], line: Any) -> Any:
    """Return the result of a parser for a line; None if it finds a fault."""
    try:
        return parse(line)
    except Fault:
        return None


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is not a record, and why. ``str()`` gives ``file:line: /pointer: what is wrong``.

    Attributes:
        line: number from 1; for Parquet and data sets, of the row.
        raw: the beginning of the line, at most 200 characters; bytes that are not UTF-8 are written as ``\\xNN``.
        read_as: the format and the encoding that the file was read with.
    """

    file: str
    line: int
    pointer: str
    message: str
    raw: str
    read_as: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {Fault(self.pointer, self.message)}"


Bad = list[BadLine] | Callable[[BadLine], None]


class BadLineReport:
    """Reports the bad lines of one source.

    With ``strict``, or if ``bad`` is None, the first one is an error. ``form`` and ``encoding`` are the format and the
    encoding that the source is read with.
    """

    def __init__(self, file: str, bad: Bad | None, strict: bool) -> None:
        self.file, self.form, self.encoding = file, "filial", ""
        self._put = None if strict else bad.append if isinstance(bad, list) else bad

    def __call__(self, line: int, fault: Fault, raw: object) -> None:
        """Report a bad line; ``raw`` is the line or its beginning.

        Raises:
            UsageError: if bad lines are errors.
        """
        raw = fault.raw or ("" if isinstance(raw, Fault) else raw)
        text = raw[: 4 * RAW_SHOWN].decode("utf-8", "backslashreplace") if isinstance(raw, bytes) else str(raw)
        read_as = f"{self.form}, {self.encoding}" if self.encoding else self.form
        found = BadLine(self.file, line, fault.pointer, fault.message, text[:RAW_SHOWN], read_as)
        if self._put is None:
            raise UsageError(str(found))
        self._put(found)


class Unfit(UsageError):
    """A format cannot hold a record. The message names the record and the reason."""

    def __init__(self, record: Record, reason: str) -> None:
        super().__init__(f"{describe_record(record)}: {reason}")


def describe_record(record: Record) -> str:
    """Return the name of a record in an error message: its id, or the beginning of its text."""
    if record.id:
        return f"record {record.id}"
    return f"record {' '.join(map(str, record.content()))[:40]!r}"
