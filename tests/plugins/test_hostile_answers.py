"""Whatever a teacher says, no built-in that asks raises, every row is accounted for, and it is quick."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from cpu_kit import bounded
from stage_kit import evolution

from filial import FilialError, Filter, Record, Reply, Request, TeacherError
from filial.engine.stage import DropRow, StageContext
from filial.gateway.deadlines import Deadlines
from filial.gateway.replies import receive
from filial.plugins import Manager, index
from filial.testing import ScriptedTeacher
from filial_plugins.stages.evolve import Choice, evolve_records
from filial_plugins.stages.filter import FilterStep, filter_records
from filial_plugins.stages.generate import generate_records

pytestmark = pytest.mark.slow


def _silent(prompt: str) -> str:
    """What the teacher `openai` makes of a completion whose content is null."""
    raise TeacherError("empty-answer", "the answer has no text")


ANSWERS: dict[str, str | Callable[[str], str]] = {
    "none": _silent,
    "empty": "",
    "blanks": " \n\t\r\n \u00a0\u2003 ",
    "a megabyte of one letter": "x" * 1_000_000,
    "a megabyte of line ends": "\n" * 1_000_000,
    "a megabyte of blanks": " " * 1_000_000 + ".",
    "short words": "a " * 200_000,
    "a megabyte of numbered lines": "".join(f"{i}. Name {i} rivers{' far up north' * 6}.\n" for i in range(10_000)),
    "numbers": "".join(f"{i}.\n" for i in range(100_000)),
    "numbered garbage": "1.\n2.\n\n3. \n99999999999999999999999. ???\n-1. x\n1.1.1.1\n0. \n٣. x\n²) y",
    "another script": "เขียนบทกวี\n1. اكتب قصيدة عن البحر\n2. 写一首关于海的诗。\n3. Γράψε",
    "the prompt": lambda prompt: prompt,
    "the prompt's end": lambda prompt: prompt[-300:] * 3,
    "half a character": "Name \ud800 rivers.\udfff",
    "control characters": "".join(map(chr, range(32))) + "Name\x00 rivers\x7f\x85\u2028\u2029\ufeff.",
    "brackets": "[" * 100_000 + "]" * 100_000,
    "braces": "{" * 50_000 + "{prompt}{0}{instruction!r}" + "}" * 50_000,
    "nested JSON": '{"a":[' * 30_000,
    "inputs only": "Input:\n" * 30_000,
    "outputs only": "Output:\n" * 30_000,
    "examples without content": "Example 1\nInput:\nOutput:\n\n" * 10_000,
    "number signs": "###\n" * 50_000,
    "headings": "### Instruction:\n### Response:\n#Rewritten Prompt#:\n" * 5_000,
    "right to left": "\u202e\u2067Name rivers.\u2069\u202c\u200f\u061c" * 10_000,
    "invisible signs": "\u200b\u200d\u00ad\ufe0f" * 30_000,
    "emoji": "👩\u200d👩\u200d👧🏽" * 20_000,
    "marks on marks": "Z" + "\u0301" * 100_000,
    "quotes and backslashes": "\\\"'`" * 50_000,
    "a table": "| a | b |\n|---|---|\n" * 10_000,
    "verdicts": "not equal equal " * 10_000,
    "promises": "Sure, " * 30_000,
    "courtesies": "Thank you. Sure! Please " * 10_000,
    "apologies": "sorry " * 30_000,
    "commas": ", and, so, i cannot" * 10_000,
}

SEEDS = [
    Record(id="a", instruction="Name three rivers of Asia.", output="Yangtze, Mekong, Indus"),
    Record(id="b", instruction="Sort these words by length.", input="pear, fig, banana", output="fig, pear, banana"),
    Record(id="c", instruction="写一首关于海的短诗。", output="海浪拍岸，月光如水。", tags=("classification",)),
    Record(id="d", instruction="Is it positive? I love it.", output="yes", tags=("classification",)),
]
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "self-instruct": [
        {"count": 3, "round_size": 1, "patience": 1, "style": style} for style in ("filial", "paper", "alpaca")
    ],
    "instances": [{"per_record": 2}],
    "prompt": [{"text": "Make it harder:\n{prompt}"}],
    "add-constraints": [{}, {"checkable": True}],
    "evolved": [{"equality": "ask"}, {"style": "paper"}],
    "split-reasoning": [{"marker": "Therefore,"}],
}
"""What to run a plugin with, where its defaults will not do or are not all there is."""
LEFT_OUT = ("from-fields", "harm")
"""They ask nobody, and have tests of their own."""


def built(kind: str) -> list[Any]:
    """Every installed component of a kind that ships with filial, by name and options."""
    found = []
    for name, claims in sorted(index()[kind].items()):
        if name not in LEFT_OUT and any(claim.dist == "filial" for claim in claims):
            for options in OPTIONS.get(name, [{}]):
                label = " ".join(
                    [name, *(f"{k}={v}" for k, v in options.items() if k in ("style", "equality", "checkable"))]
                )
                found.append(pytest.param(name, options, id=label))
    return found


class Rows:
    """What came out of a stage, and what did not."""

    def __init__(self) -> None:
        self.kept: list[Record] = []
        self.drops: list[DropRow] = []

    def keep(self, record: Record) -> None:
        self.kept.append(record)

    def drop(self, row: DropRow) -> None:
        row.encode()
        self.drops.append(row)


def staged(answer: str | Callable[[str], str]) -> StageContext:
    """A stage whose teacher gives one answer to everything."""

    def said(request: Request) -> Reply:
        return Reply(text=answer(request.messages[-1].content) if callable(answer) else answer)

    teacher = ScriptedTeacher.model_validate({"script": said})
    late = Deadlines(teacher.timeout)
    ask = partial(receive, "hostile", teacher, deadlines=late)
    return StageContext(stage="s", seed=1, writer=Rows(), ask=ask)


async def _ended(work: Callable[[StageContext], Any], env: StageContext) -> FilialError | None:
    try:
        await work(env)
    except FilialError as error:
        return error
    return None


def check(work: Callable[[StageContext], Any], env: StageContext) -> None:
    """Run a stage, in a time that does not go with the square of an answer's megabyte, and look at its books."""
    with bounded():
        end = asyncio.run(_ended(work, env))
    if end:  # a generator may say that nothing came of it; a crash in a plugin would have a cause
        assert end.__cause__ is None, end
        assert "stopped, since" in str(end), end
    else:
        assert env.counters.find_imbalance() == ""
        assert (len(env.writer.kept), len(env.writer.drops)) == (env.counters.out, env.counters.dropped.total())


@pytest.fixture(scope="module")
def plugins() -> Manager:
    return Manager(index())


EACH_ANSWER = pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)


@EACH_ANSWER
@pytest.mark.parametrize(("name", "options"), built("generators"))
def test_generators_survive(plugins, name, options, answer):
    generator = plugins.build("generators", {"use": name, **options})
    check(lambda env: generate_records(SEEDS, name, generator, env), staged(answer))


@EACH_ANSWER
def test_strategies_survive(plugins, answer):
    """Each evolves a record, and the answer comes as the evolved prompt, as its answer and as the judge's verdict."""
    choices = []
    for case in built("strategies"):
        name, options = case.values
        choices.append(Choice(name, name, plugins.build("strategies", {"use": name, **options})))
    judge = FilterStep("evolved", plugins.build("filters", {"use": "evolved", "equality": "ask"}))
    records = [SEEDS[i % 2].replaced(id=str(i)) for i in range(len(choices))]
    check(lambda env: evolve_records(records, evolution(choices, [judge], order="fixed"), env), staged(answer))


@EACH_ANSWER
@pytest.mark.parametrize(("name", "options"), built("filters"))
def test_filters_survive(plugins, name, options, answer):
    """As the answer of a teacher that is asked, and as what a record holds."""
    text = answer("Name three rivers.") if callable(answer) and answer is not _silent else answer
    records = SEEDS
    if isinstance(text, str) and "\ud800" not in text:
        records = [*SEEDS, SEEDS[0].evolved(instruction="Name rivers.", output=text).replaced(id="e")]
    chosen: Filter = plugins.build("filters", {"use": name, **options})
    check(lambda env: filter_records(records, [FilterStep(name, chosen)], env), staged(answer))
