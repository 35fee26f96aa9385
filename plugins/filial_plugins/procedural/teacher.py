"""The teacher that ships with filial: it answers, proposes, evolves and judges tasks of a closed world.

It receives exactly the messages that a remote chat model would receive, and nothing else; there is no side channel
that tells it which stage is asking.  What lies outside its world it refuses in words, as models do.  Its replies
depend on the messages, the draw, the request's seed and its own options alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from filial import FREE, Field, Price, Reply, Request, Teacher

from . import constrained_answers, noise, prompts
from .evolution import evolve
from .holdout import is_taught_text, is_taught_wording
from .inputs import compute_answer, draw_input, read_value, write_value
from .noise import FaultyReply
from .operations import InputError
from .parser import is_prepared, parse, prepare, read_instruction
from .proposer import UNFIT, Proposer
from .task import Task
from .truth import is_right, truth
from .wording import Style, WordingError, render
from .world import World

OUTSIDE = "Sorry, I can only answer tasks of my small world."
NO_REWRITE = "Sorry, I can only rewrite tasks of my small world."
NO_GRADE = "Sorry, I can only grade tasks of my small world."

_TRIES = 8
"""Wordings that are tried before a prompt counts as one that cannot be put otherwise."""
_TOKEN = re.compile(r"\s*(?:\w+|[^\w\s])")


@dataclass(frozen=True)
class Oracle:
    """The teacher's knowledge, without the interface of a teacher: text in, text out.

    ``faults`` collects the kinds of the faults that noise put into rewritten prompts and answers.
    """

    world: World = field(default_factory=World)
    noise: float = 0.0
    faults: list[str] = field(default_factory=list)

    @property
    def _style(self) -> Style:
        if not self.world.holdout:
            return Style()
        return Style(allowed=is_taught_wording, fit=is_taught_text)

    def respond(self, text: str, rng: random.Random) -> str:
        """Return the reply to a user's message."""
        request = prompts.recognise(text)
        if isinstance(request, prompts.Propose):
            return self._propose(request, rng)
        if isinstance(request, prompts.WriteExamples):
            return self._proposer.write_examples(request, rng)
        if isinstance(request, prompts.Classify):
            return self._proposer.classify(request, rng)
        if isinstance(request, prompts.Evolve):
            return self._evolve(request, rng)
        if isinstance(request, prompts.Compare):
            return self._compare(request, rng)
        if isinstance(request, prompts.Grade):
            return self._grade(request)
        return self._answer(request, rng)

    def _draws_fault(self, rng: random.Random) -> bool:
        return rng.random() < self.noise

    def _note_fault(self, slip: FaultyReply) -> str:
        self.faults.append(slip.kind)
        return slip.text

    @property
    def _proposer(self) -> Proposer:
        return Proposer(self.world, self._style, self.noise)

    def _propose(self, request: prompts.Propose, rng: random.Random) -> str:
        return self._proposer.propose(request, rng)

    def _evolve(self, request: prompts.Evolve, rng: random.Random) -> str:
        instruction, demands = constrained_answers.split_constraints(request.instruction)
        reading = read_instruction(instruction)
        if reading is None:
            return NO_REWRITE
        evolved = evolve(reading.task, request.strategy, self.world, rng, reading.asked)
        rewritten = request.given
        if evolved:
            style = replace(self._style, explicit=evolved.explicit)
            task, data = _fit_data(evolved.task, reading.task, request.input, rng)
            try:
                rewritten = " ".join([render(task, rng, style, evolved.asked), *(d.text for d in demands)])
            except WordingError:
                return request.given
            rewritten += f"\n\nInput:\n{data}" if data else ""
        if not self._draws_fault(rng):
            return rewritten
        reworded = self._reword(reading.task, request, rng)
        return self._note_fault(noise.make_faulty_rewrite(request.given, rewritten, reworded, rng))

    def _reword(self, task: Task, request: prompts.Evolve, rng: random.Random) -> str:
        """Return the given prompt in other words, or unchanged if the grammar has no other words for it."""
        demands = constrained_answers.split_constraints(request.instruction)[1]
        for _ in range(_TRIES):
            try:
                text = " ".join([render(task, rng, self._style), *(d.text for d in demands)])
            except WordingError:
                break
            if text.lower() != request.instruction.lower():
                return f"{text}\n\nInput:\n{request.input}" if request.input else text
        return request.given

    def _compare(self, request: prompts.Compare, rng: random.Random) -> str:
        """Say whether two prompts ask the same. The verdict is always right; noise only changes its wording."""
        texts = [prompts.split_prompt(text) for text in (request.first, request.second)]
        tasks = [parse(instruction) for instruction, _ in texts]
        same = " ".join(request.first.split()).lower() == " ".join(request.second.split()).lower()
        if None not in tasks:
            same = tasks[0] == tasks[1] and texts[0][1] == texts[1][1]
        if self._draws_fault(rng):
            return noise.word_verdict(same, rng)
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
        instruction, demands = constrained_answers.split_constraints(request.instruction)
        task = parse(instruction)
        if task is None:
            return OUTSIDE
        try:
            right = compute_answer(task, request.input)
        except InputError:
            return UNFIT
        if demands:
            obeyed = constrained_answers.answer_with_constraints(right, demands, self._draws_fault(rng), rng)
            return (
                self._note_fault(noise.FaultyReply(f"broken:{obeyed.broken}", obeyed.text))
                if obeyed.broken
                else obeyed.text
            )
        return self._note_fault(noise.make_faulty_answer(right, rng)) if self._draws_fault(rng) else right


def _fit_data(task: Task, old: Task, given: str, rng: random.Random) -> tuple[Task, str]:
    """Return the changed task and its input: the data given before if they still fit, else newly drawn data."""
    try:
        if given and not old.inline and (task.input_type, task.topic) == (old.input_type, old.topic):
            value = read_value(given, old)
            data = write_value(value, task.shape, rng)
            kept = task.with_(inline=data) if task.inline else task
            compute_answer(kept, data)
            return (kept, "") if task.inline else (kept, data)
    except InputError:
        pass  # the data given do not suit the changed task: new ones are drawn
    return task, "" if task.inline else (draw_input(task, rng) or "")


def _cut_reply(text: str, limit: int | None, stop: Sequence[str]) -> tuple[str, str]:
    """Return the text up to the first stop string and the limit of tokens, and why it ends there."""
    ends = [place for place in (text.find(mark) for mark in stop if mark) if place >= 0]
    text = text[: min(ends)] if ends else text
    tokens = _TOKEN.findall(text)
    if limit is not None and len(tokens) > limit:
        return "".join(tokens[:limit]), "length"
    return text, "stop"


class ProceduralTeacher(Teacher):
    """A teacher without a model: exact answers to tasks of a small closed world, offline and at once.

    It can propose tasks, recognize classification tasks, write examples, evolve instructions by each of the eight
    built-in strategies, answer (and satisfy checkable constraints at the end of a task) and judge; it says "Sorry, ..."
    to everything else. With ``noise`` it makes mistakes at a known rate. Results with it show that a pipeline works;
    they say nothing about natural language.
    """

    seed: int = Field(0, description="Seed of the teacher's random numbers.")
    world: Literal["core", "full"] = Field("core", description="Propose the 28 core operations or all 42.")
    holdout: bool = Field(True, description="Hold out the exams' wordings, pairs of operations and texts.")
    noise: float = Field(0.0, ge=0.0, le=1.0, description="Share of answers, rewrites and proposals with a fault.")

    def price(self) -> Price:
        """Return `FREE`: the teacher is code and costs nothing."""
        return FREE

    async def reply(self, request: Request) -> Reply:
        """Return the reply to a request, the same for the same request."""
        if not is_prepared():
            await asyncio.to_thread(prepare)  # others are answered meanwhile
        texts = [message.content for message in request.messages]
        text, reason = _cut_reply(self._respond(request)[0], request.max_tokens, request.stop)
        return Reply(
            text=text,
            finish_reason=reason,
            prompt_tokens=sum(len(_TOKEN.findall(content)) for content in texts),
            completion_tokens=len(_TOKEN.findall(text)),
        )

    def faults(self, request: Request) -> list[str]:
        """Return the kinds of the faults that ``noise`` puts into the reply to a request: `noise.ANSWER_FAULTS`,
        `noise.REWRITE_FAULTS`, or ``broken:TYPE`` for a checkable constraint that the answer was written to break.

        For those who measure filters; the reply itself does not tell.
        """
        return self._respond(request)[1]

    def _respond(self, request: Request) -> tuple[str, list[str]]:
        """Return the whole reply and the kinds of its faults."""
        texts = [message.content for message in request.messages]
        asked = [message.content for message in request.messages if message.role == "user"]
        key = "|".join([str(self.seed), str(request.draw), str(request.seed), *texts])
        rng = random.Random(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest())
        oracle = Oracle(World(self.world, self.holdout), self.noise)
        return oracle.respond(asked[-1] if asked else "", rng), oracle.faults
