"""The contract of formats as a test class."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

from filial.contracts.errors import UsageError
from filial.contracts.kinds import Item
from filial.contracts.messages import Message
from filial.contracts.records import Record
from filial.testing.contracts import RECORDS, ComponentContract

CHAT = Record(
    id="c1",
    messages=(
        Message("system", "Be brief."),
        Message("user", "Hello?"),
        Message("assistant", "Hello!"),
        Message("user", "Why?"),
        Message("assistant", "Because."),
    ),
)


class FormatContract(ComponentContract):
    """``records`` are written and read back. ``rows`` are rows of a read-only format."""

    records: ClassVar[Sequence[Record]] = RECORDS
    rows: ClassVar[Sequence[dict[str, Any]]] = ()

    def write(self, records: Iterable[Record]) -> bytes:
        """Return the bytes of a file with these records."""
        out = io.BytesIO()
        self.component.write(iter(records), out)
        return out.getvalue()

    def read(self, data: bytes) -> list[Item]:
        """Return what is read from a file with these bytes."""
        found = self.component.read(io.BufferedReader(io.BytesIO(data)))
        return [item[1] if isinstance(item, tuple) else item for item in found]

    def data(self) -> bytes:
        """Return the bytes of a file in this format."""
        if self.component.writes():
            return self.write(self.records)
        return b"".join(json.dumps(row).encode() + b"\n" for row in self.rows)

    def own_rows(self) -> list[dict[str, Any]]:
        """Return the rows of that file; skip the test if the format does not read rows."""
        import pytest

        if not hasattr(self.component, "from_row"):
            pytest.skip("it does not read rows")
        return [json.loads(line) for line in self.data().splitlines()]

    def test_what_it_writes_it_reads(self) -> None:
        """Question, input and answer of every record are read back in order; a read-only format reads its rows."""
        found = self.read(self.data())
        faults = [str(item) for item in found if isinstance(item, ValueError)]
        assert not faults, f"it finds faults in its own file: {faults[:3]}"
        assert found, "nothing is read; set rows for a read-only format"
        if self.component.writes():
            assert len(found) == len(self.records)
            for record, item in zip(self.records, found, strict=True):
                held = list(_texts([turn.content for turn in item.turns()] if isinstance(item, Record) else item))
                for turn in record.turns():
                    for text in turn.content.split("\n\n"):  # a chat has no separate place for an input
                        assert any(text in one for one in held), f"{text!r} of record {record.id} is lost"

    def test_same_records_same_bytes(self) -> None:
        """A file contains no time, no host or user name, and no order of a set."""
        assert self.data() == self.data()

    def test_no_records_make_a_file_without_records(self) -> None:
        """Reading it gives no records."""
        if self.component.writes():
            assert self.read(self.write(())) == []

    def test_a_record_it_cannot_hold_is_refused_in_a_sentence(self) -> None:
        """`filial.formats.Unfit` names the record."""
        if self.component.writes():
            refusal, data = "", b""
            try:
                data = self.write([CHAT])
            except UsageError as error:
                refusal = str(error)
            assert refusal or self.read(data), "it is lost silently"
            assert not refusal or CHAT.id in refusal, f"{refusal!r} does not name the record"

    def test_it_finds_its_own_rows_and_no_others(self) -> None:
        """Rows are recognized by their keys."""
        rows = self.own_rows()
        assert self.component.detect(rows) == len(rows)
        assert self.component.detect([]) == 0
        assert self.component.detect([{"~strange": "1"}] * 3) == 0

    def test_a_bad_row_is_a_fault_and_stops_no_other(self) -> None:
        """A value of another type, an empty value, or a missing key."""
        for row in self.own_rows():
            for key in row:
                strange = [{**row, key: value} for value in (None, 1, "", [], {}, [1], {"a": 1})]
                bad = [*strange, {name: value for name, value in row.items() if name != key}]
                lines = b"".join(json.dumps(one).encode() + b"\n" for one in [*bad, row])
                found = self.read(lines)
                assert isinstance(found[-1], Record), f"rows with another {key} stop those that follow"


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)
