"""Cases recorded from the programs of Self-Instruct and Stanford Alpaca, and what our generator does with each of them.

The styles ``paper`` and ``alpaca`` decide as recorded; where the default decides otherwise stands in
tests/reference/test_selfinstruct_defaults_reference.py.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from filial import Context, Drop, Record, Reply, Request, TeacherError
from filial_plugins.generators.self_instruct import SelfInstruct
from filial_plugins.generators.self_instruct.blocks import Block
from filial_plugins.generators.self_instruct.examples import ExampleWriter
from filial_plugins.generators.self_instruct.pool import make_pool
from filial_plugins.generators.self_instruct.proposals import parse_reply

FOLDER = Path(__file__).parents[1].parent / "shared" / "reference" / "selfinstruct"
RECORDED = pytest.mark.skipif(not FOLDER.is_dir(), reason="the recorded cases of the originals are not here")
PAPER, ALPACA = SelfInstruct(style="paper"), SelfInstruct(style="alpaca")


def cases(name: str) -> list[dict[str, Any]]:
    text = (FOLDER / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line]


def case(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def seeds_of(instructions: list[str], **fields: Any) -> list[Record]:
    return [Record(instruction=text, **fields) for text in instructions]


def taken(text: str, first: int, generator: SelfInstruct, finish: str = "stop") -> list[Block]:
    """The tasks of a reply that pass the screen."""
    pool = make_pool(generator, seeds_of(["x"]))
    found = parse_reply(Reply(text=text, finish_reason=finish), first, generator.chosen)
    return [b for b in found if isinstance(b, Block) and pool.screen.find_fault(b.instruction) is None]


class Scripted:
    """A model that says, of each task, whether it is one of classification, and gives the answer scripted for it."""

    def __init__(self, questions: dict[str, Any], answers: dict[str, Any]) -> None:
        self.questions, self.answers = questions, answers
        self.asked: dict[str, list[Request]] = {"questions": [], "examples": []}

    async def __call__(self, request: Request) -> Reply:
        text = request.messages[-1].content
        task, _, rest = text.rpartition("\n\nTask: ")[2].partition("\n")
        kind, script = ("questions", self.questions) if rest else ("examples", self.answers)
        self.asked[kind].append(request)
        answer = script[task]
        if answer is None:
            raise TeacherError("http-500", "no answer")
        return Reply(text=answer[0], finish_reason=answer[1])


def examples_of(generator: SelfInstruct, tasks: list[Record], model: Scripted) -> list[list[Record | Drop]]:
    """The examples of tasks, asked for in batches as the generator does it."""
    writer, size = ExampleWriter(generator.chosen, generator.prompt_texts), generator.chosen.batch

    async def work() -> list[list[Record | Drop]]:
        ctx, found = Context(model), []
        for start in range(0, len(tasks), size):
            found += await writer.write(tasks[start : start + size], ctx)
        return found

    return asyncio.run(work())


def instances(found: list[Record | Drop]) -> list[list[str]]:
    return sorted([r.instruction.strip(), r.input, r.output] for r in found if isinstance(r, Record))
