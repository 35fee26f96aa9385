"""Caps are never passed, nearly all of them is used, and a kill forgets nothing."""

import asyncio
import os
import random
import signal
import subprocess
import sys

import pytest

from filial import Bound, FilialError, Price, UsageError
from filial.contracts.errors import BudgetStop
from filial.gateway import Budget, BudgetAccount
from filial.gateway.budget import PICO, Journal, Totals, dollars, picodollars

PRICE = Price(prompt=0.15, completion=0.6)


def cost(prompt, completion):
    return Totals(requests=1, prompt=prompt, completion=completion, pico=picodollars(PRICE.cost(prompt, completion)))


WORST = Bound(400, 200)


async def spend(account, at_once, rng):
    """Send until the purse says stop; answers take a moment and cost less than the worst."""

    async def one():
        while True:
            given = await account.reserve(WORST, PRICE)
            await asyncio.sleep(rng.random() / 1000)
            account.settle(given, cost(rng.randint(50, 100), rng.randint(20, 200)))

    return await asyncio.gather(*(one() for _ in range(at_once)), return_exceptions=True)


@pytest.mark.parametrize("seed", range(5))
def test_money_is_never_passed_and_nearly_all_used(seed):
    account = BudgetAccount(Budget(usd=0.02))
    ends = asyncio.run(spend(account, 64, random.Random(seed)))
    assert all(isinstance(e, BudgetStop) for e in ends)
    assert 0.95 * 0.02 < account.usd <= 0.02
    assert account.open == Totals()


def test_tokens_are_never_passed_and_nearly_all_used():
    account = BudgetAccount(Budget(tokens=50_000))
    asyncio.run(spend(account, 64, random.Random(1)))
    assert 0.95 * 50_000 < account.settled.tokens <= 50_000


def test_a_request_that_could_never_fit_stops_at_once_and_says_what_it_could_cost():
    account = BudgetAccount(Budget(usd=0.0001))
    with pytest.raises(
        BudgetStop, match=r"the budget of \$0\.000100 is used up \(\$0 spent, .* could cost \$0\.000180"
    ):
        asyncio.run(account.reserve(Bound(400, 200), PRICE))


def test_what_was_lost_on_its_way_counts_with_the_most_it_could_cost():
    account = BudgetAccount(Budget(usd=1.0))

    async def lose():
        given = await account.reserve(Bound(400, 200), PRICE)
        account.settle(given, Totals(requests=1, prompt=given.tokens, unsure=given.pico))

    asyncio.run(lose())
    assert account.usd == pytest.approx(PRICE.cost(400, 200))
    assert account.spent.usd == 0
    assert account.spent.unsure_usd == pytest.approx(PRICE.cost(400, 200))


def test_spend_survives_the_process(tmp_path):
    for _ in range(3):
        account = BudgetAccount(Budget(usd=1.0), Journal(tmp_path / "spend.jsonl"))

        async def one(account=account):
            account.settle(await account.reserve(Bound(400, 200), PRICE), cost(60, 30))

        asyncio.run(one())
        account.close()
    assert account.settled == Totals(3, 180, 90, 3 * cost(60, 30).pico, 0)
    assert account.spent.requests == 1
    assert len((tmp_path / "spend.jsonl").read_bytes().splitlines()) == 1


KILLED = """
import asyncio, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
import test_budget as t
account = t.BudgetAccount(t.Budget(usd=5.0), t.Journal(Path(sys.argv[1])))
print("ready", flush=True)
asyncio.run(t.spend(account, 8, t.random.Random(3)))
"""


def test_what_was_in_flight_when_the_process_was_killed_counts_with_the_most(tmp_path):
    path = tmp_path / "spend.jsonl"
    done = before = 0
    for kill in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(path), os.path.dirname(__file__)], stdout=subprocess.PIPE
        )
        process.stdout.readline()
        while not path.exists() or path.stat().st_ino == before or path.stat().st_size < 5_000:
            assert process.poll() is None
        before = path.stat().st_ino
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        totals = Journal(path).read()
        assert totals.requests > done
        assert totals.unsure <= 8 * (kill + 1) * picodollars(PRICE.cost(400, 200))
        done = totals.requests


def test_a_torn_last_line_is_no_damage_and_any_other_is_told(tmp_path):
    path = tmp_path / "spend.jsonl"
    journal = Journal(path)
    journal.opened(1, 600, 5)
    journal.closed(1, cost(60, 30))
    journal.opened(2, 600, 7)
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    expected = Totals(2, 660, 30, cost(60, 30).pico, 7)
    assert Journal(path).read() == expected
    for end in range(len(whole) - len(lines[-1]) + 1, len(whole) - 1):
        path.write_bytes(whole[:end])
        assert Journal(path).read() == cost(60, 30)
    for place in range(len(lines[0]) - 1):
        path.write_bytes(bytes([*whole[:place], whole[place] ^ 1, *whole[place + 1 :]]))
        with pytest.raises(UsageError, match=r"spend\.jsonl:1: this line is damaged"):
            Journal(path).read()


def test_a_full_disk_is_told_before_anything_is_sent_and_half_a_line_stays_the_last(tmp_path, monkeypatch):
    path = tmp_path / "spend.jsonl"
    account, write = BudgetAccount(Budget(usd=1.0), Journal(path)), os.write
    monkeypatch.setattr("filial.gateway.budget.os.write", lambda fd, line: write(fd, line[:9]))
    for _ in range(2):
        with pytest.raises(FilialError, match="disk is full"):
            asyncio.run(account.reserve(WORST, PRICE))
    assert path.stat().st_size == 9
    assert Journal(path).read() == Totals()


@pytest.mark.parametrize(
    ("usd", "shown"),
    [(0, "$0"), (12.4, "$12.40"), (0.0198, "$0.0198"), (0.0000123, "$0.0000123"), (1234.5, "$1,234.50")],
)
def test_amounts_show_what_there_is_to_see(usd, shown):
    assert dollars(usd) == shown


def test_sums_of_money_are_exact():
    assert sum(picodollars(PRICE.cost(1, 1)) for _ in range(1_000_000)) == picodollars(PRICE.cost(10**6, 10**6))
    assert picodollars(0.75) == 0.75 * PICO
