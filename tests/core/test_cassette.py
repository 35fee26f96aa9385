"""A cassette replays a run anywhere, byte for byte, and nothing that is not whole gets into a ledger."""

import gzip
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from filial import UsageError
from filial.contracts.errors import UNREACHABLE
from filial.engine.run import Run
from filial.gateway import Ledger
from filial.plugins import Manager
from filial.recipe import load
from filial.storage import digest
from filial_plugins.ledger.cassette import CassetteReader

RECIPE = """
seed: 1
teacher: {{use: echo{teacher}}}
stages:
  - generate: {{use: count, count: 20, seeds: seeds.jsonl}}
  - evolve: {{rounds: 2, strategies: [longer], eliminate: [{{use: short, words: 60}}]}}
"""
TOY = Path(__file__).parent / "toy.py"
STAGES = ("01-generate", "02-evolve")
LEDGER = ".filial/ledger.sqlite"


@pytest.fixture
def run(cli):
    """``run(home, teacher, *flags)``: a run of the toy teacher."""
    cli.write("seeds.jsonl", {"instruction": "Name a river."})

    def start(home=".", *flags, teacher=""):
        (cli.folder / "toy.yaml").write_text(RECIPE.format(teacher=teacher))
        return cli("run", "toy.yaml", "--home", home, *flags)

    return start


def outcome(home):
    files = ("records.jsonl", "drops.jsonl", "answers.txt")
    return {
        f"{stage}/{name}": (home / "runs/toy/stages" / stage / name).read_bytes() for stage in STAGES for name in files
    }


def lines(path):
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line) for line in raw.splitlines()]


@pytest.mark.parametrize("name", ["c.jsonl", "c.jsonl.gz", "c.jsonl.zst"])
def test_a_cassette_replays_a_run_in_another_home_with_nobody_to_ask(cli, run, name):
    assert run() == 0
    assert cli("ledger", "export", "toy", "-o", name) == 0
    assert "filial ledger import" in cli.err
    assert cli("ledger", "import", name, "--home", "new") == 0
    assert run("new", "--offline", teacher=f", log: {cli.folder / 'asked.txt'}") == 0
    assert "0 requests" in cli.out
    assert outcome(cli.folder / "new") == outcome(cli.folder)
    assert not (cli.folder / "asked.txt").exists()
    assert cli("ledger", "verify", "--home", "new") == 0


def test_with_one_answer_missing_an_offline_run_names_the_question(cli, run):
    run()
    cli("ledger", "export", "toy", "-o", "c.jsonl")
    cli("ledger", "import", "c.jsonl", "--home", "new")
    with closing(sqlite3.connect(cli.folder / "new" / LEDGER)) as db, db:
        gone = db.execute("delete from answers where rowid=40 returning key").fetchone()
    (question,) = [
        row["request"]["messages"][-1]["content"] for row in lines(cli.folder / "c.jsonl")[1:] if row["key"] == gone[0]
    ]
    assert run("new", "--offline") == UNREACHABLE
    assert f"the ledger holds no answer to: {question!r}" in cli.err
    assert cli.err.splitlines()[-1].endswith("--home new"), "the way on is to ask"


def test_a_cassette_is_text_with_who_was_asked_what_in_the_same_bytes_always(cli, run):
    run()
    for name in ("a.jsonl", "b.jsonl", "a.jsonl.gz", "b.jsonl.gz"):
        assert cli("ledger", "export", "toy", "-o", name) == 0
    for suffix in ("jsonl", "jsonl.gz"):
        assert (cli.folder / f"a.{suffix}").read_bytes() == (cli.folder / f"b.{suffix}").read_bytes()
    header, *rows = lines(cli.folder / "a.jsonl.gz")
    assert [header, *rows] == lines(cli.folder / "a.jsonl")
    (identity,) = header["teachers"]
    assert header == {
        "filial_cassette": 1,
        "answers": len(rows),
        "teachers": {identity: {"use": "toy.py:echo", "options": {"echo": 1, "fail_on": ""}}},
    }
    assert [row["key"] for row in rows] == sorted(row["key"] for row in rows)
    assert {row["identity"] for row in rows} == {identity}
    (first,) = [row for row in rows if row["request"]["messages"][0]["content"] == "task 0"]
    assert list(first) == ["key", "identity", "request", "reply", "checksum"]
    assert first["reply"] == {"text": "task 0 indeed", "prompt_tokens": 2, "completion_tokens": 3}


def test_what_was_imported_exports_to_the_same_bytes(cli, run):
    run()
    cli("ledger", "export", "-o", "a.jsonl")
    cli("ledger", "import", "a.jsonl", "--home", "new")
    assert cli("ledger", "export", "-o", "b.jsonl", "--home", "new") == 0
    assert (cli.folder / "a.jsonl").read_bytes() == (cli.folder / "b.jsonl").read_bytes()


def test_a_runs_cassette_holds_its_own_answers_and_teacher_only(cli, run):
    run()
    run(".", "--name", "other", "--set", "stages.generate.count=30", teacher=", fail_on: xyz")
    cli("ledger", "export", "toy", "-o", "toy.jsonl")
    cli("ledger", "export", "runs/toy", "-o", "folder.jsonl")
    cli("ledger", "export", "-o", "all.jsonl")
    toy, everything = lines(cli.folder / "toy.jsonl"), lines(cli.folder / "all.jsonl")
    assert (cli.folder / "toy.jsonl").read_bytes() == (cli.folder / "folder.jsonl").read_bytes()
    assert len(toy[0]["teachers"]) == 1
    assert len(everything[0]["teachers"]) == 2
    assert len(everything) > len(toy) + 60
    listed = {
        key for stage in STAGES for key in (cli.folder / "runs/toy/stages" / stage / "answers.txt").read_text().split()
    }
    assert {row["key"] for row in toy[1:]} == listed


def test_export_refuses_what_it_cannot_write_whole(cli, run):
    run()
    assert cli("ledger", "export", "tony", "-o", "c.jsonl") == 2
    assert "no run 'tony'" in cli.err
    assert "there are: toy" in cli.err
    with closing(sqlite3.connect(cli.folder / LEDGER)) as db, db:
        (gone,) = db.execute("delete from answers where rowid=7 returning key").fetchone()
        (bad,) = db.execute("update answers set request=x'00' where rowid=9 returning key").fetchone()
    assert cli("ledger", "export", "toy", "-o", "c.jsonl") == 1
    assert gone in cli.err or bad in cli.err
    assert cli("ledger", "export", "-o", "c.jsonl") == 1
    assert f"the answer {bad} is damaged" in cli.err
    (cli.folder / "runs/toy/stages/01-generate/answers.txt").unlink()
    assert cli("ledger", "export", "toy", "-o", "c.jsonl") == 2
    assert "01-generate/manifest.json: this step is damaged" in cli.err
    assert "c.jsonl" not in cli.files()


def test_a_run_that_lost_rows_loses_the_same_rows_in_a_replay(cli, run):
    assert run(teacher=", fail_on: task 7") == 5
    assert cli("ledger", "export", "toy", "-o", "c.jsonl") == 0
    assert "answers and 1 failed requests are in c.jsonl" in cli.err
    assert cli("ledger", "import", "c.jsonl", "--home", "new") == 0
    assert run("new", "--offline", teacher=f", fail_on: task 7, log: {cli.folder / 'asked.txt'}") == 5
    assert not (cli.folder / "asked.txt").exists()
    assert outcome(cli.folder / "new") == outcome(cli.folder)
    assert b"half an answ" in outcome(cli.folder / "new")["01-generate/drops.jsonl"]
    assert cli("ledger", "verify", "--home", "new") == 0
    assert cli("ledger", "stats", "--json", "--home", "new") == 0
    stats = json.loads(cli.out)
    assert (stats["failed"], stats["teachers"][0]["failed"]) == (1, 1)
    assert stats["answers"] == len(lines(cli.folder / "c.jsonl")) - 2


def test_a_run_of_an_older_filial_that_lost_rows_says_that_a_replay_stops_there(cli, run, monkeypatch):
    async def note_answers_only(self, ask, request):
        reply = await ask(request)
        self.note(reply.key)
        return reply

    monkeypatch.setattr("filial.engine.stage.AnswerKeys.ask", note_answers_only)
    assert run(teacher=", fail_on: task 7") == 5
    assert cli("ledger", "export", "toy", "-o", "c.jsonl") == 0
    assert "lost 1 rows to failed calls, which an older filial did not store; a replay stops" in cli.err


def test_a_failed_request_is_sent_again_by_a_run_that_is_not_offline(cli, run):
    run(teacher=", fail_on: task 7")
    asked = cli.folder / "asked.txt"
    assert run(".", "--retry-lost", teacher=f", fail_on: task 7, came: {asked}") == 5
    assert "task 7" in asked.read_text().splitlines()


def test_an_answer_replaces_a_failure_and_never_the_other_way_round(cli, run):
    run(teacher=", fail_on: task 7")
    cli("ledger", "export", "toy", "-o", "failed.jsonl")
    broken, row = next(
        (n, row)
        for n, row in enumerate(lines(cli.folder / "failed.jsonl"))
        if "reply" in row and "failure" in row["reply"]
    )
    row["reply"] = {"text": "at last"}
    del row["checksum"]
    text = (cli.folder / "failed.jsonl").read_text().splitlines()
    text[broken] = json.dumps({**row, "checksum": digest(row)})
    (cli.folder / "served.jsonl").write_text("\n".join(text) + "\n")
    for home, order in (("a", ("failed", "served")), ("b", ("served", "failed"))):
        for name in order:
            assert cli("ledger", "import", f"{name}.jsonl", "--home", home) == 0
        assert cli("ledger", "export", "-o", f"{home}.jsonl", "--home", home) == 0
        assert lines(cli.folder / f"{home}.jsonl") == lines(cli.folder / "served.jsonl")


def test_import_says_what_is_new_and_keeps_what_is_there(cli, run):
    run()
    cli("ledger", "export", "-o", "c.jsonl")
    assert cli("ledger", "import", "c.jsonl") == 0
    assert "0 of them new" in cli.err
    with closing(sqlite3.connect(cli.folder / LEDGER)) as db, db:
        db.execute("update answers set reply=x'00' where rowid in (2, 3)")
        db.execute("delete from answers where rowid=5")
        count = db.execute("select count(*) from answers").fetchone()[0]
    assert cli("ledger", "import", "c.jsonl", "c.jsonl") == 0
    assert f"{2 * count + 2:,} answers, 3 of them new" in cli.err
    assert cli("ledger", "verify") == 0


def test_imported_answers_have_the_day_of_their_coming(cli, run):
    run()
    cli("ledger", "export", "-o", "c.jsonl")
    cli("ledger", "import", "c.jsonl", "--home", "new")
    cli("ledger", "stats", "--json", "--home", "new")
    (teacher,) = json.loads(cli.out)["teachers"]
    assert teacher["oldest"] > "2025"


def held(home):
    path = home / LEDGER
    with closing(Ledger(path)) as ledger:
        return len(ledger)


def refused(cli, data, message, name="bad.jsonl"):
    """An import of these bytes ends in one sentence and takes in nothing."""
    (cli.folder / name).write_bytes(data)
    assert cli("ledger", "import", "good.jsonl", name, "--home", "new") == 2
    assert message in cli.err
    assert cli.err.count("\n") == 1
    assert held(cli.folder / "new") == 0


@pytest.fixture
def good(cli, run):
    """The bytes of a good cassette, which is good.jsonl."""
    run()
    cli("ledger", "export", "-o", "good.jsonl")
    return (cli.folder / "good.jsonl").read_bytes()


def test_every_flipped_bit_of_a_cassette_is_noticed(cli, good):
    short = b"".join(good.splitlines(keepends=True)[:3]).replace(
        b'"answers":%d' % (good.count(b"\n") - 1), b'"answers":2'
    )
    (cli.folder / "short.jsonl").write_bytes(short)
    whole = entries(cli.folder / "short.jsonl")
    assert len(whole) == 2
    for bit in range(8 * len(short)):
        damaged = bytearray(short)
        damaged[bit // 8] ^= 1 << bit % 8
        (cli.folder / "short.jsonl").write_bytes(damaged)
        assert entries(cli.folder / "short.jsonl") in (None, whole), f"bit {bit}"
        if damaged[bit // 8 : bit // 8 + 1].isspace() or short[bit // 8 : bit // 8 + 1].isspace():
            continue
        assert entries(cli.folder / "short.jsonl") is None, f"bit {bit}"


def entries(path):
    """What is in a cassette, or None where that is refused."""
    try:
        return [(entry.key, *entry.decode()) for entry in CassetteReader(path).entries()]
    except UsageError:
        return None


def test_a_damaged_line_is_named_and_nothing_is_taken_in(cli, good):
    header, first, *rest = good.splitlines(keepends=True)
    changed = first.replace(b" indeed", b" indeeed")
    refused(cli, b"".join([header, first, *rest[:3], changed, *rest[4:]]), "bad.jsonl:6: the line was changed")
    refused(cli, good[:-10], f"bad.jsonl:{len(good.splitlines())}: not JSON: unterminated string")
    refused(cli, b"".join([header, first]), "contains 1 answers, but its header says")
    refused(cli, first + header, "bad.jsonl:1: this is not a cassette")
    refused(cli, b"", "the cassette is empty")
    refused(cli, b'{"instruction": "x"}\n', "bad.jsonl:1: this is not a cassette; 'filial ledger export' makes one")
    refused(
        cli, header.replace(b'"filial_cassette":1', b'"filial_cassette":2') + first, "bad.jsonl:1: this filial reads"
    )
    refused(
        cli, header.replace(b'"echo":1', b'"echo":2') + first, "bad.jsonl:1: the identity of the teacher 'toy.py:echo'"
    )
    refused(cli, gzip.compress(good)[:-200], "the packed data is damaged", "bad.jsonl.gz")


def test_an_answer_under_the_key_of_another_question_is_refused(cli, good):
    """Its checksum holds, since whoever made it could work one out."""
    from filial.storage import digest

    header, first, second, *rest = map(json.loads, good.splitlines())
    first["key"] = second["key"]
    first["checksum"] = digest({name: value for name, value in first.items() if name != "checksum"})
    data = b"".join(json.dumps(row).encode() + b"\n" for row in (header, first, second, *rest))
    refused(cli, data, "bad.jsonl:2: the key")


def test_cassettes_put_one_behind_the_other_are_one(cli, good):
    (cli.folder / "two.jsonl").write_bytes(good + good)
    assert cli("ledger", "import", "two.jsonl", "--home", "new") == 0
    assert held(cli.folder / "new") == good.count(b"\n") - 1


def test_a_cassette_that_a_tool_wrote_anew_is_still_good(cli, good):
    rows = [json.dumps(json.loads(line), indent=None, sort_keys=True) for line in good.splitlines()]
    (cli.folder / "again.jsonl").write_text("\n".join(rows))
    assert cli("ledger", "import", "again.jsonl", "--home", "new") == 0
    assert held(cli.folder / "new") == len(rows) - 1


def test_answers_of_an_unknown_teacher_travel_too(cli, good):
    with closing(sqlite3.connect(cli.folder / LEDGER)) as db, db:
        db.execute("delete from teachers")
    assert cli("ledger", "export", "-o", "old.jsonl") == 0
    assert lines(cli.folder / "old.jsonl")[0]["teachers"] == {}
    assert cli("ledger", "import", "old.jsonl", "--home", "new") == 0
    shutil.rmtree(cli.folder / "runs")
    assert cli("run", "toy.yaml", "--home", "new", "--offline") == 0


def test_a_run_from_python_is_offline_too(cli, good):
    cli("ledger", "import", "good.jsonl", "--home", "new")
    manager = Manager()
    manager.load_file(TOY)
    summary = Run(load(cli.folder / "toy.yaml", manager), manager, cli.folder / "new", "toy", offline=True).execute()
    assert summary["teacher"]["requests"] == 0
    assert outcome(cli.folder / "new") == outcome(cli.folder)
