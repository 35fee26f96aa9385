"""generate, evolve, filter and mix on files: what comes out, what is kept aside, what the user is told."""

import io
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

RIVER = {"instruction": "Name a river.", "output": "The Rhine."}
LAKE = {"instruction": "Name a very large and very deep lake in Asia.", "output": "Baikal."}
CHAT = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}
FORMS = {
    "alpaca.json": json.dumps([{"instruction": "Name a river.", "input": "", "output": "The Rhine."}]),
    "own.jsonl": json.dumps(RIVER),
    "openai.jsonl": json.dumps(CHAT),
    "sharegpt.json": json.dumps(
        [{"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]}]
    ),
    "seeds.jsonl": json.dumps(
        {"id": "s1", "name": "river", "instruction": "Name a river.", "instances": [{"input": "", "output": "Po"}]}
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_format_of_a_users_own_file_goes_through(cli, name):
    (cli.folder / name).write_text(FORMS[name])
    assert cli("filter", "length", name, "-o", "out.jsonl", "--min-instruction", "1") == 0
    assert len(cli.rows("out.jsonl")) == 1


def test_what_a_filter_drops_lies_beside_the_output_with_its_reason(cli):
    cli.write("in.jsonl", RIVER, LAKE)
    assert cli("filter", "short", "in.jsonl", "-o", "out.jsonl", "--words", "5") == 0
    (kept,) = cli.rows("out.jsonl")
    (dropped,) = cli.rows("out.drops.jsonl")
    assert kept["scores"] == {"words": 3.0}
    assert (dropped["reason"], dropped["record"]["instruction"]) == ("long", LAKE["instruction"])
    assert dropped["plugin"].startswith("toy.py:short==")
    assert "1 kept, 1 dropped (long 1)" in cli.err
    assert "out.drops.jsonl" in cli.err
    assert cli.out == ""


def test_drops_of_an_earlier_command_do_not_stay_beside_a_later_output(cli):
    cli.write("in.jsonl", RIVER, LAKE)
    cli("filter", "short", "in.jsonl", "-o", "out.jsonl", "--words", "5")
    cli("filter", "short", "in.jsonl", "-o", "out.jsonl", "--words", "50")
    assert cli.files() == ["in.jsonl", "out.jsonl"]


@pytest.mark.parametrize(
    ("out", "drops"),
    [
        ("my.data.jsonl", "my.data.drops.jsonl"), ("a.jsonl.gz", "a.jsonl.gz.drops.jsonl"),
        ("a.json", "a.json.drops.jsonl"),
        ("new/folder/a.parquet", "new/folder/a.parquet.drops.jsonl"),
    ],
)  # fmt: skip
def test_the_name_of_the_drops_follows_the_name_of_the_output(cli, out, drops):
    cli.write("in.jsonl", RIVER, LAKE)
    options = ["--to", "filial"] if out.endswith(".json") else []
    assert cli("filter", "short", "in.jsonl", "-o", out, "--words", "5", *options) == 0
    assert cli.files() == sorted(["in.jsonl", out, drops])


def test_drops_go_where_the_user_says_and_never_over_the_output(cli):
    cli.write("in.jsonl", RIVER, LAKE)
    assert cli("filter", "short", "in.jsonl", "-o", "-", "--drops", "why.jsonl", "--words", "5") == 0
    assert len(cli.rows("why.jsonl")) == 1
    assert [json.loads(line)["instruction"] for line in cli.out.splitlines()] == [RIVER["instruction"]]
    assert cli("filter", "short", "in.jsonl", "-o", "o.jsonl", "--drops", "./o.jsonl") == 2
    assert "o.jsonl" not in cli.files()


def test_drops_go_into_a_pipe_that_stays_one(cli):
    cli.write("in.jsonl", RIVER, LAKE)
    pipe = cli.folder / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE) as reader:
        assert cli("filter", "short", "in.jsonl", "-o", "o.jsonl", "--drops", "pipe", "--words", "5") == 0
        assert json.loads(reader.stdout.read())["record"]["instruction"] == LAKE["instruction"]
    assert pipe.is_fifo()


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no folder here that nobody can write to")
def test_a_folder_that_takes_no_drops_is_found_before_anything_is_asked(cli):
    cli.write("in.jsonl", RIVER)
    words = ["evolve", "longer", "in.jsonl", "--teacher", "echo", "-T", "log=asked"]
    assert cli(*words, "-o", "o.jsonl", "--drops", "/proc/drops.jsonl") == 2
    assert "/proc/drops.jsonl: cannot be written" in cli.err
    assert cli.files() == ["in.jsonl"]


def test_data_is_read_from_stdin_and_written_to_stdout_with_nothing_else_there(cli, monkeypatch):
    text = io.BytesIO((json.dumps(RIVER) + "\n" + json.dumps(LAKE) + "\n").encode())
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BufferedReader(text)))
    assert cli("filter", "short", "-", "-o", "-", "--words", "5") == 0
    (line,) = cli.out.splitlines()
    assert json.loads(line)["instruction"] == RIVER["instruction"]
    assert "--drops" in cli.err


def test_json_and_data_cannot_share_stdout(cli):
    cli.write("in.jsonl", RIVER)
    assert cli("filter", "short", "in.jsonl", "-o", "-", "--json") == 2
    assert "standard output" in cli.err


def test_json_counts_are_whole(cli):
    cli.write("in.jsonl", RIVER, LAKE)
    cli("evolve", "longer", "in.jsonl", "-o", "out.jsonl", "--teacher", "echo", "--json", "--eliminate", "none")
    told = json.loads(cli.out)
    assert told["kept"] == len(cli.rows("out.jsonl"))
    assert told["entered"] == 2
    assert told["entered"] + told["made"] == told["kept"] + sum(told["dropped"].values())
    figures = told["survival"]["longer"]["1"]
    assert figures["tried"] == 2 == figures["kept"] + sum(figures["dropped"].values())
    assert told["drops"] == ("out.drops.jsonl" if told["dropped"] else None)


def test_evolving_keeps_parents_and_lineage_and_answers_the_new_task(cli):
    cli.write("in.jsonl", {"id": "r1", **RIVER})
    assert cli("evolve", "longer", "in.jsonl", "-o", "o.jsonl", "--teacher", "echo", "--rounds", "2") == 0
    rows = cli.rows("o.jsonl")
    assert rows[0]["id"] == "r1"
    assert [r["origin"]["round"] for r in rows[1:]] == list(range(1, len(rows)))
    assert rows[1]["origin"]["parents"] == ["r1"]
    assert rows[1]["output"] == f"{rows[1]['instruction']} indeed"
    assert (cli.folder / ".filial" / "ledger.sqlite").exists()


def test_keep_last_and_no_answer_reach_the_stage(cli):
    cli.write("in.jsonl", RIVER)
    cli("evolve", "longer", "in.jsonl", "-o", "o.jsonl", "--teacher", "echo", "--keep", "last", "--no-answer",
        "--eliminate", "none")  # fmt: skip
    (row,) = cli.rows("o.jsonl")
    assert row["instruction"] == "longer: Name a river. indeed"
    assert "output" not in row


def test_without_answers_the_usual_rules_eliminate_by_the_question_alone(cli):
    cli.write("in.jsonl", RIVER, {"instruction": "Say why."})
    options = ["-o", "o.jsonl", "--teacher", "echo", "--no-answer", "--order", "fixed"]
    assert cli("evolve", "longer", "in.jsonl", *options, "--eliminate", "evolved", "--eliminate", "agreement") == 0
    children = [row for row in cli.rows("o.jsonl") if row.get("origin", {}).get("round")]
    assert children
    assert not any("output" in row for row in children)
    assert "evolved by the instruction only, agreement not at all" in cli.err


def test_the_published_rules_ask_about_equality_but_judge_no_answer_where_none_is_asked_for(cli):
    cli.write("in.jsonl", *({"instruction": f"Name river {i}.", "output": "The Rhine."} for i in range(8)))
    (cli.folder / "r.yaml").write_text("""
teacher: {use: echo, log: asked.txt}
data: in.jsonl
stages:
  - evolve: {strategies: [longer], answer: false, eliminate: [{use: evolved, style: paper}]}
""")
    assert cli("plan", "r.yaml", "--json") == 0
    assert json.loads(cli.out)[1]["calls"] == 16, "one request evolves, one compares"
    assert cli("run", "r.yaml", "--json") == 0
    (stage,) = json.loads(cli.out)["stages"]
    assert stage["reasons"] == {"unlucky": 8 - (kept := stage["survival"]["longer"]["1"]["kept"])}
    assert kept
    assert len((cli.folder / "asked.txt").read_text().splitlines()) == 8 + kept
    assert "01-evolve: no answers are requested" in cli.err


def test_conversations_that_cannot_be_evolved_are_told_by_command_and_run_alike(cli):
    told = {"role": "assistant", "content": "And this?"}
    cli.write("in.jsonl", *({"messages": [*CHAT["messages"], told]} for _ in range(8)))
    assert cli("evolve", "longer", "in.jsonl", "-o", "o.jsonl", "--teacher", "echo") == 0
    assert "evolve: conversations passed on unchanged, since their last question cannot be asked: 8 without" in cli.err
    (cli.folder / "r.yaml").write_text(
        "teacher: {use: echo}\ndata: in.jsonl\nstages:\n  - evolve: {strategies: [longer]}\n"
    )
    assert cli("run", "r.yaml", "--json") == 0
    assert "01-evolve: conversations passed on unchanged" in cli.err
    assert json.loads(cli.out)["stages"][0]["not_evolved"] == 8


def test_answers_are_kept_where_home_says(cli):
    cli.write("in.jsonl", RIVER)
    cli("evolve", "longer", "in.jsonl", "-o", "o.jsonl", "--teacher", "echo", "--home", "there")
    assert (cli.folder / "there" / ".filial" / "ledger.sqlite").exists()
    assert not (cli.folder / ".filial").exists()


def test_a_step_that_asks_says_how_to_name_a_teacher_when_none_is_named(cli):
    cli.write("in.jsonl", RIVER)
    assert cli("evolve", "longer", "in.jsonl", "-o", "o.jsonl") == 2
    assert "--teacher NAME" in cli.err
    assert cli.files() == ["in.jsonl"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--teacher", "eco"], "did you mean 'echo'"),
        (["--teacher", "echo", "-T", "dealy=1"], "did you mean 'delay'"),
        (["--teacher", "echo", "-T", "delay"], "KEY=VALUE"),
        (["--teacher", "echo", "-T", "delay=[1"], "is not YAML"),
        (["--teacher", "echo", "-T", "delay=soon"], "delay"),
        (["-T", "delay=1"], "needs --teacher"),
        (["--eliminate", "shrt", "--teacher", "echo"], "did you mean 'short'"),
    ],
)
def test_a_wrong_teacher_or_rule_is_one_sentence(cli, options, told):
    cli.write("in.jsonl", RIVER)
    assert cli("evolve", "longer", "in.jsonl", "-o", "o.jsonl", *options) == 2
    assert told in cli.err
    assert len(cli.err.strip().splitlines()) == 1
    assert cli.files() == ["in.jsonl"]


def test_a_teacher_that_declines_much_is_told(cli):
    (cli.folder / "plug.py").write_text("""
from filial import Drop, Strategy, hookimpl
class Refuse(Strategy):
    async def evolve(self, record, ctx):
        return Drop("refused")
@hookimpl
def register_strategies(register):
    register("refuse", Refuse)
""")
    cli.write("in.jsonl", RIVER)
    assert cli("--plugin", "plug.py", "evolve", "refuse", "in.jsonl", "-o", "o.jsonl") == 0
    assert "declined 1 of 1" in cli.err


def test_mix_draws_by_weights_and_repeats_when_told(cli):
    cli.write("a.jsonl", *({**RIVER, "instruction": f"Name river {i}.", "task": "a"} for i in range(4)))
    cli.write("b.jsonl", {**LAKE, "task": "b"})
    options = ["--weights", '{"a": 1, "b": 1}', "--total", "8", "--repeat"]
    assert cli("mix", "weights", "a.jsonl", "b.jsonl", "-o", "m.jsonl", *options) == 0
    tasks = [row["task"] for row in cli.rows("m.jsonl")]
    assert (tasks.count("a"), tasks.count("b")) == (4, 4)


def test_a_mix_says_what_it_could_not_give(cli):
    cli.write("in.jsonl", *({**RIVER, "task": task} for task in ("a", "b", "b", "")))
    assert cli("mix", "weights", "in.jsonl", "-o", "out.jsonl", "--total", "9") == 0
    assert "gives 4 of 9 records" in cli.err
    table = [line.split() for line in cli.err.splitlines()]
    start = table.index(["mix", "asked", "available", "given", "repeated"])
    rows = ["(none) 3 1 1 0", "a 3 1 1 0", "b 3 2 2 0", "in all 9 4 4 0"]
    assert table[start + 2 : start + 6] == [row.split() for row in rows]
    assert cli("mix", "weights", "in.jsonl", "-o", "out.jsonl", "--total", "9", "--json") == 0
    assert json.loads(cli.out)["mix"][-1] == {"task": "b", "asked": 3, "available": 2, "given": 2, "repeated": 0}


def test_a_file_given_twice_is_mixed_twice(cli):
    cli.write("a.jsonl", {**RIVER, "task": "a"})
    assert cli("mix", "even", "a.jsonl", "a.jsonl", "-o", "m.jsonl") == 0
    assert len(cli.rows("m.jsonl")) == 2


def test_a_limit_is_over_all_inputs(cli):
    cli.write("a.jsonl", *({**RIVER, "instruction": f"River {i}"} for i in range(3)))
    cli.write("b.jsonl", *({**RIVER, "instruction": f"Lake {i}"} for i in range(3)))
    cli("filter", "short", "a.jsonl", "b.jsonl", "-o", "o.jsonl", "--limit", "4")
    assert [r["instruction"] for r in cli.rows("o.jsonl")] == ["River 0", "River 1", "River 2", "Lake 0"]


@pytest.mark.parametrize("out", ["o.txt", "o", "o.json"])
def test_a_format_nobody_can_guess_is_asked_for_before_anything_is_spent(cli, out):
    cli.write("in.jsonl", RIVER)
    assert cli("evolve", "longer", "in.jsonl", "-o", out, "--teacher", "echo") == 2
    assert "--to" in cli.err
    assert not (cli.folder / ".filial").exists()


def test_a_format_that_cannot_hold_the_records_leaves_nothing_behind(cli):
    long = {"messages": [*CHAT["messages"], *CHAT["messages"]]}
    cli.write("in.jsonl", long)
    (cli.folder / "o.json").write_text("old")
    assert cli("filter", "length", "in.jsonl", "-o", "o.json", "--to", "alpaca", "--min-instruction", "1") == 2
    assert (cli.folder / "o.json").read_text() == "old"
    assert cli.files() == ["in.jsonl", "o.json"]


def test_a_missing_file_is_named_as_it_was_typed(cli):
    assert cli("filter", "short", "nope.jsonl", "-o", "o.jsonl") == 2
    assert cli.err == "Error: nope.jsonl: no such file\n"
    assert cli("filter", "short", "squad/v2", "-o", "o.jsonl") == 2
    assert "hf:squad/v2" in cli.err


def test_same_seed_same_bytes(cli):
    cli.write("in.jsonl", *({"instruction": f"Name river {i}."} for i in range(40)))
    for name in ("one", "two"):
        cli("evolve", "longer", "in.jsonl", "-o", f"{name}.jsonl", "--teacher", "echo", "--home", name)
    assert (cli.folder / "one.jsonl").read_bytes() == (cli.folder / "two.jsonl").read_bytes()
    assert (cli.folder / "one.drops.jsonl").read_bytes() == (cli.folder / "two.drops.jsonl").read_bytes()


def test_several_strategies_share_the_records_and_the_options(cli):
    cli.write("in.jsonl", *({"instruction": f"count to {i}"} for i in range(20)))
    options = ["-o", "o.jsonl", "--teacher", "echo", "--eliminate", "none", "--json"]
    assert cli("evolve", "longer", "prompt", "in.jsonl", *options) == 2
    assert "strategy 'prompt'" in cli.err
    assert "it has no text" in cli.err
    assert cli("evolve", "prompt", "longer", "in.jsonl", "--text", "SO {prompt}", *options) == 2
    assert "has no 'text'" in cli.err
    assert cli("evolve", "longer", "deepen", "in.jsonl", "--order", "fixed", "--rounds", "2", *options) == 0
    tried = {name: row["1"]["tried"] for name, row in json.loads(cli.out)["survival"].items()}
    assert tried == {"longer": 10, "deepen": 10}


def test_options_of_the_teacher_are_yaml_as_in_a_recipe(cli):
    """``no`` is a word in YAML 1.2."""
    cli.write("in.jsonl", RIVER)
    command = ["evolve", "longer", "in.jsonl", "-o", "o.jsonl", "--teacher", "echo"]
    assert cli(*command, "-T", "fail_on=no") == 0, cli.err
    assert cli(*command, "-T", "fail_on=[x") == 2
    assert (
        "the value is not YAML (while parsing a flow sequence that begins at line 1, column 1: expected ',' or ']'"
        in cli.err
    )
    assert cli(*command, "-T", "delay=x") == 2
    assert "--teacher: teacher 'echo': 'delay': 'x' should be a valid number" in cli.err


def test_a_strategy_is_not_taken_for_a_file_nor_a_file_for_a_strategy(cli):
    cli.write("in.jsonl", RIVER)
    assert cli("evolve", "longer", "deepen", "-o", "o.jsonl", "--teacher", "echo") == 2
    assert "name an INPUT file after" in cli.err
    assert cli("evolve", "longer", "longer", "in.jsonl", "-o", "o.jsonl", "--teacher", "echo") == 2
    assert "named twice" in cli.err
    cli.write("deepen", RIVER)
    assert cli("evolve", "longer", "deepen", "-o", "o.jsonl", "--teacher", "echo") == 2
    assert "write ./deepen for the file" in cli.err


def test_branches_make_trees(cli):
    cli.write("in.jsonl", {"id": "r1", **RIVER})
    options = ["--branch", "2", "--rounds", "2", "--teacher", "echo", "--eliminate", "none"]
    assert cli("evolve", "longer", "deepen", "in.jsonl", "-o", "o.jsonl", *options) == 0
    parents = [p for row in cli.rows("o.jsonl") for p in row.get("origin", {}).get("parents", ())]
    assert parents.count("r1") >= 1
    assert len(parents) > 2
