"""Stages stream: the same rows whatever the window, written as they come, in memory that does not grow with them."""

import asyncio
import hashlib
import tracemalloc
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stage_kit import Rows, evolution

from filial import Drop, Filter, Keep, Message, Record, Reply, Strategy
from filial.contracts import concurrency
from filial.engine.stage import AnswerKeys, DuplicateCounter, StageContext
from filial_plugins.stages.evolve import Choice, evolve_records
from filial_plugins.stages.filter import FilterStep, filter_records

WINDOWS = (1, 7, 64)


class Lazy:
    """So many records, made as they are taken."""

    def __init__(self, count, words=1):
        self.count, self.words, self.taken = count, words, 0

    def __len__(self):
        return self.count

    def __iter__(self):
        for i in range(self.count):
            self.taken += 1
            yield Record(id=f"r{i}", instruction=f"task {i} " + "and so on " * self.words, output="old")


class Grow(Strategy):
    """Adds a word; fails now and then."""

    async def evolve(self, record, ctx):
        reply = await ctx.ask(f"more: {record.instruction}")
        return (
            Drop("unlucky") if ctx.rng.random() < 0.3 else record.evolved(instruction=record.instruction + reply.text)
        )


class Even(Filter):
    """Drops answers whose checksum is a multiple of four."""

    async def check(self, record, ctx):
        reply = await ctx.ask(f"good? {record.output} {record.instruction}")
        return Drop("odd-one") if len(reply.text) % 4 == 0 else Keep()


class New(Filter):
    """Remembers; one record of each last letter, or all of them."""

    remembers = True
    all: bool = False

    def check(self, record, ctx):
        seen = ctx.memory.setdefault("seen", set())
        fresh = record.question()[-1:] not in seen
        seen.add(record.question()[-1:])
        return Keep() if fresh or self.all else Drop("seen")


async def teacher(request):
    """Later questions may be answered first."""
    text = request.messages[-1].content + str(request.draw)
    number = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)
    for _ in range(number % 5):
        await asyncio.sleep(0)
    return Reply(text="x" * (number % 7) + str(number % 10), key=hashlib.md5(text.encode()).hexdigest())


def surroundings(window=64, ask=teacher, **options):
    return StageContext(stage="s", seed=1, writer=Rows(), ask=ask, window=window, **options)


def sieves(*filters):
    return [FilterStep(f"d:f{i}==1", f) for i, f in enumerate(filters)]


def evolved(records, *rules, env=None, **plan):
    env = env or surroundings()
    choices = [Choice(name, f"d:{name}==1", Grow()) for name in ("one", "two")]
    report = asyncio.run(evolve_records(records, evolution(choices, sieves(*rules), **plan), env))
    assert env.counters.find_imbalance() == ""
    return env, report


def filtered(records, *filters, env=None):
    env = env or surroundings()
    asyncio.run(filter_records(records, sieves(*filters), env))
    assert env.counters.find_imbalance() == ""
    return env, None


def outcome(env, report):
    return env.writer.kept, env.writer.dropped, list(env.answers.lines()), report, env.counters


TALK = Record(id="c", messages=(Message(role="user", content="Hi"), Message(role="assistant", content="Yes?")))
RECORDS = st.lists(st.text("abc", min_size=1, max_size=2), max_size=20).map(
    lambda texts: [TALK, *(Record(id=f"id-{t}", instruction=t, output="o") for t in texts)]
)


@settings(max_examples=25, deadline=None)
@given(RECORDS, st.lists(st.sampled_from([Even(), New(), New(all=True)]), max_size=3), st.integers(1, 3))
def test_rows_report_and_answers_do_not_depend_on_the_window(records, rules, rounds):
    for work in (filtered, evolved):
        plan = {"rounds": rounds, "keep": "last"} if work is evolved else {}
        first, *others = (
            outcome(*work(records, *rules, env=surroundings(window), **plan)) for window in WINDOWS
        )  # fmt: skip
        assert all(other == first for other in others)


@settings(max_examples=25, deadline=None)
@given(RECORDS, st.integers(1, 3), st.sampled_from(["all", "last"]))
def test_a_rule_that_remembers_but_never_minds_changes_the_order_of_drops_alone(records, rounds, keep):
    unlike = list({r.id: r for r in records}.values())
    alone, table = evolved(unlike, Even(), rounds=rounds, keep=keep)
    with_it, same_table = evolved(unlike, Even(), New(all=True), rounds=rounds, keep=keep)
    assert with_it.writer.kept == alone.writer.kept
    assert Counter(row.encode() for row in with_it.writer.dropped) == Counter(
        row.encode() for row in alone.writer.dropped
    )
    assert table == same_table


def test_drops_come_record_by_record_with_all_their_rounds():
    env, _ = evolved(Lazy(30), Even(), rounds=3)
    line = {r.id: r.instruction.split()[1] for r in env.writer.kept}
    places = [int(line[row.parent]) for row in env.writer.dropped]
    assert places == sorted(places)
    assert len(places) > len(set(places)) > 5


@settings(max_examples=25, deadline=None)
@given(RECORDS)
def test_children_of_repeated_records_have_ids_of_their_own(records):
    env, _ = evolved(records, rounds=2)
    children = [r.id for r in env.writer.kept if r.origin.round]
    assert len(set(children)) == len(children)


@pytest.mark.parametrize("work", [filtered, evolved])
def test_rows_are_written_as_they_come_and_taken_as_there_is_room(work, monkeypatch):
    """Each step may be a backlog ahead of the next, and a batch more."""
    monkeypatch.setattr(concurrency, "BACKLOG", 32)
    records, env, most = Lazy(3000), surroundings(window=8), 0

    async def ask(request):
        nonlocal most
        most = max(most, records.taken - len(env.writer.kept) - len(env.writer.dropped))
        return await teacher(request)

    env.ask = ask
    rules = (Even(), New(all=True), Even()) if work is filtered else (Even(),)
    work(records, *rules, env=env)
    assert records.taken == 3000
    assert most < (400 if work is filtered else 200)


@pytest.mark.parametrize("rules", [(), (New(),)])
def test_the_books_tell_how_far_evolution_is(rules):
    seen = []
    env = surroundings(on_progress=lambda counters: seen.append((counters.done, counters.total)))
    evolved([TALK, *Lazy(20)], *rules, env=env, rounds=3)
    assert seen == sorted(seen)
    assert {total for _, total in seen} == {63}
    assert seen[-1] == (63, 63)
    assert len({done for done, _ in seen}) > 40


def test_the_books_tell_how_far_filtering_is():
    seen = []
    env = surroundings(on_progress=lambda counters: seen.append((counters.done, counters.total)))
    filtered(Lazy(20), Even(), New(), env=env)
    assert seen == [(i, 20) for i in range(1, 21)]


def test_news_of_plugins_reaches_the_user():
    class Chatty(Filter):
        def check(self, record, ctx):
            ctx.note(f"I saw {record.id}")
            return Keep()

    heard = []
    filtered(Lazy(2), Chatty(), env=surroundings(note=heard.append))
    assert heard == ["I saw r0", "I saw r1"]


KEYS = st.binary(min_size=16, max_size=16).map(bytes.hex)


@given(st.lists(KEYS | st.text(max_size=40)))
def test_answers_are_listed_once_and_sorted_and_what_is_no_key_is_not(keys):
    answers = AnswerKeys()
    for key in keys:
        answers.note(key)
    wanted = {k.lower().encode() for k in keys if len(k) == 32 and set(k.lower()) <= set("0123456789abcdef")}
    assert list(answers.lines()) == sorted(wanted)


@given(st.lists(st.text(max_size=2)))
def test_a_rank_is_the_number_of_equal_ones_before(names):
    ranks, before = DuplicateCounter(), Counter()
    for name in names:
        assert ranks.next(name) == before[name]
        before[name] += 1


class Nowhere:
    """A writer that keeps nothing."""

    def keep(self, record):
        pass

    def drop(self, row):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("work", [filtered, evolved])
def test_eight_times_the_records_take_little_more_memory(work, monkeypatch):
    """Eight times the rows; what may grow are ids and answer keys, some 100 bytes a record of more than 1,000."""
    monkeypatch.setattr(concurrency, "BACKLOG", 128)  # what may wait for a slow taker does not count

    def peak(count):
        env = surroundings()
        env.writer = Nowhere()
        tracemalloc.start()
        try:
            work(Lazy(count, words=100), *([Even(), New(all=True)] if work is filtered else [Even()]), env=env)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(100)  # what is imported and cached once
    few, many = peak(1000), peak(8000)
    assert many - few < 7000 * 250
