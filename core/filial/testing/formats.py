"""The contract of formats as a test class."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

from filial.contracts.errors import UsageError
from filial.contracts.kinds import Item
from filial.contracts.messages import Message, ToolCall
from filial.contracts.records import Record, meaning
from filial.testing.contracts import RECORDS, ComponentContract

CHAT = Record(
    id="c1", messages=(
        Message("system", "Be brief."), Message("user", "Hello?"), Message("assistant", "Hello!"),
        Message("user", "Why?"), Message("assistant", "Because."),
    ),
)  # fmt: skip

_ASK, _CALL = Message("user", "Hello?"), ToolCall(name="f", arguments="{}")
_ONE = Record(id="m1", instruction="Why?", output="Because.")
MEANT = (
    CHAT, _ONE.replaced(system="Be brief."), _ONE.replaced(reasoning="It is so."), _ONE.replaced(label=False),
    _ONE.replaced(tools=({"type": "function", "function": {"name": "f", "parameters": {}}},)),
    _ONE.replaced(rejected=(Message("assistant", "No."),)),
    Record(id="m1", messages=(_ASK, Message("assistant", "", tool_calls=(_CALL,)))),
    Record(id="m1", messages=(_ASK, Message("assistant", "No.", train=False), _ASK, Message("assistant", "Yes."))),
)  # fmt: skip
"""Records with something that changes their meaning."""


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

    def read_back(self, records: Sequence[Record]) -> list[Item] | None:
        """Return what is read of a file with these records; None if one cannot be held."""
        form = self.component
        if not form.writes() or not {name for record in records for name in meaning(record)} <= set(
            form.settle(records[0]).held()
        ):
            return None
        try:
            return self.read(self.write(records))
        except UsageError as error:
            refusal = str(error)
        assert records[0].id in refusal, f"{refusal!r} does not name the record"
        return None

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
                held = _said(item)
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
        assert self.read_back([CHAT]) != [], "it is lost silently"

    def test_what_changes_a_meaning_is_refused_or_read_back(self) -> None:
        """What is not in ``holds`` filial refuses; what is in it is read back, or `Unfit` names the record."""
        for record in MEANT:
            for item in self.read_back([record]) or ():
                lost = set(meaning(record)) - {"messages"} - set(meaning(item)) if isinstance(item, Record) else ()
                assert not lost, f"{lost} is lost silently: take it out of holds, or write it"

    def test_marks_of_the_format_in_a_text_stay_text(self) -> None:
        """A text with line breaks, quotes, brackets, or what the format writes itself, is read back, or refused."""
        record = self.records[0]
        own = "" if self.component.binary or not self.component.writes() else self.write([record]).decode()
        for text in (f"a\n{own}\nb", "a\n\nb", "a\r\nb", '"', "{[<#,;:\t|\\ &amp; --- ```"):
            found = self.read_back([record.replaced(output=text), record])
            if found is not None:
                assert len(found) == 2, f"an answer {text!r} makes {len(found)} records of 2"
                assert text in _said(found[0]), f"an answer {text!r} is read back as {_said(found[0])!r:.120}"

    def test_extra_columns_replace_no_column(self) -> None:
        """A column in ``extra`` that is called as one of the format's own is refused, or left out (``add_extra``)."""
        for name in self.own_rows()[0]:
            found = self.read_back([self.records[0].replaced(extra={name: "another"}), *self.records[1:]])
            plain = list(map(_said, self.read(self.data())))
            assert found is None or list(map(_said, found)) == plain, f"extra {{{name!r}: …}} replaces a column"

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


def _said(item: Item) -> list[str]:
    """Return the texts of the turns of a record, or all of a row."""
    return list(_texts([turn.content for turn in item.turns()] if isinstance(item, Record) else item))


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)
