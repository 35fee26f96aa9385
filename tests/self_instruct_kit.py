"""A scripted teacher that invents tasks and examples for `self-instruct`, and what came of asking it."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from zlib import crc32

from filial import Context, Drop, FilialError, Generator, Record, Reply, Request

VERBS = ("Describe", "Compare", "Invent", "Translate", "Rewrite", "Explain", "Classify", "Rhyme", "Estimate", "Sort")
THINGS = ("rivers", "stamps", "comets", "lamps", "bridges", "violins", "cactus", "harbours", "glaciers", "wolves")
SEEDS = [
    Record(id=f"s{i}", instruction=f"{verb} {thing} {i} times while humming tune number {i * 7}.")
    for i, (verb, thing) in enumerate(zip(VERBS, THINGS, strict=True))
]
SEED_FILE = "pkg:filial_plugins/procedural/seeds.jsonl"
EXAMPLE = "Example 1\nInput: {n} apples\nOutput: {n} pears"


class Model:
    """A teacher that invents tasks and examples; what it says depends on the request alone."""

    def __init__(
        self,
        propose: Callable[[int, int, Request], str] | None = None,
        delay: bool = False,
        example: Callable[[str], str] = lambda task: EXAMPLE.format(n=len(task)),
    ) -> None:
        self.propose, self.delay, self.example = propose or self.novel, delay, example
        self.proposals: list[Request] = []
        self.tasks: list[str] = []
        self.questions = 0

    @property
    def requests(self) -> int:
        return len(self.proposals) + self.questions + len(self.tasks)

    async def __call__(self, request: Request) -> Reply:
        text = request.messages[0].content
        if self.delay:
            await asyncio.sleep((crc32(text.encode()) % 7) / 500)
        wanted = re.search(r"Write (\d+) new tasks", text)
        if text.endswith("Is it classification?"):
            self.questions += 1
            said = "No"
        elif wanted:
            self.proposals.append(request)
            first = int(re.search(r"(\d+)\.\Z", text)[1])
            said = self.propose(int(wanted[1]), first, request)
        else:
            self.tasks.append(re.search(r"\nTask: (.*)\n\Z", text)[1])
            said = self.example(self.tasks[-1])
        return Reply(text=said, key=f"key of {len(text)}")

    @staticmethod
    def novel(n: int, first: int, request: Request) -> str:
        mark = crc32(request.messages[0].content.encode())
        tasks = [" ".join(f"w{mark}x{first + i}y{j}" for j in range(6)) for i in range(n)]
        return " " + "\n".join(tasks[:1] + [f"{first + i}. {task}" for i, task in enumerate(tasks) if i])


def run(
    generator: Generator, model: Any, seeds: Sequence[Record] = SEEDS, notes: list[str] | None = None
) -> list[Record | Drop]:
    items, error = run_to_error(generator, model, seeds, notes)
    if error:
        raise error
    return items


def run_to_error(
    generator: Generator, model: Any, seeds: Sequence[Record] = SEEDS, notes: list[str] | None = None
) -> tuple[list[Record | Drop], FilialError | None]:
    """What came out, and what ended it if anything did."""
    items: list[Record | Drop] = []
    ctx = Context(model, key=(0, "generate"), note=[].append if notes is None else notes.append)

    async def work() -> None:
        async for item in generator.generate(seeds, ctx):
            items.append(item)

    try:
        asyncio.run(asyncio.wait_for(work(), 300))
    except FilialError as error:
        return items, error
    return items, None


def records(items: list[Record | Drop]) -> list[Record]:
    return [item for item in items if isinstance(item, Record)]


def reasons(items: list[Record | Drop]) -> Counter[str]:
    return Counter(item.reason for item in items if isinstance(item, Drop))
