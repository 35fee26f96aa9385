"""How a source is read, said at every door: flags of commands, keys of recipes, arguments of Python."""

import pytest
from columns_kit import MAPPED, PAIR, ROW, load, put

import filial
from filial import UsageError
from filial.formats import SourceSpec
from filial.formats.columns import Columns
from filial.plugins import Manager
from filial.recipe import from_dict


def test_the_flags_are_those_of_every_command_that_reads_and_evolve_keeps_its_own(cli):
    cli.write("a.jsonl", {**ROW, "sys_prompt": "Be kind, please."})
    how = [
        "--columns",
        "instruction=customer_message",
        "--columns",
        "output=agent_reply",
        "--ignore-columns",
        "sys_prompt",
    ]
    out = ["-o", "o.jsonl", "--keep-columns", "lang,ticket", *how]
    assert cli("evolve", "longer", "a.jsonl", "--keep", "last", "--no-answer", "--teacher", "echo", *out) == 0, cli.err
    assert cli("mix", "even", "a.jsonl", *out) == 0
    assert cli.rows("o.jsonl")[0]["extra"] == {"lang": "en", "ticket": "T-1"}
    assert cli("render", "alpaca", "a.jsonl", *how) == 0
    assert "kept as extra: row, ticket, lang; ignored: sys_prompt" in cli.err
    assert cli("ask", "echo", "--prompts", "a.jsonl", *how) == 0
    assert "My router blinks, why? indeed" in cli.out
    (cli.folder / "lines.txt").write_text("Who?\n")
    assert cli("ask", "echo", "--prompts", "lines.txt") == 0
    assert cli("ask", "echo", "--prompts", "lines.txt", *how) == 2
    assert "every line of a text file is a prompt" in cli.err
    assert cli("judge", "exact-match", "a.jsonl", "--teacher", "echo", *how) == 0, cli.err
    assert "My router" not in cli.err
    assert "ignored: sys_prompt" in cli.err
    assert cli("filter", "length", "a.jsonl", "-o", "o.jsonl", "--columns", "instruction") == 2
    assert "write FIELD=COLUMN" in cli.err


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"split": "test"}, "a file has no split"),
        ({"revision": "main"}, "a file has no revision"),
        ({"encoding": "latin-99"}, "no encoding of text is called 'latin-99'"),
    ],
)
def test_what_does_not_go_with_a_source_is_refused(tmp_path, how, words):
    with pytest.raises(UsageError, match=words):
        load(put(tmp_path / "a.jsonl", PAIR), **how)
    if "encoding" not in how:
        with pytest.raises(UsageError, match="rows in memory have no split"):
            filial.load([PAIR], **how)


def test_a_source_of_a_recipe_comes_back_as_it_was_written(tmp_path):
    put(tmp_path / "a.jsonl", ROW)
    source = {"file": "a.jsonl", "columns": MAPPED, "keep": ["lang"], "ignore": ["row"], "strict": True}
    count, even = {"use": "length"}, {"use": "weights", "weights": {"a": 1.0}, "sources": {"a": source, "b": "a.jsonl"}}
    data = {"data": source, "stages": [{"filter": [count]}, {"mix": even}]}
    recipe = from_dict(data, Manager(), base=tmp_path)
    assert recipe.data == SourceSpec(**source)
    written = recipe.to_dict()
    assert written["data"] == source
    assert written["stages"][1]["mix"]["sources"] == {"a": source, "b": "a.jsonl"}
    assert from_dict(written, Manager(), base=tmp_path).to_dict() == written


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("{file: a.jsonl, colums: {}}", "r.yaml:1:23: the source has no 'colums'; did you mean 'columns'?"),
        ("{file: b.jsonl}", "r.yaml:1:14: no file 'b.jsonl'; did you mean 'a.jsonl'?"),
        ("{columns: {instruction: q}}", "the source needs 'file'"),
        ("{file: a.jsonl, keep: }", "the value is missing"),
        ("{file: a.jsonl, columns: [q]}", "this should be a mapping"),
        ("5", "write a path, or {file: PATH, columns: …}"),
        ("{file: a.jsonl, format: csw}", "r.yaml:1:31: no format named 'csw'; did you mean 'csv'?"),
        ("{file: a.jsonl, format: {use: csv, headr: no}}", "r.yaml:1:31: format 'csv' has no 'headr'"),
        ("{file: a.jsonl, format: {header: no}}", "r.yaml:1:31: write the name of a format, or {use: NAME, option: …}"),
    ],
)
def test_what_is_wrong_with_a_source_is_told_at_its_place(cli, data, words):
    cli.write("a.jsonl", PAIR)
    (cli.folder / "r.yaml").write_text(f"data: {data}\nstages:\n- filter: [length]\n")
    assert cli("check", "r.yaml") == 2
    assert words in cli.out + cli.err


def test_a_source_can_be_changed_from_the_command_line_and_its_change_is_noticed(cli):
    cli.write("a.jsonl", ROW)
    (cli.folder / "r.yaml").write_text("data: a.jsonl\nstages:\n- filter: [length]\n")
    how = ["--set", "data.columns={instruction: customer_message, output: agent_reply}"]
    assert cli("run", "r.yaml", *how) == 0, cli.err
    assert cli("run", "r.yaml", *how) == 0
    assert "done before" in cli.err
    assert cli("run", "r.yaml", *how, "--set", "data.keep=[lang]") == 0
    assert "runs again, because the data changed" in cli.err


def test_columns_of_later_sources_are_looked_at_before_anything_is_asked(cli):
    cli.write("seeds.jsonl", PAIR)
    cli.write("late.jsonl", ROW)
    recipe = (
        "teacher: {{use: echo, log: asked}}\nstages:\n- generate: {{use: count, count: 2, seeds: seeds.jsonl}}\n- {}\n"
    )
    for stage in ("generate: {use: count, count: 2, seeds: late.jsonl}", "mix: {use: even, sources: {a: late.jsonl}}"):
        (cli.folder / "r.yaml").write_text(recipe.format(stage))
        assert cli("run", "r.yaml") == 2
        assert "late.jsonl:1: no known format has the columns" in cli.err
        assert "columns: {instruction: customer_message, output: agent_reply}" in cli.err
        assert not (cli.folder / "asked").exists()


def test_seeds_and_sources_and_every_use_of_them_know_their_columns(cli):
    cli.write("a.jsonl", ROW)
    source = "{file: a.jsonl, columns: {instruction: customer_message, output: agent_reply}}"
    recipe = f"teacher: echo\nstages:\n- generate: {{use: count, count: 2, seeds: {source}}}\n"
    (cli.folder / "r.yaml").write_text(recipe + f"- mix: {{use: even, sources: {{a: {source}, b: {source}}}}}\n")
    assert cli("run", "r.yaml") == 0, cli.err
    assert cli.err.count("read as alpaca (instruction from customer_message") == 3, "once a source"


def test_a_source_with_a_format_of_its_own_scheme_is_no_missing_file(cli):
    (cli.folder / "shelf.py").write_text(SHELF)
    assert cli("--plugin", "shelf.py", "filter", "length", "shelf:top", "-o", "o.jsonl", "--split", "test") == 0, (
        cli.err
    )
    assert cli.rows("o.jsonl")[0]["output"] == "test None"
    (cli.folder / "r.yaml").write_text(
        "data: {file: 'shelf:top', split: dev, revision: v1}\nstages:\n- filter: [length]\n"
    )
    assert cli("--plugin", "shelf.py", "run", "r.yaml") == 0, cli.err
    assert cli.rows("runs/r/stages/01-filter/records.jsonl")[0]["output"] == "dev v1"


SHELF = '''
from filial import Format, Record, UsageError, hookimpl


class Shelf(Format):
    """Loads what is no file."""

    def read(self, stream):
        raise UsageError("it is no file")

    def load(self, source, split, revision):
        yield Record(instruction="Name a river.", output=f"{split} {revision}")


@hookimpl
def register_formats(register):
    register("shelf", Shelf)
'''


def test_columns_say_nothing_where_nothing_is_said():
    assert not Columns(None, None, ())
    assert Columns(None, [], ())


TABLE = "What is it?,A table.\nAnd this?,Its second row.\n"
NO_HEADER = {"use": "csv", "header": False}
NUMBERED = {"instruction": "column 1", "output": "column 2"}


def test_a_format_with_options_is_named_at_every_door(cli):
    """In a recipe, on the command line and in Python, for each verb."""
    (cli.folder / "a.txt").write_text(TABLE)
    source = "{file: a.txt, format: {use: csv, header: false}, columns: {instruction: column 1, output: column 2}}"
    (cli.folder / "r.yaml").write_text(f"data: {source}\nstages:\n- filter: [length]\n")
    assert cli("check", "r.yaml") == 0, cli.err
    assert cli("run", "r.yaml") == 0, cli.err
    flags = ["--format", "{use: csv, header: false}", "--columns", "instruction=column 1,output=column 2"]
    assert cli("filter", "length", "a.txt", "-o", "b.jsonl", *flags) == 0, cli.err
    assert cli("convert", "a.txt", "-o", "c.jsonl", *flags) == 0, cli.err
    loaded = filial.load("a.txt", format=NO_HEADER, columns=NUMBERED)
    assert [record.output for record in loaded] == ["A table.", "Its second row."]
    (cli.folder / "p.tsv").write_text("instruction;output\nWhat is it?;A table.\n")
    kept = filial.filter("p.tsv", "length", format={"use": "csv", "delimiter": ";"}, progress=False)
    assert [record.output for record in kept.records] == ["A table."]


@pytest.mark.parametrize(
    ("format", "words"),
    [
        ("{use: csv, headr: no}", "format 'csv' has no 'headr'"),
        ("{use: csv", "is not YAML"),
        ("{header: no}", "--format"),
    ],
)
def test_a_format_that_cannot_be_is_refused_on_the_command_line(cli, format, words):
    (cli.folder / "a.txt").write_text(TABLE)
    assert cli("convert", "a.txt", "-o", "c.jsonl", "--format", format) == 2
    assert words in cli.err


def test_a_format_is_named_by_its_class_or_an_object(tmp_path):
    from filial_plugins.formats.delimited import Csv

    (tmp_path / "a.txt").write_text(TABLE)
    assert len(filial.load(tmp_path / "a.txt", format=Csv(header=False), columns=NUMBERED)) == 2
    assert len(filial.load(tmp_path / "a.txt", format=Csv, columns={"instruction": "What is it?"})) == 1
    filial.load(tmp_path / "a.txt", format=Csv(header=False), columns=NUMBERED).save(tmp_path / "b.txt", Csv)
    assert (tmp_path / "b.txt").read_text().startswith("id,instruction,")


def test_a_column_is_mapped_to_one_field_and_a_field_has_one_column(tmp_path, cli):
    path = put(tmp_path / "a.jsonl", ROW)
    with pytest.raises(UsageError, match="the column 'A' is mapped to several fields; map it to one"):
        load(path, columns={"instruction": "A", "output": "A"})
    assert cli("filter", "length", path, "-o", "o.jsonl", "--columns", "instruction=A,instruction=B") == 2
    assert "a field is mapped twice" in cli.err


def test_the_sentence_names_the_marks_of_turns(cli):
    turns = [{"from": "human", "value": "Name a river."}, {"from": "gpt", "value": "The Elbe.", "weight": 0}]
    cli.write("marked.jsonl", {"conversations": turns})
    cli("convert", "marked.jsonl", "-o", "-", "--to", "filial", toy=False)
    assert "marked.jsonl: read as sharegpt (conversations with weight of turns)" in cli.err
