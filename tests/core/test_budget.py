"""Caps are never passed, nearly all of them is used, and a kill forgets nothing."""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import zlib
from contextlib import closing
from dataclasses import astuple

import msgspec
import pytest
import virtual_time

from filial import Bound, FilialError, Price, UsageError
from filial.contracts.errors import BudgetStop
from filial.gateway import Budget, BudgetAccount
from filial.gateway.budget import PICO, Journal, Totals, format_dollars, to_picodollars

FOLDERS = [os.path.dirname(module) for module in (__file__, virtual_time.__file__)]
PRICE = Price(prompt=0.15, completion=0.6)


def cost(prompt, completion):
    return Totals(requests=1, prompt=prompt, completion=completion, pico=to_picodollars(PRICE.cost(prompt, completion)))


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
    ends = virtual_time.run(spend(account, 64, random.Random(seed)))
    assert all(isinstance(e, BudgetStop) for e in ends)
    assert 0.95 * 0.02 < account.usd <= 0.02
    assert account.open == Totals()


def test_tokens_are_never_passed_and_nearly_all_used():
    account = BudgetAccount(Budget(tokens=50_000))
    virtual_time.run(spend(account, 64, random.Random(1)))
    assert 0.95 * 50_000 < account.settled.tokens <= 50_000


@pytest.mark.parametrize("cap", [{"requests": 3}, {"tokens": 1800}, {"usd": 0.00054}])
def test_a_cap_that_is_met_exactly_lets_the_last_request_go(cap):
    """Three requests that each cost the most that they can, 600 tokens and $0.00018, and nothing beyond them."""
    account = BudgetAccount(Budget(**cap))

    async def one():
        account.settle(await account.reserve(WORST, PRICE), cost(WORST.prompt, WORST.completion))

    for _ in range(3):
        asyncio.run(one())
    with pytest.raises(BudgetStop):
        asyncio.run(one())
    assert account.settled.requests == 3


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
        account = BudgetAccount(Budget(usd=1.0), tmp_path / "spend.sqlite")

        async def one(account=account):
            account.settle(await account.reserve(Bound(400, 200), PRICE), cost(60, 30))

        asyncio.run(one())
        account.close()
    assert account.settled == Totals(3, 180, 90, 3 * cost(60, 30).pico, 0)
    assert account.spent.requests == 1
    assert [p.name for p in tmp_path.iterdir()] == ["spend.sqlite"]


KILLED = """
import asyncio, sys
sys.path[:0] = sys.argv[3:]
from pathlib import Path
import test_budget as t

class Told(t.BudgetAccount):
    def settle(self, given, cost):
        super().settle(given, cost)
        print(given.number, flush=True)

account = Told(t.Budget(usd=float(sys.argv[2])) if sys.argv[2] else t.Budget(), Path(sys.argv[1]))
asyncio.run(t.spend(account, 8, t.random.Random(3)))
"""


@pytest.mark.parametrize("cap", ["5", ""])
def test_what_was_in_flight_when_the_process_was_killed_counts_with_the_most(tmp_path, cap):
    """With and without a cap: one may be set later."""
    path = tmp_path / "spend.sqlite"
    done = 0
    for kill in range(4):
        command = [sys.executable, "-c", KILLED, str(path), cap, *FOLDERS]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        for _ in range(40 + 17 * kill):
            assert process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        totals = Journal.read_totals(path)
        assert totals.requests >= done + 40 + 17 * kill
        worst = to_picodollars(PRICE.cost(400, 200))
        assert worst <= totals.unsure <= (kill + 1) * (8 + 8) * worst, "8 in flight, and 8 whose cost was not noted yet"
        assert Journal.read_totals(path) == totals, "reading changes nothing"
        done = totals.requests


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_what_is_called_off_before_it_is_sent_costs_nothing(tmp_path, turns):
    """While its note is on its way to the disk, in whatever turn of the loop."""
    account = BudgetAccount(Budget(usd=1.0), tmp_path / "spend.sqlite")

    async def work():
        called_off = asyncio.create_task(account.reserve(WORST, PRICE))
        for _ in range(turns):
            await asyncio.sleep(0)
        called_off.cancel()
        try:
            given = await called_off
        except asyncio.CancelledError:
            return 0
        account.settle(given, cost(1, 1))
        return 1

    sent = asyncio.run(work())
    assert account.open == Totals()
    account.close()
    assert Journal.read_totals(tmp_path / "spend.sqlite").requests == sent == account.spent.requests


def test_sums_beyond_64_bits_are_kept(tmp_path):
    path = tmp_path / "spend.sqlite"
    large = Totals(1, 2**70, 3, 2**80, 2**65)
    with closing(Journal.resume(path, Totals())) as journal:
        asyncio.run(journal.open(1, 2**64, 2**66))
        journal.end(1, large)
    assert Journal.read_totals(path) == large


def test_an_account_that_is_damaged_is_told_with_the_way_out(tmp_path):
    path = tmp_path / "spend.sqlite"
    path.write_bytes(b"not a database, and long enough to be sure of it" * 30)
    with pytest.raises(FilialError, match=r"spend\.sqlite: the account cannot be opened: .*, move it away"):
        BudgetAccount(Budget(), path)
    path.unlink()
    Journal.resume(path, Totals()).close()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("update settled set totals='1 2 x 4 5'")
    with pytest.raises(FilialError, match="the account cannot be read"):
        Journal.read_totals(path)


def test_a_full_disk_is_told_before_anything_is_sent(tmp_path):
    """The file may not grow, as on a full disk."""
    account = BudgetAccount(Budget(usd=1.0), tmp_path / "spend.sqlite")

    async def send(n):
        for _ in range(n):
            await account.reserve(WORST, PRICE)

    asyncio.run(send(1))
    account._file._db.execute("pragma max_page_count=1")
    with pytest.raises(FilialError, match="disk is full"):
        asyncio.run(send(1000))


def line(*entry):
    """As filial 0.1 wrote ``spend.jsonl``."""
    return msgspec.json.encode([*entry, zlib.crc32(msgspec.json.encode(entry))]) + b"\n"


def test_what_0_1_noted_is_taken_over_once(tmp_path):
    old, path = tmp_path / "spend.jsonl", tmp_path / "spend.sqlite"
    old.write_bytes(line("total", 5, 50, 5, 10, 0) + line("open", 1, 600, 5) + line("close", 1, *astuple(cost(60, 30))))
    old.write_bytes(old.read_bytes() + line("open", 2, 600, 7) + b'["close",2,1,')
    expected = Totals(7, 710, 35, 10 + cost(60, 30).pico, 7)
    assert Journal.read_totals(path) == expected
    account = BudgetAccount(Budget(requests=8), path)
    assert account.settled == expected
    account.settle(asyncio.run(account.reserve(WORST, None)), cost(60, 30))
    with pytest.raises(BudgetStop):
        asyncio.run(account.reserve(WORST, None))
    account.close()
    assert not old.exists()
    expected.add(cost(60, 30))
    assert Journal.read_totals(path) == expected


def test_a_damaged_line_of_0_1_is_told_unless_a_kill_tore_it(tmp_path):
    old, whole = tmp_path / "spend.jsonl", line("open", 1, 600, 5) + line("close", 1, 1, 60, 30, 27, 0)
    first = whole.index(b"\n")
    for end in range(first + 1, len(whole)):
        old.write_bytes(whole[:end])
        expected = Totals(1, 60, 30, 27) if end == len(whole) - 1 else Totals(1, 600, 0, 0, 5)
        assert Journal.read_totals(tmp_path / "spend.sqlite") == expected
    for place in range(first):
        old.write_bytes(bytes([*whole[:place], whole[place] ^ 1, *whole[place + 1 :]]))
        with pytest.raises(UsageError, match=r"spend\.jsonl:1: this line is damaged"):
            Journal.read_totals(tmp_path / "spend.sqlite")


@pytest.mark.parametrize(
    ("usd", "shown"),
    [(0, "$0"), (12.4, "$12.40"), (0.0198, "$0.0198"), (0.0000123, "$0.0000123"), (1234.5, "$1,234.50")],
)
def test_amounts_show_what_there_is_to_see(usd, shown):
    assert format_dollars(usd) == shown


def test_sums_of_money_are_exact():
    assert sum(to_picodollars(PRICE.cost(1, 1)) for _ in range(1_000_000)) == to_picodollars(PRICE.cost(10**6, 10**6))
    assert to_picodollars(0.75) == 0.75 * PICO


def test_requests_that_are_open_count_beside_those_that_are_settled():
    async def main():
        account = BudgetAccount(Budget(requests=2))
        account.settle(await account.reserve(WORST, PRICE), cost(50, 20))
        second = await account.reserve(WORST, PRICE)
        third = asyncio.create_task(account.reserve(WORST, PRICE))
        await asyncio.sleep(0)
        assert (account.held_back, third.done()) == (1, False)
        account.settle(second, cost(50, 20))
        with pytest.raises(BudgetStop, match="2 requests is used up"):
            await third
        assert (account.held_back, account.settled.requests, account.spent.requests) == (0, 2, 2)

    virtual_time.run(main())


def test_nothing_is_spent_before_anything_is_sent():
    assert set(astuple(BudgetAccount().spent)) == {0}


def test_an_account_of_0_1_counts_requests_by_their_numbers(tmp_path):
    """Two are open at once; the one that ends has another number than its tokens."""
    entries = [["open", 7, 400, 9], ["open", 8, 300, 5], ["close", 7, 1, 8, 20, 3, 0]]
    lines = [msgspec.json.encode([*entry, zlib.crc32(msgspec.json.encode(entry))]) for entry in entries]
    (tmp_path / "spend.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    spent = Journal.read_totals(tmp_path / "spend.sqlite")
    assert spent == Totals(requests=2, prompt=8 + 300, completion=20, pico=3, unsure=5)
