"""Cutting files into lines and array elements: places, sizes, memory."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filial import UsageError
from filial.formats import BadLine, lines, read
from filial.formats.streams import elements

GOOD = b'{"instruction":"Name a river.","output":"The Elbe."}\n'


def read_bytes(folder: Path, data: bytes, name: str = "data.json"):
    path = folder / name
    path.write_bytes(data)
    bad: list[BadLine] = []
    return list(read(path, bad=bad)), bad


def test_a_bad_element_of_an_array_costs_only_itself(tmp_path: Path) -> None:
    good = '{"instruction": "a", "input": "", "output": "[{\\"]"}'
    data = f"[{good},\n 3,\n{good.replace('a', chr(92) + 'ud800', 1)}, {good}\n,\n{{}}]".encode()
    records, bad = read_bytes(tmp_path, data, "data.json")
    assert [record.output for record in records] == ['[{"]'] * 2
    assert [fault.line for fault in bad] == [2, 3, 5]
    records, bad = read_bytes(tmp_path, data.replace(b"3", b'{"instruction":"\xff","output":""}'), "data.json")
    assert len(records) == 2
    assert "is not text in" in bad[0].message


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ("[", "1:2"), ("[{}", "1:4"), ("[{},]", "1:5"), ("[{}\n {}]", "2:2"), ("[{}]\n\n  x", "3:3"),
        ('[{"a" 1}]', "1:7"), ("[{}, [" + "[" * 100_000, "1:6"), ("[nope]", "1:2"),
    ],
)  # fmt: skip
def test_a_broken_array_is_an_error_with_line_and_column(tmp_path: Path, data: str, place: str) -> None:
    with pytest.raises(UsageError) as error:
        read_bytes(tmp_path, data.encode(), "data.json")
    assert f"data.json:{place}: not JSON: " in str(error.value)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.recursive(st.one_of(st.text(), st.integers(), st.none()), st.lists), max_size=6), st.integers(0, 2))
def test_elements_are_cut_as_json_reads_them(values: list[object], indent: int) -> None:
    text = json.dumps(values, indent=indent, ensure_ascii=False)
    stream = io.BufferedReader(io.BytesIO(text.encode("utf-8", "surrogatepass")))
    found = list(elements(stream, "data.json"))
    assert [json.loads(raw) for _, raw in found] == values
    rows = text.split("\n")
    for line, raw in found:
        assert raw.decode().split("\n")[0] in rows[line - 1]


# Long lines


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 70), max_size=12), st.integers(10, 40), st.booleans())
def test_lines_are_split_right_at_any_size(sizes: list[int], longest: int, ended: bool) -> None:
    texts = [bytes([97 + i % 26]) * size for i, size in enumerate(sizes)]
    data = b"\n".join(texts) + (b"\n" if ended else b"")
    long: list[int] = []
    stream = io.BufferedReader(io.BytesIO(data))
    found = list(lines(stream, lambda line, fault, raw: long.append(line), longest))
    assert found == [(i, text) for i, text in enumerate(texts, 1) if 0 < len(text) <= longest]
    assert long == [i for i, text in enumerate(texts, 1) if len(text) > longest]


def test_a_line_of_200_megabytes_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    with open(path, "wb") as file:
        file.write(GOOD + b'{"instruction":"')
        file.seek(200 << 20, 1)
        file.write(b'"}\n' + GOOD)
    program = (
        "import resource, sys; from filial.formats import read; import filial.formats.records\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; bad = []\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (60, 60))  # some fifty times what it takes\n"
        "good = list(read(sys.argv[1], bad=bad))\n"
        "grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before\n"
        "print(len(good), len(bad), bad[0].line, len(bad[0].raw), grown, bad[0].message)"
    )
    result = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    good, bad, line, raw, grown, message = result.stdout.split(" ", 5)
    assert (good, bad, line) == ("2", "1", "2")
    assert "longer than 67108864 bytes" in message
    assert int(raw) <= 200
    assert int(grown) < 150 << 10, f"{grown} KiB more than before"
