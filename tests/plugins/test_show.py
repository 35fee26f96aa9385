"""``filial show``: what a stranger sees of files and runs, and that nothing in data steers a terminal."""

import json
import os
import pty
import re
import subprocess
import sys
import termios
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from filial import Drop, Record
from filial.commands import DropRow
from filial_plugins.show.texts import readable

RIVER = {"id": "r1", "instruction": "Name a river.", "output": "The Rhine.", "task": "lists"}
LONGER = {
    "id": "r2", "instruction": "Name a very long river in Asia.", "output": "Ob.", "task": "lists",
    "scores": {"agreement": 0.25}, "extra": {"lang": "de"},
    "origin": {"stage": "02-evolve", "plugin": "filial:deepen==0.2.0", "parents": ["r1"], "round": 1},
}  # fmt: skip
CHAT = {
    "id": "c1", "scores": {"agreement": 0.75},
    "messages": [
        {"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello", "train": False}, {"role": "user", "content": "Bye"},
        {"role": "assistant", "content": "So long.", "reasoning": "They leave."},
    ],
}  # fmt: skip
SORTED = [
    {"id": "none", "instruction": "a"}, {"id": "ten", "instruction": "b b", "extra": {"n": "10"}},
    {"id": "nine", "instruction": "c c c", "extra": {"n": 9}}, {"id": "text", "instruction": "d", "extra": {"n": "x"}},
]  # fmt: skip
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def shown(cli):
    """``shown("--where", "words>5")`` shows three records and gives their ids."""
    cli.write("x.jsonl", RIVER, LONGER, CHAT)

    def run(*flags, file="x.jsonl"):
        assert cli("show", file, *flags, "--json") == 0, cli.err
        return [json.loads(line)["id"] for line in cli.out.splitlines()]

    return run


@pytest.fixture
def run(cli):
    """A run of two stages, named ``r``: its strategy loses a record, its filter drops others."""
    cli.write("data.jsonl", {"instruction": "Name a river."}, {"instruction": "List all of the lakes."})
    (cli.folder / "r.yaml").write_text(
        "seed: 1\ndata: data.jsonl\nteacher: {use: echo, fail_on: lakes}\nstages:\n"
        "  - evolve: {rounds: 2, strategies: [longer], answer: false, eliminate: []}\n"
        "  - filter: [{use: short, words: 5}]\n"
    )
    assert cli("run", "r.yaml") in (0, 5), cli.err
    return cli


def stage(cli, name, file="records.jsonl"):
    return cli.rows(f"runs/r/stages/{name}/{file}")


# The list


def test_the_list_has_a_line_per_record_with_what_it_is_and_how_it_begins(cli):
    cli.write("x.jsonl", {**RIVER, "id": "0123456789abcdef"}, {**LONGER, "scores": {}})
    assert cli("show", "x.jsonl") == 0
    head, first, begin, second, _ = cli.out.splitlines()
    assert head.split() == ["id", "task", "round", "strategy", "words"]
    assert first.split() == ["0123456789abcdef", "lists", "0", "3+2"]
    assert begin == "  Name a river."
    assert second.split() == ["r2", "lists", "1", "deepen", "7+1"]
    assert cli.err == "x.jsonl: 2 of 2 records\n"


def test_columns_that_hold_nothing_are_left_out_and_the_beginning_takes_their_room(cli):
    cli.write("x.jsonl", {"id": "a", "instruction": "Name\na  river.", "scores": {"agreement": 0.5}})
    cli("show", "x.jsonl")
    assert [line.split() for line in cli.out.splitlines()] == [
        ["id", "words", "agreement", "beginning"], ["a", "3+0", "0.5", "Name", "a", "river."],
    ]  # fmt: skip


def test_any_format_is_shown_and_records_without_an_id_have_the_one_of_other_commands(cli):
    rows = [{"instruction": "Name a river.", "input": "", "output": "Po"}] * 2 + [{"instruction": "x", "output": "y"}]
    (cli.folder / "alpaca.json").write_text(json.dumps(rows))
    assert cli("filter", "length", "alpaca.json", "-o", "out.jsonl", "--min-instruction", "1") == 0
    ids = [row["id"] for row in cli.rows("out.jsonl")]
    assert len(set(ids)) == 3
    assert cli("show", "alpaca.json") == 0
    assert [line.split()[0] for line in cli.out.splitlines()[1:]] == ids
    assert cli("show", "alpaca.json", "--id", ids[1], "--json") == 0
    assert [row["id"] for row in map(json.loads, cli.out.splitlines())] == [ids[1]]


def test_twenty_rows_are_shown_unless_more_are_asked_for_and_json_gives_all(cli):
    cli.write("x.jsonl", *({"instruction": f"Name river {i}."} for i in range(50)))
    for flags, expected in [((), 20), (("--limit", "3"), 3), (("--limit", "0"), 50), (("--json", "--limit", "2"), 1)]:
        assert cli("show", "x.jsonl", *flags) == 0
        assert len(cli.out.splitlines()) - 1 == expected
    assert cli("show", "x.jsonl", "--json") == 0
    assert len(cli.out.splitlines()) == 50
    cli("show", "x.jsonl")
    assert cli.err == "x.jsonl: the first 20 records; --limit 0 shows all\n"


def test_what_is_printed_as_json_is_the_records_as_they_were(cli):
    cli.write("x.jsonl", RIVER, LONGER, CHAT)
    assert cli("show", "x.jsonl", "--json") == 0
    (cli.folder / "again.jsonl").write_text(cli.out)
    assert cli("show", "again.jsonl", "--json") == 0
    assert [json.loads(line) for line in cli.out.splitlines()] == cli.rows("x.jsonl")


def test_a_bad_line_is_told_and_costs_itself_only(cli):
    (cli.folder / "x.jsonl").write_text('{"instruction": "a"}\n{bad\n{"instruction": "b"}\n')
    assert cli("show", "x.jsonl") == 0
    assert len(cli.out.splitlines()) == 3
    assert "1 line is no record" in cli.err
    assert cli("show", "x.jsonl", "--id", "zzz") == 2
    assert "no row has the id 'zzz'; lines that could not be read: 1" in cli.err
    cli("show", "x.jsonl")
    assert "1 line is no record and not shown: x.jsonl:2: not JSON" in cli.err


WORDS = st.text(st.characters(codec="utf-8"), max_size=120)


@given(rows=st.lists(st.tuples(WORDS, WORDS, WORDS, st.dictionaries(WORDS, st.floats(-9, 9))), min_size=1, max_size=4))
def test_a_list_fits_80_columns_whatever_the_records_hold(rows):
    from filial_plugins.show.listing import list_rows
    from filial_plugins.show.rows import Row

    records = [Record(id=a, instruction=b or "x", task=c, scores=scores) for a, b, c, scores in rows]
    shown = list(list_rows([Row(n, r) for n, r in enumerate(records)], lambda text, **_: text, False, None))
    assert all(cell_len(line) <= 80 for line in shown)
    assert len(shown) in (1 + len(records), 1 + 2 * len(records))


# Picking


@pytest.mark.parametrize(
    ("flags", "ids"),
    [
        (["--where", "task=lists"], ["r1", "r2"]),
        (["--where", "task=lists", "--where", "round=1"], ["r2"]),
        (["--sort", "words"], ["r1", "c1", "r2"]),
        (["--sort", "-words"], ["r2", "c1", "r1"]),
        (["--sort", "scores.agreement"], ["r2", "c1", "r1"]),
        (["--sort", "-scores.agreement"], ["c1", "r2", "r1"]),
        (["--worst", "1"], ["r2"]),
        (["--worst", "5"], ["r2", "c1"]),
        (["--worst", "1", "--sort", "-scores.agreement"], ["c1"]),
        (["--worst", "1", "--where", "task!=lists"], ["c1"]),
        (["--sample", "5"], ["r1", "r2", "c1"]),
        (["--limit", "1", "--sort", "task"], ["c1"]),
    ],
)
def test_rows_are_picked_and_put_in_order(shown, flags, ids):
    assert shown(*flags) == ids


def test_numbers_in_texts_sort_as_numbers_and_what_lacks_the_field_comes_last(cli, shown):
    cli.write("n.jsonl", *SORTED)
    assert shown("--sort", "extra.n", file="n.jsonl") == ["nine", "ten", "text", "none"]
    assert shown("--sort", "-extra.n", file="n.jsonl") == ["ten", "nine", "text", "none"]
    assert cli("show", "n.jsonl", "--sort", "extra.n", "--limit", "1") == 0
    assert "extra.n" in cli.out.splitlines()[0]


@given(st.lists(st.integers(0, 5), max_size=30), st.integers(1, 8))
def test_sorting_a_stream_is_sorting_it_all(sizes, n):
    from filial_plugins.show.command import _Order, _View
    from filial_plugins.show.rows import Row
    from filial_plugins.show.sources import Selection, Source

    rows = [Row(i, Record(instruction=" ".join("x" * (size + 1)))) for i, size in enumerate(sizes)]
    view = _View(Selection(Source("x", lambda ids, bad: iter(rows))), [], _Order.of("words", None, False), True)
    view.most = n
    assert list(view.cut(iter(rows))) == sorted(rows, key=lambda row: sum(row.sizes))[:n]


def test_a_sample_is_the_same_for_the_same_seed_and_another_for_another(cli, shown):
    cli.write("x.jsonl", *({"id": f"n{i}", "instruction": "x"} for i in range(100)))
    first = shown("--sample", "5")
    assert len(set(first)) == 5
    assert first == sorted(first, key=lambda name: int(name[1:]))
    assert shown("--sample", "5") == first
    assert shown("--sample", "5", "--seed", "1") != first


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--where", "wrds>5"], "there is no field 'wrds' (did you mean 'words'?)"),
        (["--where", "lang=de"], "a column of your data is extra.lang"),
        (["--where", "words"], "words needs a comparison, such as words>50"),
        (["--where", "reason=x"], "'reason' is a field of drops; add --dropped"),
        (["--sort", "wrds"], "--sort 'wrds': there is no field"),
        (["--worst", "2", "--limit", "3"], "give one of them"),
        (["--id", "r1", "--sample", "3"], "leave out --sample"),
        (["--id", "r1", "--sort", "words"], "leave out --sort"),
        (["--id", "zzz"], "x.jsonl: no row has the id 'zzz'"),
        (["--id", "r"], "several ids of x.jsonl begin with 'r': r1, r2"),
        (["--dropped"], "x.drops.jsonl is not there"),
        (["--parents", "none.jsonl", "--id", "r2"], "none.jsonl: no such file"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence_that_says_how_it_can(cli, flags, said):
    cli.write("x.jsonl", RIVER, LONGER, CHAT)
    assert cli("show", "x.jsonl", *flags) == 2
    assert said in cli.err
    assert cli.err.startswith("Error: ")
    assert len(cli.err.splitlines()) == 1
    assert cli.out == ""


def test_the_worst_of_several_scores_needs_its_name(cli):
    cli.write("x.jsonl", {"instruction": "a", "scores": {"one": 1.0, "two words": 2.0}})
    assert cli("show", "x.jsonl", "--worst", "1") == 2
    assert 'name one of scores.one, scores."two words" with --sort' in cli.err
    assert cli("show", "x.jsonl", "--worst", "1", "--sort", 'scores."two words"') == 0
    cli.write("x.jsonl", RIVER)
    assert cli("show", "x.jsonl", "--worst", "1") == 0
    assert "no record has a score" in cli.err


def test_a_key_that_no_record_has_is_told_with_those_there_are(cli):
    cli.write("x.jsonl", RIVER, LONGER)
    assert cli("show", "x.jsonl", "--where", "scores.agrement<0.5") == 0
    assert "none of 2 records fits" in cli.err
    assert "no record has scores.agrement; there is scores.agreement" in cli.err


# A record in full


def test_a_record_shows_what_is_different_from_its_parent(cli):
    cli.write("x.jsonl", RIVER, LONGER)
    assert cli("show", "x.jsonl", "--id", "r2") == 0
    assert "made by deepen in 02-evolve · round 1 · task lists" in cli.out
    assert "parent r1; differences: [-gone-] {+new+}" in cli.out
    assert "Name a {+very long +}river{+ in Asia+}." in cli.out
    assert "lang: de" in cli.out
    assert "Rhine" not in cli.out, "the answer to another question says nothing of this one"


def test_a_parent_in_another_file_is_found_where_it_is_named(cli):
    cli.write("x.jsonl", LONGER)
    cli.write("seeds.jsonl", RIVER)
    cli("show", "x.jsonl", "--id", "r2")
    assert "parent r1: not found here; --parents FILE" in cli.out
    cli("show", "x.jsonl", "--id", "r2", "--parents", "seeds.jsonl")
    assert "Name a {+very long +}river" in cli.out


def test_a_new_answer_to_the_same_question_is_compared(cli):
    child = {**RIVER, "id": "r3", "output": "The Rhine, in Europe.", "origin": {"parents": ["r1"]}}
    cli.write("x.jsonl", RIVER, child)
    cli("show", "x.jsonl", "--id", "r3")
    assert "The Rhine{+, in Europe+}." in cli.out


def test_texts_with_little_in_common_stand_below_each_other(cli):
    child = {**LONGER, "instruction": "Why does it rain?"}
    cli.write("x.jsonl", RIVER, child)
    cli("show", "x.jsonl", "--id", "r2")
    assert "instruction (new)\n  Why does it rain?\ninstruction of the parent\n  Name a river." in cli.out


@given(st.text("ab c\n.", max_size=60), st.text("ab c\n.", max_size=60))
def test_what_is_the_same_and_gone_is_the_old_text_and_what_is_the_same_and_new_the_new_one(before, after):
    from filial_plugins.show.difference import Change, compare

    parts = compare(before, after)
    if parts is not None:
        assert "".join(text for kind, text in parts if kind is not Change.NEW) == before
        assert "".join(text for kind, text in parts if kind is not Change.GONE) == after


def test_a_conversation_shows_roles_thoughts_and_marks_for_training(cli):
    cli.write("x.jsonl", CHAT)
    assert cli("show", "x.jsonl", "--full") == 0
    headings = [line for line in cli.out.splitlines()[3:] if line and line[0] != " "]
    assert headings == [
        "system", "user", "assistant (not trained)", "user", "assistant: reasoning", "assistant",
    ]  # fmt: skip


# Drops and runs


def test_a_run_shows_its_last_stage_and_any_other_by_name_verb_or_number(run):
    for name in ("r", "runs/r", "runs/r/", "r/02-filter", "r/filter", "r/2", "runs/r/stages/02-filter"):
        assert run("show", name, "--json") == 0, run.err
        assert [json.loads(line) for line in run.out.splitlines()] == stage(run, "02-filter")
    for name in ("r/1", "r/evolve", "runs/r/stages/01-evolve/records.jsonl"):
        assert run("show", name, "--json") == 0, run.err
        assert [json.loads(line) for line in run.out.splitlines()] == stage(run, "01-evolve")


def test_a_run_is_found_below_home(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("show", "r", "--home", run.folder, "--json") == 0, run.err
    assert len(run.out.splitlines()) == len(stage(run, "02-filter"))


def test_what_is_no_run_or_stage_says_what_there_is(run):
    assert run("show", "rr") == 2
    assert "rr: no such file or run; the runs in runs are r" in run.err
    assert run("show", "runs") == 2
    assert "runs: is a folder of runs; name one of them: r" in run.err
    assert run("show", "r/mix") == 2
    assert "there is no stage 'mix'; the stages are 01-evolve, 02-filter" in run.err


def test_a_run_in_a_folder_below_is_named_with_the_option_that_finds_it(run, tmp_path, monkeypatch):
    monkeypatch.chdir(run.folder.parent)
    assert run("show", "r") == 2
    assert f"r: no such file or run; there is one in {run.folder.name}: add --home {run.folder.name}" in run.err


def test_the_tables_of_a_run_are_shown_again(run):
    run("run", "r.yaml")
    printed = run.out
    assert run("show", "r", "--tables") == 0, run.err
    assert run.out.strip()
    assert printed.startswith(run.out.strip())
    (run.folder / "runs/r/summary.json").unlink()
    assert run("show", "r", "--tables") == 2
    assert "has not ended yet" in run.err
    assert run("show", "rr", "--tables") == 2
    assert "no such file or run" in run.err


def test_a_stage_that_is_not_done_is_told_and_the_one_before_is_shown(run):
    (run.folder / "runs/r/stages/02-filter/manifest.json").unlink()
    assert run("show", "r", "--json", "--limit", "1") == 0
    assert json.loads(run.out)["id"] == stage(run, "01-evolve")[0]["id"]
    assert "02-filter of runs/r not done yet" in run.err
    assert run("show", "r/filter") == 2
    assert "02-filter is not done yet; done are 01-evolve" in run.err


def test_drops_show_reason_and_raw_answer(run):
    assert run("show", "r", "--dropped") == 0
    rows = [*stage(run, "01-evolve", "drops.jsonl"), *stage(run, "02-filter", "drops.jsonl")]
    assert {row["reason"] for row in rows} >= {"teacher-broken", "long"}
    assert run.err == f"runs/r: {len(rows)} of {len(rows)} drops\n"
    for row in rows:
        assert row["reason"] in run.out
    assert run("show", "r/evolve", "--dropped", "--where", "reason=teacher-broken", "--full") == 0
    assert "dropped in 01-evolve by longer: teacher-broken" in run.out
    assert "raw answer\n  half an answ" in run.out
    assert run("show", "r", "--dropped", "--where", "raw contains half", "--json") == 0
    assert json.loads(run.out.splitlines()[0])["answer"] == "half an answ"


def test_drops_of_a_file_are_those_beside_it_or_the_file_itself(cli):
    cli.write("in.jsonl", RIVER, LONGER)
    assert cli("filter", "short", "in.jsonl", "-o", "out.jsonl", "--words", "5") == 0
    for words in (["out.jsonl", "--dropped"], ["out.drops.jsonl"], ["out.drops.jsonl", "--dropped"]):
        assert cli("show", *words) == 0, cli.err
        assert cli.out.splitlines()[1].split()[:4] == ["1", "r2", "short", "long"]


def test_a_file_without_drops_is_told_from_one_that_is_not_there(cli):
    cli.write("in.jsonl", RIVER)
    assert cli("filter", "short", "in.jsonl", "-o", "out.jsonl", "--words", "50") == 0
    assert cli("show", "out.drops.jsonl") == 2
    assert "there is no such file beside out.jsonl, so nothing was dropped" in cli.err
    assert cli("show", "other.drops.jsonl") == 2
    assert "no such file or run" in cli.err


def test_an_id_is_found_in_earlier_stages_and_among_drops_with_its_parent(run):
    (dropped, *_) = stage(run, "02-filter", "drops.jsonl")
    name = dropped["record"]["id"]
    assert run("show", "r", "--id", name) == 0
    assert "made by longer in 01-evolve" in run.out
    assert "found in 01-evolve of runs/r" in run.err
    assert "{+" in run.out
    assert run("show", "r", "--dropped", "--id", name) == 0
    assert "dropped in 02-filter by short: long" in run.out


def test_parents_of_the_first_stage_are_found_in_the_data_that_the_recipe_names(cli):
    cli.write("data.jsonl", *({"instruction": f"Name river {i}."} for i in range(5)))
    (cli.folder / "last.yaml").write_text(
        "data: data.jsonl\nteacher: {use: echo}\nstages:\n"
        "  - evolve: {strategies: [longer], eliminate: [], keep: last}\n"
    )
    assert cli("run", "last.yaml") == 0, cli.err
    assert cli("show", "last", "--full", "--where", "round=1") == 0
    assert cli.out.count("{+longer: +}Name river ") >= 1
    assert "not found" not in cli.out
    parent = re.search(r"^parent (\w+);", cli.out, re.M)[1]
    assert cli("show", "last", "--id", parent) == 0
    assert "found in data.jsonl" in cli.err
    (cli.folder / "data.jsonl").write_text('{"colour": "red"}\n')
    assert cli("show", "last", "--full", "--where", "round=1") == 0
    assert f"parent {parent}: not found here" in cli.out
    assert "not looked through: data.jsonl:1: no known format" in cli.err


def test_raw_answers_that_the_ledger_keeps_are_shown_with_a_drop(run):
    keys = (run.folder / "runs/r/stages/01-evolve/answers.txt").read_text().split()
    path = run.folder / "runs/r/stages/02-filter/drops.jsonl"
    path.write_bytes(DropRow(stage="02-filter", plugin="x:short==1", reason="odd", answers=keys[:1]).encode() + b"\n")
    assert run("show", "r/filter", "--dropped", "--full") == 0
    assert re.search("raw answer, from the ledger\n  longer: .* indeed", run.out)


def test_drops_without_a_record_and_damaged_ones_are_shown_or_told(cli):
    lines = [
        DropRow(stage="s", plugin="a:b==1", reason=Drop("x").reason, detail="why", parent="r1").encode(),
        DropRow(stage="s", plugin="a:b==1", reason="y", answer="said\x1b[31m").encode(),
        b'{"stage": 5}',
    ]
    (cli.folder / "d.drops.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    assert cli("show", "d.drops.jsonl") == 0, cli.err
    assert "why" in cli.out
    assert "said\\x1b[31m" in cli.out
    assert "1 line is no record and not shown: d.drops.jsonl:3" in cli.err
    assert cli("show", "d.drops.jsonl", "--id", "r1") == 0
    assert "dropped in s by b: x" in cli.out


# Terminals


@given(st.text(st.characters(codec="utf-8")))
def test_readable_text_steers_no_terminal(text):
    line = readable(text)
    assert not re.search("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069]", line)
    assert readable(line) == line


@pytest.mark.parametrize("text", ["non\xa0breaking", "表意\u3000空白", "می\u200cخواهم", "👩\u200d🔬 🇩🇪", "cafe\u0301"])
def test_text_of_all_scripts_stays_as_it_is(text):
    assert readable(text) == text


def on_terminal(cli, *words, keys=b"", columns=80):
    """What a command prints on a terminal of so many columns, keys being pressed when it waits for one."""
    parent, child = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    with subprocess.Popen(
        [sys.executable, "-m", "filial", "show", *words], cwd=cli.folder, env=environment, stdin=child, stdout=child,
        stderr=child,
    ) as process:  # fmt: skip
        os.close(child)
        out, left = b"", list(keys)
        while True:
            try:
                some = os.read(parent, 65536)
            except OSError:  # the terminal is closed
                break
            if not some:
                break
            out += some
            if left and out.count(b"any key") > len(keys) - len(left):
                while termios.tcgetattr(parent)[3] & termios.ICANON:  # what comes before it waits is thrown away
                    time.sleep(0.01)
                os.write(parent, bytes([left.pop(0)]))
        os.close(parent)
    assert process.returncode == 0, out
    return out.decode()


def test_a_terminal_gets_colours_and_wrapped_lines_and_nothing_from_data(cli, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)  # a user who sets it wants lines of that width, also on a pipe
    long = {"id": "l", "instruction": "word " * 60, "output": "\x1b]0;title\x07\x1b[2J\u202e red \x9b31m \x1b[31m"}
    cli.write("x.jsonl", RIVER, LONGER, long)
    for words in (["x.jsonl"], ["x.jsonl", "--id", "l"], ["x.jsonl", "--id", "r2"], ["x.jsonl", "--json"]):
        out = on_terminal(cli, *words)
        plain = ESCAPES.sub("", out)
        assert "\x1b[31m red" not in out
        assert not re.search("[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e]", plain)
        if "--json" not in words:
            assert out != plain
            assert all(cell_len(line.rstrip("\r")) <= 80 for line in plain.split("\n"))
    cli("show", "x.jsonl", "--id", "l")
    assert "\x1b" not in cli.out
    assert long["instruction"].strip() in cli.out, "on a pipe lines stay whole"


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_everything_fits_the_terminal_in_any_script(cli, columns):
    han = "指令微调数据" * 30
    row = {"instruction": han, "output": f"{han} {han}", "extra": {"source": han, "lines": f"a\n{han}"}, "task": "长"}
    cli.write("x.jsonl", row, {**LONGER, "scores": {f"score {i}": 0.5 for i in range(9)}}, RIVER)
    for words in (["x.jsonl"], ["x.jsonl", "--id", "r2"], ["x.jsonl", "--where", "task=长", "--full"]):
        plain = ESCAPES.sub("", on_terminal(cli, *words, columns=columns))
        told = [line for line in plain.split("\n") if "x.jsonl:" not in line]
        assert max(cell_len(line.rstrip("\r")) for line in told) <= columns


def test_rows_in_full_come_one_a_screen_on_a_terminal_until_q(cli):
    cli.write("x.jsonl", RIVER, LONGER, CHAT)
    plain = ESCAPES.sub("", on_terminal(cli, "x.jsonl", "--full", keys=b" q"))
    assert "── r1" in plain
    assert "── r2" in plain
    assert "── c1" not in plain
    assert "2 of 3 records" in plain


def test_memory_does_not_grow_with_the_file(cli):
    def peak(count, *flags):
        cli.write("big.jsonl", *({"instruction": f"Name river {i}.", "scores": {"s": i % 97}} for i in range(count)))
        assert cli("show", "big.jsonl", *flags) == 0, cli.err  # what is imported is imported now
        tracemalloc.start()
        try:
            assert cli("show", "big.jsonl", *flags) == 0, cli.err
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    for flags in (["--worst", "20"], ["--sample", "20"], ["--where", "scores.s<1", "--full"], ["--sort", "-words"]):
        grown = peak(40_000, *flags) - peak(20_000, *flags)
        assert grown < 500_000  # bytes; 20,000 ids alone take three times as much


def test_a_file_is_shown_as_the_options_of_all_commands_say_that_it_is_read(cli):
    (cli.folder / "x.csv").write_bytes("frage;antwort\nWas ist groß?;Köln.\n".encode("latin-1"))
    how = [
        "--encoding",
        "latin-1",
        "--format",
        "{use: csv, delimiter: ;}",
        "--columns",
        "instruction=frage,output=antwort",
    ]
    assert cli("show", "x.csv", *how, "--json") == 0, cli.err
    assert json.loads(cli.out)["output"] == "Köln."
    cli.write("a.jsonl", {"instruction": "Name a river, please.", "output": "The Elbe."})
    (cli.folder / "r.yaml").write_text("data: a.jsonl\nstages:\n- filter: [length]\n")
    assert cli("run", "r.yaml") == 0, cli.err
    assert cli("show", "r", "--encoding", "latin-1") == 2
    assert "r: is filial's own; leave out --format" in cli.err
