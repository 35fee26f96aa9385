"""`filial convert`: files of any format in another, whole or not at all, and nothing lost unsaid."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from filial.formats import read

RIVER = {"id": "r", "instruction": "Name a river.", "output": "The Rhine.", "lang": "en", "ticket": 7}
LAKE = {"instruction": "Name a lake.", "input": "in Asia", "output": "Baikal.", "lang": "de", "ticket": 8}
TALK = {"messages": [{"role": role, "content": role} for role in ("user", "assistant") * 2]}
THOUGHT = {"id": "t", "instruction": "Why?", "output": "So.", "reasoning": "Hm."}
PAIR = {"id": "p", "instruction": "q", "output": "a", "rejected": [{"role": "assistant", "content": "b"}]}


@pytest.fixture
def write(cli: Any) -> Any:
    def to(name: str, *rows: Any) -> str:
        (cli.folder / name).write_text(
            "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
        )
        return name

    return to


def test_columns_survive_openai_chat_and_back(cli: Any, write: Any) -> None:
    write("in.jsonl", RIVER, LAKE)
    assert cli("convert", "in.jsonl", "-o", "chat.jsonl", "--to", "openai", toy=False) == 0
    assert "wrote 2 records to chat.jsonl" in cli.err
    assert "not written: id (1), where the instruction ends and the input begins (1)" in cli.err
    rows = cli.rows("chat.jsonl")
    assert [(row["lang"], row["ticket"]) for row in rows] == [("en", 7), ("de", 8)]
    assert cli("convert", "chat.jsonl", "-o", "back.jsonl", toy=False) == 0
    first, second = (list(read(cli.folder / name)) for name in ("in.jsonl", "back.jsonl"))
    assert [(r.turns(), r.extra) for r in first] == [(r.turns(), r.extra) for r in second]


def test_several_inputs_of_several_formats_are_one_output(cli: Any, write: Any) -> None:
    write("a.jsonl", RIVER)
    write("b.jsonl", {"conversations": [{"from": name, "value": name} for name in ("human", "gpt") * 2]})
    assert cli("convert", "a.jsonl", "b.jsonl", "-o", "out.jsonl", "--to", "sharegpt", toy=False) == 0
    assert [len(row["conversations"]) for row in cli.rows("out.jsonl")] == [2, 4]
    assert "a.jsonl: read as alpaca" in cli.err
    assert "b.jsonl: read as sharegpt" in cli.err


def test_filials_own_format_is_what_it_converts_to_by_default(cli: Any, write: Any) -> None:
    write("a.jsonl", RIVER)
    assert cli("convert", "a.jsonl", "-o", "out.jsonl", toy=False) == 0
    assert cli.rows("out.jsonl") == [
        {"id": "r", "instruction": "Name a river.", "output": "The Rhine.", "extra": {"lang": "en", "ticket": 7}}
    ]
    assert "not written" not in cli.err


@pytest.mark.parametrize("out", ["out.jsonl", "-"])
def test_what_a_format_cannot_hold_is_refused_before_anything_is_written(cli: Any, write: Any, out: str) -> None:
    many = [{"instruction": f"{i} " + "x" * 2000, "output": "a"} for i in range(1000)]
    write("in.jsonl", *many, THOUGHT)
    assert cli("convert", "in.jsonl", "-o", out, "--to", "openai", "--format", "filial", toy=False) == 2
    assert cli.out == ""
    assert "record t: the format has no place for its reasoning" in cli.err
    assert "--without reasoning leaves that out, --drop-unfit leaves out such records" in cli.err
    assert not (cli.folder / "out.jsonl").exists()
    assert not list(cli.folder.glob("*.drops.jsonl"))


def test_records_that_do_not_fit_are_dropped_on_request_with_reasons(cli: Any, write: Any) -> None:
    write("in.jsonl", RIVER, "no row", {"instruction": "q", "output": [3]})
    write("more.jsonl", THOUGHT)
    code = cli("convert", "in.jsonl", "more.jsonl", "-o", "o.jsonl", "--to", "alpaca", "--drop-unfit", toy=False)
    assert code == 5, "bad lines were lost"
    assert len(cli.rows("o.jsonl")) == 1
    assert "left out: bad lines (2), records that do not fit (1); what, and why, is in o.drops.jsonl" in cli.err
    drops = cli.rows("o.drops.jsonl")
    assert [drop["reason"] for drop in drops] == ["bad-line", "bad-line", "unfit"]
    assert "no place for its reasoning" in drops[2]["detail"]
    assert drops[2]["record"]["id"] == "t"
    assert cli("convert", "more.jsonl", "-o", "o.jsonl", "--to", "alpaca", "--without", "reasoning", toy=False) == 0
    assert not (cli.folder / "o.drops.jsonl").exists(), "drops of an earlier command do not stay"


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (THOUGHT, "reasoning"),
        ({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "reasoning": "r"}]},
         "reasoning"),
        (PAIR, "rejected"),
        ({"instruction": "q", "output": "a", "extra": {"text": "x"}}, "extra"),
        ({"instruction": "q", "output": "a", "tools": [{"name": "f"}]}, "tools"),
    ],
)  # fmt: skip
def test_what_may_be_left_out_is_left_out_and_counted(cli: Any, write: Any, row: Any, name: str) -> None:
    write("in.jsonl", row)
    flags = ["--to", "alpaca", "--without", name, "--format", "filial"]
    assert cli("convert", "in.jsonl", "-o", "o.jsonl", *flags, toy=False) == 0
    assert f"{name} (1)" in next(line for line in cli.err.splitlines() if line.startswith("not written: "))
    assert cli.rows("o.jsonl")[0].keys() == {"instruction", "input", "output"}


def test_a_bad_answer_cannot_be_made_a_good_one(cli: Any, write: Any) -> None:
    write("in.jsonl", {"instruction": "q", "output": "a", "label": False})
    assert cli("convert", "in.jsonl", "-o", "o.jsonl", "--to", "alpaca", "--without", "label", toy=False) == 2
    assert cli("convert", "in.jsonl", "-o", "o.jsonl", "--to", "alpaca", "--drop-unfit", toy=False) == 2
    assert not (cli.folder / "o.jsonl").exists()
    assert "no record fits the format" in cli.err


def test_streams(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BufferedReader(io.BytesIO(json.dumps(TALK).encode()))))
    assert cli("convert", "-", "-o", "-", "--to", "sharegpt", toy=False) == 0
    assert [turn["from"] for turn in json.loads(cli.out)["conversations"]] == ["human", "gpt"] * 2
    assert os.listdir(cli.folder) == []


@pytest.mark.parametrize("form", ["openai", "alpaca", "sharegpt"])
def test_records_without_an_answer_are_counted_where_they_can_be_written(cli: Any, write: Any, form: str) -> None:
    write("in.jsonl", {"instruction": "Name a river."}, RIVER, {"instruction": "Name a lake."})
    assert cli("convert", "in.jsonl", "-o", "o.jsonl", "--to", form, toy=False) == 0
    assert "without an answer: 2; fine-tuning refuses or skips such records" in cli.err
    assert cli("convert", "in.jsonl", "-o", "o.jsonl", "--to", form, "--json", toy=False) == 0
    assert json.loads(cli.out)["unanswered"] == 2
    assert cli("convert", "in.jsonl", "-o", "o.csv", toy=False) == 0
    assert "without an answer" not in cli.err


def test_counts_for_machines(cli: Any, write: Any) -> None:
    write("in.jsonl", RIVER, "no row")
    assert cli("convert", "in.jsonl", "-o", "o.jsonl", "--to", "openai", "--json", toy=False) == 5
    said = json.loads(cli.out)
    assert (said["records"], said["dropped"], said["losses"]) == (1, {"bad-line": 1}, {"id": 1})
    assert said["drops"] == "o.drops.jsonl"
    assert cli("convert", "in.jsonl", "-o", "-", "--json", toy=False) == 2


def test_options_of_a_format(cli: Any, write: Any) -> None:
    write("in.jsonl", RIVER)
    flags = ["--to", "trl", "-O", "rows=prompt-completion"]
    assert cli("convert", "in.jsonl", "-o", "o.jsonl", *flags, toy=False) == 0
    assert cli.rows("o.jsonl")[0].keys() == {"prompt", "completion", "lang", "ticket"}
    assert "TRL: SFTTrainer(" in cli.err
    assert cli("convert", "in.jsonl", "-o", "o.jsonl", "--to", "trl", "-O", "rows=no", toy=False) == 2
    assert cli("convert", "in.jsonl", "-o", "o.jsonl", "-O", "rows=no", toy=False) == 2
    assert "--to-option needs --to NAME" in cli.err


def test_axolotls_configuration_is_printed(cli: Any, write: Any) -> None:
    write("in.jsonl", RIVER)
    assert cli("convert", "in.jsonl", "-o", "o.jsonl", "--to", "axolotl", toy=False) == 0
    config = yaml.safe_load(cli.err[cli.err.index("datasets:") :])
    assert config["datasets"][0]["path"] == "o.jsonl"


def test_the_index_of_llamafactory_gets_an_entry_and_keeps_the_others(cli: Any, write: Any) -> None:
    write("in.jsonl", RIVER)
    folder = cli.folder / "data"
    folder.mkdir()
    other = {"identity": {"file_name": "identity.json"}, "old": {"hf_hub_url": "a/b"}}
    info = folder / "dataset_info.json"
    info.write_text(json.dumps(other))
    flags = ["--to", "llamafactory", "--dataset-info", "data/dataset_info.json"]
    for _ in range(2):  # the entry of the same file may be replaced
        assert cli("convert", "in.jsonl", "-o", "data/sub/mine.json", *flags, toy=False) == 0
    found = json.loads(info.read_text())
    assert list(found) == ["identity", "old", "mine"]
    assert (found["identity"], found["old"]) == (other["identity"], other["old"])
    assert found["mine"]["file_name"] == "sub/mine.json"
    assert (found["mine"]["formatting"], found["mine"]["columns"]["messages"]) == ("sharegpt", "conversations")


def test_the_entry_names_the_columns_of_all_rows(cli: Any, write: Any) -> None:
    write("in.jsonl", RIVER, {**RIVER, "system": "Be kind."})
    flags = ["--to", "alpaca", "--dataset-info", "dataset_info.json"]
    assert cli("convert", "in.jsonl", "-o", "mine.json", *flags, toy=False) == 0
    entry = json.loads((cli.folder / "dataset_info.json").read_text())["mine"]
    assert entry["columns"]["system"] == "system"


@pytest.mark.parametrize(
    ("out", "to", "index", "why"),
    [
        ("mine.json", "llamafactory", '{"mine": {"file_name": "theirs.json"}}', "has an entry mine already, for other"),
        ("mine.json", "llamafactory", "[]", "holds no JSON object"),
        ("mine.json", "llamafactory", "{", "cannot be read as JSON"),
        ("mine.jsonl.gz", "llamafactory", "{}", "reads .json and .jsonl, not mine.jsonl.gz"),
        ("-", "llamafactory", "{}", "reads .json and .jsonl, not -"),
        ("mine.jsonl", "openai", "{}", "reads the formats llamafactory and alpaca"),
        ("mine.jsonl", "auto", "{}", "reads the formats llamafactory and alpaca"),
        ("../mine.json", "llamafactory", "{}", "has to be in its folder"),
    ],
)
def test_an_entry_that_cannot_be_is_refused_before_anything_is_written(
    cli: Any, write: Any, out: str, to: str, index: str, why: str
) -> None:
    write("in.jsonl", RIVER)
    info = cli.folder / "dataset_info.json"
    info.write_text(index)
    before = sorted(os.listdir(cli.folder))
    assert cli("convert", "in.jsonl", "-o", out, "--to", to, "--dataset-info", "dataset_info.json", toy=False) == 2
    assert why in cli.err
    assert (sorted(os.listdir(cli.folder)), info.read_text()) == (before, index)


def test_an_explanation_says_what_was_seen_and_why(cli: Any, write: Any) -> None:
    write("in.jsonl", RIVER, LAKE, "no row")
    assert cli("convert", "in.jsonl", "--explain", toy=False) == 0
    lines = [line.strip() for line in cli.out.splitlines()]
    assert lines[0] == "in.jsonl: 2 rows looked at"
    assert lines[1].startswith("no rows: 1 line; the first: in.jsonl:3: ")
    assert any(line.startswith("columns: instruction (2), output (2), lang (2), ticket (2)") for line in lines)
    assert any(line.startswith("alpaca: knows 2 of 2 rows by the columns instruction, output") for line in lines)
    assert any(line.startswith("pairs: knows 2 of 2 rows") for line in lines)
    assert lines[-1].startswith("in.jsonl: read as alpaca")
    assert sorted(os.listdir(cli.folder)) == ["in.jsonl"]


def test_an_explanation_of_what_no_format_knows(cli: Any, write: Any) -> None:
    write("in.jsonl", {"first": "a", "second": "b"})
    assert cli("convert", "in.jsonl", "--explain", toy=False) == 2
    assert "columns: first (1), second (1)" in cli.out
    assert "no known format has the columns first, second" in cli.err
    assert cli("convert", "-", "--explain", toy=False) == 2
    assert "which standard input does not allow" in cli.err


def test_an_explanation_of_filials_own(cli: Any, write: Any) -> None:
    write("in.jsonl", THOUGHT, {"instruction": 3})
    assert cli("convert", "in.jsonl", "--explain", toy=False) == 0
    lines = [line.strip() for line in cli.out.splitlines()]
    assert any(
        line.startswith("filial: 1 of 2 rows have none but its columns and are valid; the first") for line in lines
    )
    assert any(line.startswith("filial: rows with reasoning, which it alone has") for line in lines)
    assert lines[-1] == "in.jsonl: read as filial"


def test_an_output_has_to_be_named(cli: Any, write: Any) -> None:
    write("in.jsonl", RIVER)
    assert cli("convert", "in.jsonl", toy=False) == 2
    assert "no OUT is named" in cli.err
    for flags, why in [(["-o", "."], "is a folder"), (["-o", "o.jsonl", "--drops", "o.jsonl"], "is also -o o.jsonl"),
                       (["-o", "o.jsonl", "--to", "pairs"], "is only read")]:  # fmt: skip
        assert cli("convert", "in.jsonl", *flags, toy=False) == 2
        assert why in cli.err


def test_inputs_without_a_record(cli: Any, write: Any) -> None:
    Path(cli.folder / "empty.jsonl").touch()
    assert cli("convert", "empty.jsonl", "-o", "o.jsonl", toy=False) == 2
    assert "there is no record in the inputs: they are empty" in cli.err
    assert not (cli.folder / "o.jsonl").exists()


def test_a_run_is_no_file_of_records_and_its_files_are_named(cli):
    (cli.folder / "runs/toy").mkdir(parents=True)
    (cli.folder / "runs/toy/recipe.lock.yaml").write_text("seed: 1\n")
    assert cli("convert", "runs/toy", "-o", "o.jsonl", "--to", "openai", toy=False) == 2
    assert "runs/toy is a run, and a run has several files of records: give runs/toy/dataset/train.jsonl" in cli.err


def test_where_nothing_is_a_record_the_first_fault_is_told(cli):
    (cli.folder / "in.jsonl").write_text('{"instruction": ["a", "b"]}\n{"instruction": {}}\n')
    assert cli("convert", "in.jsonl", "-o", "o.jsonl", "--to", "openai", toy=False) == 2
    assert "none of 2 lines is one; the first: in.jsonl:1: /instruction: must be a string, not an array" in cli.err
