"""Formats as plugins: anybody's package brings one, and whose rows some data are does not depend on who came first."""

import io
import json
import logging
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from filial import FilialError, Record, UsageError
from filial.formats import BadLine, read, read_rows, write
from filial.plugins import Index, Manager
from filial.testing import FormatContract

CARDS = """
from filial import Field, Record, hookimpl
from filial.formats import RowFormat

class Cards(RowFormat):
    '''Cards with two sides.'''

    keys = ("front", "back")
    priority = PRIORITY

    def from_row(self, row):
        return BODY

    def to_rows(self, records):
        for record in records:
            yield {"front": record.question(), "back": record.output}

@hookimpl
def register_formats(register):
    register("NAME", Cards)
"""
BODY = '[Record(instruction=row["front"], output=row["back"], tags=("NAME",))]'
ROW = {"front": "Name a river.", "back": "The Elbe."}


def cards(name="cards", priority=0, body=BODY):
    return CARDS.replace("BODY", body).replace("NAME", name).replace("PRIORITY", str(priority))


@pytest.fixture
def install(site):
    """``install("cards", …)``: a package that brings this format; gives the folder's site."""

    def package(name="cards", **options):
        module = f"filial_{name}"
        site.dist(f"filial-{name}", {"filial.formats": {name: module}}, {module: cards(name, **options)})
        return site

    return package


def lines(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_package_brings_a_format_of_rows(tmp_path, install):
    manager = install().manager()
    [record] = read(lines(tmp_path / "in.jsonl", ROW), manager=manager)
    assert (record.instruction, record.output, record.tags) == ("Name a river.", "The Elbe.", ("cards",))
    (tmp_path / "in.json").write_text(json.dumps([ROW, ROW]))
    assert len(list(read(tmp_path / "in.json", manager=manager))) == 2
    assert write(tmp_path / "out.jsonl", [record], format="cards", manager=manager) == 1
    assert (tmp_path / "out.jsonl").read_text() == '{"front":"Name a river.","back":"The Elbe."}\n'
    write(tmp_path / "out.json", [record], format="filial-cards:cards", manager=manager)
    assert json.loads((tmp_path / "out.json").read_text()) == [ROW]
    write(tmp_path / "out.cards", [record], manager=manager)  # the last suffix is the name of a format
    assert [found.output for found in read(tmp_path / "out.cards", manager=manager)] == ["The Elbe."]


def test_columns_of_a_table_are_its_rows_too(tmp_path, install):
    pyarrow = pytest.importorskip("pyarrow", reason="comes with the extra 'data'")
    from pyarrow import parquet

    from filial_plugins.formats import parquet as built_in

    manager = install().manager()
    (tmp_path / "parquet_plugin.py").write_text(Path(built_in.__file__).read_text())
    manager.load_file(tmp_path / "parquet_plugin.py")
    parquet.write_table(pyarrow.Table.from_pylist([ROW, {**ROW, "back": None}]), tmp_path / "in.parquet")
    bad: list[BadLine] = []
    [record] = read(tmp_path / "in.parquet", manager=manager, bad=bad)
    assert record.tags == ("cards",)
    [line] = bad
    assert str(line) == f"{tmp_path / 'in.parquet'}:2: the format looks for 'back' and does not find it"


@pytest.mark.parametrize("order", [("first", "second"), ("second", "first")])
def test_the_higher_priority_reads_whatever_was_installed_first(tmp_path, install, order):
    for name in order:
        site = install(name, priority=1 if name == "second" else 0)
    [record] = read(lines(tmp_path / "in.jsonl", ROW), manager=site.manager())
    assert record.tags == ("second",)


@pytest.mark.parametrize("order", [("first", "second"), ("second", "first")])
def test_of_two_that_fit_equally_well_none_is_guessed(tmp_path, install, order):
    for name in order:
        site = install(name)
    path = lines(tmp_path / "in.jsonl", ROW)
    with pytest.raises(UsageError) as error:
        list(read(path, manager=site.manager()))
    assert str(error.value) == (
        f"{path}:1: the formats filial-first:first and filial-second:second fit equally well; name the one it is"
    )
    [record] = read(path, format="second", manager=site.manager())
    assert record.tags == ("second",)


def test_the_format_that_finds_most_rows_reads_them(tmp_path, install):
    install("few", priority=9)
    site = install("many")
    (site.folder / "filial_few.py").write_text(cards("few", 9).replace('("front", "back")', '("front", "back", "x")'))
    [*records] = read(lines(tmp_path / "in.jsonl", {**ROW, "x": 1}, ROW, ROW), manager=site.manager())
    assert {record.tags for record in records} == {("many",)}


def test_a_broken_package_costs_only_who_names_it(tmp_path, install, caplog):
    site = install()
    site.dist("filial-torn", {"filial.formats": {"torn": "filial_torn"}}, {"filial_torn": "import does_not_exist"})
    site.dist(
        "filial-mad", {"filial.formats": {"mad": "filial_mad"}},
        {"filial_mad": cards("mad").replace("priority", "def detect(self, sample):\n        1 / 0\n    priority")},
    )  # fmt: skip
    manager, path = site.manager(), lines(tmp_path / "in.jsonl", ROW)
    with caplog.at_level(logging.WARNING, "filial"):
        assert len(list(read(path, manager=manager))) == 1
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert "filial-mad:mad" in told[0]
    assert "ZeroDivisionError" in told[0]
    assert "filial-torn:torn" in told[1]
    assert "does_not_exist" in told[1]
    with pytest.raises(UsageError, match=r"filial-torn 1\.0: entry point torn = filial_torn does not load"):
        read(path, format="torn", manager=manager)


def test_filials_own_rows_ask_no_plugin(tmp_path, site):
    site.dist("filial-torn", {"filial.formats": {"torn": "filial_torn"}}, {"filial_torn": "raise SystemExit(3)"})
    records = [Record(id="a", instruction="Name a river.", output="The Elbe.")]
    manager = site.manager()
    write(tmp_path / "own.jsonl", records, manager=manager)
    assert list(read(tmp_path / "own.jsonl", manager=manager)) == records
    assert "filial_torn" not in sys.modules


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('[Record(instruction=row["front"], output=row["nowhere"])]', "the format looks for 'nowhere' and does not"),
        ('[Record(instruction=row["front"], output=7)]', "/output: Expected `str`, got `int`"),
        ('[Record(instruction=row["front"], scores={"x": float("inf")})]', "/scores: Expected `float`"),
        ("[]", "the format finds no record in it"),
        ('[Record(instruction={}[row["front"]])]', "the format looks for 'Name a river.' and does not"),
        ('[Record(instruction="")]', "a record needs an instruction"),
        ('[Record(instruction=row["front"], output="\\ud800")]', "holds U+D800, half a character"),
    ],
)
def test_a_record_that_no_reader_accepts_is_a_bad_line(tmp_path, install, body, words):
    path = lines(tmp_path / "in.jsonl", ROW)
    bad: list[BadLine] = []
    assert list(read(path, format="cards", manager=install(body=body).manager(), bad=bad)) == []
    [line] = bad
    assert str(line).startswith(f"{path}:1: ")
    assert words in str(line)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("None", "from_row gave None, not a list of records"),
        ('Record(instruction="a")', "not a list of records"),
        ('[row["front"].nowhere]', "AttributeError"),
    ],
)
def test_what_a_format_does_wrong_names_its_plugin(tmp_path, install, body, words):
    path, manager = lines(tmp_path / "in.jsonl", ROW), install(body=body).manager()
    with pytest.raises(FilialError) as error:
        list(read(path, format="cards", manager=manager))
    assert str(error.value).startswith("filial-cards:cards==1.0 fails")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_format_that_fails_when_it_writes_is_named_and_the_old_file_stays(tmp_path, install):
    site = install()
    (site.folder / "filial_cards.py").write_text(cards().replace("record.question()", "record.nowhere"))
    (tmp_path / "out.jsonl").write_text("old")
    with pytest.raises(FilialError, match=r"^filial-cards:cards==1\.0 fails when it writes: AttributeError"):
        write(tmp_path / "out.jsonl", [Record(instruction="a")], format="cards", manager=site.manager())
    assert (tmp_path / "out.jsonl").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "site"]


# Columns that a format does not read


def extras(path, manager):
    return [record.extra for record in read(path, format="cards", manager=manager)]


def test_every_other_column_is_kept_as_extra(tmp_path, install):
    path = lines(tmp_path / "in.jsonl", {**ROW, "lang": "de", "score": 0, "seen": False, "more": {"a": [1, None]}})
    assert extras(path, install().manager()) == [{"lang": "de", "score": 0, "seen": False, "more": {"a": [1, None]}}]


def test_empty_cells_are_no_extra(tmp_path, install):
    path = lines(tmp_path / "in.jsonl", {**ROW, "a": None, "b": "", "c": [], "d": {}})
    assert extras(path, install().manager()) == [{}]


def test_a_column_that_is_read_is_no_extra(tmp_path, install):
    site = install()
    code = cards().replace("    priority", "    optional = ('hint',)\n    priority")
    (site.folder / "filial_cards.py").write_text(code)
    assert extras(lines(tmp_path / "in.jsonl", {**ROW, "hint": "E", "x": 1}), site.manager()) == [{"x": 1}]


def test_a_format_may_say_which_columns_it_reads_row_by_row(tmp_path, install):
    site = install()
    code = cards().replace(
        "    priority", "    def columns(self, row):\n        return {'front', 'back', row['by']}\n    priority"
    )
    (site.folder / "filial_cards.py").write_text(code)
    path = lines(tmp_path / "in.jsonl", {**ROW, "by": "x", "x": 1, "y": 2}, {**ROW, "by": "y", "x": 1, "y": 2})
    assert extras(path, site.manager()) == [{"by": "x", "y": 2}, {"by": "y", "x": 1}]


def test_what_the_format_itself_puts_into_extra_wins(tmp_path, install):
    body = '[Record(instruction=row["front"], extra={"x": 2, "z": 3}), Record(instruction=row["back"])]'
    path = lines(tmp_path / "in.jsonl", {**ROW, "x": 1, "y": 1})
    assert extras(path, install(body=body).manager()) == [{"x": 2, "y": 1, "z": 3}, {"x": 1, "y": 1}]


def test_cells_of_tables_are_kept_as_json_says_them(install):
    cells = {"day": date(2024, 2, 29), "price": Decimal("1.50"), "raw": b"abc", "gap": float("nan"), "pair": (1, 2)}
    [record] = read_rows([{**ROW, **cells}], format="cards", manager=install().manager())
    assert record.extra == {"day": "2024-02-29", "price": "1.50", "raw": "YWJj", "gap": None, "pair": [1, 2]}


def test_a_cell_that_json_cannot_say_is_a_bad_row(install):
    bad: list[BadLine] = []
    assert list(read_rows([{**ROW, "x": object()}], format="cards", manager=install().manager(), bad=bad)) == []
    assert (bad[0].pointer, "JSON cannot represent it" in bad[0].message) == ("/x", True)


# Files of their own


@pytest.fixture
def tables(site):
    site.sample("table")
    return site.manager()


class TestTable(FormatContract):
    test_is_registered_under_the_name_it_promises = None  # it is not installed here

    @pytest.fixture(autouse=True)
    def _sample(self, tables):
        self.component = tables.build("formats", {"use": "table", "delimiter": ";"})


@pytest.mark.parametrize("name", ["t.table", "t.table.gz", "t.table.zst"])
def test_a_file_is_of_the_format_that_it_is_called_after(tmp_path, tables, name):
    records = [Record(instruction=f"Name river {i}.", output="The Elbe, or not") for i in range(3)]
    write(tmp_path / name, records, manager=tables)
    assert [r.content() for r in read(tmp_path / name, manager=tables)] == [r.content() for r in records]
    write(tmp_path / "other.jsonl", records, format={"use": "table", "delimiter": ";"}, manager=tables)
    assert (tmp_path / "other.jsonl").read_text().startswith("instruction;input;output\nName river 0.;;")
    found = read(tmp_path / "other.jsonl", format={"use": "table", "delimiter": ";"}, manager=tables)
    assert [r.content() for r in found] == [r.content() for r in records]


def test_the_format_of_a_tables_rows_is_found_or_named(tmp_path, tables, install):
    manager = install().manager()
    (tmp_path / "t.table").write_text("front,back\na,b\nc\nd,e\n")
    for format in ("auto", "table", "cards"):
        bad: list[BadLine] = []
        assert [r.tags for r in read(tmp_path / "t.table", format=format, manager=manager, bad=bad)] == [("cards",)] * 2
        assert [str(line) for line in bad] == [f"{tmp_path / 't.table'}:2: has 1 values, and there are 2 columns"]
    with pytest.raises(UsageError, match=r"t\.table:1: no known format has the columns front, back"):
        list(read(tmp_path / "t.table", manager=tables, bad=[]))


def test_a_named_format_of_a_file_asks_for_no_other(tmp_path, tables, monkeypatch):
    """Not for the one after which the file is called, either."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "t.parquet").write_text("instruction,input,output\na,,b\n")
    assert [r.content() for r in read(tmp_path / "t.parquet", format="table", manager=tables)] == [("a", "", "b")]


def test_text_goes_to_standard_output_and_comes_from_standard_input(tables, monkeypatch, capfdbinary):
    write("-", [Record(instruction="a", output="b")], format="table", manager=tables)
    out = capfdbinary.readouterr().out
    assert out == b"instruction,input,output\na,,b\n"

    class Stdin:
        buffer = io.BufferedReader(io.BytesIO(out))

    monkeypatch.setattr(sys, "stdin", Stdin)
    assert [record.content() for record in read("-", format="table", manager=tables)] == [("a", "", "b")]


def test_a_source_that_is_no_file_is_loaded_by_the_format_in_front_of_it(tmp_path):
    plugin = tmp_path / "shelf.py"
    plugin.write_text("""
from filial import Format, Record, UsageError, hookimpl

class Shelf(Format):
    '''What stands on a shelf.'''

    def read(self, stream):
        raise UsageError("it is no file")

    def load(self, source, split, revision):
        if source == "shelf:empty":
            raise UsageError("the shelf is empty")
        yield Record(instruction=source, output=split or "train")
        yield 7

@hookimpl
def register_formats(register):
    register("shelf", Shelf)
""")
    manager = Manager(Index())
    manager.load_file(plugin)
    assert next(read("shelf:top", split="test", manager=manager)).content() == ("shelf:top", "", "test")
    with pytest.raises(UsageError, match=r"^shelf:empty: the shelf is empty$"):
        list(read("shelf:empty", manager=manager))
    with pytest.raises(
        FilialError, match=r"shelf\.py:shelf==0\+\w+ fails in the reading of shelf:top:2: TypeError: read gave 7, not a"
    ):
        list(read("shelf:top", split="test", manager=manager))
    with pytest.raises(UsageError, match="the format shelf is only read"):
        write(tmp_path / "x.jsonl", [], format="shelf", manager=manager)
    with pytest.raises(UsageError, match="no such file"):
        read("other:top", manager=manager)


# Commands and recipes


def test_the_plugins_of_a_command_line_hold_for_its_files(cli):
    (cli.folder / "cards.py").write_text(cards())
    cli.write("in.jsonl", *[{"front": f"Name a river of land {i}.", "back": "The Elbe."} for i in range(3)])
    assert cli("--plugin", "cards.py", "filter", "length", "in.jsonl", "-o", "out.jsonl", "--to", "cards") == 0
    assert cli.rows("out.jsonl")[0] == {"front": "Name a river of land 0.", "back": "The Elbe."}
    assert cli("filter", "length", "in.jsonl", "-o", "out.jsonl") == 2
    assert "no known format has the columns front, back" in cli.err
    assert cli("filter", "length", "in.jsonl", "-o", "out.jsonl", "--to", "cards") == 2
    assert "no format named 'cards'" in cli.err
    cli.write("plain.jsonl", {"instruction": "Say it."})
    (cli.folder / "r.yaml").write_text(
        "teacher: {use: echo}\nstages:\n  - generate: {use: count, count: 2, seeds: {file: in.jsonl, format: cards}}\n"
        "  - filter: {use: length, min_output: 0}\n"
    )
    assert cli("--plugin", "cards.py", "run", "r.yaml") == 0, cli.err
    assert cli("run", "r.yaml", "--name", "other") == 2


def test_without_plugins_only_filials_formats_are_there(cli, install):
    install()
    cli.write("in.jsonl", *[{"front": f"Name a river of land {i}.", "back": "The Elbe."} for i in range(3)])
    assert cli("filter", "length", "in.jsonl", "-o", "out.jsonl", toy=False) == 0, cli.err
    assert cli("--no-plugins", "filter", "length", "in.jsonl", "-o", "out.jsonl", toy=False) == 2
    assert "no known format has the columns front, back" in cli.err


def test_formats_are_listed_shown_and_have_a_schema(cli, site):
    site.sample("table")
    assert cli("plugins", toy=False) == 0
    assert "filial_table" not in sys.modules
    assert {tuple(line.split()[:2]) for line in cli.out.splitlines()} >= {("formats", "alpaca"), ("formats", "table")}
    assert cli("plugins", "show", "table", toy=False) == 0
    assert "table (formats), filial-table:table==0.1.0" in cli.out
    assert "delimiter: string, default ','. What stands between two values." in cli.out
    assert cli("schema", "format", "table", toy=False) == 0
    assert json.loads(cli.out)["properties"]["delimiter"]["default"] == ","


def test_prompts_are_data_by_the_last_suffix_only(cli):
    (cli.folder / "notes.json.txt").write_text("Name a river.\n")
    assert cli("ask", "echo", "--prompts", "notes.json.txt") == 0, cli.err
    assert json.loads(cli.out)["prompt"] == "Name a river."


# Faults of formats

FILES = """
from filial import Format, Record, hookimpl
from filial.formats import Fault

class QA(Format):
    '''A question and an answer on two lines.'''

    def read(self, stream):
        yield Record(instruction="Name a river.", output="The Elbe.")
        BODY

@hookimpl
def register_formats(register):
    register("qa", QA)
"""


@pytest.fixture
def read_qa(site, tmp_path):
    """``read_qa(body)``: what is read of ``in.qa`` by a format that does this behind its first record."""

    def read_all(body: str, **how: object):
        site.dist("filial-qa", {"filial.formats": {"qa": "filial_qa"}}, {"filial_qa": FILES.replace("BODY", body)})
        (tmp_path / "in.qa").write_bytes(b"Name a river.\nThe Elbe.\n\xff\n")
        return list(read(tmp_path / "in.qa", manager=site.manager(), **how))

    return read_all


def test_a_fault_of_a_file_s_format_says_what_stands_there_and_which_format_it_is(read_qa):
    bad: list[BadLine] = []
    read_qa('yield 7, Fault("", "has no answer", raw="And this?")\n        yield Fault("/a", "is empty")', bad=bad)
    assert [(line.line, line.message, line.raw, line.read_as) for line in bad] == [
        (7, "has no answer", "And this?", "qa, UTF-8"), (3, "is empty", "", "qa, UTF-8"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('yield Record(instruction=b"a", output="b")', r":2: TypeError: it gave a record with bytes in the place"),
        ("yield stream.read().decode()", r": UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff"),
        ('int("x")', r": ValueError: invalid literal"),
        ("yield 7", r":2: TypeError: read gave 7, not a record, a row or a Fault"),
    ],
)
def test_an_error_in_a_file_s_format_names_plugin_and_place(read_qa, tmp_path, body, words):
    with pytest.raises(FilialError, match=f"filial-qa:qa==1.* fails in the reading of {tmp_path / 'in.qa'}{words}"):
        read_qa(body)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("return BODY", "return dict(row)", r"in.jsonl:2: TypeError: from_row gave .*; put it in a list, as \[Record"),
        ("return BODY", "return Record(instruction='a')", r"in.jsonl:2: TypeError: .*; put it in a list, as \[Record"),
        ("return BODY", "return [Record(instruction=b'a')]", r"in.jsonl:2: TypeError: it gave a record with bytes in"),
        (
            "def to_rows",
            "def columns(self, row):\n        return 1 / 0\n    def to_rows",
            "in.jsonl:1: ZeroDivisionError",
        ),
    ],
)
def test_an_error_in_a_format_of_rows_names_plugin_and_place(install, tmp_path, old, new, words):
    site = install()
    text = cards(body=BODY).replace("return " + BODY.replace("NAME", "cards"), "return BODY").replace(old, new)
    text = text.replace("return BODY", "return " + BODY) if "columns" in new else text
    if "columns" not in new:  # the first row is fine, so that the line is told
        text = text.replace(
            "        return",
            "        if row['front'] == 'x':\n            return [Record(instruction='x')]\n        return",
        )
    (site.folder / "filial_cards.py").write_text(text)
    path = lines(tmp_path / "in.jsonl", {**ROW, "front": "x"}, ROW)
    manager = site.manager()
    for source in (path, [{**ROW, "front": "x"}, ROW]):
        name = words if source is path else words.replace("in.jsonl", "records")
        with pytest.raises(FilialError, match=f"filial-cards:cards==1.* fails in the reading of .*{name}"):
            list((read if source is path else read_rows)(source, format="cards", manager=manager))


def test_a_fault_of_a_field_names_the_column_that_it_comes_from(install, tmp_path):
    path = lines(tmp_path / "in.jsonl", {"front": "a", "back": 123456})
    with pytest.raises(UsageError, match=r"in.jsonl:1: /back: Expected `str`, got `int`"):
        list(read(path, format="cards", manager=install().manager()))


def test_a_format_that_is_only_read_is_named_though_nobody_named_it(install, tmp_path):
    site = install()
    text = cards().partition("    def to_rows")[0] + "@hookimpl" + cards().partition("@hookimpl")[2]
    (site.folder / "filial_cards.py").write_text(text)
    with pytest.raises(UsageError, match="the format cards is only read; write filial or parquet"):
        write(tmp_path / "out.cards", [Record(instruction="a")], manager=site.manager())


def test_a_priority_that_is_no_number_and_a_count_that_is_none_are_refused(install, tmp_path, caplog):
    with pytest.raises(FilialError, match=r"Cards\.priority is 'high', not a whole number"):
        install(priority="'high'").manager().get("formats", "cards")
    site = install("counted")
    module = site.folder / "filial_counted.py"
    module.write_text(
        cards("counted").replace("def to_rows", "def detect(self, s):\n        return 'all'\n    def to_rows")
    )
    with pytest.raises(UsageError, match="no known format"):
        list(read(lines(tmp_path / "in.jsonl", ROW), manager=site.manager()))
    assert "filial-counted:counted" in caplog.text
    assert "detect gave 'all', not a number of rows" in caplog.text


QA_FILES = FILES.replace("BODY", "").replace("class QA", """class QALang(RowFormat):
    '''Questions and answers.'''

    keys = ("q", "a")

    def from_row(self, row):
        return [Record(instruction=row["q"], output=row["a"])]

class QA""").replace("import Fault", "import RowFormat").replace(
    'register("qa", QA)', 'register("qa", QA)\n    register("qalang", QALang)'
)  # fmt: skip


def test_commands_name_the_format_of_a_file_and_hear_what_they_are_told(cli):
    """A format of rows has nothing to read in a file whose suffix names one that gives records: that is said."""
    (cli.folder / "own.py").write_text(QA_FILES)
    (cli.folder / "x.qa").write_text("Name a river.\nThe Elbe.\n")
    own = ["--plugin", "own.py"]
    assert cli(*own, "convert", "x.qa", "--explain") == 0, cli.err
    assert cli.out == "x.qa: read as qa, whose files hold records, not rows\n"
    for line in (["show", "x.qa"], ["convert", "x.qa", "-o", "y.jsonl"]):
        assert cli(*own, *line, "--format", "qalang") == 2
        assert "x.qa: its suffix names a format that gives records, so qalang has no rows to read" in cli.err
    assert cli(*own, "plugins", "show", "qa") == 0
    assert "reads only\n  files: *.qa\n" in cli.out
    assert cli(*own, "plugins", "show", "qalang") == 0
    assert "reads only\n  rows with the columns: q, a; priority 0\n" in cli.out
    assert cli(*own, "plugins", "show", "sharegpt") == 0
    assert "reads and writes\n" in cli.out
    assert "holds beside question and answer: messages, system, tools, tool_calls, id, extra\n" in cli.out
