"""A generator that says what becomes of each record it is given: the books count those records, not copies of them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from stage_kit import Rows

from filial import Drop, Generator, Message, Origin, Record, hookimpl
from filial.engine.stage import StageContext
from filial.testing import GeneratorContract
from filial_plugins.stages.generate import generate_records


class Halves(Generator):
    """Cuts instructions of more than three letters into two; throws out those of one letter."""

    asks = False
    consumes = True

    async def generate(self, seeds, ctx):
        for seed in seeds:
            text = seed.instruction
            if len(text) == 1:
                yield Drop("too-short", record=seed)
            elif len(text) < 4:
                yield seed
            else:
                for half in (text[: len(text) // 2], text[len(text) // 2 :]):
                    yield Record(instruction=half, origin=Origin(parents=(seed.id,)))
                yield Drop("halved", "into 2", record=seed)


class Silent(Halves):
    """Ends before it has spoken of all."""

    async def generate(self, seeds, ctx):
        yield seeds[0]


class TestHalvesContract(GeneratorContract):
    component = Halves()


def generated(generator, *texts, left_out=True, limit=None):
    seeds = [Record(id=f"r{i}", instruction=text) for i, text in enumerate(texts)]
    rows = Rows()
    env = StageContext(stage="02-generate", seed=1, writer=rows)
    entered = seeds if left_out else []
    asyncio.run(generate_records(seeds, "d:g==1", generator, env, left_out=entered, limit=limit))
    assert env.counters.find_imbalance() == ""
    return rows, env.counters, seeds


def test_what_is_handed_on_is_the_very_record_and_what_is_replaced_says_by_what():
    rows, counters, seeds = generated(Halves(), "abc", "abcd", "x")
    assert rows.kept[0] is seeds[0]
    assert [r.instruction for r in rows.kept] == ["abc", "ab", "cd"]
    assert [r.origin.parents for r in rows.kept[1:]] == [("r1",), ("r1",)]
    assert [(row.reason, row.record.id) for row in rows.dropped] == [("halved", "r1"), ("too-short", "r2")]
    assert (counters.entered, counters.made, counters.out, counters.dropped.total()) == (3, 2, 3, 2)


def test_a_conversation_of_one_question_goes_on_in_the_form_it_came_in():
    talk = Record(id="c", messages=(Message("user", "abc"), Message("assistant", "yes")))
    rows = Rows()
    env = StageContext(stage="s", seed=1, writer=rows)
    asyncio.run(generate_records([talk], "d:g==1", Halves(), env, left_out=[talk]))
    assert rows.kept == [talk]


def test_what_it_does_not_speak_of_is_a_drop_too():
    rows, counters, _ = generated(Silent(), "a", "b", "c")
    assert [r.id for r in rows.kept] == ["r0"]
    assert [(row.reason, row.record.id) for row in rows.dropped] == [("input-not-kept", "r1"), ("input-not-kept", "r2")]
    assert (counters.entered, counters.made) == (3, 0)


def test_a_limit_ends_it_and_everything_is_accounted_for():
    rows, counters, _ = generated(Halves(), "ab", "ab", "ab", limit=2)
    assert [r.id for r in rows.kept] == ["r0", "r1"]
    assert counters.dropped == {"input-not-kept": 1}


def test_seeds_of_a_file_count_as_made_when_they_are_handed_on():
    rows, counters, seeds = generated(Halves(), "abc", "abcd", left_out=False)
    assert rows.kept[0] is seeds[0]
    assert (counters.entered, counters.made, counters.out) == (0, 4, 3)


@hookimpl
def register_generators(register):
    register("halves", Halves)


RECIPE = """\
data: in.jsonl
stages:
- generate: {{use: halves{more}}}
"""


@pytest.mark.parametrize("more", ["", ", keep_inputs: true"])
def test_in_a_recipe_nothing_has_to_be_said_of_the_inputs_and_nothing_may(cli, more):
    cli.write("in.jsonl", *({"id": f"r{i}", "instruction": text} for i, text in enumerate(["abc", "abcd", "x"])))
    (cli.folder / "recipe.yaml").write_text(RECIPE.format(more=more))
    code = cli("--plugin", Path(__file__), "run", "recipe.yaml", toy=False)
    if more:
        assert code != 0
        assert "halves decides itself about the records it is given; remove keep_inputs" in cli.err
    else:
        assert code == 0, cli.err
        assert sorted(r["instruction"] for r in cli.rows("runs/recipe/stages/01-generate/records.jsonl")) == [
            "ab",
            "abc",
            "cd",
        ]


def test_on_the_command_line_the_inputs_enter_and_leave(cli):
    cli.write("in.jsonl", *({"id": f"r{i}", "instruction": text} for i, text in enumerate(["abc", "abcd", "x"])))
    code = cli("--plugin", Path(__file__), "generate", "halves", "in.jsonl", "-o", "out.jsonl", "--json", toy=False)
    assert code == 0, cli.err
    assert '"kept": 3' in cli.out
    assert [(row["reason"], row["record"]["id"]) for row in cli.rows("out.drops.jsonl")] == [
        ("halved", "r1"),
        ("too-short", "r2"),
    ]
