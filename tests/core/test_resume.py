"""What a change costs: what was asked is never asked again, what is done and whole is not touched, and no damage to it
goes unnoticed."""

import random
from pathlib import Path

import pytest
from index_kit import stages

from filial.engine.commit import FILES, MANIFEST, find_commit
from filial.engine.run import Run
from filial.plugins import Manager
from filial.recipe import load
from filial.storage import read_manifest

TOY = Path(__file__).parent / "toy.py"
OWN = '''
from filial import Field, Reply, Strategy, Teacher, hookimpl


class Model(Teacher):
    """Says the question again with its name; keeps a list of what it was asked."""

    model: str = Field("small", description="Its name.")
    asked: str = Field("", description="File that gets a line per request.")

    def identity(self):
        return {"model": self.model}

    async def reply(self, request):
        question = " / ".join(m.content for m in request.messages)
        with open(self.asked, "a") as file:
            file.write(f"{question} #{request.draw}\\n")
        return Reply(text=f"{request.messages[-1].content} says {self.model}", prompt_tokens=2, completion_tokens=3)


class Told(Strategy):
    """Ask for a task in some way, under some system prompt."""

    way: str = Field("longer", description="How it shall be.")
    system: str = Field("Be brief.", description="The system prompt.")

    async def evolve(self, record, ctx):
        reply = await ctx.ask(f"{self.way}: {record.instruction}", system=self.system)
        return record.evolved(instruction=reply.text)


@hookimpl
def register_teachers(register):
    register("model", Model)


@hookimpl
def register_strategies(register):
    register("told", Told)
'''
RECIPE = """
teacher: {use: model, model: small, asked: asked.log}
data: data.jsonl
stages:
  - evolve: {rounds: 2, strategies: [{use: told, way: wider}, longer], eliminate: []}
  - filter: [{use: short, words: 60}]
  - evolve: {strategies: [{use: told, way: deeper, system: Be wise.}, longer], eliminate: []}
"""
STAGES = ("01-evolve", "02-filter", "03-evolve")


class Project:
    """A recipe that is done, and what its teacher was asked by then."""

    def __init__(self, folder):
        self.folder, self.log = folder, folder / "asked.log"
        (folder / "own.py").write_text(OWN)
        (folder / "r.yaml").write_text(RECIPE)
        (folder / "data.jsonl").write_text("".join(map(self.line, range(8))))
        self.asked = []
        self.first = self.run()

    @staticmethod
    def line(i):
        return f'{{"instruction": "Name river number {i}.", "output": "The Rhine."}}\n'

    def change(self, old, new, file="r.yaml"):
        text = (self.folder / file).read_text()
        assert old in text
        (self.folder / file).write_text(text.replace(old, new))

    def run(self):
        """Run; the requests that this took."""
        manager = Manager(stages())
        for file in (TOY, self.folder / "own.py"):
            manager.load_file(file)
        work = Run(load(self.folder / "r.yaml", manager), manager, self.folder, "r")
        work.execute()
        new = self.log.read_text().splitlines()[len(self.asked) :]
        self.asked += new
        assert len(new) == work.spent.requests
        assert len(set(self.asked)) == len(self.asked), "something was asked twice"
        return new

    def stage(self, name):
        return self.folder / "runs" / "r" / "stages" / name

    def bytes(self, *stages):
        return {(s, f): (self.stage(s) / f).read_bytes() for s in stages or STAGES for f in FILES}

    def answers(self):
        """The ledger keys of all answers that were used."""
        return {key for s in STAGES for key in (self.stage(s) / "answers.txt").read_text().splitlines()}

    def places(self, *stages):
        """Where the files lie and when they were written: another figure for any file that is written again."""
        found = [self.stage(s) / f for s in stages for f in (*FILES, MANIFEST)]
        return [(f, f.stat().st_ino, f.stat().st_mtime_ns) for f in found]


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)


@pytest.mark.parametrize("place", [0, 4, 8])
def test_one_more_record_asks_that_records_requests_alone(project, place):
    lines = (project.folder / "data.jsonl").read_text().splitlines(keepends=True)
    lines.insert(place, project.line("nine"))
    (project.folder / "data.jsonl").write_text("".join(lines))
    new = project.run()
    assert len(new) > 2
    assert all("river number nine" in question for question in new)


def test_one_record_less_asks_nothing(project):
    project.change(project.line(3), "", "data.jsonl")
    assert project.run() == []


def test_a_changed_prompt_asks_nothing_before_its_stage_whose_files_stay_untouched(project):
    before = project.places("01-evolve", "02-filter")
    project.change("way: deeper", "way: odder")
    new = project.run()
    assert project.places("01-evolve", "02-filter") == before
    assert all("odder: " in question for question in new)
    assert len(new) == sum("deeper: " in question for question in project.first)
    project.change("way: odder", "way: deeper")
    assert project.run() == [], "what the first prompt gave is still there"


def test_another_filter_asks_nothing_for_records_that_had_come_so_far_before(project):
    before = project.places("01-evolve")
    project.change("words: 60", "words: 7")
    assert project.run() == []
    assert project.bytes("02-filter")["02-filter", "drops.jsonl"]
    project.change("words: 7", "words: 90")
    assert project.run() == []
    assert project.places("01-evolve") == before


def test_another_system_prompt_asks_all_of_its_stage_anew(project):
    project.change("system: Be wise.", "system: Be kind.")
    new = project.run()
    assert sum(q.startswith("Be kind. / deeper: ") for q in new) == sum("Be wise." in q for q in project.first)


def test_another_model_asks_everything_anew(project):
    before = project.answers()
    project.asked.clear()
    project.log.unlink()
    project.change("model: small", "model: large")
    assert len(project.run()) == len(project.answers()) > 16
    assert not before & project.answers()


def test_a_finished_run_again_asks_nothing_and_touches_nothing(project):
    before = project.places(*STAGES)
    assert project.run() == []
    assert project.places(*STAGES) == before


class Whole:
    """A stage of a finished run, and the check whether it is done and whole."""

    def __init__(self, folder):
        self.folder = folder
        manifest = read_manifest(folder / MANIFEST)
        self.key, self.input = manifest["key"], manifest["input"]
        assert all((folder / name).stat().st_size for name in FILES)

    def unnoticed(self, name, damaged):
        """The places of those damaged forms of a file with which the stage passes for whole."""
        path = self.folder / name
        whole, passed = path.read_bytes(), []
        for place, data in damaged(whole):
            path.write_bytes(data)
            if find_commit(self.folder, self.key, self.input) is not None:
                passed.append(place)
        path.write_bytes(whole)
        assert find_commit(self.folder, self.key, self.input) is not None
        return passed


def flips(whole):
    """One bit of each byte turned over, another bit from byte to byte."""
    for place in range(len(whole)):
        yield place, bytes([*whole[:place], whole[place] ^ 1 << place % 8, *whole[place + 1 :]])


def cuts(whole):
    """Every shorter form."""
    return ((size, whole[:size]) for size in range(len(whole)))


def additions(whole):
    """A byte or a line more."""
    return enumerate([whole + b"\n", whole + b" ", b"\n" + whole, whole + whole, whole + whole.splitlines(True)[-1]])


@pytest.mark.slow
@pytest.mark.parametrize("damaged", [flips, cuts, additions])
@pytest.mark.parametrize("name", [MANIFEST, *FILES])
def test_no_flipped_bit_cut_or_added_byte_goes_unnoticed(project, name, damaged):
    assert Whole(project.stage("01-evolve")).unnoticed(name, damaged) == []


DAMAGE = {
    "flipped": lambda data: next(flips(data))[1],
    "cut": lambda data: data[:-20],
    "emptied": lambda data: b"",
    "longer": lambda data: data + data[-80:],
    "gone": lambda data: None,
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", [MANIFEST, *FILES])
def test_what_is_damaged_is_done_again_from_the_ledger_with_the_same_bytes(project, name, damage):
    whole, path = project.bytes(), project.stage("01-evolve") / name
    untouched = project.places("02-filter", "03-evolve")
    damaged = DAMAGE[damage](path.read_bytes())
    path.unlink() if damaged is None else path.write_bytes(damaged)
    assert project.run() == []
    assert project.bytes() == whole
    assert project.places("02-filter", "03-evolve") == untouched


@pytest.mark.slow
def test_damage_to_several_stages_at_once_is_mended_too(project):
    whole, rng = project.bytes(), random.Random(5)
    for _ in range(20):
        for stage in rng.sample(STAGES, 2):
            path = project.stage(stage) / rng.choice([MANIFEST, *FILES])
            place = rng.randrange(max(1, path.stat().st_size))
            path.write_bytes(path.read_bytes()[:place] + rng.randbytes(rng.randrange(3)))
        assert project.run() == []
        assert project.bytes() == whole
