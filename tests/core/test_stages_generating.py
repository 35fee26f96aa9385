"""The generate stage: ids, what passes through, and what a generator's drops say."""

import asyncio
import json

import pytest
from stage_kit import Rows

from filial import Drop, FilialError, Generator, Origin, Record
from filial.engine.stage import StageContext
from filial_plugins.stages.generate import generate_records


class Given(Generator):
    """Yields what the test holds."""

    items: list = []

    async def generate(self, seeds, ctx):
        for item in self.items:
            yield item


def generated(*items, **options):
    rows = Rows()
    env = StageContext(stage="01-generate", seed=1, writer=rows)
    seeds = [Record(id=name, instruction=f"seed {name}") for name in ("s", "s1", "s2")]
    asyncio.run(generate_records(seeds, "d:g==1", Given(items=list(items)), env, **options))
    assert env.counters.find_imbalance() == ""
    return rows, env.counters


def test_new_records_get_ids_and_an_origin_and_equal_ones_are_told_apart():
    rows, counters = generated(*[Record(instruction="same", origin=Origin(parents=("s",), answers=("k",)))] * 3)
    assert len({r.id for r in rows.kept}) == 3
    assert {r.origin for r in rows.kept} == {Origin("01-generate", "d:g==1", ("s",), 0, ("k",))}
    assert (counters.entered, counters.made, counters.out) == (0, 3, 3)


def test_what_passes_on_comes_first_and_unchanged():
    before = Record(id="b", instruction="before")
    rows, counters = generated(Record(instruction="new"), passed_on=[before])
    assert rows.kept[0] is before
    assert (counters.entered, counters.made, counters.out) == (1, 1, 2)


def test_what_does_not_pass_on_is_a_drop_like_any_other():
    rows, counters = generated(Record(instruction="new"), left_out=[Record(id="b", instruction="before")])
    assert [(d.reason, d.record.id) for d in rows.dropped] == [("input-not-kept", "b")]
    assert (counters.entered, counters.made, counters.out) == (1, 1, 1)


def test_a_generator_that_fails_when_it_is_stopped_is_named():
    class Stubborn(Generator):
        async def generate(self, seeds, ctx):
            try:
                yield Record(instruction="one")
                yield Record(instruction="two")
            finally:
                raise OSError("will not stop")

    env = StageContext(stage="01-generate", seed=1, writer=Rows())
    with pytest.raises(FilialError, match="d:g==1 fails in stage 01-generate: OSError: will not stop"):
        asyncio.run(generate_records([], "d:g==1", Stubborn(), env, limit=1))


def test_a_generators_drop_keeps_its_record_answer_and_lineage():
    record = Record(instruction="no", origin=Origin(parents=("s1", "s2"), answers=("k",)))
    rows, _ = generated(Drop("bad", "why", answer="raw", record=record), Drop("worse"))
    first, second = rows.dropped
    assert (first.reason, first.detail, first.answer, first.record) == ("bad", "why", "raw", record)
    assert (first.parent, first.answers, first.plugin) == ("s1", ("k",), "d:g==1")
    assert (second.reason, second.record) == ("worse", None)


def test_a_generator_is_stopped_and_closed_when_it_has_made_enough():
    ended = []

    class Forever(Generator):
        async def generate(self, seeds, ctx):
            try:
                for i in range(1000):
                    yield Drop("odd") if i % 2 else Record(instruction=f"task {i}")
            finally:
                ended.append(i)

    rows = Rows()
    env = StageContext(stage="s", seed=1, writer=rows)
    before = [Record(id="b", instruction="before")] * 2
    asyncio.run(generate_records([], "d:g==1", Forever(), env, passed_on=before, limit=3))
    assert env.counters.find_imbalance() == ""
    assert [r.instruction for r in rows.kept] == ["before", "before", "task 0", "task 2", "task 4"]
    assert len(rows.dropped) == 2
    assert ended == [4]


SEEDLESS = """
from filial import Field, Generator, Record, hookimpl


class Numbers(Generator):
    \"\"\"Tasks from nothing.\"\"\"

    asks = False
    needs_seeds = False
    count: int = Field(default=3, description="How many.")

    async def generate(self, seeds, ctx):
        for seed in seeds:
            yield Record(instruction=f"like {seed.instruction}")
        for i in range(self.count):
            yield Record(instruction=f"task {i} of {len(seeds)} seeds", output=str(i))


@hookimpl
def register_generators(register):
    register("numbers", Numbers)
"""


@pytest.fixture
def numbers(cli):
    (cli.folder / "numbers.py").write_text(SEEDLESS)
    return lambda *args: cli("--plugin", "numbers.py", *args)


def test_a_recipe_may_begin_with_a_generator_that_needs_no_seeds(cli, numbers):
    (cli.folder / "r.yaml").write_text("stages:\n- generate: numbers\n")
    assert numbers("check", "r.yaml") == 0, cli.err
    assert numbers("plan", "r.yaml") == 0, cli.err
    assert numbers("run", "r.yaml") == 0, cli.err
    made = [r["instruction"] for r in cli.rows("runs/r/stages/01-generate/records.jsonl")]
    assert made == [f"task {i} of 0 seeds" for i in range(3)]
    assert json.loads((cli.folder / "runs/r/summary.json").read_text())["stages"][0]["made"] == 3


def test_seeds_for_one_that_needs_none_are_given_to_it(cli, numbers):
    cli.write("seeds.jsonl", {"instruction": "Name a river."})
    (cli.folder / "r.yaml").write_text("stages:\n- generate: {use: numbers, count: 1, seeds: seeds.jsonl}\n")
    assert numbers("run", "r.yaml") == 0, cli.err
    made = [r["instruction"] for r in cli.rows("runs/r/stages/01-generate/records.jsonl")]
    assert made == ["like Name a river.", "task 0 of 1 seeds"]


def test_a_command_with_one_that_needs_no_seeds_takes_no_input(cli, numbers):
    assert numbers("generate", "numbers", "--count", "2", "-o", "out.jsonl") == 0, cli.err
    assert [r["output"] for r in cli.rows("out.jsonl")] == ["0", "1"]


def test_a_command_with_one_that_needs_seeds_asks_for_them(cli):
    assert cli("generate", "count", "-o", "out.jsonl", "--teacher", "echo") == 2
    assert cli.err == "Error: the generator count needs seeds; name an INPUT file\n"
    assert "out.jsonl" not in cli.files()
