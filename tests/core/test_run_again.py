"""A run gone over again: what is done is not read, what was lost can be asked for, a few records can be tried first."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from filial.engine.run import Run
from filial.engine.stage import StageFile
from filial.plugins import Manager
from filial.recipe import limit_records, load

TOY = Path(__file__).parent / "toy.py"
OWN = '''
from pathlib import Path
from filial import Field, Generator, Judge, Record, Reply, Teacher, TeacherError, Verdict, hookimpl


class Moody(Teacher):
    """Fails on some questions while a file is there."""

    flag: str = Field("", description="The file.")

    def identity(self):
        return {}

    async def reply(self, request):
        question = request.messages[-1].content
        if "task 1" in question and Path(self.flag).exists():
            raise TeacherError("broken", "not today")
        return Reply(text=f"{question} indeed", prompt_tokens=1, completion_tokens=1)


class Endless(Generator):
    """Never stops by itself."""

    asks = False

    async def generate(self, seeds, ctx):
        i = 0
        while True:
            yield Record(instruction=f"task {i}", output="o")
            i += 1


class Asking(Judge):
    """Asks whether the answer is right."""

    async def judge(self, record, candidates, ctx):
        said = await candidates[0].ask(record.question())
        return Verdict(float(len((await ctx.ask(f"{record.instruction} {said.text}")).text)))


@hookimpl
def register_teachers(register):
    register("moody", Moody)


@hookimpl
def register_generators(register):
    register("endless", Endless)


@hookimpl
def register_judges(register):
    register("asking", Asking)
'''
STAGES = """
stages:
  - generate: {use: count, count: 20, seeds: seeds.jsonl}
  - evolve: {rounds: 2, strategies: [longer], eliminate: [{use: short, words: 60}]}
  - filter: [{use: short, words: 50}, first]
  - mix: {use: even}
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "seeds.jsonl").write_text('{"instruction": "Name a river.", "output": "The Rhine."}\n')
    (tmp_path / "r.yaml").write_text(f"teacher: {{use: moody, flag: {tmp_path / 'flag'}}}\n{STAGES}")
    return tmp_path


def made(folder, name="r", **options):
    manager = Manager()
    for file in (TOY, folder / "own.py"):
        manager.load_file(file)
    return Run(load(folder / "r.yaml", manager), manager, folder, name, **options)


def run(folder, name="r", **options):
    work = made(folder, name, **options)
    work.execute()
    return work


def files(folder, name="r"):
    found = sorted((folder / "runs" / name / "stages").rglob("*.*"))
    return {str(f.relative_to(folder / "runs" / name)): f.read_bytes() for f in found if f.name != "manifest.json"}


def rows(folder, stage, file="records.jsonl", name="r"):
    return [json.loads(line) for line in (folder / "runs" / name / "stages" / stage / file).read_text().splitlines()]


def test_every_stage_lists_the_answers_it_used(project):
    run(project)
    lists = [f.read_text().splitlines() for f in sorted((project / "runs").rglob("answers.txt"))]
    assert len(lists) == 4
    assert all(keys == sorted(set(keys)) for keys in lists)
    with sqlite3.connect(project / ".filial" / "ledger.sqlite") as db:
        assert {k for keys in lists for k in keys} == {k for (k,) in db.execute("select key from answers")}
    made_from = {key for r in rows(project, "02-evolve") for key in r["origin"]["answers"] if r["origin"].get("round")}
    assert made_from <= set(lists[1])
    assert lists[2] == lists[3] == []
    manifest = json.loads((project / "runs/r/stages/02-evolve/manifest.json").read_text())
    assert manifest["files"]["answers.txt"]["rows"] == len(lists[1])


def test_a_damaged_list_of_answers_is_noticed(project):
    run(project)
    whole, path = files(project), project / "runs/r/stages/02-evolve/answers.txt"
    path.write_text(path.read_text()[1:])
    assert run(project).spent.from_ledger > 0
    assert files(project) == whole


def test_a_finished_run_reads_no_record_again(project, monkeypatch):
    whole = run(project).summary["stages"]

    def reading(self):
        raise AssertionError(f"{self.path} is read")

    monkeypatch.setattr(StageFile, "__iter__", reading)
    again = run(project)
    assert (again.summary["stages"], again.spent.requests, again.spent.from_ledger) == (whole, 0, 0)


def test_lost_rows_are_asked_for_again_when_told_and_what_follows_is_done_anew(project):
    run(project, "never-failed")
    (project / ".filial" / "ledger.sqlite").unlink()
    (project / "flag").touch()
    assert run(project).exit_code() == 5
    (project / "flag").unlink()
    again = run(project)
    assert (again.exit_code(), again.spent.requests) == (5, 0), "without being told, done is done"
    told = run(project, retry_lost=True)
    assert told.exit_code() == 0
    assert told.spent.requests > 0
    assert files(project) == files(project, "never-failed")
    assert run(project, retry_lost=True).spent.from_ledger == 0, "nothing is lost any more"


def test_a_stage_that_worked_on_other_records_than_those_that_enter_it_now_is_not_done(project):
    """As after a kill between one stage done anew and the next."""
    (project / "flag").touch()
    run(project)
    old = project / "old"
    shutil.copytree(project / "runs/r/stages/02-evolve", old)
    (project / "flag").unlink()
    run(project, retry_lost=True)
    whole = files(project)
    shutil.rmtree(project / "runs/r/stages/02-evolve")
    old.rename(project / "runs/r/stages/02-evolve")
    assert files(project) != whole
    run(project)
    assert files(project) == whole


def test_a_few_records_can_be_tried(project):
    run(project, "small", limit=3)
    assert len(rows(project, "01-generate", name="small")) <= 3
    assert "count: 3" in (project / "runs/small/recipe.lock.yaml").read_text()
    small = {json.loads(f.read_text())["key"] for f in (project / "runs/small").rglob("stages/*/manifest.json")}
    run(project, "whole")
    whole = {json.loads(f.read_text())["key"] for f in (project / "runs/whole").rglob("stages/*/manifest.json")}
    assert len(rows(project, "01-generate", name="whole")) > 3
    assert not small & whole


def test_data_sources_and_a_generator_without_a_count_are_cut_too(project):
    lines = "".join(json.dumps({"instruction": f"data {i}", "output": "o"}) + "\n" for i in range(50))
    (project / "d.jsonl").write_text(lines)
    (project / "r.yaml").write_text(
        "data: d.jsonl\nstages:\n  - generate: {use: endless}\n"
        "  - mix: {use: even, by: task, sources: {more: d.jsonl}}\n"
    )
    run(project, limit=7)
    assert [r["instruction"] for r in rows(project, "01-generate")] == [
        *(f"data {i}" for i in range(7)),
        *(f"task {i}" for i in range(7)),
    ]
    assert sum(r.get("task") == "more" for r in rows(project, "02-mix")) == 7


def test_what_is_smaller_than_the_limit_stays(project):
    (project / "r.yaml").write_text(
        (project / "r.yaml").read_text().replace("{use: even}", "{use: even, total: 500}") + "heldout: 40\n"
        "template: alpaca\ntrain: {use: sft, model: m}\n"
        "judge: [{use: asking, data: heldout, limit: 9}, {use: asking, data: seeds.jsonl}]\n"
    )
    recipe = made(project).recipe
    cut = limit_records(recipe, 10)
    assert cut.stages[0].components[0].options["count"] == 10
    assert cut.stages[3].settings.total == 10
    assert (cut.heldout, [j.limit for j in cut.judges]) == (2, [9, 10])
    large = limit_records(recipe, 1000)
    assert [s.components for s in large.stages] == [s.components for s in recipe.stages]
    assert [s.settings for s in large.stages] == [s.settings for s in recipe.stages]
    assert (large.heldout, [j.limit for j in large.judges]) == (40, [9, 1000])
    assert recipe == made(project).recipe, "the recipe itself is untouched"
