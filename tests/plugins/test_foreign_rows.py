"""Rows as public data sets have them: what each is read as, and that all rows of a file are read alike."""

import json
from typing import Any

import pytest
from foreign_rows_kit import (
    KINDS,
    TOOL,
    A,
    Q,
    U,
    Y,
    read_one,
)

from filial.formats import read_rows
from filial.plugins import Manager


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_of_this_kind_is_read(kind: str) -> None:
    format, row, expected = KINDS[kind]
    record = read_one(row)
    if expected.id == "*":
        record, expected = record.replaced(id=""), expected.replaced(id="")
    assert record == expected
    assert read_one(row, format).replaced(id="") == expected.replaced(id="")


@pytest.mark.parametrize("kind", KINDS)
def test_columns_are_those_that_are_no_extra(kind: str) -> None:
    """The core keeps what ``columns`` does not name, and a format itself may keep what it has read as well."""
    format, row, _ = KINDS[kind]
    form = Manager().build("formats", format)
    read, before = set(form.columns(row)), json.dumps(row)
    [record, *_] = form.records_in(row)
    assert json.dumps(row) == before
    for name in row.keys() - read:
        assert record.extra.get(name) == row[name] or row[name] in (None, "", [], {})


CALLING = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "weather", "arguments": "{}"}}]}
MIXED: dict[str, list[dict[str, Any]]] = {
    "tools, called or not": [{"messages": [U, Y], "tools": [TOOL]}, {"messages": [U, CALLING], "tools": [TOOL]}],
    "marks of turns": [{"messages": [U, Y]}, {"messages": [U, {**Y, "weight": 0}]}],
    "labels": [{"messages": [U, Y], "label": True}, {"messages": [U, {**Y, "weight": 0}], "label": False}],
    "worse answers": [{"messages": [U, Y], "rejected": [Y]}, {"messages": [U, Y], "rejected": "worse"}],
    "reasoning": [{"instruction": Q, "output": A, "reasoning": "Hm."}, {"instruction": Q, "output": A, "cot": "Hm."}],
}


@pytest.mark.parametrize("kind", MIXED)
def test_rows_some_of_which_could_be_filials_own_are_read_alike(kind: str) -> None:
    for rows in (MIXED[kind], MIXED[kind][::-1]):
        assert len(list(read_rows(rows))) == 2
