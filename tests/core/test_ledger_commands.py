"""filial ledger tells what the ledger holds and whether it is whole."""

import json

import ledger_kit
import pytest
from ledger_kit import change, fill, verified

book, run = ledger_kit.book, ledger_kit.run


def test_stats_tell_answers_and_tokens_of_every_teacher(cli, book):
    fill(book, 5)
    fill(book, 2, "openai", {"model": "gpt", "base_url": "https://models.example"})
    fill(book, 1, "old", {}, known=False)
    assert cli("ledger", "stats", "--json") == 0
    told = json.loads(cli.out)
    assert (told["answers"], told["damaged"]) == (8, 0)
    assert told["bytes"] >= book.stat().st_size
    rows = [(t["teacher"], t["options"].get("model"), t["answers"], t["prompt_tokens"]) for t in told["teachers"]]
    assert rows[:2] == [("echo", "m1", 5, 10), ("openai", "gpt", 2, 4)]
    assert rows[2][0].startswith("unknown ")
    assert all(t["completion_tokens"] == 3 * t["answers"] for t in told["teachers"])
    assert cli("ledger", "stats") == 0
    for word in ("echo", "m1", "gpt", "8 answers"):
        assert word in cli.out
    assert max(map(len, cli.out.splitlines())) <= 80
    assert cli.out.count("teacher ") == 2, "what does not fit stands below"


def test_the_oldest_and_the_newest_answer_have_their_day(cli, book):
    fill(book, 3)
    for row, day in ((1, "2025-03-01"), (2, "2024-01-31")):
        change(book, "update answers set written=? where rowid=?", f"{day}T00:00:00Z", row)
    cli("ledger", "stats", "--json")
    (teacher,) = json.loads(cli.out)["teachers"]
    assert teacher["oldest"] == "2024-01-31T00:00:00Z"
    assert teacher["newest"] > "2025-03-01T00:00:00Z"


@pytest.mark.parametrize("command", [["stats"], ["verify"], ["export", "-o", "c.jsonl"], ["prune", "--damaged"]])
def test_where_there_is_no_ledger_none_is_made(cli, command):
    assert cli("ledger", *command) == 2
    assert "there is no ledger" in cli.err
    assert not (cli.folder / ".filial").exists()


def test_a_whole_ledger_verifies(cli, run):
    run()
    code, told = verified(cli)
    assert (code, told["whole"], told["unknown"], told["damaged"]) == (0, True, 0, [])
    assert told["answers"] == 24
    assert cli("ledger", "verify") == 0
    assert cli.err == "All 24 answers are intact.\n"


def test_answers_of_a_teacher_nobody_noted_are_counted_apart(cli, book):
    fill(book, 2, known=False)
    code, told = verified(cli)
    assert (code, told["answers"], told["unknown"]) == (0, 2, 2)


@pytest.mark.parametrize("content", [b"", b"not a database, and long enough to be sure of it" * 200])
def test_a_file_that_is_no_ledger_costs_one_sentence(cli, book, content):
    book.parent.mkdir()
    book.write_bytes(content)
    for command in (["stats"], ["verify"], ["export", "-o", "c.jsonl"], ["prune", "--damaged", "--yes"]):
        code = cli("ledger", *command)
        assert code == (1 if content else 0)
        if content:
            assert cli.err.count("\n") == 1
            assert "the ledger cannot be opened: file is not a database" in cli.err
    assert not content or book.read_bytes() == content
