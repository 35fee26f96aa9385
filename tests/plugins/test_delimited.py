"""CSV and TSV: whatever delimiter, quotes, encoding and line ends a program wrote them with."""

import codecs
import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filial import Constraint, Message, Origin, Record, ToolCall, UsageError
from filial.formats import BadLine, read, write
from filial.testing import FormatContract
from filial_plugins.formats.delimited import Csv
from filial_plugins.formats.tsv import Tsv

MAILS = [
    ("Name three rivers.\r\nIn Asia, please; or \"anywhere\" | else.", "", "Ob,\nIndus"),
    ("'Tis a\ttab", " spaced ", "so; it: is"),
    ("Größe? 河?", "2,5", "\"quoted\""),
]  # fmt: skip


class TestCsv(FormatContract):
    component = Csv()


class TestTsv(FormatContract):
    component = Tsv()


def read_text(folder: Path, text: str | bytes, name: str = "in.csv", **options: object):
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    bad: list[BadLine] = []
    found = list(read(folder / name, bad=bad, **options))
    return [record.content() for record in found], [str(line).removeprefix(f"{folder / name}:") for line in bad]


@pytest.mark.parametrize("delimiter", ",;\t|")
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
@pytest.mark.parametrize("name", ["in.csv", "in.tsv", "IN.CSV"])
def test_the_dialect_is_found_by_what_stands_in_the_file(
    tmp_path: Path, delimiter: str, encoding: str, end: str, name: str
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end)
    writer.writerow(["instruction", "input", "output"])
    mails = [tuple(cell.encode(encoding, "replace").decode(encoding) for cell in mail) for mail in MAILS]
    if end == "\r":  # the writer of Python 3.11 does not quote the line ends that it does not write
        mails = [tuple(cell.replace("\n", "/") for cell in mail) for mail in mails]
    writer.writerows(mails)
    data = text.getvalue().encode(encoding)
    chosen = None if encoding.startswith("utf") else encoding
    assert read_text(tmp_path, data, name, encoding=chosen) == (mails, [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r'question,answer' "\n" r'"He said \"hi, you\"","b\\c \new"' "\n", [('He said "hi, you"', "", r"b\c \new")]),
        ('question\tanswer\n"Hi" he said, twice\tb\n5" disk\t"c"\n',
         [('"Hi" he said, twice', "", "b"), ('5" disk', "", '"c"')]),
        ('sep=|\nquestion|answer\na;b;c|d\n', [("a;b;c", "", "d")]),
        ("question;answer\n1,5;2,5\n", [("1,5", "", "2,5")]),
        ("\n\nquestion,answer\n\na,b\n\n", [("a", "", "b")]),
        ("question , answer,\na,b,\nc,d,,,\n", [("a", "", "b"), ("c", "", "d")]),
        (",question,answer\n0,a,b\n1,c,d\n", [("a", "", "b"), ("c", "", "d")]),
        ("question,answer\n", []),
        ("", []),
    ],
)  # fmt: skip
def test_tables_as_programs_write_them(tmp_path: Path, text: str, expected: list[tuple[str, ...]]) -> None:
    assert read_text(tmp_path, text) == (expected, [])


def test_a_bad_row_is_told_with_its_line_and_stops_no_other(tmp_path: Path) -> None:
    good = '"a\r\nb",c\r\n'
    text = f'question,answer\r\n{good}lonely\r\n{good}1,2,3\r\n{good}"x"y,z\r\n{good}'
    found, bad = read_text(tmp_path, text)
    assert found == [("a\r\nb", "", "c")] * 4
    assert bad == [
        "4: has 1 cells, and there are 2 columns", "7: has 3 cells, and there are 2 columns",
        "10: the quotes are not in order: ',' expected after '\"'",
    ]  # fmt: skip
    found, bad = read_text(tmp_path, '"question","answer"\n"x"y,"z"\n"a","b"\n"c","d"\n')
    assert (found, bad) == (
        [("a", "", "b"), ("c", "", "d")],
        ["2: the quotes are not in order: ',' expected after '\"'"],
    )
    found, bad = read_text(tmp_path, "question,answer\n,b\na,b\n")
    assert (found, bad) == ([("a", "", "b")], ["2: /question: is empty"])


def test_what_stands_in_a_bad_row_is_kept(tmp_path: Path) -> None:
    bad: list[BadLine] = []
    (tmp_path / "in.csv").write_bytes(b"question,answer\nonly this,\xe9\nc\n")
    assert list(read(tmp_path / "in.csv", bad=bad)) == []
    assert [line.raw for line in bad] == ["only this,\\xe9", "'c'"]


def test_bytes_that_are_no_text_cost_their_row(tmp_path: Path) -> None:
    text = "question,answer\nä,b\né,d\na,b\n"
    found, bad = read_text(tmp_path, text.encode("latin-1"))
    assert found == [("a", "", "b")]
    assert bad[1].startswith("3: /question: byte 0xe9 at character 1 is not text in the file's encoding")
    assert read_text(tmp_path, text.encode("latin-1"), encoding="cp1252")[0] == [
        ("ä", "", "b"),
        ("é", "", "d"),
        ("a", "", "b"),
    ]


def test_a_quote_that_never_closes_does_not_swallow_the_file_in_silence(tmp_path: Path) -> None:
    found, bad = read_text(tmp_path, 'question,answer\na,b\n"c,d\n' + "e,f\n" * 3000)
    assert found[0] == ("a", "", "b")
    assert bad


def test_names_of_columns(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"in\.csv: two columns are called 'answer'"):
        read_text(tmp_path, "question,answer,answer\na,b,c\n")
    with pytest.raises(UsageError, match=r"in\.csv:1: .*column 1, column 2"):
        read_text(tmp_path, "a,b\nc,d\n", format={"use": "csv", "header": False})


def test_options_say_what_is_not_to_be_found(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("question:answer\na, b, c:d\n")
    [record] = read(tmp_path / "in.txt", format={"use": "csv", "delimiter": ":"})
    assert record.content() == ("a, b, c", "", "d")
    write(tmp_path / "out.csv", [record], format={"use": "csv", "delimiter": ";"})
    assert (tmp_path / "out.csv").read_text().splitlines()[0] == "id;instruction;input;output"


@pytest.mark.parametrize("written", [json.dumps, repr])
def test_conversations_in_a_cell(tmp_path: Path, written) -> None:
    turns = [{"from": "human", "value": 'It\'s "me"'}, {"from": "gpt", "value": "Hi\nyou"}]
    text = io.StringIO()
    csv.writer(text).writerows([["id", "conversations"], ["1", written(turns)]])
    found, bad = read_text(tmp_path, text.getvalue())
    assert (found, bad) == ([("user", 'It\'s "me"', "assistant", "Hi\nyou")], [])


def test_answers_that_look_like_json_stay_text(tmp_path: Path) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([["prompt", "completion"], ['{"a": 1}', "[1, 2]"], ["[]", "true"]])
    assert read_text(tmp_path, text.getvalue())[0] == [('{"a": 1}', "", "[1, 2]"), ("[]", "", "true")]


def test_a_longer_cell_than_pythons_limit(tmp_path: Path) -> None:
    cell = "word " * 100_000
    assert read_text(tmp_path, f'question,answer\na,"{cell}"\n')[0] == [("a", "", cell)]


# What is written


texts = st.text(max_size=8) | st.text('",;\t|\r\n\\a=', max_size=8)
filled = st.text(min_size=1, max_size=8)
values = st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | texts, lambda inner: st.lists(inner, max_size=2))
calls = st.builds(ToolCall, id=texts, name=texts, arguments=texts)
turns = st.lists(
    st.builds(Message, role=st.sampled_from(["system", "user", "assistant"]), content=texts, reasoning=texts,
              tool_calls=st.lists(calls, max_size=1).map(tuple), train=st.none() | st.booleans()),
    min_size=1, max_size=3,
).map(tuple)  # fmt: skip
more = {
    "id": filled, "task": texts, "label": st.none() | st.booleans(), "rejected": st.just(()) | turns,
    "tools": st.lists(st.dictionaries(texts, values, max_size=2), max_size=1).map(tuple),
    "scores": st.dictionaries(texts, st.floats(allow_nan=False, allow_infinity=False), max_size=2),
    "tags": st.lists(texts, max_size=2).map(tuple), "extra": st.dictionaries(texts, values, max_size=3),
    "constraints": st.lists(st.builds(Constraint, type=texts, args=st.dictionaries(texts, values))).map(tuple),
    "origin": st.builds(Origin, stage=texts, parents=st.lists(texts, max_size=2).map(tuple), round=st.integers(0, 9)),
}  # fmt: skip
singles = st.builds(Record, instruction=filled, input=texts, output=texts, system=texts, reasoning=texts, **more)
chats = st.builds(Record, messages=turns, **more)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.csv.xz"])
@settings(max_examples=150, deadline=None)
@given(records=st.lists(singles | chats, max_size=4))
def test_what_is_written_is_read_back_whole(
    tmp_path_factory: pytest.TempPathFactory, name: str, records: list[Record]
) -> None:
    path = tmp_path_factory.getbasetemp() / name
    assert write(path, records) == len(records)
    assert list(read(path)) == records


def test_columns_written_are_those_that_hold_something(tmp_path: Path) -> None:
    records = [
        Record(id="1", instruction="a", output="b,c", extra={"lang": "de", "n": 5}, scores={"x": 0.5}),
        Record(id="2", instruction="d", extra={"ticket": "T1"}),
    ]
    write(tmp_path / "a.csv", records)
    assert (tmp_path / "a.csv").read_bytes().decode().split("\r\n") == [
        "id,instruction,input,output,scores,extra,extra.lang,extra.ticket",
        '1,a,,"b,c","{""x"":0.5}","{""n"":5}",de,',
        "2,d,,,,,,T1",
        "",
    ]
    assert not (tmp_path / "a.csv").read_bytes().startswith(codecs.BOM_UTF8)


@pytest.mark.parametrize("blank", [";;", ";", ";;;", '"";"";""', ""])
def test_a_row_of_empty_cells_is_a_blank_line(tmp_path, blank):
    path = tmp_path / "x.csv"
    path.write_text(f"instruction;output;lang\r\na;b;de\r\n{blank}\r\nc;d;en\r\n{blank}\r\n")
    assert [(record.instruction, record.extra["lang"]) for record in read(path)] == [("a", "de"), ("c", "en")]
