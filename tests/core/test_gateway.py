"""The gateway: asked once, below the caps, and never silent about a failure."""

import asyncio
import sqlite3
import subprocess
import sys
import zlib
from contextlib import closing

import gateway_kit
import pytest
import virtual_time
from gateway_kit import Moody, ask, request, stored

from filial import FilialError, Price, Reply, TeacherError
from filial.contracts.errors import BudgetStop, TeacherUnreachable
from filial.gateway import Budget, BudgetAccount, Gateway, Ledger, TeacherKeys, encode_request
from filial.gateway.budget import Journal

gateway, waits = gateway_kit.gateway, gateway_kit.waits


def test_equal_requests_in_flight_are_asked_once(gateway):
    g = gateway(lambda r, n: f"answer {n}")
    answers = ask(g, *["same"] * 50)
    assert {a.text for a in answers} == {"answer 1"}
    assert g.teacher._state["calls"] == 1


def test_what_the_ledger_holds_is_not_asked_again(gateway):
    assert ask(gateway(lambda r, n: "first"), "q")[0].text == "first"
    again = gateway(lambda r, n: AssertionError("asked again"))
    assert ask(again, "q")[0].text == "first"
    assert (again.spent.requests, again.spent.from_ledger) == (0, 1)


def test_a_cut_answer_is_a_failure_with_its_text_and_is_not_stored_as_an_answer(gateway):
    g = gateway(lambda r, n: Reply(text="The answer is for", finish_reason="length"))
    error = ask(g, "q")[0]
    assert (error.reason, error.answer) == ("length", "The answer is for")
    assert stored(g) == [(True, str(error), "The answer is for")]


def test_one_bad_answer_costs_no_other(gateway):
    def answer(r, n):
        return TeacherError("bad-body") if r.messages[0].content == "q3" else "ok"

    results = ask(gateway(answer), *(f"q{i}" for i in range(8)))
    assert [isinstance(r, TeacherError) for r in results] == [i == 3 for i in range(8)]


def test_never_more_in_flight_than_allowed(gateway):
    g = gateway(lambda r, n: "ok", max_concurrency=4)
    ask(g, *(f"q{i}" for i in range(40)))
    assert g.teacher._state["peak"] <= 4


@pytest.mark.parametrize("cap", [1, 5, 17])
def test_a_cap_on_requests_is_never_passed_and_what_was_paid_is_kept(gateway, cap):
    g = gateway(lambda r, n: "ok", budget=Budget(requests=cap), max_concurrency=64)
    results = ask(g, *(f"q{i}" for i in range(40)))
    assert g.teacher._state["calls"] == cap == len(g.ledger)
    assert sum(isinstance(r, BudgetStop) for r in results) == 40 - cap


def test_wrappers_stand_outside_the_ledger_so_what_they_change_is_what_is_stored(gateway):
    def redacting(proceed):
        async def ask(r):
            clean = r.messages[0].content.replace("Ada", "[name]")
            return await proceed(request(clean))

        return ask

    g = gateway(lambda r, n: r.messages[0].content, wrap=redacting)
    assert ask(g, "Write to Ada.")[0].text == "Write to [name]."
    stored = b"".join(row[0] for row in g.ledger._db.execute("select request from answers"))
    assert b"Ada" not in zlib.decompress(stored)


def test_a_fault_of_the_teachers_own_code_ends_the_run_and_names_the_teacher(gateway):
    g = gateway(lambda r, n: ZeroDivisionError("a bug"))
    error = ask(g, "q")[0]
    assert isinstance(error, FilialError)
    assert not isinstance(error, TeacherError)
    assert "'moody'" in str(error)
    assert "ZeroDivisionError: a bug" in str(error)
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert g.stopped is error


@pytest.mark.parametrize("given", [None, "a bare text"])
def test_a_teacher_that_returns_no_reply_is_named(gateway, given):
    g = gateway(lambda r, n: "unused")

    async def reply(self, request):
        return given

    type(g.teacher).reply, whole = reply, type(g.teacher).reply
    try:
        error = ask(g, "q")[0]
    finally:
        type(g.teacher).reply = whole
    assert "'moody' breaks its contract" in str(error)


@pytest.mark.parametrize("place", ["question", "answer"])
def test_half_a_character_costs_its_request_alone_and_is_never_stored(gateway, place):
    g = gateway(lambda r, n: "half \ud83d" if r.messages[0].content == "bad answer" else "ok")
    bad, good = ask(g, "half \ud83d" if place == "question" else "bad answer", "fine")
    assert bad.reason == "not-unicode"
    assert "U+D83D" in bad.detail
    assert good.text == "ok"
    failures = [(True, str(bad), "half ?")] if place == "answer" else []
    assert sorted(stored(g)) == sorted([(False, "", "ok"), *failures])


def test_a_request_goes_on_when_its_asker_gives_up_and_serves_whoever_asks_the_same(gateway):
    released = asyncio.Event()

    async def slowly():
        await released.wait()
        return Reply(text="answered")

    g = gateway(lambda r, n: slowly())

    async def both():
        first = asyncio.create_task(g.ask(request("q")))
        while not g.teacher._state["open"]:
            await asyncio.sleep(0)
        first.cancel()
        second = asyncio.create_task(g.ask(request("q")))
        await asyncio.sleep(0)
        released.set()
        return await asyncio.wait_for(second, 5)

    assert virtual_time.run(both()).text == "answered"
    assert g.teacher._state["calls"] == 1


def test_closing_waits_for_what_is_in_flight_and_stores_it_and_sends_nothing_more(tmp_path):
    async def slowly():
        await asyncio.sleep(0.05)
        return "paid for"

    told = []
    teacher = Moody.saying(lambda r, n: slowly(), max_concurrency=3)
    g = Gateway("moody", teacher, Ledger(tmp_path / "l.sqlite"), note=told.append)

    async def interrupted():
        askers = [asyncio.create_task(g.ask(request(f"q{i}"))) for i in range(10)]
        while teacher._state["open"] < 3:
            await asyncio.sleep(0.001)
        for asker in askers:
            asker.cancel()
        await asyncio.gather(*askers, return_exceptions=True)
        await g.close()

    virtual_time.run(interrupted())
    assert teacher._state["calls"] == 3
    again = Ledger(tmp_path / "l.sqlite")
    assert len(again) == 3
    again.close()
    assert told == ["finishing 3 requests in flight (Ctrl-C leaves them)"]


def test_offline_the_ledger_answers_and_nothing_is_sent(gateway, tmp_path):
    assert ask(gateway(lambda r, n: "first"), "known")[0].text == "first"
    teacher = Moody.saying(lambda r, n: "sent")
    g = Gateway("moody", teacher, Ledger(tmp_path / "ledger.sqlite"), offline=True)
    known, unknown = ask(g, "known", "unknown")
    assert known.text == "first"
    assert isinstance(unknown, TeacherUnreachable)
    assert "offline" in str(unknown)
    assert "'unknown'" in str(unknown)
    assert teacher._state["calls"] == 0
    g.ledger.close()


def test_thoughts_are_counted_and_are_no_text(gateway):
    g = gateway(lambda r, n: Reply(text="Yes.", reasoning="Is it? It is." if n > 1 else ""))
    ask(g, "q1")
    assert [a.text for a in ask(g, "q2", "q3")] == ["Yes.", "Yes."]
    assert (g.spent.with_reasoning, g.spent.estimated) == (2, 3)
    assert g.spent.completion_tokens == 3 * g.teacher.bound(request("q1")).completion


def test_half_a_character_in_thoughts_costs_the_row_and_not_the_run(gateway):
    g = gateway(lambda r, n: Reply(text="Yes.", reasoning="a\ud800b"))
    assert ask(g, "q")[0].reason == "not-unicode"
    g = gateway(lambda r, n: Reply(text="Yes.", reasoning=None))
    assert "breaks its contract" in str(ask(g, "q")[0])


def test_what_another_run_was_answered_while_this_one_waited_is_not_asked_again(gateway):
    """Two runs with one ledger; this one may ask one question at a time."""
    other = gateway(lambda r, n: "the other's")

    async def slow(r):
        assert (await other.ask(request("b"))).text == "the other's"
        return "ours"

    ours = gateway(lambda r, n: slow(r), max_concurrency=1)
    assert [reply.text for reply in ask(ours, "a", "b")] == ["ours", "the other's"]
    assert (ours.spent.requests, ours.spent.from_ledger) == (1, 1)


def test_what_two_runs_ask_at_the_same_time_is_asked_once(gateway):
    """The other run begins while the question is on the wire, and waits for the answer."""
    other = gateway(lambda r, n: "the other's")

    async def both():
        begun, end = asyncio.Event(), asyncio.Event()

        async def slow():
            begun.set()
            await end.wait()
            return "ours"

        ours = gateway(lambda r, n: slow())
        first = asyncio.create_task(ours.ask(request("a")))
        await begun.wait()
        second = asyncio.create_task(other.ask(request("a")))
        while not other.waits:  # it looks again, and again
            await asyncio.sleep(0)
        end.set()
        return [await first, await second]

    assert [reply.text for reply in asyncio.run(both())] == ["ours", "ours"]
    assert (other.spent.requests, other.spent.from_ledger) == (0, 1)


@pytest.mark.parametrize("ends", [TeacherError("broken", "for good"), "killed"])
def test_a_question_that_another_run_no_longer_asks_is_asked(gateway, ends):
    ours = gateway(lambda r, n: "ours")
    if ends == "killed":
        with closing(sqlite3.connect(ours.ledger.path)) as db, db:
            db.executemany("insert into asking values (?, '999999999.0', 1e12)", [(key_of(ours, "a"),)])
    else:
        (failed,) = ask(gateway(lambda r, n: ends), "a")
        assert failed is ends
    assert ask(ours, "a")[0].text == "ours"
    assert ours.waits == []


CLAIMANT = """
import asyncio, sys
from pathlib import Path
from filial.gateway import Ledger
print(asyncio.run(Ledger(Path(sys.argv[1])).claim(sys.argv[2])), flush=True)
sys.stdin.read()
"""


def test_what_another_process_asks_is_not_asked_while_it_lives_and_is_once_it_was_killed(gateway):
    ours = gateway(lambda r, n: "ours")
    command = [sys.executable, "-c", CLAIMANT, str(ours.ledger.path), key_of(ours, "a")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"True\n"
        assert not asyncio.run(ours.ledger.claim(key_of(ours, "a")))
        other.kill()
    assert ask(ours, "a")[0].text == "ours"
    assert ours.waits == []


def test_a_request_is_noted_and_claimed_on_disk_before_it_is_sent_and_many_share_a_transaction(tmp_path):
    seen, commits = [], []
    account = BudgetAccount(Budget(usd=1.0), tmp_path / "spend.sqlite")

    def answer(r, n):
        db = account._file._db
        noted = db.execute("select count(*) from open").fetchone()[0]
        with closing(sqlite3.connect(tmp_path / "l.sqlite")) as other:
            claimed = other.execute("select count(*) from asking").fetchone()[0]
        seen.append((not db.in_transaction, noted + account.settled.requests >= n, claimed >= 64 - len(g.ledger)))
        return "ok"

    g = Gateway("moody", Priced.saying(answer), Ledger(tmp_path / "l.sqlite"), account)
    g.slots.limit = 64.0

    async def work():
        await g.ask(request("first"))
        for db in (g.ledger._db, account._file._db):
            db.set_trace_callback(lambda statement: commits.append(statement) if statement == "commit" else None)
        await asyncio.gather(*(g.ask(request(f"q{i}")) for i in range(64)))
        await g.close()

    virtual_time.run(work())
    account.close()
    assert seen[1:] == [(True, True, True)] * 64
    assert 3 <= len(commits) <= 8, "claims, notes and answers of 64, and what close writes"
    assert Journal.read_totals(tmp_path / "spend.sqlite") == account.settled
    with closing(sqlite3.connect(tmp_path / "l.sqlite")) as db:
        assert db.execute("select count(*) from asking").fetchone() == (0,)


class Priced(Moody):
    def price(self):
        return Price(prompt=1.0, completion=1.0)


def key_of(gateway, text):
    return gateway._keys.key(encode_request(request(text)))


def test_the_key_of_a_question_is_worked_out_once(gateway, monkeypatch):
    keys, key = [], TeacherKeys.key

    def count_key(self, asked):
        keys.append(asked)
        return key(self, asked)

    monkeypatch.setattr(TeacherKeys, "key", count_key)
    ask(gateway(lambda r, n: "yes"), "well?")
    asked_anew = len(keys)
    ask(gateway(lambda r, n: "no"), "well?")
    assert (asked_anew, len(keys) - asked_anew) == (1, 1)
