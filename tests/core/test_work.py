"""Work is data: it pickles, and whoever does it gives the same results; processes change no byte of a run."""

import asyncio
import copy
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import index_kit
import pytest
from index_kit import stages

from filial import FilialError, Message, Origin, Record, Reply, TeacherError
from filial.contracts.errors import BudgetStop, RecipeError, TeacherUnreachable
from filial.contracts.records import to_json
from filial.engine.local import Peer, Performer
from filial.engine.progress import Reporter
from filial.engine.run import Run
from filial.engine.work import Job, cut
from filial.formats import SourceSpec
from filial.plugins import Manager
from filial.recipe import load
from filial.recipe.settings import stage_class

PATIENCE = 300.0
"""Seconds after which a test of what ends fails instead of hanging."""
TOY = Path(__file__).parent / "toy.py"
PLUGIN = '''
import asyncio, os, re, signal, time
from filial import Drop, Field, Filter, FilialError, Keep, Strategy, Teacher, Reply, TeacherError, hookimpl


class Odd(FilialError):
    exit_code = 7

    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")
        self.second, self.lock = second, lambda: None


class Act(Strategy):
    """Asks, says so, and does what the instruction says."""

    async def evolve(self, record, ctx):
        if "odd" in record.instruction:
            raise Odd("one", "two")
        if "value" in record.instruction:
            raise ValueError("no value")
        if "exit" in record.instruction:
            os._exit(3)
        if "killed" in record.instruction:
            os.kill(os.getpid(), signal.SIGKILL)
        with open("pids", "a") as file:
            file.write(f"{os.getpid()}\\n")
        ctx.note(f"note on {record.instruction}")
        reply = await ctx.ask(f"Act on {record.instruction}")
        seeds = len(list(ctx.seeds()))
        return record.evolved(instruction=reply.text, tags=(f"seeds-{seeds}", str(ctx.rng.random())))


class Together(Filter):
    """Drops some of each batch, by the batch's own luck."""

    def check_batch(self, records, ctx):
        return [Drop("luck") if ctx.rng.random() < 0.1 else Keep(scores={"size": len(records)}) for _ in records]


class Mends(Filter):
    """Asks for another text, in turns of the loop."""

    asks = True

    async def check(self, record, ctx):
        reply = await ctx.ask(f"mend {record.instruction}")
        return Keep(record=record.replaced(instruction=reply.text)) if ctx.rng.random() < 0.5 else Keep(tags=("same",))


class Notes(Filter):
    """Says something from its thread."""

    def check(self, record, ctx):
        ctx.note(f"thread on {record.instruction}")
        return Drop("two") if "2" in record.instruction else Keep()


class Runaway(Filter):
    """Never ends; where it matches, it also holds Python's lock, so that no other thread of its process goes on."""

    matches: bool = Field(False, description="Whether it does so in a regular expression.")

    def check(self, record, ctx):
        with open("pids", "a") as file:
            file.write(f"{os.getpid()}\\n")
        while True:
            re.match("(a+)+$", "a" * 99 + "b") if self.matches else time.sleep(0)


class Gated(Teacher):
    """Notes each answer; of the strategy's, answers ten as long as there is a file ``gate``."""

    async def reply(self, request):
        while os.path.exists("gate") and open("asked").read().count("Act on") >= 10:
            await asyncio.sleep(0.01)
        text = request.messages[-1].content
        with open("asked", "a") as file:
            file.write(text + "\\n")
        if text.startswith(("Act on Task 17", "Act on task 23")):
            raise TeacherError("broken", "it fails here", answer="half an answ")
        return Reply(text=f"{text} now", prompt_tokens=3, completion_tokens=2)


@hookimpl
async def ask(teacher, request, proceed):
    with open("hooked", "a") as file:
        file.write(f"{os.getpid()}\\n")
    return await proceed(request)


@hookimpl
def register_strategies(register):
    register("act", Act)


@hookimpl
def register_filters(register):
    register("together", Together)
    register("mends", Mends)
    register("notes", Notes)
    register("runaway", Runaway)


@hookimpl
def register_teachers(register):
    register("gated", Gated)
'''
RECIPE = """
teacher: {use: gated, max_concurrency: 8}
stages:
  - generate: {use: count, count: 60, seeds: seeds.jsonl}
  - evolve: {rounds: 2, branch: 2, strategies: [act, {use: longer, name: far}], eliminate: [{use: short, words: 90}]}
  - filter: [together, notes, mends, {use: short, words: 80}, together, first, mends]
  - mix: {use: even}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "seeds.jsonl").write_text('{"instruction": "Name a river.", "output": "The Rhine."}\n')
    (tmp_path / "acts.py").write_text(PLUGIN)
    (tmp_path / "r.yaml").write_text(RECIPE)
    return tmp_path


def plugins(*files):
    manager = Manager(stages())
    for file in files:
        manager.load_file(file)
    return manager


class Told(Reporter):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def run(folder, name, processes=0, **options):
    manager = plugins(TOY, folder / "acts.py")
    work = Run(load(folder / "r.yaml", manager), manager, folder, name, Told(), processes=processes, **options)
    work.execute()
    return work


def data(folder, *instructions):
    """A recipe that evolves these."""
    rows = "".join(f'{{"instruction": "{text}"}}\n' for text in instructions)
    (folder / "data.jsonl").write_text(rows)
    stages = "stages: [{evolve: {strategies: [act], eliminate: [notes]}}]"
    (folder / "r.yaml").write_text(f"teacher: {{use: gated}}\ndata: data.jsonl\n{stages}\n")


def files(folder, name):
    """What all stages of a run wrote."""
    root = folder / "runs" / name / "stages"
    found = {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}
    assert len(found) == 16
    return found


def test_every_verb_says_whether_it_is_a_map():
    manager = Manager(stages())
    kinds = {verb: stage_class(manager, verb).works for verb in manager.index["stages"]}
    assert kinds == {"generate": "reduce", "evolve": "map", "filter": "map", "mix": "reduce"}


FRESH = """
import asyncio, pickle, sys
from filial import Reply
from filial.engine.local import Performer

async def ask(request):
    return Reply(text=request.messages[-1].content + " now", key="ab" * 16)

work = pickle.load(sys.stdin.buffer)
sys.stdout.buffer.write(pickle.dumps(asyncio.run(Performer(ask=ask).perform(work))))
"""


@pytest.mark.parametrize("index", [1, 2])
def test_work_pickles_and_gives_the_same_in_a_fresh_process(folder, index):
    async def ask(request):
        return Reply(text=request.messages[-1].content + " now", key="ab" * 16)

    manager = plugins(TOY, folder / "acts.py")
    recipe = load(folder / "r.yaml", manager)
    job = Job.of(recipe, recipe.stages[index], manager)
    assert job.seeds == (SourceSpec(file="seeds.jsonl"),)
    assert all(":" in spec.use for spec in job.stage.components)
    records = [Record(id=f"r{i % 3}", instruction=f"Task {i}.") for i in range(7)]
    first, second = cut(job, records, 4, lambda name: 1)
    assert (first.place, second.place, len(second.records), second.ranks) == (0, 4, 3, (1, 1, 1))
    assert pickle.loads(pickle.dumps(second)) == second
    here = asyncio.run(Performer(ask=ask).perform(second))
    done = subprocess.run([sys.executable, "-c", FRESH], input=pickle.dumps(second), capture_output=True, check=True)
    assert pickle.loads(done.stdout) == here
    assert len(here) == 3


@pytest.mark.parametrize(
    "record",
    [
        Record(instruction="a"),
        Record(instruction="a", origin=Origin(round=1)),
        Record(id="x", messages=(Message(role="user", content="a"),), extra={"n": 0.1}, scores={"s": 1.0}, label=False),
    ],
)
def test_a_record_that_was_sent_has_the_same_line(record):
    for sent in (pickle.loads(pickle.dumps(record)), pickle.loads(pickle.dumps([record]))[0], copy.deepcopy(record)):
        assert sent == record
        assert to_json(sent) == to_json(record)


def test_a_plugin_that_has_changed_since_is_refused(folder):
    manager = plugins(TOY, folder / "acts.py")
    recipe = load(folder / "r.yaml", manager)
    job = Job.of(recipe, recipe.stages[1], manager)
    (folder / "acts.py").write_text(PLUGIN + "\n")
    with pytest.raises(FilialError, match=r"acts\.py:act==0\+\w+ has become acts\.py:act==0\+\w+ since"):
        job.manager()


def test_a_run_in_processes_gives_the_same_bytes_and_asks_as_often_from_the_same_place(folder):
    alone = run(folder, "alone")
    asked = sorted((folder / "asked").read_text().splitlines())
    for name in ("asked", "hooked", "pids"):
        (folder / name).unlink()
    (folder / ".filial" / "ledger.sqlite").unlink()
    shared = run(folder, "shared", processes=2)
    assert files(folder, "shared") == files(folder, "alone")
    assert sorted((folder / "asked").read_text().splitlines()) == asked
    assert shared.spent.requests == alone.spent.requests
    assert {row["name"]: row for row in shared.summary["stages"]}["02-evolve"]["reasons"]["teacher-broken"] > 0
    assert b"half an answ" in files(folder, "shared")["02-evolve/drops.jsonl"]
    assert b"seeds-1" in files(folder, "shared")["02-evolve/records.jsonl"]
    assert set((folder / "hooked").read_text().split()) == {str(os.getpid())}
    workers = set((folder / "pids").read_text().split())
    assert len(workers) == 2
    assert str(os.getpid()) not in workers
    assert sorted(shared.reporter.notes) == sorted(alone.reporter.notes)
    assert any(note.startswith("thread on") for note in shared.reporter.notes)


def test_the_progress_of_a_run_in_processes_is_told(folder):
    steps = []

    class Steps(Told):
        def stage(self, name, status=None):
            from contextlib import nullcontext

            return nullcontext(lambda counters: steps.append((name, counters.done)))

    manager = plugins(TOY, folder / "acts.py")
    data(folder, *(f"Task {i}." for i in range(40)))
    Run(load(folder / "r.yaml", manager), manager, folder, "steps", Steps(), processes=2).execute()
    assert max(done for _, done in steps) == 40


@pytest.mark.parametrize(
    ("instruction", "message", "code"),
    [("odd", "one and two", 7), ("value", r"acts\.py:act.* fails in stage 01-evolve, record .*: no value", 1)],
)
def test_an_error_in_a_process_is_the_error_that_it_is_here(folder, instruction, message, code):
    data(folder, *(f"Task {i}." for i in range(30)), instruction, *(f"Task {i}." for i in range(30, 60)))
    found = []
    for processes in (0, 2):
        with pytest.raises(FilialError, match=message) as caught:
            run(folder, f"n{processes}", processes)
        found.append((str(caught.value), caught.value.exit_code))
    assert found[0] == found[1]
    assert found[0][1] == code
    assert "Traceback" in "".join(caught.value.__notes__)


@pytest.mark.parametrize(
    ("instruction", "how"), [("exit", "ended with exit code 3"), ("killed", "was ended by SIGKILL")]
)
def test_a_process_that_dies_is_one_error(folder, instruction, how):
    data(folder, *(f"Task {i}." for i in range(30)), instruction)
    with pytest.raises(FilialError, match=rf"a worker process \(pid \d+\) {how}.*run it again"):
        run(folder, "dies", 2)


def test_a_budget_that_ends_says_how_to_go_on_with_processes(folder, cli):
    data(cli.folder, *(f"Job {i}." for i in range(30)))
    (cli.folder / "acts.py").write_text(PLUGIN)
    code = cli("--plugin", "acts.py", "run", "r.yaml", "--processes", "2", "--set", "budget.requests=4")
    assert code == 3
    assert "--processes 2" in cli.err
    assert cli("--plugin", "acts.py", "run", "r.yaml", "--processes", "2", "--offline") == 4
    assert cli("--plugin", "acts.py", "run", "r.yaml", "--processes", "2") == 0
    assert len((cli.folder / "asked").read_text().splitlines()) == 60


CHILD = f"""
{index_kit.CODE}
import sys
from pathlib import Path
from filial.engine.run import Run
from filial.plugins import Manager
from filial.recipe import load

manager = Manager(stages)
for file in sys.argv[1:]:
    manager.load_file(Path(file))
Run(load(Path("r.yaml"), manager), manager, Path("."), "stopped", processes=2).execute()
"""


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_stopped_leaves_no_process_and_goes_on_with_the_same_bytes(folder, number):
    run(folder, "plain")
    (folder / ".filial" / "ledger.sqlite").unlink()
    (folder / "pids").write_text("")
    (folder / "asked").write_text("")
    (folder / "gate").touch()
    command = [sys.executable, "-c", CHILD, str(TOY), str(folder / "acts.py")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while (folder / "asked").read_text().count("Act on") < 10 or len(set((folder / "pids").read_text().split())) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    (folder / "gate").unlink()
    process.wait()
    while any(map(alive, (folder / "pids").read_text().split())):
        time.sleep(0.01)
    assert not (folder / "runs" / "stopped" / "stages" / "02-evolve" / "manifest.json").exists()
    subprocess.run(command, check=True, capture_output=True)
    assert files(folder, "stopped") == files(folder, "plain")


@pytest.mark.parametrize(("processes", "matches"), [(0, "false"), (2, "false"), (2, "true")])
def test_a_filter_that_never_ends_ends_with_a_run_that_is_stopped_once(folder, processes, matches):
    data(folder, "One.", "Two.")
    (folder / "r.yaml").write_text(f"data: data.jsonl\nstages: [{{filter: {{use: runaway, matches: {matches}}}}}]\n")
    script = CHILD.replace("processes=2", f"processes={processes}").replace(
        "import sys", "import sys, filial.engine.local"
    )
    script = script.replace("manager = ", "filial.engine.local.GRACE = 0.1\nmanager = ", 1)
    process = subprocess.Popen([sys.executable, "-c", script, str(folder / "acts.py")], stderr=subprocess.DEVNULL)
    while not (folder / "pids").exists() or not (pids := (folder / "pids").read_text().split()):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == -signal.SIGINT
    assert not any(map(alive, pids))


async def connected(answer, work):
    """Two peers; ``work`` is given the first, whose calls ``answer`` answers."""
    ends = socket.socketpair()
    peers = Peer(answer, print), Peer(answer, print)
    for peer, end in zip(peers, ends, strict=True):
        await peer.connect(end)
    listening = [asyncio.create_task(peer.listen()) for peer in peers]
    try:
        return await work(peers[0])
    finally:
        for peer in peers:
            peer.close()
        await asyncio.gather(*listening)


@pytest.mark.parametrize(
    "error",
    [
        TeacherError("http-500", "it is down", answer="half", retry=True, retry_after=2.5, down=True, billed=(3, 4)),
        TeacherError("timeout", billed=None),
        BudgetStop("no more", cap="usd"),
        RecipeError(["r.yaml:1:1: one", "r.yaml:2:1: two"]),
        TeacherUnreachable("nobody is there"),
    ],
)
def test_errors_arrive_as_what_they_were(error):
    async def answer(what):
        raise error

    async def work(peer):
        with pytest.raises(FilialError) as caught:
            await peer.call("anything")
        return caught.value

    found = asyncio.run(connected(answer, work))
    fields = {name: value for name, value in vars(found).items() if name not in ("__notes__", "exit_code")}
    assert (type(found), str(found), fields) == (type(error), str(error), vars(error))
    assert found.exit_code == error.exit_code


def test_a_call_that_is_cancelled_is_cancelled_at_the_other_end():
    async def main():
        begun, ended = asyncio.Event(), asyncio.Event()

        async def answer(what):
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        async def work(peer):
            call = asyncio.create_task(peer.call("long"))
            await begun.wait()
            call.cancel()
            await ended.wait()
            return call.cancelled()

        return await connected(answer, work)

    assert asyncio.run(main())


def test_what_cannot_be_sent_is_an_error_of_the_call():
    async def answer(what):
        return lambda: None

    async def work(peer):
        with pytest.raises(FilialError, match="without processes"):
            await peer.call("anything")
        with pytest.raises(FilialError, match="without processes"):
            await peer.call(lambda: None)

    asyncio.run(connected(answer, work))
