"""Whose format a file has: by its rows, filial's own or not, and by its name."""

import io
import json
import sys

import pytest
from columns_kit import put

from filial import Record, UsageError
from filial.formats import BadLine, read, write

# Filial's own or not


ALPACA = {"instruction": "Name three rivers.", "input": "in Asia", "output": "Ob, Indus, Mekong"}


@pytest.mark.parametrize("name", ["in.jsonl", "in.json", "in.parquet"])
@pytest.mark.parametrize(
    ("rows", "ids"),
    [
        ([{"id": i, **ALPACA} for i in range(3)], ["0", "1", "2"]),
        ([{**ALPACA, "input": None}] * 2, None),
        ([ALPACA, {**ALPACA, "category": "geo"}, {**ALPACA, "category": "list"}], None),
        ([{**ALPACA, "origin": "a web page"}], None),
    ],
)
def test_foreign_rows_that_look_like_filials_are_read(tmp_path, name, rows, ids):
    path = tmp_path / name
    if name.endswith("parquet"):
        pyarrow = pytest.importorskip("pyarrow.parquet", reason="comes with the extra 'data'")
        import pyarrow as arrow

        pyarrow.write_table(arrow.Table.from_pylist(rows), path)
    else:
        path.write_text(json.dumps(rows) if name.endswith("json") else "".join(json.dumps(row) + "\n" for row in rows))
    found = list(read(path))
    assert [record.output for record in found] == ["Ob, Indus, Mekong"] * len(rows)
    if ids:
        assert [record.id for record in found] == ids


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": "a", "output": "b", "scores": {"x": 1.0}},
        {"instruction": "a", "output": "b", "tags": ["t"]},
        {"instruction": "a", "output": "b", "origin": {"round": -1}},
    ],
)
def test_what_only_filial_writes_is_not_given_up_for_a_bad_line(tmp_path, row):
    """Another format would pass over scores, tags and lineage without a word."""
    path = put(tmp_path / "in.jsonl", row, *[{"instruction": "a", "output": "b", "ouput": "c"}] * 5)
    bad: list[BadLine] = []
    found = list(read(path, bad=bad))
    assert len(found) + len(bad) == 6
    assert [line.pointer for line in bad if "ouput" not in line.message] in ([], ["/origin/round"])
    assert all("did you mean output?" in line.message for line in bad if "ouput" in line.message)


def test_one_bad_line_among_filials_own_is_explained_as_such(tmp_path):
    path = put(tmp_path / "in.jsonl", {"instruction": "a", "output": "b"}, {"instruction": "a", "ouput": "b"})
    bad: list[BadLine] = []
    assert len(list(read(path, bad=bad))) == 1
    assert "did you mean output?" in str(bad[0])


# Names of files


@pytest.mark.parametrize("name", ["data.json.clean.jsonl", "part.parquet.clean.jsonl", "a.json.jsonl.gz", "a.jsonl"])
def test_only_the_last_suffix_says_what_is_written_and_read(tmp_path, name):
    records = [Record(id=f"r{i}", instruction="Name a river.") for i in range(3)]
    write(tmp_path / name, records)
    plain = tmp_path / name if not name.endswith(".gz") else None
    assert plain is None or plain.read_bytes().startswith(b'{"id":"r0"')
    assert list(read(tmp_path / name)) == records


@pytest.mark.parametrize("name", ["data.jsonl.json", "data.parquet.json"])
def test_an_array_is_written_where_the_last_suffix_says_so(tmp_path, name):
    write(tmp_path / name, [Record(id="r0", instruction="Name a river.")], format="filial")
    assert json.loads((tmp_path / name).read_text()) == [{"id": "r0", "instruction": "Name a river."}]


@pytest.mark.parametrize("name", ["data.jsonl.txt", "data.parquet.old"])
def test_a_name_that_ends_in_something_else_tells_nothing_and_the_content_does(tmp_path, name):
    (tmp_path / name).write_text('{"instruction": "a"}\n')
    assert [record.instruction for record in read(tmp_path / name)] == ["a"]
    (tmp_path / name).write_text('[{"instruction": "a"},\n{"instruction": "b"}]')
    assert [record.instruction for record in read(tmp_path / name)] == ["a", "b"]
    (tmp_path / name).write_text("instruction,output\n")
    with pytest.raises(UsageError, match="the format is not clear from the name, nor from how it begins"):
        read(tmp_path / name)
    with pytest.raises(UsageError, match=r"name the format to write; there are filial, alpaca"):
        write(tmp_path / name, [])


def test_parquet_may_be_packed_and_come_from_standard_input(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow", reason="comes with the extra 'data'")
    records = [Record(id=f"r{i}", instruction="Name a river.") for i in range(3)]
    for name in ("a.parquet", "a.parquet.gz", "a.parquet.zst"):
        write(tmp_path / name, records)
        assert list(read(tmp_path / name)) == records
    assert (tmp_path / "a.parquet.gz").read_bytes()[:2] == b"\x1f\x8b"

    class Stdin:
        buffer = io.BufferedReader(io.BytesIO((tmp_path / "a.parquet").read_bytes()))

    monkeypatch.setattr(sys, "stdin", Stdin)
    assert list(read("-", format="parquet")) == records


# Fields that only filial has, beside columns of others


@pytest.mark.parametrize(
    "mark",
    [{"label": False}, {"reasoning": "r"}, {"tools": [{"a": 1}]}, {"rejected": [{"role": "user", "content": "x"}]}],
)
def test_other_columns_beside_filials_own_fields_go_into_extra(tmp_path, mark):
    path = put(tmp_path / "in.jsonl", *[{"instruction": "a", "output": "b", "lang": "x", **mark}] * 5)
    (path.with_name("plain.jsonl")).write_text(path.read_text().replace(', "lang": "x"', ""))
    found, plain = list(read(path)), list(read(path.with_name("plain.jsonl")))
    assert [record.replaced(extra={}, id="") for record in found] == [record.replaced(id="") for record in plain]
    assert all(record.extra == {"lang": "x"} for record in found)


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "a", "completion": "b"},
        {"prompt": [{"role": "user", "content": "a"}], "completion": [{"role": "assistant", "content": "b"}]},
        {"conversations": [{"from": "human", "value": "a"}]},
        {"instruction": "a", "instances": [{"input": "", "output": "b"}]},
        {"messages": [{"role": "developer", "content": "a"}, {"role": "user", "content": "b"}]},
    ],
)
def test_foreign_rows_keep_their_label(tmp_path, row):
    path = put(tmp_path / "in.jsonl", {**row, "label": False, "site": "x"})
    assert [record.label for record in read(path)] == [False]
