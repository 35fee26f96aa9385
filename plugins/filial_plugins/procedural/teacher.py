"""The teacher that ships with filial: it answers, proposes, evolves and judges tasks of a closed world.

It receives exactly the messages that a remote chat model would receive, and nothing else; there is no side channel
that tells it which stage is asking.  What lies outside its world it refuses in words, as models do.  Its replies
depend on the messages, the draw, the request's seed and its own options alone.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from filial import FREE, Field, Price, Reply, Request, Teacher

from . import noise, prompts
from .evolution import evolve
from .holdout import is_taught_text, is_taught_wording
from .inputs import answer, draw_input, read_value, write_value
from .operations import InputError
from .parser import parse, read
from .task import Task
from .truth import is_right, truth
from .wording import Style, WordingError, render
from .world import World, propose

OUTSIDE = "Sorry, I can only answer tasks of my small world."
UNFIT = "Sorry, this input does not fit the task."
NO_PROPOSALS = "Sorry, I can only propose tasks of my small world, and none of these examples is one."
NO_EXAMPLES = "Sorry, I can only write examples for tasks of my small world."
NO_REWRITE = "Sorry, I can only rewrite tasks of my small world."
NO_GRADE = "Sorry, I can only grade tasks of my small world."

_TOKEN = re.compile(r"\s*(?:\w+|[^\w\s])")


@dataclass(frozen=True)
class Oracle:
    """The teacher's knowledge and habits, apart from the interface: text in, text out."""

    world: World = field(default_factory=World)
    noise: float = 0.0

    @property
    def _style(self) -> Style:
        if not self.world.holdout:
            return Style()
        return Style(allowed=is_taught_wording, fit=is_taught_text)

    def respond(self, text: str, rng: random.Random) -> str:
        """The reply to a user's message."""
        request = prompts.recognise(text)
        if isinstance(request, prompts.Propose):
            return self._propose(request, rng)
        if isinstance(request, prompts.WriteExamples):
            return self._write_examples(request, rng)
        if isinstance(request, prompts.Evolve):
            return self._evolve(request, rng)
        if isinstance(request, prompts.Compare):
            return self._compare(request)
        if isinstance(request, prompts.Grade):
            return self._grade(request)
        return self._answer(request, rng)

    def _slips(self, rng: random.Random) -> bool:
        return rng.random() < self.noise

    def _propose(self, request: prompts.Propose, rng: random.Random) -> str:
        known = [text for text in request.examples if parse(text)]
        if not known:
            return NO_PROPOSALS
        if rng.random() < self.noise / 10:
            return rng.choice(noise.REFUSALS)
        tasks = []
        for _ in range(request.count):
            tasks.append(rng.choice(known) if self._slips(rng) else self._fresh_task(rng))
        return "\n".join(f"{number}. {task}" for number, task in enumerate(tasks, request.first))

    def _fresh_task(self, rng: random.Random) -> str:
        while True:
            try:
                return render(propose(self.world, rng), rng, self._style)
            except WordingError:
                continue

    def _write_examples(self, request: prompts.WriteExamples, rng: random.Random) -> str:
        task = parse(request.instruction)
        if task is None:
            return NO_EXAMPLES
        inputs = [""] if task.inline else self._inputs(task, request.count, rng)
        blocks = []
        for number, data in enumerate(inputs, 1):
            try:
                right = answer(task, data)
            except InputError:
                return UNFIT
            output = noise.faulty_answer(right, rng) if self._slips(rng) else right
            given = "" if task.inline else f"Input: {data}\n"
            blocks.append(f"Example {number}\n{given}Output: {output}")
        return "\n\n".join(blocks) or UNFIT

    @staticmethod
    def _inputs(task: Task, count: int, rng: random.Random) -> list[str]:
        """Up to ``count`` different inputs."""
        found = (draw_input(task, rng) for _ in range(4 * count))
        return list(dict.fromkeys(data for data in found if data is not None))[:count]

    def _evolve(self, request: prompts.Evolve, rng: random.Random) -> str:
        reading = read(request.instruction)
        if reading is None:
            return NO_REWRITE
        evolved = evolve(reading.task, request.strategy, self.world, rng, reading.asked)
        rewritten = request.given
        if evolved:
            style = replace(self._style, explicit=evolved.explicit)
            task, data = _data_for(evolved.task, reading.task, request.input, rng)
            try:
                rewritten = render(task, rng, style, evolved.asked)
            except WordingError:
                return request.given
            rewritten += f"\n\nInput:\n{data}" if data else ""
        return noise.faulty_rewrite(request.given, rewritten, rng) if self._slips(rng) else rewritten

    @staticmethod
    def _compare(request: prompts.Compare) -> str:
        texts = [prompts.split_prompt(text) for text in (request.first, request.second)]
        tasks = [parse(instruction) for instruction, _ in texts]
        same = " ".join(request.first.split()).lower() == " ".join(request.second.split()).lower()
        if None not in tasks:
            same = tasks[0] == tasks[1] and texts[0][1] == texts[1][1]
        return "Equal" if same else "Not Equal"

    @staticmethod
    def _grade(request: prompts.Grade) -> str:
        question = prompts.split_prompt(request.question)
        verdict = is_right(*question, request.answer)
        if verdict is None:
            return NO_GRADE
        if verdict:
            return "The answer is right. Rating: [[10]]"
        return f"The right answer would have been: {truth(*question)}\nRating: [[1]]"

    def _answer(self, request: prompts.Answer, rng: random.Random) -> str:
        task = parse(request.instruction)
        if task is None:
            return OUTSIDE
        try:
            right = answer(task, request.input)
        except InputError:
            return UNFIT
        return noise.faulty_answer(right, rng) if self._slips(rng) else right


def _data_for(task: Task, old: Task, given: str, rng: random.Random) -> tuple[Task, str]:
    """The changed task and its input: the data given before where they still serve, else new ones."""
    try:
        if given and not old.inline and (task.input_type, task.topic) == (old.input_type, old.topic):
            value = read_value(given, old)
            data = write_value(value, task.shape, rng)
            kept = task.with_(inline=data) if task.inline else task
            answer(kept, data)
            return (kept, "") if task.inline else (kept, data)
    except InputError:
        pass
    return task, "" if task.inline else (draw_input(task, rng) or "")


def _cut(text: str, limit: int | None, stop: Sequence[str]) -> tuple[str, str]:
    """The text up to the first stop string and the limit of tokens, and why it ends there."""
    ends = [place for place in (text.find(mark) for mark in stop if mark) if place >= 0]
    text = text[: min(ends)] if ends else text
    tokens = _TOKEN.findall(text)
    if limit is not None and len(tokens) > limit:
        return "".join(tokens[:limit]), "length"
    return text, "stop"


class ProceduralTeacher(Teacher):
    """A teacher without a model: exact answers to tasks of a small closed world, offline and at once.

    It can propose tasks, write examples, evolve instructions by each of the eight built-in strategies, answer and
    judge, and says "Sorry, ..." to everything else.  With ``noise`` it makes mistakes at a known rate.  Figures
    reached with it show that a pipeline works; they say nothing about language in the open.
    """

    seed: int = Field(0, description="Changes everything the teacher draws by lot.")
    world: Literal["core", "full"] = Field("core", description="Propose the 28 core operations or all 42.")
    holdout: bool = Field(True, description="Keep the exams' wordings, pairs of operations and texts back.")
    noise: float = Field(0.0, ge=0.0, le=1.0, description="Share of answers, rewrites and proposals with a fault.")

    def price(self) -> Price:
        """Nothing: it is code."""
        return FREE

    async def reply(self, request: Request) -> Reply:
        """The reply to a request, the same for the same request."""
        texts = [message.content for message in request.messages]
        asked = [message.content for message in request.messages if message.role == "user"]
        key = "|".join([str(self.seed), str(request.draw), str(request.seed), *texts])
        rng = random.Random(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest())
        oracle = Oracle(World(self.world, self.holdout), self.noise)
        text, reason = _cut(oracle.respond(asked[-1] if asked else "", rng), request.max_tokens, request.stop)
        return Reply(
            text=text,
            finish_reason=reason,
            prompt_tokens=sum(len(_TOKEN.findall(content)) for content in texts),
            completion_tokens=len(_TOKEN.findall(text)),
        )
