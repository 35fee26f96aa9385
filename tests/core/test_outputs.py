"""Files that commands write: never one that is read, never one for two things, and what an interrupt leaves."""

import os
import subprocess
import sys

import pytest

from filial import Drop, Keep

FILIAL = [sys.executable, "-m", "filial"]
RIVER = {"instruction": "Name a river.", "output": "The Rhine."}
THOUGHT = {"instruction": "q", "output": "a", "reasoning": "because"}
COMMANDS = {
    "filter": ["filter", "length", "in.jsonl"],
    "mix": ["mix", "weights", "in.jsonl"],
    "evolve": ["evolve", "longer", "in.jsonl", "--teacher", "echo"],
    "generate": ["generate", "self-instruct", "in.jsonl", "--teacher", "echo"],
    "convert": ["convert", "in.jsonl"],
}


def refused(cli, words, *told):
    """Run a command that has to be refused with nothing changed."""
    before = {name: (cli.folder / name).read_bytes() for name in cli.files()}
    assert cli(*words) == 2, cli.err
    for text in told:
        assert text in cli.err
    assert {name: (cli.folder / name).read_bytes() for name in cli.files()} == before
    assert not os.path.exists(cli.folder / ".filial"), "refused before a teacher was asked"


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("way", ["itself", "another spelling", "link", "hard link"])
@pytest.mark.parametrize("flag", ["-o", "--drops"])
def test_no_command_replaces_its_input(cli, command, way, flag):
    data = cli.write("in.jsonl", RIVER)
    name = {"itself": "in.jsonl", "another spelling": "./x/../in.jsonl"}.get(way, "other.jsonl")
    if way == "another spelling":
        (cli.folder / "x").mkdir()
    if way == "link":
        (cli.folder / name).symlink_to("in.jsonl")
    if way == "hard link":
        os.link(data, cli.folder / name)
    more = [] if flag == "-o" else ["-o", "out.jsonl"]
    refused(cli, [*COMMANDS[command], *more, flag, name], f"{flag} ", "the input in.jsonl", f"give {flag} another file")


@pytest.mark.parametrize("command", ["filter", "convert"])
def test_drops_that_nobody_named_replace_no_input(cli, command):
    cli.write("in.jsonl", RIVER)
    cli.write("x.drops.jsonl", RIVER)
    words = [*COMMANDS[command], "x.drops.jsonl", "-o", "x.jsonl"]
    refused(cli, words, "x.drops.jsonl", "the input", "--drops FILE puts them elsewhere")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("link", [False, True])
def test_records_and_drops_never_share_a_file(cli, command, link):
    cli.write("in.jsonl", RIVER)
    if link:
        (cli.folder / "d.jsonl").symlink_to("o.jsonl")
    refused(
        cli, [*COMMANDS[command], "-o", "o.jsonl", "--drops", "d.jsonl" if link else "o.jsonl"], "--drops", "-o o.jsonl"
    )


@pytest.mark.parametrize("index", ["in.jsonl", "o.json", "o.drops.jsonl"])
def test_an_index_of_data_sets_is_a_file_of_its_own(cli, index):
    cli.write("in.jsonl", RIVER)
    drops = ["--drops", "o.drops.jsonl"]
    words = ["convert", "in.jsonl", "-o", "o.json", "--to", "alpaca", "--dataset-info", index, *drops]
    refused(cli, words, "--dataset-info", index, "a file of its own")


def test_nothing_is_written_into_a_folder_that_is_read(cli):
    (cli.folder / "data").mkdir()
    cli.write("data/in.jsonl", RIVER)
    refused(cli, ["convert", "data", "-o", "data/all.jsonl"], "lies in the input data")


def test_files_that_options_and_plugins_name_are_not_replaced(cli):
    cli.write("in.jsonl", RIVER)
    cli.write("seen.jsonl", RIVER)
    refused(cli, ["filter", "novelty", "in.jsonl", "-o", "seen.jsonl", "--files", "seen.jsonl"], "an option")
    (cli.folder / "p.py").write_text(
        "from filial import hookimpl\n\n\n@hookimpl\ndef register_filters(register):\n    pass\n"
    )
    refused(
        cli, ["--plugin", "p.py", "filter", "length", "in.jsonl", "-o", "o.jsonl", "--drops", "p.py"], "--plugin p.py"
    )


def test_a_judge_and_a_cassette_do_not_replace_what_they_read(cli):
    cli.write("in.jsonl", RIVER)
    refused(cli, ["judge", "exact-match", "in.jsonl", "-o", "in.jsonl", "--teacher", "echo"], "the input in.jsonl")
    assert cli("ask", "echo", "Name a river.") == 0
    before = (cli.folder / ".filial/ledger.sqlite").read_bytes()
    assert cli("ledger", "export", "-o", ".filial/ledger.sqlite") == 2
    assert "the ledger" in cli.err
    assert cli("ledger", "import", ".filial/ledger.sqlite") == 2
    assert "the cassette" in cli.err
    assert (cli.folder / ".filial/ledger.sqlite").read_bytes() == before


def test_devices_may_stand_anywhere(cli):
    cli.write("in.jsonl", RIVER)
    assert cli("filter", "length", "in.jsonl", "-o", "/dev/null", "--to", "filial", "--drops", "/dev/null") == 0, (
        cli.err
    )


def test_drops_do_not_go_to_standard_output(cli):
    cli.write("in.jsonl", RIVER)
    for command in ("filter", "convert"):
        refused(cli, [*COMMANDS[command], "-o", "o.jsonl", "--drops", "-"], "--drops -")


def test_two_outputs_do_not_share_their_drops(cli):
    cli.write("in.jsonl", {"instruction": "x " * 2000, "output": "y"}, RIVER)
    for name in ("o.jsonl", "o.jsonl.gz", "o.parquet"):
        assert cli("filter", "length", "in.jsonl", "-o", name, "--max-instruction", "100") == 0, cli.err
    drops = ["o.drops.jsonl", "o.jsonl.gz.drops.jsonl", "o.parquet.drops.jsonl"]
    assert [name for name in cli.files() if "drops" in name] == drops
    for name in ("o.jsonl", "o.jsonl.gz", "o.parquet"):
        assert cli("show", name, "--dropped") == 0, cli.err


def test_a_conversion_in_which_nothing_fits_writes_nothing(cli):
    cli.write("in.jsonl", THOUGHT)
    cli.write("o.json", {"old": 1})
    words = ["convert", "in.jsonl", "-o", "o.json", "--to", "alpaca", "--drop-unfit"]
    refused(cli, words, "no record fits", "no place for its reasoning")


def test_what_an_input_is_comes_as_json_where_that_is_asked_for(cli):
    import json

    cli.write("in.jsonl", RIVER)
    assert cli("convert", "in.jsonl", "--explain", "--json") == 0
    assert any("columns:" in line for line in json.loads(cli.out)["explained"]["in.jsonl"])
    assert cli("convert", "in.jsonl", "-o", "o.jsonl", "--explain", "--json") == 0
    assert json.loads(cli.out)["explained"]["in.jsonl"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no full device here")
@pytest.mark.parametrize("command", ["filter", "convert"])
def test_a_standard_output_that_takes_no_more_is_one_sentence(cli, command):
    cli.write("in.jsonl", RIVER)
    with open("/dev/full", "wb") as full:
        words = [*FILIAL, *COMMANDS[command], "-o", "-"]
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert "Error: standard output cannot be written: No space left on device" in done.stderr
    assert "OSError" not in done.stderr
    assert "unchanged" not in done.stderr


def test_an_interrupt_says_what_is_kept(cli, monkeypatch):
    from filial.engine import interrupts

    cli.write("in.jsonl", RIVER)

    def stop(work, *rest):
        work.close()
        raise KeyboardInterrupt

    monkeypatch.setattr(interrupts, "run", stop)
    assert cli(*COMMANDS["filter"], "-o", "o.jsonl") == 130
    assert "Interrupted; nothing was written" in cli.err
    assert "kept" not in cli.err
    assert cli(*COMMANDS["evolve"], "-o", "o.jsonl") == 130
    assert "the teacher's answers are kept in .filial" in cli.err
    assert cli("ask", "echo", "Name a river.", "--fresh") == 130
    assert "not kept" in cli.err


def test_a_mix_tells_how_much_of_it_holds_a_chain_of_thought(cli):
    rows = [{"instruction": f"Name {i}.", "output": "x", "task": "a", "tags": ["cot"] * (i < 5)} for i in range(20)]
    cli.write("in.jsonl", *rows)
    words = ["mix", "weights", "in.jsonl", "-o", "o.jsonl", "--total", "10", "--cot-share", "0.1"]
    assert cli(*words) == 0, cli.err
    assert "chain of thought: 1 of 10 (asked 0.1)" in cli.err


def test_a_trained_model_does_not_replace_a_folder_that_holds_its_data(cli):
    (cli.folder / "d").mkdir()
    cli.write("d/in.jsonl", RIVER)
    (cli.folder / "d" / "config.json").write_text("{}")
    for data, out in (("d/in.jsonl", "d"), ("./d/../d/in.jsonl", "d/"), ("d/in.jsonl", ".")):
        assert cli("train", "sft", data, "--model", "d", "-o", out, "--template", "alpaca") == 2
        assert f"the input {data} lies in {out}, which would be replaced; give -o another folder" in cli.err
    assert sorted(path.name for path in (cli.folder / "d").iterdir()) == ["config.json", "in.jsonl"]


EVOLVE = ["evolve", "longer", "in.jsonl", "-o", "o.jsonl", "--teacher", "echo", "-T", "max_concurrency=1"]


def test_a_command_that_its_budget_stops_leaves_what_it_has(cli):
    cli.write("in.jsonl", *({"instruction": f"Name river {i}.", "output": "x"} for i in range(9)))
    assert cli(*EVOLVE, "--budget", "requests=12") == 3
    assert "So far: o.partial.jsonl" in cli.err
    rows = cli.rows("o.partial.jsonl")
    assert {row["instruction"] for row in rows} >= {"Name river 0.", "Name river 1."}
    assert not (cli.folder / "o.jsonl").exists()
    assert cli(*EVOLVE) == 0
    assert "So far" not in cli.err
    assert not list(cli.folder.glob("*partial*"))
    assert cli.rows("o.jsonl")[: len(rows)] == rows


def test_what_a_stopped_command_left_is_not_its_next_input(cli):
    cli.write("o.partial.jsonl", RIVER)
    refused(cli, ["filter", "length", "o.partial.jsonl", "-o", "o.jsonl"], "the rows of a stopped command,")


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_a_command_that_fails_or_is_interrupted_leaves_its_rows_and_drops(cli, monkeypatch, stop):
    from filial_plugins.filters.length import Length

    seen = []

    def check(self, record, ctx):
        seen.append(record)
        if len(seen) == 4000:
            raise stop
        return Drop("odd") if len(seen) % 2 else Keep()

    monkeypatch.setattr(Length, "check", check)
    cli.write("in.jsonl", *({"instruction": f"Name river {i}.", "output": "x"} for i in range(5000)))
    assert cli("filter", "length", "in.jsonl", "-o", "o.jsonl") in (1, 130)
    assert "So far: o.partial.jsonl, o.drops.partial.jsonl" in cli.err
    kept = [row["instruction"] for row in cli.rows("o.partial.jsonl")]
    assert kept == [f"Name river {2 * i + 1}." for i in range(len(kept))]
    assert {row["reason"] for row in cli.rows("o.drops.partial.jsonl")} == {"odd"}


def test_a_run_that_its_budget_stops_leaves_what_its_stage_has(cli):
    cli.write("in.jsonl", *({"instruction": f"Name river {i}.", "output": "x"} for i in range(9)))
    (cli.folder / "r.yaml").write_text(
        "teacher: {use: echo, max_concurrency: 1}\ndata: in.jsonl\nbudget: {requests: 15}\n"
        "stages:\n  - evolve: {strategies: [longer]}\n"
    )
    assert cli("run", "r.yaml") == 3
    assert "So far: runs/r/stages/01-evolve/records.partial.jsonl" in cli.err
    rows = cli.rows("runs/r/stages/01-evolve/records.partial.jsonl")
    assert len(rows) >= 4
    assert cli("run", "r.yaml", "--set", "budget.requests=100") == 0
    assert not list((cli.folder / "runs").rglob("*partial*"))
    assert cli.rows("runs/r/stages/01-evolve/records.jsonl")[: len(rows)] == rows
