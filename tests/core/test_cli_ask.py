"""``filial ask --prompts``: many prompts at once, a JSON line for each, in order."""

import io
import json
import sys

import pytest

PROMPTS = [f"Name river {i}." for i in range(100)]


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def test_every_line_is_asked_at_the_same_time_and_answered_in_order(cli):
    (cli.folder / "p.txt").write_text("\n\n".join(PROMPTS) + "\n  \n")
    assert cli("ask", "echo", "--prompts", "p.txt", "--delay", "0.2", "--log", "asked") == 0
    assert lines(cli.out) == [{"prompt": p, "answer": f"{p} indeed"} for p in PROMPTS]
    sent = (cli.folder / "asked").read_text().splitlines()
    assert sorted(sent) == sorted(PROMPTS)
    assert sent != PROMPTS, "the echo's delays differ, so together they come in another order"
    assert cli("ask", "echo", "--prompts", "p.txt", "--log", "asked") == 0
    assert len((cli.folder / "asked").read_text().splitlines()) == 100, "the ledger has them"


def test_records_are_asked_their_questions(cli):
    talk = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Ho."}]
    cli.write(
        "d.jsonl",
        {"instruction": "Add.", "input": "1 and 2", "output": "3"},
        {"messages": [*talk, {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]},
        {"instruction": "Add.", "system": "Be brief.", "output": "3"},
    )
    assert cli("ask", "echo", "--prompts", "d.jsonl", "--json") == 0
    first, second, third = lines(cli.out)
    told = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Add."}]
    assert (third["prompt"], third["answer"]) == (told, "Add. indeed")
    assert (first["prompt"], first["answer"]) == ("Add.\n\n1 and 2", "Add.\n\n1 and 2 indeed")
    assert (first["finish_reason"], first["prompt_tokens"], first["completion_tokens"]) == ("stop", 2, 3)
    assert (second["prompt"], second["answer"]) == ([*talk, {"role": "user", "content": "Why?"}], "Why? indeed")


def test_prompts_come_from_standard_input_too(cli, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("one\ntwo\n"))
    assert cli("ask", "echo", "--prompts", "-", "--system", "Be short.", "--draw", "3") == 0
    assert [line["prompt"] for line in lines(cli.out)] == ["one", "two"]


def test_a_prompt_that_fails_says_why_in_its_place_and_the_rest_is_answered(cli):
    (cli.folder / "p.txt").write_text("good\na bad one\nfine\n")
    assert cli("ask", "echo", "--prompts", "p.txt", "--fail-on", "bad") == 5
    assert lines(cli.out) == [
        {"prompt": "good", "answer": "good indeed"},
        {"prompt": "a bad one", "error": "broken: it fails here"},
        {"prompt": "fine", "answer": "fine indeed"},
    ]
    assert "1 of 3 prompts have no answer" in cli.err


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ([], "give a PROMPT, or a file of them"),
        (["hi", "--prompts", "p.txt"], "give a PROMPT, or a file of them"),
        (["--prompts", "nowhere.txt"], "cannot be read"),
        (["--prompts", "nowhere.jsonl"], "no such file"),
        (["--prompts", "empty.txt"], "contains no prompt"),
        (["--prompts", "latin.txt"], "cannot be read as text"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(cli, args, told):
    (cli.folder / "p.txt").write_text("a\n")
    (cli.folder / "empty.txt").write_text(" \n")
    (cli.folder / "latin.txt").write_bytes("Grüß".encode("latin-1"))
    assert cli("ask", "echo", *args) == 2
    assert told in cli.err
    assert "Traceback" not in cli.err


def test_a_byte_order_mark_is_no_part_of_the_first_prompt(cli):
    (cli.folder / "p.txt").write_bytes("\ufeffName a river.\r\nName a lake.\r\n".encode())
    assert cli("ask", "echo", "--prompts", "p.txt") == 0
    assert [json.loads(line)["prompt"] for line in cli.out.splitlines()] == ["Name a river.", "Name a lake."]
