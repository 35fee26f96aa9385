"""A short run of `self-instruct` in any of its styles: a teacher that proposes tasks once, and what came of it."""

import re
from typing import Any

from self_instruct_kit import records, run_to_error

from filial import Record, Reply, Request, TeacherError
from filial_plugins.generators.self_instruct import SelfInstruct

SEEDS = [
    Record(id=f"s{i}", instruction=f"{verb} the {thing} of a small town.", output="done", tags=tags)
    for i, (verb, thing, tags) in enumerate(
        [("Describe", "market", ()), ("Rate", "harbour", ("classification",)), ("Rename", "bridge", ()),
         ("Judge", "library", ("classification",)), ("List", "gardens", ()), ("Sketch out", "history", ()),
         ("Count", "lamps", ()), ("Praise", "bakers", ())]
    )
]  # fmt: skip
ONE = " Name one good tree."
"""A reply with a single task."""
BLOCK = " {1}\n{0}. Input:\n{2}\n{0}. Output:\n{3}"
"""What stands behind "4. Instruction:": the number, the task, its input, its output."""
JOINT = {"joint": True, "seed_examples": 3, "machine_examples": 0}
"""Blocks that go on at number 4, as Alpaca's do."""


class Teacher:
    """Says one thing when it is asked for tasks, and from then on nothing; keeps to stop strings and to the limit."""

    def __init__(
        self, tasks: str, examples: str = "Output: done well", yes: str | None = "No", finish: str = "stop"
    ) -> None:
        self.tasks, self.examples, self.yes, self.finish = tasks, examples, yes, finish
        self.asked: dict[str, list[Request]] = {"tasks": [], "question": [], "examples": []}

    async def __call__(self, request: Request) -> Reply:
        text = request.messages[-1].content
        if text.endswith("Is it classification?"):
            self.asked["question"].append(request)
            if self.yes is None:
                raise TeacherError("http-500", "overloaded")
            return Reply(text=self.yes)
        if re.search(r"\nTask: .*\n\Z", text):
            self.asked["examples"].append(request)
            return Reply(text=self.examples)
        self.asked["tasks"].append(request)
        said = self.tasks if len(self.asked["tasks"]) == 1 else ""
        for mark in request.stop:
            said = said.partition(mark)[0]
        return Reply(text=said, finish_reason=self.finish)


def run(generator: SelfInstruct, teacher: Any, seeds: list[Record] = SEEDS) -> list[Any]:
    """What came out, and last the error that ended it if one did."""
    items, error = run_to_error(generator, teacher, seeds)
    return [*items, error] if error else items


def options(style: str = "filial", **given: Any) -> SelfInstruct:
    """A short run: what the first reply brings, and no more."""
    return SelfInstruct(style=style, **{"count": 50, "patience": 1, "round_size": 1, **given})


def instructions(teacher: Teacher, style: str = "filial", **given: Any) -> list[str]:
    return [record.instruction for record in records(run(options(style, **given), teacher))]


def in_blocks(*tasks: tuple[str, str, str]) -> str:
    """A reply with these tasks, each with its input and output."""
    said = [f"{i}. Instruction:{BLOCK.format(i, *task)}" for i, task in enumerate(tasks, 4)]
    return "\n###\n".join(said).removeprefix("4. Instruction:")
