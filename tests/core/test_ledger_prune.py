"""filial ledger prune removes what was named and agreed to, and nothing else."""

import json
import shutil
import sqlite3
from contextlib import closing

import ledger_kit
from ledger_kit import change, fill, verified

from filial.gateway import Ledger
from filial_plugins.ledger.maintenance import read_entries, remove_entries

book, run = ledger_kit.book, ledger_kit.run


def test_prune_removes_what_meets_every_condition(cli, book):
    fill(book, 4)
    fill(book, 3, "openai")
    for row in (1, 2, 5):
        change(book, "update answers set written='2020-01-01T00:00:00Z' where rowid=?", row)
    assert cli("ledger", "prune", "--older-than", "30", "--teacher", "echo", "--yes") == 0
    assert cli.err.startswith("2 answers (")
    with closing(sqlite3.connect(book)) as db:
        assert [row for (row,) in db.execute("select rowid from answers order by 1")] == [3, 4, 5, 6, 7]
    assert cli("ledger", "prune", "--teacher", "openai", "--yes") == 0
    assert json.loads(cli.out or "null") is None
    cli("ledger", "stats", "--json")
    assert [(t["teacher"], t["answers"]) for t in json.loads(cli.out)["teachers"]] == [("echo", 2)]


def test_prune_gives_the_space_back(cli, book):
    fill(book, 300, words=200)
    before = book.stat().st_size
    assert cli("ledger", "prune", "--teacher", "echo", "--yes") == 0
    assert "300 answers" in cli.err
    assert book.stat().st_size < before / 2


def test_prune_keeps_what_the_runs_use(cli, book, run):
    run("one", 10)
    run("two", 14)
    fill(book, 5, "stranger")
    shutil.rmtree(cli.folder / "runs/two")
    assert cli("ledger", "prune", "--keep-runs", "--yes") == 0
    code, told = verified(cli)
    assert (code, told["answers"]) == (0, 24)
    shutil.rmtree(cli.folder / "runs/one/stages")
    assert run("one", 10, 1, "--offline") == 0
    assert "0 requests, 24 answers from the ledger" in cli.out


def test_keep_runs_refuses_where_it_cannot_know_what_is_used(cli, book, run):
    run("one", 10)
    (cli.folder / "runs/one/summary.json").unlink()
    assert cli("ledger", "prune", "--keep-runs", "--yes") == 2
    assert "runs/one has not ended" in cli.err
    run("one", 10)
    with open(cli.folder / "runs/one/stages/01-generate/answers.txt", "a") as f:
        f.write("0" * 32 + "\n")
    assert cli("ledger", "prune", "--keep-runs", "--yes") == 2
    assert "01-generate/manifest.json: this step is damaged" in cli.err
    shutil.rmtree(cli.folder / "runs")
    assert cli("ledger", "prune", "--keep-runs", "--yes") == 2
    assert "every answer would be removed" in cli.err
    assert verified(cli)[1]["answers"] == 24


def test_prune_wants_a_condition_and_a_yes(cli, book, monkeypatch):
    fill(book, 3)
    assert cli("ledger", "prune", "--yes") == 2
    assert "--damaged, --older-than" in cli.err
    assert cli("ledger", "prune", "--teacher", "ecko", "--yes") == 2
    assert "there are: echo" in cli.err
    assert cli("ledger", "prune", "--teacher", "echo") == 2
    assert "add --yes" in cli.err
    assert cli("ledger", "prune", "--teacher", "echo", "--dry-run") == 0
    assert cli.err.startswith("3 answers (")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    for said, left in ((False, 3), (True, 0)):
        monkeypatch.setattr("click.confirm", lambda question, said=said, **options: said)
        assert cli("ledger", "prune", "--teacher", "echo") == 0
        assert verified(cli)[1]["answers"] == left
    assert cli("ledger", "prune", "--older-than", "0.5") == 0
    assert cli.err == "There is nothing to remove.\n"


def test_an_answer_that_was_replaced_meanwhile_is_not_removed(tmp_path):
    path = tmp_path / "ledger.sqlite"
    fill(path, 1)
    with closing(Ledger(path)) as ledger:
        (entry,) = read_entries(ledger)
        remove_entries(ledger, [(entry.row, b"what it was when somebody looked")])
        assert len(ledger) == 1
        remove_entries(ledger, [(entry.row, entry.checksum)])
        assert len(ledger) == 0
