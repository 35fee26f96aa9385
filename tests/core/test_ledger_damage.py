"""Damage to a ledger is found, never served, and mended; what can be read is saved."""

import random
import re
import shlex
import sqlite3
from contextlib import closing

import ledger_kit
import pytest
from ledger_kit import LEDGER, change, fill, verified

from filial import FilialError, Message, Reply, Request
from filial.gateway import Ledger, TeacherKeys, encode_request, make_entry
from filial_plugins.ledger.health import check_ledger, rebuild
from filial_plugins.ledger.maintenance import add_entries

book, run = ledger_kit.book, ledger_kit.run


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
            health = check_ledger(ledger)
            assert [damage.row for damage in health.damaged] == [2], f"bit {bit}"
        assert check_ledger(ledger).whole
        assert {key: ledger.get(key) for key in answers} == answers


@pytest.mark.parametrize("column", ["identity", "use", "options"])
def test_every_flipped_bit_of_a_teacher_is_noticed(tmp_path, column):
    path = tmp_path / "ledger.sqlite"
    fill(path, 1)
    with closing(Ledger(path)) as ledger:
        for bit in flipped(path, "teachers", column, 1):
            assert not check_ledger(ledger).whole, f"bit {bit}"
        assert check_ledger(ledger).whole


def test_an_answer_sealed_for_another_question_is_noticed(tmp_path):
    """Its checksums hold; its key is not the one of what was asked."""
    path = tmp_path / "ledger.sqlite"
    fill(path, 1)
    with closing(Ledger(path)) as ledger:
        who = TeacherKeys("echo", {"model": "m1"})
        asked = encode_request(Request(messages=(Message(role="user", content="another"),)))
        add_entries(ledger, [make_entry("0" * 32, who.identity, asked, Reply(text="x"))])
        assert [(d.key, d.what) for d in check_ledger(ledger).damaged] == [
            ("0" * 32, "its key is not that of its question")
        ]


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
    assert "ledger prune --damaged'" in cli.err
    assert cli("ledger", "prune", "--damaged", "--yes") == 0
    assert "2 answers" in cli.err
    code, told = verified(cli)
    assert (code, told["answers"]) == (0, 22)
    assert run("again") == 0, "what is missing is asked again"
    assert "2 requests, 22 answers from the ledger" in cli.out


def test_the_cure_that_is_proposed_is_for_the_ledger_of_that_home(cli, book, run):
    run()
    change(book, "update answers set reply=x'00' where rowid=3")
    folder = cli.folder / "else where"
    folder.mkdir()
    (cli.folder / ".filial").rename(folder / ".filial")
    assert cli("ledger", "verify", "--home", "else where", toy=False) == 1
    words = shlex.split(re.search(r"'filial (.*)' removes", cli.err)[1])
    assert words == ["ledger", "prune", "--damaged", "--home", "else where"]
    assert cli(*words, "--yes", toy=False) == 0
    assert cli("ledger", "verify", "--home", "else where", toy=False) == 0


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
        health = check_ledger(ledger)
    assert all(served[key] in (None, reply) for key, reply in answers.items())
    assert not health.whole or served == answers or not data
    if health.file:
        done, refusal = told(rebuild, path)
        if done is None:
            assert "cannot be written" in refusal, "the damage says that the file is only to be read"
            return
        saved, _ = done
        with closing(Ledger(path)) as ledger:
            assert check_ledger(ledger).whole
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
        with pytest.raises(FilialError, match="another process is using it"):
            rebuild(path)
        assert len(other) == 3
