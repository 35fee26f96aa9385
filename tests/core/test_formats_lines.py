"""Cutting files into lines and array elements: places, sizes, memory."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filial import UsageError
from filial.formats import BadLine, lines, read, streams
from filial.formats.streams import BOM, elements

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
    for wrong, words in ((b'{"instruction":"\xff","output":""}', "is not text in"), (b'{"a" 1}', "':' delimiter"),
                         (b"nope", "at column 1"), (b"[" * 9000 + b"]" * 9000, "`array`")):  # fmt: skip
        records, bad = read_bytes(tmp_path, data.replace(b"3", wrong), "data.json")
        assert len(records) == 2
        assert words in bad[0].message


@pytest.mark.parametrize(
    "wrong", [b'{"a":"\xff"}', b'{"a":"\t"}', b'{"a":NaN}', b'{"a" 1}', b"nope", b'{"b":[{"a":1},{"a":2}]}']
)
def test_elements_that_are_cut_many_at_a_time_are_those_cut_one_by_one(wrong: bytes) -> None:
    """More than fit one look at the file, among them some that no parser of JSON passes."""
    parts = [wrong if i % 7000 == 6999 else b'{"a":"%d},{","c":[{"a":1}]}' % i for i in range(60_000)]
    for between in (b",", b" ,\n  "):
        stream = io.BufferedReader(io.BytesIO(b"[" + between.join(parts) + b"]"))
        found = list(elements(stream, "data.json"))
        assert [raw for _, raw in found] == parts
        assert [line for line, _ in found] == [1 + i * between.count(b"\n") for i in range(len(parts))]


LONG = "[" + '{"instruction": "a"},\n' * 200_000


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ("[", "1:2"), ("[{}", "1:4"), ("[{},]", "1:5"), ("[{}\n {}]", "2:2"), ("[{}]\n\n  x", "3:3"),
        ("[{}, [" + "[" * 100_000, "1:6"), ('["äöü€😀", {"a": "b}, {}]', "1:11"), ("[{},,{}]", "1:5"), ("[12", "1:2"),
        (LONG + '{"instruction": "c"}\n{}]', "200002:1"), ("[}", "1:2"),
        (LONG.replace("\n", " ") + '{"instruction": "é"} 4]', "1:4400023"),
    ],
)  # fmt: skip
def test_a_broken_array_is_an_error_with_line_and_column(tmp_path: Path, data: str, place: str) -> None:
    with pytest.raises(UsageError) as error:
        read_bytes(tmp_path, data.encode(), "data.json")
    assert f"data.json:{place}: not JSON: " in str(error.value)


leaves = st.one_of(st.text('{}[],:"\\ \nä€'), st.integers(), st.none())
nested = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from("ab"), inner))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(nested, max_size=9), st.integers(0, 2), st.integers(1, 60), st.booleans())
def test_elements_are_cut_as_json_reads_them(
    monkeypatch: pytest.MonkeyPatch, values: list[object], indent: int, size: int, marked: bool
) -> None:
    """However the file is divided into what is looked at."""
    text = json.dumps(values, indent=indent or None, ensure_ascii=False)
    data = (BOM if marked else b"") + text.encode("utf-8", "surrogatepass")
    monkeypatch.setattr(streams, "CHUNK", size)
    found = list(elements(io.BufferedReader(io.BytesIO(data)), "data.json"))
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


def test_an_array_is_read_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    with open(path, "wb") as file:
        file.write(b"[\n")
        for i in range(4000):
            file.write(b'{"instruction":"Name river %d.","output":"%s"},\n' % (i, b"Elbe " * 5000))
        file.write(GOOD + b"]")
    program = (
        "import resource, sys; from filial.formats import read; import filial.formats.records\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "good = sum(1 for _ in read(sys.argv[1]))\n"
        "print(good, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    result = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    good, grown = map(int, result.stdout.split())
    assert good == 4001
    assert grown < 24 << 10, f"{grown} KiB more than before, of a file of 100 MB"


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
