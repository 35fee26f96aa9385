"""filial ledger: what it holds is told, damage is found and never served, what is removed is what was named."""

import asyncio
import json
import random
import shutil
import sqlite3
from contextlib import closing

import pytest

from filial import Message, Reply, Request
from filial.errors import FilialError
from filial.ledger import Addresses, Ledger, encode_request
from filial.ledger.check import checked, rebuilt

LEDGER = ".filial/ledger.sqlite"
RECIPE = """
seed: {seed}
teacher: {{use: echo}}
stages:
  - generate: {{use: count, count: {count}, seeds: seeds.jsonl}}
  - evolve: {{strategies: [longer], eliminate: [{{use: short, words: 60}}]}}
"""


def fill(path, count, use="echo", identity=None, words=3, known=True):
    """Store so many answers; returns key -> reply."""

    async def all_at_once():
        with closing(Ledger(path)) as ledger:
            who = Addresses(use, {"model": "m1"} if identity is None else identity)
            if known:
                ledger.introduce(who)
            asked = [
                encode_request(Request(messages=(Message(role="user", content=f"{use} {i} {'why ' * words}"),)))
                for i in range(count)
            ]
            puts = (
                ledger.put(
                    who.key(a), who.identity, a, Reply(text=f"{i} is {use}", prompt_tokens=2, completion_tokens=3)
                )
                for i, a in enumerate(asked)
            )
            return {reply.key: reply for reply in await asyncio.gather(*puts)}

    return asyncio.run(all_at_once())


@pytest.fixture
def book(cli):
    """The path of the ledger in the command line's folder."""
    return cli.folder / LEDGER


@pytest.fixture
def run(cli):
    """``run(name, count)``: a run of the toy teacher with so many tasks."""

    def start(name="toy", count=10, seed=1, *flags):
        cli.write("seeds.jsonl", {"instruction": "Name a river."})
        (cli.folder / "toy.yaml").write_text(RECIPE.format(seed=seed, count=count))
        return cli("run", "toy.yaml", "--name", name, *flags)

    return start


def change(path, statement, *values):
    with closing(sqlite3.connect(path)) as db, db:
        assert db.execute(statement, values).rowcount == 1


def verified(cli):
    code = cli("ledger", "verify", "--json")
    return code, json.loads(cli.out)


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
    assert max(map(len, cli.out.splitlines())) <= 100


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
    assert cli.err == "All 24 answers are whole.\n"


def test_answers_of_a_teacher_nobody_noted_are_counted_apart(cli, book):
    fill(book, 2, known=False)
    code, told = verified(cli)
    assert (code, told["answers"], told["unknown"]) == (0, 2, 2)


def flipped(path, table, column, row):
    """The file with each bit of one value flipped, one after the other."""
    with closing(sqlite3.connect(path)) as db:
        ((kind, value),) = db.execute(
            f"select typeof({column}), cast({column} as blob) from {table} where rowid=?", (row,)
        )
        for bit in range(8 * len(value)):
            damaged = bytearray(value)
            damaged[bit // 8] ^= 1 << bit % 8
            with db:
                db.execute(f"update {table} set {column}=cast(? as {kind}) where rowid=?", (bytes(damaged), row))
            yield bit
        with db:
            db.execute(f"update {table} set {column}=cast(? as {kind}) where rowid=?", (value, row))


@pytest.mark.parametrize("column", ["key", "identity", "request", "reply", "checksum"])
def test_every_flipped_bit_of_an_answer_is_noticed(tmp_path, column):
    path = tmp_path / "ledger.sqlite"
    answers = fill(path, 3)
    with closing(Ledger(path)) as ledger:
        for bit in flipped(path, "answers", column, 2):
            health = checked(ledger)
            assert [damage.row for damage in health.damaged] == [2], f"bit {bit}"
        assert checked(ledger).whole
        assert {key: ledger.get(key) for key in answers} == answers


@pytest.mark.parametrize("column", ["identity", "use", "options"])
def test_every_flipped_bit_of_a_teacher_is_noticed(tmp_path, column):
    path = tmp_path / "ledger.sqlite"
    fill(path, 1)
    with closing(Ledger(path)) as ledger:
        for bit in flipped(path, "teachers", column, 1):
            assert not checked(ledger).whole, f"bit {bit}"
        assert checked(ledger).whole


def test_an_answer_sealed_for_another_question_is_noticed(tmp_path):
    """Its checksums hold; its key is not the one of what was asked."""
    from filial.ledger.entries import sealed

    path = tmp_path / "ledger.sqlite"
    fill(path, 1)
    with closing(Ledger(path)) as ledger:
        who = Addresses("echo", {"model": "m1"})
        asked = encode_request(Request(messages=(Message(role="user", content="another"),)))
        ledger.add([sealed("0" * 32, who.identity, asked, Reply(text="x"))])
        assert [(d.key, d.what) for d in checked(ledger).damaged] == [("0" * 32, "its key is not that of its question")]


def test_verify_names_damaged_answers_and_the_cure_which_works(cli, book, run):
    run()
    for row in (3, 5):
        change(book, "update answers set reply=x'00' where rowid=?", row)
    with closing(sqlite3.connect(book)) as db:
        keys = {key for (key,) in db.execute("select key from answers where rowid in (3, 5)")}
    assert cli("ledger", "verify", "--show", "1") == 1
    first, more = cli.out.splitlines()
    assert first.partition(":")[0] in keys
    assert more == "… and 1 more"
    assert "2 of 24 answers are damaged" in cli.err
    assert "filial ledger prune --damaged" in cli.err
    assert cli("ledger", "prune", "--damaged", "--yes") == 0
    assert "2 answers" in cli.err
    code, told = verified(cli)
    assert (code, told["answers"]) == (0, 22)
    assert run("again") == 0, "what is missing is asked again"
    assert "2 requests, 22 answers from the ledger" in cli.out


def test_a_damaged_teacher_is_mended_and_its_answers_stay(cli, book, run):
    run()
    change(book, "update teachers set options='{}'")
    assert verified(cli)[0] == 1
    assert cli("ledger", "prune", "--damaged", "--yes") == 0
    code, told = verified(cli)
    assert (code, told["answers"], told["unknown"]) == (0, 24, 24)
    assert run("more", count=12) == 0
    assert verified(cli)[1]["unknown"] == 0, "who the teacher is was noted again"


def spoilt(data, rng):
    """A file with some bytes changed, cut off, or overwritten."""
    damaged = bytearray(data)
    kind = rng.choice(["flip", "flip", "flip", "cut", "page", "grow"])
    if kind == "flip":
        for _ in range(rng.choice([1, 1, 3, 20])):
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del damaged[rng.randrange(len(damaged)) :]
    elif kind == "page":
        at = 4096 * rng.randrange(len(damaged) // 4096)
        damaged[at : at + 4096] = rng.randbytes(4096)
    else:
        damaged += rng.randbytes(5000)
    return bytes(damaged)


def told(call, *args):
    """What a call returns, or the sentence it ends in; anything but a sentence fails the test."""
    try:
        return call(*args), ""
    except FilialError as err:
        return None, str(err)


# Behind the first come cases in which sqlite quotes damage, or the damage renames a column or bars writing.
@pytest.mark.parametrize("seed", [*range(40), 179, 231, 568, 700, 966, 1731])
def test_a_spoilt_file_never_serves_what_was_not_stored_and_ends_in_sentences(tmp_path, seed):
    rng = random.Random(seed)
    answers = fill(tmp_path / "good.sqlite", 60, words=rng.choice([3, 300]))
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(data := spoilt((tmp_path / "good.sqlite").read_bytes(), rng))
    ledger, refusal = told(Ledger, path)
    if ledger is None:
        assert "the ledger cannot be opened" in refusal
        assert "\n" not in refusal
        return
    with closing(ledger):
        served = {key: told(ledger.get, key)[0] for key in answers}
        health = checked(ledger)
    assert all(served[key] in (None, reply) for key, reply in answers.items())
    assert not health.whole or served == answers or not data
    if health.file:
        done, refusal = told(rebuilt, path)
        if done is None:
            assert "cannot be written" in refusal, "the damage says that the file is only to be read"
            return
        saved, _ = done
        with closing(Ledger(path)) as ledger:
            assert checked(ledger).whole
            kept = {key: reply for key in answers if (reply := ledger.get(key)) is not None}
            assert len(ledger) == len(kept) == saved
        assert kept.items() <= answers.items()


def test_of_a_damaged_file_every_answer_that_can_be_read_is_saved(cli, book):
    fill(book, 400, words=30)
    page = 4096 * (book.stat().st_size // 4096 // 2)
    data = bytearray(book.read_bytes())
    data[page : page + 4096] = bytes(4096)
    book.write_bytes(data)
    code, told = verified(cli)
    assert code == 1
    assert told["file"]
    whole = told["answers"] - len(told["damaged"])
    assert 350 < whole < 400
    assert cli("ledger", "prune", "--older-than", "1", "--yes") == 1
    assert "the file is damaged" in cli.err
    assert cli("ledger", "prune", "--damaged", "--dry-run") == 0
    assert cli("ledger", "prune", "--damaged", "--yes") == 0
    assert f"{whole} answers are saved; the damaged file is {LEDGER}.damaged now" in cli.err
    code, told = verified(cli)
    assert (code, told["answers"], told["unknown"]) == (0, whole, 0)
    assert (cli.folder / f"{LEDGER}.damaged").read_bytes()[page : page + 4096] == bytes(4096)


def test_a_ledger_in_use_is_not_rebuilt_under_whoever_uses_it(tmp_path, monkeypatch):
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **{**k, "timeout": 0.1}))
    path = tmp_path / "ledger.sqlite"
    answers = fill(path, 3)
    with closing(Ledger(path)) as other:
        assert other.get(next(iter(answers))) is not None
        with pytest.raises(FilialError, match="another process holds it"):
            rebuilt(path)
        assert len(other) == 3


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
        (entry,) = ledger.entries()
        ledger.remove([(entry.row, b"what it was when somebody looked")])
        assert len(ledger) == 1
        ledger.remove([(entry.row, entry.checksum)])
        assert len(ledger) == 0
