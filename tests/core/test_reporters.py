"""What is seen while a run goes on: figures that add up, and rates that are true at any moment."""

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filial.api import reporters
from filial.api.reporters import Watch, format_stage_counts
from filial.commands import Counters, GatewayStatus

FLYING = 64


class Teacher:
    """A gateway's figures: those of stages before, and once it is asked ``ended`` requests and `FLYING` in flight."""

    def __init__(self, before=0):
        self.before, self.asked, self.ended, self.known = before, False, 0, 0

    def __call__(self):
        flying = FLYING if self.asked else 0
        requests = self.before + self.ended + flying
        known, tokens = self.before + self.known, 10 * (self.before + self.ended)
        return GatewayStatus(flying, FLYING, requests, known, tokens, 0.0, None, 0.0, 0)


@pytest.fixture
def clock(monkeypatch):
    """Seconds, in a list of one; nothing passes by itself."""
    now = [100.0]
    monkeypatch.setattr(reporters.time, "monotonic", lambda: now[0])
    return now


def rate(line):
    found = re.search(r"([\d,.]+) requests/s", line)
    return float(found[1].replace(",", "")) if found else None


@pytest.mark.parametrize("every", [0.25, 10.0], ids=["live", "plain"])
@pytest.mark.parametrize("per_second", [0.25, 3, 40, 2500])
@pytest.mark.parametrize("first", ["nothing", "reading", "ledger"])
@pytest.mark.parametrize("before", [0, 5000])
def test_a_rate_is_true_from_the_first_look_on(clock, every, per_second, first, before):
    """Whatever was asked in stages before, and whatever was done in this one before it asked."""
    teacher = Teacher(before)
    watch, counters = Watch(teacher), Counters()
    for number in range(1, 201 if first != "nothing" else 1):
        clock[0] += 0.25
        if first == "reading":
            counters.entered = number
        else:
            counters.done = teacher.known = number
        watch.update(counters)
        if number % (every / 0.25) == 0:
            assert rate(str(watch)) is None
    begun = clock[0]
    shown, teacher.asked = [], True
    for look in range(1, 400):
        clock[0] = begun + look * every
        teacher.ended = int(per_second * (clock[0] - begun))
        shown.append(rate(str(watch)))
    for look, value in enumerate(shown, 1):
        window = min(look * every, max(reporters.RECENT, every))
        assert value == pytest.approx(per_second, rel=0.06, abs=1.1 / window)


def test_the_line_of_a_stage_tells_its_own_tokens_and_answers():
    teacher = Teacher(before=700)
    watch = Watch(teacher)
    assert str(watch) == "starting"
    teacher.known = 3
    assert "3 answers from the ledger" in str(watch)
    teacher.asked, teacher.ended = True, 5
    assert re.search(r"64 in flight, .* · 50 tokens$", str(watch))


def test_time_left_goes_by_the_work_and_not_by_the_reading(clock):
    watch, counters = Watch(None), Counters()
    for number in range(1, 101):
        clock[0] += 1
        counters.entered = number
        watch.update(counters)
    assert str(watch) == "100 read"
    counters.dropped["bad-line"] += 2
    assert str(watch) == "100 read, 2 dropped (bad-line 2)"
    counters.total = 100
    for _ in range(10):
        clock[0] += 1
        counters.done += 1
        counters.out += 1
        watch.update(counters)
    assert str(watch) == "10 of 100, 10 kept, 2 dropped (bad-line 2) · 1:30 left"


@given(st.dictionaries(st.from_regex("[a-z]{1,6}", fullmatch=True), st.integers(1, 10_000)), st.integers(0, 9))
def test_reasons_add_up_to_what_was_dropped(reasons, out):
    line = format_stage_counts(Counters(out=out, dropped=Counter(reasons)))
    if not reasons:
        assert line == f"{out:,} kept"
        return
    found = re.search(r"([\d,]+) dropped \((.*)\)$", line)
    named = [(part.rpartition(" ")[0], int(part.rpartition(" ")[2].replace(",", ""))) for part in found[2].split(", ")]
    assert sum(n for _, n in named) == int(found[1].replace(",", "")) == sum(reasons.values())
    assert len(named) <= 4
    shown = [pair for pair in named if pair[0] != "others" or "others" in reasons]
    assert all(reasons.get(name) == n for name, n in shown)
    assert min((n for _, n in shown), default=0) >= max(
        (n for r, n in reasons.items() if r not in dict(shown)), default=0
    )


def test_a_stage_that_makes_records_from_others_tells_both():
    counters = Counters(entered=8, made=12, out=16, dropped=Counter({"unlucky": 4}))
    assert format_stage_counts(counters) == "16 records (8 in, 12 made), 4 dropped (unlucky 4)"
    counters = Counters(entered=6, made=1, out=5, dropped=Counter({"bad-line": 1, "harm": 1}))
    assert format_stage_counts(counters).startswith("5 kept, 2 dropped"), "a bad line was never a record"
