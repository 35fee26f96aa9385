"""What all formats share: a bad line, where bad lines go, a record that does not fit, ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import msgspec
from msgspec.structs import force_setattr

from filial.contracts.errors import UsageError
from filial.contracts.records import Record, record_id
from filial.formats.jsontext import Fault
from filial.formats.records import encode, explain

RAW_SHOWN = 200


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no record, and why. ``str()`` gives ``file:line: /pointer: what is wrong``.

    ``line`` counts from 1; for Parquet and data sets it is the row. ``raw`` is the beginning of the line, at
    most 200 characters, bytes that are not UTF-8 written as ``\\xNN``.
    """

    file: str
    line: int
    pointer: str
    message: str
    raw: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: "
        return place + (f"{self.pointer}: {self.message}" if self.pointer else self.message)


Bad = list[BadLine] | Callable[[BadLine], None]


class Report:
    """Where the bad lines of one source go.

    With ``strict``, or with nowhere to put them (``bad`` is None), the first one is an error.
    """

    def __init__(self, file: str, bad: Bad | None, strict: bool) -> None:
        self.file = file
        self._stop = strict or bad is None
        self._put = bad.append if isinstance(bad, list) else bad

    def __call__(self, line: int, fault: Fault, raw: bytes | str) -> None:
        text = raw if isinstance(raw, str) else raw[: 4 * RAW_SHOWN].decode("utf-8", "backslashreplace")
        found = BadLine(self.file, line, fault.pointer, fault.message, text[:RAW_SHOWN])
        if self._stop or self._put is None:
            raise UsageError(str(found))
        self._put(found)


class Unfit(UsageError):
    """A format cannot hold a record. The message names the record and the reason."""

    def __init__(self, record: Record, reason: str) -> None:
        super().__init__(f"{named(record)}: {reason}")


def named(record: Record) -> str:
    """A record in an error message: its id, or the beginning of its text."""
    if record.id:
        return f"record {record.id}"
    return f"record {' '.join(map(str, record.content()))[:40]!r}"


def checked(record: Record) -> tuple[bytes, Record]:
    """The canonical line of a record (without newline), and the record as a reader has it.

    Raises:
        Fault: no reader would accept it: a field of the wrong type, a score that is no number, half a character.
    """
    try:
        return encode(record)
    except UnicodeEncodeError as error:
        code = ord(error.object[error.start])
        raise Fault(
            "", f"holds U+{code:04X}, half a character (a lone surrogate), which UTF-8 cannot hold; mend the text or "
            "drop the record"
        ) from None  # fmt: skip
    except TypeError as error:
        raise Fault("", f"cannot be written as JSON: {error}") from None
    except msgspec.ValidationError as error:
        raise explain(error) from None


STAGE = "read"


def identified(records: Iterable[Record]) -> Iterator[Record]:
    """Records with ids: those given are kept; others are hashed from the content.

    Equal records get ordinals 0, 1, … in order, so a line inserted anywhere changes no other record's id. An
    id that an earlier record already bears is passed over. The records must be fresh: the id is set in place.
    """
    borne: set[str] = set()
    again: dict[str, int] = {}
    for record in records:
        name = record.id
        if not name:
            content = record.content()
            name = record_id(content, stage=STAGE)
            if name in borne:
                first, ordinal = name, again.get(name, 0)
                while name in borne:
                    ordinal += 1
                    name = record_id(content, stage=STAGE, ordinal=ordinal)
                again[first] = ordinal
            force_setattr(record, "id", name)
        borne.add(name)
        yield record
