"""Stages that other packages bring: checked, planned, run, redone and described as filial's own are."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from index_kit import stages

from filial import FilialError, Record, __version__
from filial.engine.keys import stage_parts
from filial.engine.local import Performer
from filial.engine.work import Job, cut
from filial.plugins import Manager
from filial.recipe import load, loads
from filial.recipe.settings import stage_class
from filial_plugins.commands.schema.recipe import recipe_schema

ROWS = [{"instruction": f"Name river {i % 3}.", "input": str(i % 4)} for i in range(6)]
RECIPE = "data: data.jsonl\nstages:\n- filter: {use: length, min_output: 0}\n- dedupe: {by: instruction}\n"
MAP = '''
import os
from filial import Field
from filial.stages import Stage, cut


class Number(Stage):
    """Number records; a word says of how many."""

    works = "map"
    word: str = Field("of", description="A word.")

    async def run(self, stage, records, base, manager, env):
        env.counters.entered = len(records)
        for work in cut(env.job, records, 4):
            for record in await (env.dispatch or (lambda work: self.perform("here", env, work)))(work):
                env.keep(record)
        return {}

    def prepare(self, stage, base, manager):
        return "there"

    async def perform(self, prepared, env, work):
        with open("places", "a") as file:
            file.write(f"{prepared} {os.getpid()}\\n")
        return [record.replaced(task=f"{work.place + i} {self.word}") for i, record in enumerate(work.records)]
'''
STAGE = """
from filial.stages import Stage
class Own(Stage):
    async def run(self, stage, records, base, manager, env):
        env.counters.entered = len(records)
        {body}
"""


@pytest.fixture
def sample(site: Any, cli: Any) -> Any:
    """The command line, with the sample package and a recipe that uses its stage."""
    site.sample("dedupe")
    cli.write("data.jsonl", *ROWS)
    (cli.folder / "r.yaml").write_text(RECIPE)
    return cli


def own(site: Any, body: str, **more: Any) -> None:
    """Install a package with one stage."""
    site.dist(
        "filial-own", {"filial.stages": {"own": "filial_own:Own"}}, {"filial_own": STAGE.format(body=body)}, **more
    )


def manifest(cli: Any, stage: str) -> Any:
    return json.loads((cli.folder / "runs/r/stages" / stage / "manifest.json").read_text())


def test_a_recipe_that_uses_one_is_checked_planned_and_run(sample: Any) -> None:
    assert sample("check", "r.yaml") == 0, sample.err
    assert sample("plan", "r.yaml") == 0
    assert "Drop records that ask what an earlier one asks." in sample.out
    assert sample("run", "r.yaml") == 0, sample.err
    found = manifest(sample, "02-dedupe")
    assert found["counts"] == {"entered": 6, "made": 0, "out": 3, "dropped": 3}
    assert found["report"] == {"distinct": 3}
    assert found["plugins"] == ["filial-dedupe:dedupe==0.1.0"]
    drop = json.loads((sample.folder / "runs/r/stages/02-dedupe/drops.jsonl").read_text().splitlines()[0])
    assert (drop["plugin"], drop["reason"]) == ("filial-dedupe:dedupe==0.1.0", "duplicate")
    lock = (sample.folder / "runs/r/recipe.lock.yaml").read_text()
    assert "# stages dedupe: filial-dedupe:dedupe==0.1.0\n" in lock
    assert "- dedupe:\n    by: instruction\n" in lock
    (sample.folder / "lock.yaml").write_text(lock)
    assert sample("check", "lock.yaml") == 0, sample.err


def test_it_is_done_again_when_its_version_or_its_keys_change_and_nothing_in_front_of_it_is(
    sample: Any, site: Any
) -> None:
    assert sample("run", "r.yaml") == 0
    assert sample("run", "r.yaml") == 0
    assert "02-dedupe: done before" in sample.err
    info = site.folder / "filial_dedupe-0.1.0.dist-info"
    (info / "METADATA").write_text((info / "METADATA").read_text().replace("0.1.0", "0.2.0"))
    info.rename(site.folder / "filial_dedupe-0.2.0.dist-info")
    assert sample("run", "r.yaml") == 0
    assert "01-filter: done before" in sample.err
    assert "02-dedupe: runs again, because filial-dedupe changed" in sample.err
    assert manifest(sample, "02-dedupe")["plugins"] == ["filial-dedupe:dedupe==0.2.0"]
    assert sample("run", "r.yaml", "--set", "stages.dedupe.by=prompt") == 0
    assert "02-dedupe: runs again, because its settings changed" in sample.err


def test_faults_of_its_keys_stand_at_their_places(sample: Any) -> None:
    for text, fault in [
        ("- dedupe: {bi: prompt}", "r.yaml:3:12: the stage 'dedupe' has no 'bi'; there are by"),
        ("- dedupe: {by: answer}", "r.yaml:3:16: 'answer' should be 'prompt' or 'instruction'"),
        ("- dedupee: {}", "r.yaml:3:3: no stage named 'dedupee'; did you mean 'dedupe'?"),
        ("- dedupe: {}\n  mix: weights", "r.yaml:4:3: the stage 'dedupe' ends before 'mix'; begin the next one with"),
    ]:
        (sample.folder / "r.yaml").write_text(f"data: data.jsonl\nstages:\n{text}\n")
        assert sample("check", "r.yaml") == 2
        assert fault in sample.err
    (sample.folder / "r.yaml").write_text("stages:\n- dedupe: {}\n")
    assert sample("check", "r.yaml") == 2
    assert "r.yaml:2:3: 'dedupe' has no records to start from" in sample.err


def test_it_is_listed_shown_and_in_the_schema(sample: Any, site: Any) -> None:
    assert sample("plugins") == 0
    assert "stages      dedupe" in sample.out
    assert sample("plugins", "show", "dedupe") == 0
    assert "dedupe (stages), filial-dedupe:dedupe==0.1.0" in sample.out
    assert "  by: 'prompt' | 'instruction', default 'prompt'. What has to be the same." in sample.out
    assert sample("schema", "stage", "dedupe") == 0
    assert list(json.loads(sample.out)["properties"]) == ["by"]
    assert sample("schema") == 0
    check = jsonschema.Draft202012Validator(json.loads(sample.out))
    assert check.is_valid({"stages": [{"dedupe": {"by": "prompt"}}]})
    assert not check.is_valid({"stages": [{"dedupe": {"by": "answer"}}]})
    own(site, "return {", version="2.0")
    check = jsonschema.Draft202012Validator(recipe_schema(Manager()))
    assert check.is_valid({"stages": [{"own": {"whatever": 1}}]}), "it does not load, so its keys are not known"


def test_what_a_recipe_does_not_name_is_not_imported(sample: Any, site: Any) -> None:
    site.dist("filial-loud", {"filial.stages": {"loud": "filial_loud:Loud"}}, {"filial_loud": 'open("loud", "w")'})
    assert sample("run", "r.yaml") == 0
    assert sample("plugins") == 0
    assert not Path("loud").exists()


def test_a_name_of_filials_stays_filials(sample: Any, site: Any, monkeypatch: Any) -> None:
    own(site, "[env.keep(record) for record in records]; return {'own': True}")
    info = site.folder / "filial_own-1.0.dist-info" / "entry_points.txt"
    info.write_text("[filial.stages]\nfilter = filial_own:Own\ndedupe = filial_own:Own\n")
    assert sample("check", "r.yaml") == 2
    told = "claimed by filial-dedupe 0.1.0 and filial-own 1.0; write 'filial-dedupe:dedupe' or 'filial-own:dedupe'"
    assert told in sample.err
    (sample.folder / "r.yaml").write_text(RECIPE.replace("dedupe: {by: instruction}", "filial-own:dedupe: {}"))
    assert sample("run", "r.yaml") == 0, sample.err
    assert manifest(sample, "01-filter")["plugins"] == [f"filial:length=={__version__}"]
    assert manifest(sample, "02-dedupe")["report"] == {"own": True}
    monkeypatch.setenv("FILIAL_BLOCK", "filial-own")
    assert sample("run", "r.yaml") == 2
    assert "stage 'dedupe' of filial-own 1.0 is blocked by FILIAL_BLOCK" in sample.err


@pytest.mark.parametrize(
    ("entry", "text", "cause"),
    [
        ("own", "x = 1", "'own' does not load"),
        ("own", "Own = 3", "3 is not a stage class"),
        ("own", "from filial.stages import Stage\nclass Own(Stage): pass", "Own has no method run"),
        ("own", "raise SystemExit(3)", "SystemExit"),
        ("../own", STAGE.format(body="return {}"), "a name is kebab-case"),
    ],
)
def test_one_that_is_broken_costs_who_names_it(entry: str, text: str, cause: str, site: Any, tmp_path: Path) -> None:
    site.dist("filial-own", {"filial.stages": {entry: "filial_own:Own"}}, {"filial_own": text})
    manager = site.manager()
    for _ in range(2):
        with pytest.raises(FilialError, match=r"^filial-own 1\.0: entry point .* does not load: ") as caught:
            stage_class(manager, entry)
        assert cause.removeprefix("'own' ") in str(caught.value)
    assert stage_class(manager, "mix").__name__ == "Mix"


@pytest.mark.parametrize("keys", ["alone = 'rules'", "rules: FILTERS = []\n    more: FILTERS = []"])
def test_keys_that_no_recipe_could_hold_are_refused(keys: str, site: Any) -> None:
    text = f"""
from typing import Annotated, Any
from filial.stages import Part, Stage
FILTERS = list[Annotated[Any, Part("filters")]]
class Own(Stage):
    {keys}
    async def run(self, stage, records, base, manager, env): ...
"""
    site.dist("filial-own", {"filial.stages": {"own": "filial_own:Own"}}, {"filial_own": text})
    with pytest.raises(FilialError, match="stage 'own' cannot be used: its keys list components of each kind once"):
        stage_class(site.manager(), "own")


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (
            "return {}",
            "filial-own:own==1.0 breaks its contract in stage 01-own: 6 records entered or were made",
        ),
        ("[env.keep(record) for record in records]", "run gave nothing (None), not a dict, its report"),
        ("raise ValueError('no')", "filial-own:own==1.0 fails in stage 01-own: ValueError: no"),
    ],
)
def test_one_that_breaks_its_contract_is_blamed_and_leaves_no_stage(body: str, fault: str, site: Any, cli: Any) -> None:
    own(site, body)
    cli.write("data.jsonl", *ROWS)
    (cli.folder / "r.yaml").write_text("data: data.jsonl\nstages:\n- own: {}\n")
    assert cli("run", "r.yaml") == 1
    assert fault in cli.err
    assert not (cli.folder / "runs/r/stages/01-own/manifest.json").exists()


def test_a_map_is_done_in_processes_with_the_same_bytes(site: Any, cli: Any) -> None:
    site.dist("filial-number", {"filial.stages": {"number": "filial_number:Number"}}, {"filial_number": MAP})
    cli.write("data.jsonl", *ROWS)
    (cli.folder / "r.yaml").write_text("data: data.jsonl\nstages:\n- number: {word: down}\n")
    for name, processes in (("alone", "0"), ("shared", "2")):
        assert cli("run", "r.yaml", "--name", name, "--processes", processes) == 0, cli.err
    alone, shared = ((cli.folder / f"runs/{name}/stages/01-number") for name in ("alone", "shared"))
    for file in ("records.jsonl", "manifest.json"):
        assert (shared / file).read_bytes() == (alone / file).read_bytes()
    assert [line.split()[0] for line in Path("places").read_text().splitlines()] == ["here"] * 2 + ["there"] * 2


def test_a_stage_of_filials_is_in_a_key_by_content_where_it_is_edited_and_not_at_all_where_it_is_released(
    cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.write("data.jsonl", *ROWS)
    manager, edited = Manager(stages()), ""
    manager.load_file(Path(__file__).parent / "toy.py")
    monkeypatch.setattr("filial.plugins.manager.code_digest", lambda info, module: edited if "." in module else "")
    recipe = loads("data: data.jsonl\nstages: [{filter: short}]", "r.yaml", manager)
    released = stage_parts(recipe.stages[0], cli.folder, manager)
    assert set(released) == {"its settings", "its plugins", "toy.py", "the options of short"}
    edited = "a1"
    assert stage_parts(recipe.stages[0], cli.folder, manager) == {**released, "filial": f"{__version__}+a1"}


def test_work_of_another_version_is_refused(site: Any, cli: Any) -> None:
    site.dist("filial-number", {"filial.stages": {"number": "filial_number:Number"}}, {"filial_number": MAP})
    cli.write("data.jsonl", *ROWS)
    (cli.folder / "r.yaml").write_text("data: data.jsonl\nstages:\n- number: {}\n")
    manager = Manager()
    recipe = load(cli.folder / "r.yaml", manager)
    job = Job.of(recipe, recipe.stages[0], manager)
    assert (job.stage.verb, job.stage.name) == ("filial-number:number", "01-number")
    (work,) = cut(job, [Record(instruction="One.")], 4)
    assert asyncio.run(Performer().perform(work)) == [Record(instruction="One.", task="0 of")]
    info = site.folder / "filial_number-1.0.dist-info"
    (info / "METADATA").write_text((info / "METADATA").read_text().replace("Version: 1.0", "Version: 1.1"))
    with pytest.raises(FilialError, match=r"filial-number:number==1\.0 has become filial-number:number==1\.1 since"):
        job.manager()
