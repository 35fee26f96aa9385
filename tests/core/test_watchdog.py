"""Who holds the event loop is named, once, and nobody else is."""

import asyncio
import sys
import threading
import time

import pytest

from filial import UsageError
from filial.engine import interrupts, watchdog
from filial.engine.watchdog import EVERY, HELD, LONG, Watchdog
from filial.plugins import Manager

PATIENCE = 300.0
"""Seconds after which a test of what waits for whom fails instead of hanging."""

PIRATE = """
import time
from filial import Drop, Filter, Keep, Strategy, hookimpl
from filial.formats import read

class Pirate(Strategy):
    '''Retell the instruction the way a pirate would.'''
    async def evolve(self, record, ctx):
        self.compute(ctx)
        await ctx.ask(record)
        return record.evolved(instruction="x")
    def compute(self, ctx):
        ctx.until()
        ctx.until()
    def reading(self, ctx):
        return list(read(ctx.path))

@hookimpl
def register_strategies(register):
    register("pirate", Pirate)
"""


class Told(list):
    """The notes; `until` holds the loop until the dog has caught who does."""

    def __init__(self):
        self.dog = None

    def until(self):
        end = time.monotonic() + PATIENCE
        while self.dog._place is None:
            assert time.monotonic() < end, "nothing was caught"
            time.sleep(0.01)

    async def ask(self, record):
        await asyncio.sleep(0)


@pytest.fixture
def pirate(tmp_path):
    """The plugin's manager and a component of it, from a file."""
    (tmp_path / "pirate.py").write_text(PIRATE.lstrip())
    manager = Manager()
    manager.load_file(tmp_path / "pirate.py")
    return manager, manager.build("strategies", "pirate")


def test_a_plugin_that_holds_the_loop_is_named_with_file_and_line_once(pirate, site):
    manager, component = pirate
    told = Told()
    told.dog = dog = Watchdog(manager.owner, told.append)

    async def work():
        for _ in range(3):
            component.compute(told)
            while dog._place is not None:
                await asyncio.sleep(0)

    interrupts.run(work(), dog)
    (note,) = told
    # The innermost frame of a plugin is named, not the test that called it, nor the wait that it called.
    assert note.startswith("pirate.py 0+")
    assert "(pirate.py:12, in compute) held the event loop for " in note
    assert "to_thread" in note
    assert 0.9 < float(note.partition("loop for ")[2].partition(" s,")[0]) < PATIENCE


def watch(frame, *looks):
    """What is told when a frame of a plugin's is seen at looks, each (came round, seconds passed, seconds computed)."""
    told = []
    dog = Watchdog(lambda module: "dog 1.0" if module == __name__ else "", told.append)
    for look in looks:
        dog.look(*look, frame)
    return told


def test_what_never_ends_is_told_while_it_lasts():
    looks = [(False, EVERY, 0.0)] * round(2 * LONG / EVERY)
    (note,) = watch(sys._getframe(), *looks, (True, EVERY, 0.0))
    assert note.startswith("dog 1.0 (tests/core/test_watchdog.py:")
    assert " s so far, and" in note
    assert f"in {test_what_never_ends_is_told_while_it_lasts.__name__}) held the event loop for 30." in note


def test_a_loop_that_comes_round_or_waits_is_not_told_of():
    """What called the loop, here this test, does not hold it while it waits."""
    frames = []

    async def wait():
        await asyncio.to_thread(lambda thread: frames.append(sys._current_frames()[thread]), threading.get_ident())

    asyncio.run(wait())
    held = [(False, EVERY, 0.0)] * round(HELD / EVERY)
    assert watch(sys._getframe(), *([*held[1:], (True, EVERY, 0.0)] * 20)) == []
    assert watch(frames[0], *held, *held, (True, EVERY, 0.0)) == []
    assert len(watch(sys._getframe(), *held, *held, (True, EVERY, 0.0))) == 1


@pytest.mark.parametrize(("late", "cpu", "named"), [(5.0, 0.0, False), (5.0, 0.4, False), (5.0, 4.9, True)])
def test_a_process_that_was_stopped_or_starved_is_told_from_one_that_computes(late, cpu, named):
    """With Python's lock in its hand, a plugin also keeps the watchdog from looking."""
    assert bool(watch(sys._getframe(), (False, EVERY + late, cpu), (True, EVERY, 0.0))) == named


def test_of_a_process_that_is_starved_all_the_time_only_its_share_counts():
    looks = [(False, 3 * EVERY, 0.0)] * round(HELD / EVERY)
    assert watch(sys._getframe(), *looks[:-1], (True, 3 * EVERY, 0.0)) == []
    assert len(watch(sys._getframe(), *looks, *looks[:2], (True, 3 * EVERY, 0.0))) == 1


def test_the_core_is_not_named_nor_a_plugin_that_awaits_it_but_one_that_calls_it(pirate, tmp_path):
    manager, component = pirate
    dog = Watchdog(manager.owner, print)
    seen = {}

    async def core(record):
        """Stands for the core: a coroutine of one of its files."""
        seen["awaited"] = dog.find_plugin_frame(sys._getframe())

    class Source:
        """A path that the core asks for its name, in the call that the plugin made."""

        def __str__(self):
            seen["calling"] = dog.find_plugin_frame(sys._getframe())
            return str(tmp_path / "none")

    class Ctx:
        def until(self):
            seen["called"] = dog.find_plugin_frame(sys._getframe())

        ask = staticmethod(core)
        path = Source()

    core.__code__ = core.__code__.replace(co_filename=f"{watchdog.CORE}/gateway/gateway.py")
    with pytest.raises(AttributeError):
        asyncio.run(component.evolve(None, Ctx()))
    with pytest.raises(UsageError, match="no such file"):
        component.reading(Ctx())
    assert seen["awaited"] is None
    assert seen["called"][0].startswith("pirate.py 0+")
    assert "(pirate.py:15, in reading)" in seen["calling"][0]


def test_an_import_is_not_told_of(site):
    dog = Watchdog(lambda module: module if module == __name__ else "", print)
    (site.folder / "heavy_thing.py").write_text("import sys\nsys.see(sys._getframe())\n")
    places = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "see", lambda frame: places.append(dog.find_plugin_frame(frame)), raising=False)
        import heavy_thing  # noqa: F401
    assert places == [None]


def test_modules_of_a_package_belong_to_its_distribution(site, source):
    site.dist("filial-x", {"filial.strategies": {"x": "x_package.plugin"}})
    (site.folder / "x_package").mkdir()
    (site.folder / "x_package" / "__init__.py").write_text("")
    (site.folder / "x_package" / "plugin.py").write_text(source("x"))
    (site.folder / "x_package" / "deep.py").write_text("def compute(see):\n    return see()\n")
    manager = site.manager()
    assert manager.owner("x_package.deep") == ""
    manager.get("strategies", "x")
    from x_package import deep

    place = Watchdog(manager.owner, print).find_plugin_frame(deep.compute(lambda: sys._getframe(1)))
    assert place[0] == "filial-x 1.0 (x_package/deep.py:2, in compute)"
    assert manager.owner("json") == ""


def test_the_watch_ends_with_the_work_however_that_ends():
    before = threading.active_count()

    async def fail():
        assert threading.active_count() == before + 1
        raise KeyError("k")

    with pytest.raises(KeyError):
        interrupts.run(fail(), Watchdog(lambda module: "", print))
    assert threading.active_count() == before


HOLDING = """
import threading, time
from filial import FREE, Filter, Judge, Keep, Reply, Span, Teacher, Template, Trainer, Verdict, hookimpl

def hold():
    (dog,) = [thread._target.__self__ for thread in threading.enumerate() if thread.name == "filial watchdog"]
    end = time.monotonic() + 300
    while dog._place is None and not dog._noted:
        assert time.monotonic() < end

class Holding(Filter):
    '''Holds the loop until somebody has seen that.'''
    async def check(self, record, ctx):
        hold()
        return Keep()

class Slow(Judge):
    '''Holds it, too.'''
    async def judge(self, record, candidates, ctx):
        hold()
        return Verdict(1)

class Mute(Teacher):
    '''Says nothing.'''
    async def reply(self, request):
        return Reply(text="")
    def price(self):
        return FREE

class Untaught(Trainer):
    '''Trains nothing.'''
    def train(self, data, model, template, out, ctx):
        out.mkdir(parents=True)
        return {}
    def teacher(self, out):
        return Mute()

class Bare(Template):
    '''As it stands.'''
    def render(self, record):
        return [Span(record.instruction)]

@hookimpl
def register_filters(register):
    register("holding", Holding)

@hookimpl
def register_judges(register):
    register("slow", Slow)

@hookimpl
def register_teachers(register):
    register("mute", Mute)

@hookimpl
def register_trainers(register):
    register("untaught", Untaught)

@hookimpl
def register_templates(register):
    register("bare", Bare)
"""
TRAINED = "data: in.jsonl\ntemplate: bare\ntrain: {use: untaught, model: m}\njudge: {use: slow, data: exam.jsonl}\n"


@pytest.mark.parametrize(
    "command",
    [
        ["run", "r.yaml"], ["filter", "holding", "in.jsonl", "-o", "out.jsonl"], ["run", "t.yaml"],
        ["judge", "slow", "exam.jsonl", "--teacher", "mute"],
    ],
)  # fmt: skip
def test_commands_tell_who_holds_their_loop(cli, command):
    cli.write("in.jsonl", {"instruction": "a"}, {"instruction": "b"})
    (cli.folder / "holding.py").write_text(HOLDING.lstrip())
    cli.write("exam.jsonl", {"instruction": "c", "output": "d"})
    (cli.folder / "r.yaml").write_text("data: in.jsonl\nstages:\n  - filter: [holding]\n")
    (cli.folder / "t.yaml").write_text(TRAINED)
    assert cli("--plugin", "holding.py", *command) == 0
    (line,) = [line for line in cli.err.splitlines() if "held the event loop for" in line]
    assert "(holding.py:" in line
    assert ", in hold)" in line
