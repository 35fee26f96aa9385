"""Reading: what is accepted, how a bad line is reported, and that nothing stops the good ones."""

import bz2
import codecs
import gzip
import io
import json
import lzma
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

import filial
from filial import UsageError
from filial.contracts.records import record_id
from filial.formats import BadLine, read

GOOD = b'{"instruction":"Name a river.","output":"The Elbe."}\n'


def read_bytes(folder: Path, data: bytes, name: str = "data.jsonl", **options):
    path = folder / name
    path.write_bytes(data)
    bad: list[BadLine] = []
    return list(read(path, bad=bad, **options)), bad


PACKERS = {".gz": gzip.compress, ".zst": zstandard.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
NASTY = {
    "not UTF-8": (b'{"instruction":"\xff"}', "byte 0xff at column 17 is not text in the file's encoding (UTF-8 unless"),
    "UTF-16": ("\ufeff{}".encode("utf-16-le"), "is not text in the file's encoding"),
    "encoded surrogate": (b'{"instruction":"\xed\xa0\x80"}', "byte 0xed at column 17 is not text"),
    "lone high surrogate": (rb'{"instruction":"a\ud800"}', "half a character"),
    "lone low surrogate": (rb'{"instruction":"a\udc00b"}', "half a character"),
    "surrogates in the wrong order": (rb'{"instruction":"\udc00\ud800"}', "half a character"),
    "two high surrogates": (rb'{"instruction":"\ud800\ud800\udc00"}', "half a character"),
    "NUL byte": (b'{"instruction":"a\x00"}', "control character at column 18"),
    "tab in a string": (b'{"instruction":"\t"}', "control character"),
    "NaN": (b'{"instruction":"a","scores":{"x":NaN}}', "NaN is no JSON number"),
    "Infinity": (b'{"instruction":"a","scores":{"x":-Infinity}}', "Infinity is no JSON number"),
    "huge number": (b'{"instruction":"a","scores":{"x":1e999}}', "/scores: Number out of range"),
    "huge number in extra": (b'{"instruction":"a","extra":{"x":[1e999]}}', "/extra: Number out of range"),
    "huge integer": (b'{"instruction":"a","origin":{"round":' + b"9" * 5000 + b"}}", "out of range"),
    "deep nesting": (
        b'{"instruction":"a","extra":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
        "nested too deeply",
    ),
    "deep objects": (b'{"instruction":"a","extra":' + b'{"a":' * 100_000, "nested too deeply"),
    "cut off": (b'{"instruction":"a"', "not JSON: expecting ',' delimiter at column 19"),
    "cut off in a text": (b'{"instruction":"a', "not JSON: unterminated string starting at column 16"),
    "trailing comma": (b'{"instruction":"a",}', "not JSON"),
    "two objects": (b'{"instruction":"a"} {}', "not JSON: extra data at column"),
    "single quotes": (b"{'instruction':'a'}", "column 2"),
    "no JSON": (b"hello", "at column 1"),
    "an array": (b"[1]", "Expected `object`, got `array`"),
    "a number": (b"1", "Expected `object`, got `int`"),
    "null": (b"null", "Expected `object`, got `null`"),
    "wrong type": (b'{"instruction":{}}', "/instruction: Expected `str`, got `object`"),
    "wrong type in a turn": (
        b'{"messages":[{"role":"user","content":{}}],"id":"a"}',
        "/messages/0/content: Expected `str`",
    ),
    "negative round": (b'{"instruction":"a","origin":{"round":-1}}', "/origin/round: Expected `int` >= 0"),
    "unknown field": (b'{"instruction":"a","ouput":"b"}', "did you mean output?"),
    "unlike any field": (b'{"instruction":"a","zzz":"b"}', "other columns go into extra"),
    "column after wide characters": ('{"instruction":"äöü€😀" 1}'.encode(), "at column 24"),
}


@pytest.mark.parametrize("case", NASTY)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_bad_line_is_reported_with_its_place_and_stops_nothing(tmp_path: Path, case: str, end: bytes) -> None:
    line, words = NASTY[case]
    records, bad = read_bytes(tmp_path, GOOD + line + end + GOOD)
    assert [record.output for record in records] == ["The Elbe."] * 2
    [fault] = bad
    assert (fault.file, fault.line) == (str(tmp_path / "data.jsonl"), 2)
    assert str(fault).startswith(f"{tmp_path / 'data.jsonl'}:2: ")
    assert words in str(fault)
    assert len(fault.raw) <= 200
    assert len(str(fault)) < 400 + len(fault.file)


ACCEPTED = {
    "byte order mark": b"\xef\xbb\xbf" + GOOD,
    "CRLF": GOOD.replace(b"\n", b"\r\n"),
    "no newline at the end": GOOD.rstrip(),
    "blank lines": b"\n \n" + GOOD + b"\r\n\n",
    "spaces round it": b"  " + GOOD.rstrip() + b"\t\n",
    "U+2028 in a string": '{"instruction":"Name a river.","output":"The\u2028Elbe."}\n'.encode(),
    "escaped NUL": rb'{"instruction":"Name a river.","output":"The\u0000Elbe."}' + b"\n",
    "a surrogate pair": rb'{"instruction":"Name a river.","output":"\ud83d\ude00"}' + b"\n",
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_harmless_oddities_are_accepted(tmp_path: Path, case: str) -> None:
    records, bad = read_bytes(tmp_path, ACCEPTED[case])
    assert not bad
    assert [record.instruction for record in records] == ["Name a river."]


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('{"instruction":"a","instruction":"b"}', "instruction"),
        ('{"instruction":"a","output":"b","n":1,"output":"b"}', "output"),
        ('{"messages":[{"role":"user","content":"a","content":"b"}]}', "content"),
        ('{"instruction":"a","output":"b","n":{"x":1,"x":2}}', "x"),
        ('{"instruction":"a", "\\u0069nstruction" : "b"}', "instruction"),
    ],
)
def test_a_key_that_stands_twice_in_one_of_the_first_rows_makes_it_a_bad_line(
    tmp_path: Path, line: str, key: str
) -> None:
    for data in (f'{{"instruction":"z"}}\n{line}\n', f'[{{"instruction":"z"}},\n{line}]'):
        records, bad = read_bytes(tmp_path, data.encode(), name="data.json")
        assert [record.instruction for record in records] == ["z"]
        assert [(fault.line, fault.message) for fault in bad] == [
            (2, f"the key {key!r} stands twice in one object; leave one of the two out")
        ]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.just(GOOD.strip()), st.binary(max_size=40), st.sampled_from(list(NASTY))))
)  # fmt: skip
def test_good_and_bad_lines_add_up(tmp_path_factory: pytest.TempPathFactory, parts: list[bytes | str]) -> None:
    rows = (NASTY[part][0] if isinstance(part, str) else part for part in parts)
    # The first bytes of a file may say that it is packed, or in what encoding it is; these say neither.
    data = b"\n".join([GOOD.strip(), *(row.replace(b"\n", b"") for row in rows)])
    records, bad = read_bytes(tmp_path_factory.mktemp("sum"), data, format="filial")
    counted = [line for line in data.split(b"\n") if line.strip()]
    assert len(records) + len(bad) == len(counted)


def test_without_a_place_for_bad_lines_or_when_strict_the_first_one_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(GOOD + b"hello\n" + GOOD)
    with pytest.raises(UsageError, match=r"data\.jsonl:2: not JSON"):
        list(read(path))
    with pytest.raises(UsageError, match=r"data\.jsonl:2: not JSON"):
        list(read(path, strict=True, bad=[]))
    seen: list[int] = []
    assert len(list(read(path, bad=lambda fault: seen.append(fault.line)))) == 2
    assert seen == [2]


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_an_empty_file_gives_no_records(tmp_path: Path, data: bytes) -> None:
    assert read_bytes(tmp_path, data) == ([], [])
    assert read_bytes(tmp_path, data, "data.json") == ([], [])
    assert read_bytes(tmp_path, b"[]", "data.json") == ([], [])


def test_reading_is_streamed_and_limited(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(GOOD * 3 + b"hello\n")
    assert len(list(read(path, limit=2))) == 2
    source = read(path)
    assert next(source).instruction == "Name a river."


def test_packed_files(tmp_path: Path) -> None:
    for suffix, pack in PACKERS.items():
        assert len(read_bytes(tmp_path, pack(GOOD * 2), f"data.jsonl{suffix}")[0]) == 2
        assert len(read_bytes(tmp_path, pack(GOOD * 2), f"DATA.JSONL{suffix.upper()}")[0]) == 2
        several = pack(GOOD * 2) + pack(b"") + bytes(512) + pack(GOOD) + bytes(5000)
        assert len(read_bytes(tmp_path, several, f"data.jsonl{suffix}")[0]) == 3
        assert read_bytes(tmp_path, b"", f"data.jsonl{suffix}") == ([], [])
        flipped = bytearray(pack(GOOD))
        flipped[0] ^= 0xFF
        for torn in (pack(GOOD * 5000)[:-20], GOOD, bytes(50), flipped, pack(GOOD) + b"more", pack(GOOD)[:9]):
            with pytest.raises(UsageError, match=r"torn\.jsonl\.\w+: the packed data is damaged"):
                read_bytes(tmp_path, torn, f"torn.jsonl{suffix}")


@pytest.mark.parametrize("suffix", PACKERS)
def test_packed_data_tells_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    """A download that is called after what is in it, or comes from a pipe."""
    data = PACKERS[suffix](GOOD * 2)
    assert len(read_bytes(tmp_path, data)[0]) == 2

    class Stdin:
        buffer = io.BufferedReader(io.BytesIO(data))

    monkeypatch.setattr(sys, "stdin", Stdin)
    assert len(list(read("-"))) == 2


ENCODINGS = [
    "utf-8-sig",
    "utf-16",
    "utf-32",
    "utf-16-le",
    "utf-16-be",
    "utf-32-le",
    "utf-32-be",
    "gb18030",
    "big5",
    "cp949",
]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", ["data.jsonl", "data.json", "data.jsonl.gz"])
def test_text_of_any_encoding_is_read_by_name_or_by_its_mark(tmp_path: Path, encoding: str, name: str) -> None:
    row = '{"instruction":"' + ("세 강" if encoding == "cp949" else "三條河") + '","output":"a\\nb"}'
    text = f"[{row},\n{row}]" if name == "data.json" else f"{row}\r\n{row}\n"
    pack = gzip.compress if name.endswith("gz") else bytes
    data = pack(text.encode(encoding))
    named, bad = read_bytes(tmp_path, data, name, encoding=encoding)
    assert (len(named), bad) == (2, [])
    assert named[0].instruction in row
    if encoding.startswith(("utf", "gb")):
        marked = data if encoding in ("utf-8-sig", "utf-16", "utf-32") else pack(f"\ufeff{text}".encode(encoding))
        assert read_bytes(tmp_path, marked, name) == (named, [])
        assert read_bytes(tmp_path, marked, name, encoding=encoding) == (named, [])


@pytest.mark.parametrize(
    ("encoding", "damage"),
    [("utf-16", b"\x00\xd8"), ("gb18030", b"\xff"), ("utf-32-le", b"\0\0\1\1"), ("shift_jis", b"\xff")],
)
def test_what_is_no_text_in_its_encoding_costs_the_line_that_it_is_in(
    tmp_path: Path, encoding: str, damage: bytes
) -> None:
    line, codec = '{"instruction":"河"}\n', codecs.lookup(encoding)
    first = codec.encode(line + '{"instruction":"')[0]
    rest = '"}\n'.encode("utf-16-le" if encoding == "utf-16" else encoding) + line.encode(
        "utf-16-le" if encoding == "utf-16" else encoding
    )
    records, bad = read_bytes(tmp_path, first + damage + rest, encoding=encoding)
    assert [record.instruction for record in records] == ["河", "河"]
    assert [str(line).partition(": ")[0] for line in bad] == [f"{tmp_path / 'data.jsonl'}:2"]
    assert "at column 17 is not text in the file's encoding" in bad[0].message


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_utf_16_and_32_without_a_mark(tmp_path: Path, encoding: str) -> None:
    plain = encoding[:6]
    for name, text in (("a.jsonl", '{"instruction":"河","output":"b"}\n'), ("a.csv", "instruction,output\n河,b\n")):
        for said in (None, plain, encoding):
            records, bad = read_bytes(tmp_path, text.encode(encoding), name=name, encoding=said)
            assert ([record.instruction for record in records], bad) == (["河"], [])
    with pytest.raises(UsageError, match=rf"a\.csv: it has no byte order mark; name {plain}-le or {plain}-be"):
        read_bytes(tmp_path, "问题,output\n河,b\n".encode(encoding), name="a.csv", encoding=plain)


ROW = '{"instruction":"a","output":"b"}'
CURED = {
    "not a number": ('{"instruction":"a","n":NaN}', "NaN is no JSON number; write null in its place"),
    "infinity": ('{"instruction":"a","n":-Infinity}', "-Infinity is no JSON number; write null"),
    "two objects": (ROW + ROW, "extra data at column 33; write each object on a line of its own"),
    "two objects, a comma": (f"{ROW}, {ROW}", "extra data at column 33; write each object on a line of its own"),
    "a comma behind": (ROW + ",", "extra data at column 33; take out the comma at the end of the line"),
    "a trailing comma": ('{"instruction":"a",}', "at column 20; take out the comma in front of it"),
    "a trailing comma in a list": ('{"instruction":"a","n":[1, ]}', "at column 28; take out the comma in front of it"),
    "Python's quotes": ("{'instruction': 'a'}", "at column 2; this is Python's notation: write the rows with json.dum"),
    "Python's None": ('{"instruction":"a","n":None}', "at column 24; this is Python's notation"),
    "Python's True": ('{"instruction":"a","n": True}', "at column 25; this is Python's notation"),
    "a pointer": ("version https://git-lfs.github.com/spec/v1", "at column 1; this is a pointer of Git LFS"),
}


@pytest.mark.parametrize("case", CURED)
def test_what_is_nearly_json_is_told_with_its_cure(tmp_path: Path, case: str) -> None:
    line, words = CURED[case]
    records, [bad] = read_bytes(tmp_path, f"{ROW}\n{line}\n".encode())
    assert len(records) == 1
    assert bad.line == 2
    assert f"not JSON: {words}" in bad.message or (bad.message.startswith("not JSON: ") and words in bad.message)


@pytest.mark.parametrize("name", ["data.jsonl", "data.json", "data.ndjson"])
@pytest.mark.parametrize("begin", ["", "\ufeff", "\n\n "])
@pytest.mark.parametrize("between", ["\n", "", "\n\n"])
def test_objects_over_several_lines_one_after_another_are_read(
    tmp_path: Path, name: str, begin: str, between: str
) -> None:
    rows = [
        {"instruction": "{ a", "output": 'b " }', "n": [{"x": "\\"}]},
        {"instruction": "c", "output": "", "n": 1},
    ] * 2
    for text in ([json.dumps(row, indent=2) for row in rows], [json.dumps(row, indent=1)[:1] + json.dumps(
        row, indent=1)[2:] for row in rows]):  # fmt: skip
        records, bad = read_bytes(tmp_path, (begin + between.join(text)).encode(), name=name)
        assert (bad, [(r.instruction, r.output, r.extra["n"]) for r in records]) == (
            [],
            [(*row.values(),) for row in rows],
        )


def test_a_damaged_first_line_is_no_object_over_several_lines(tmp_path: Path) -> None:
    records, bad = read_bytes(tmp_path, f'{{"instruction":"a",\n{ROW}\n{{\n{ROW}\n'.encode())
    assert (len(records), [fault.line for fault in bad]) == (2, [1, 3])


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"columns": ["a"]}, "columns must be a mapping, field -> column"),
        ({"columns": "a=b"}, "columns must be a mapping"), ({"columns": {"a": 1}}, "columns must be a mapping"),
        ({"columns": {1: "a"}}, "columns must be a mapping"), ({"keep": "lang"}, "keep must be a list of columns"),
        ({"keep": 5}, "keep must be"), ({"keep": [1]}, "keep must be"),
        ({"ignore": "x"}, "ignore must be a list of columns"), ({"ignore": 0.5}, "ignore must be a list"),
        ({"split": 5}, "a file has no split"), ({"revision": ["a"]}, "a file has no revision"),
        ({"encoding": 5}, "no encoding of text is called 5"),
    ],
)  # fmt: skip
def test_what_is_said_of_a_source_in_a_wrong_type_is_one_sentence(tmp_path: Path, said: Any, words: str) -> None:
    (tmp_path / "data.jsonl").write_bytes(GOOD)
    for door in (read, filial.load):
        with pytest.raises(UsageError, match=words):
            list(door(tmp_path / "data.jsonl", **said))


def test_an_encoding_that_is_none_or_not_the_files(tmp_path: Path) -> None:
    for name in ("utf-99", "base64", "rot13", "\0"):
        with pytest.raises(UsageError, match="no encoding of text is called"):
            read_bytes(tmp_path, GOOD, encoding=name)
    with pytest.raises(UsageError, match=r"data\.jsonl: its mark says utf-16, not latin-1; leave the encoding out"):
        read_bytes(tmp_path, GOOD.decode().encode("utf-16"), encoding="latin-1")
    records, _ = read_bytes(tmp_path, '{"instruction":"é"}'.encode("latin-1"), encoding="latin-1")
    assert records[0].instruction == "é"


def test_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BufferedReader(io.BytesIO(GOOD + b"hello\n"))

    monkeypatch.setattr(sys, "stdin", Stdin)
    bad: list[BadLine] = []
    assert len(list(read("-", bad=bad))) == 1
    assert str(bad[0]).startswith("<stdin>:2: ")


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("none.jsonl", None, "no such file"),
        ("owner/name", None, "write hf:owner/name"),
        ("data.txt", b"one,two", "name one of the formats filial, alpaca"),
        ("data.jsonl", b'{"text":"a"}\n', "data.jsonl:1: no known format has the columns text"),
        ("data.json", b'{\n  "instruction": "a"\n', "data.json:1:1: not JSON: the file ends within the element"),
        ("data.parquet", GOOD, "cannot be read as Parquet"),
    ],
)
def test_sources_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, data: bytes | None, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if data is not None:
        Path(name).write_bytes(data)
    with pytest.raises(UsageError) as error:
        list(read(name, bad=[]))
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_format_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no format named 'xyz' is installed; there are: alpaca, axolotl"):
        read(tmp_path / "any", format="xyz")


# Ids


def test_ids_given_are_kept_and_others_come_from_the_content(tmp_path: Path) -> None:
    records, _ = read_bytes(tmp_path, b'{"id":"mine","instruction":"a"}\n' + GOOD * 2)
    content = ("Name a river.", "", "The Elbe.")
    expected = [record_id(content, stage="read", ordinal=i) for i in (0, 1)]
    assert [record.id for record in records] == ["mine", *expected]


def test_an_id_that_is_taken_is_not_given_again(tmp_path: Path) -> None:
    taken = record_id(("a", "", ""), stage="read")
    data = f'{{"id":"{taken}","instruction":"a"}}\n'.encode() + b'{"instruction":"a"}\n' * 2
    records, _ = read_bytes(tmp_path, data)
    assert len({record.id for record in records}) == 3


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from("abc"), max_size=8), st.sampled_from("abcd"), st.data())
def test_inserting_a_line_changes_no_other_id(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], new: str, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("ids")
    place = data.draw(st.integers(0, len(texts)))

    def ids(words: list[str]) -> list[str]:
        made = "".join(json.dumps({"instruction": word}) + "\n" for word in words)
        return [record.id for record in read_bytes(folder, made.encode())[0]]

    before, after = ids(texts), ids([*texts[:place], new, *texts[place:]])
    assert len(set(after)) == len(after)
    assert set(before) < set(after)
    if new not in texts:
        assert before == after[:place] + after[place + 1 :]


def test_data_inside_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "some_seed_package"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('reading data imports nothing')")
    (package / "seeds.jsonl").write_bytes(GOOD)
    monkeypatch.syspath_prepend(tmp_path)
    assert [record.output for record in read("pkg:some_seed_package/seeds.jsonl")] == ["The Elbe."]
    with pytest.raises(UsageError, match="no package"):
        read("pkg:no_such_package/seeds.jsonl")


def test_reading_and_writing_own_records_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_bytes(GOOD)
    program = (
        "import sys; from filial.formats import read, write; write(sys.argv[1], list(read(sys.argv[1])))\n"
        "heavy = {'jsonschema', 'pydantic', 'pyarrow', 'datasets', 'torch', 'zstandard', 'yaml', 'pluggy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "data.jsonl"], capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"
