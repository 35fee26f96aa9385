"""Plugins for tests of the core: small, deterministic, and slow where a test needs time to interfere."""

import asyncio
import os

from filial import (
    Drop,
    Field,
    Filter,
    Generator,
    Keep,
    Mixer,
    Record,
    Reply,
    Strategy,
    Teacher,
    TeacherError,
    hookimpl,
)


class Count(Generator):
    """Ask for as many tasks as there are numbers."""

    count: int = Field(default=10, description="How many.")

    async def generate(self, seeds, ctx):
        tasks = (ctx.derive(i).ask(f"task {i}") for i in range(self.count))
        for i, reply in enumerate(await asyncio.gather(*tasks, return_exceptions=True)):
            if isinstance(reply, TeacherError):
                yield Drop.from_error(reply)
            elif i % 5 == 4:
                yield Drop("fifth", record=Record(instruction=reply.text))
            else:
                yield Record(instruction=reply.text, output=f"answer {i}").citing(reply)


class Longer(Strategy):
    """Ask for a longer task."""

    async def evolve(self, record, ctx):
        reply = await ctx.ask(f"longer: {record.instruction}")
        if ctx.rng.random() < 0.2:
            return Drop("unlucky")
        return record.evolved(instruction=reply.text)


class Short(Filter):
    """Drop what is long."""

    words: int = Field(default=6, description="At most.")

    def check(self, record, ctx):
        if len(record.instruction.split()) > self.words:
            return Drop("long")
        return Keep(scores={"words": float(len(record.instruction.split()))})


class First(Filter):
    """Keep the first record of each last letter."""

    remembers = True

    def check(self, record, ctx):
        seen = ctx.memory.setdefault("seen", set())
        letter = record.instruction[-1]
        if letter in seen:
            return Drop("seen")
        seen.add(letter)
        return Keep(tags=(f"ends-{letter}",))


class Even(Mixer):
    """The same rate for all."""

    def rates(self, sizes):
        return dict.fromkeys(sizes, 1.0)


def append(path, text):
    """Add a line to a file, whoever else does so at the same time."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, (text.replace("\n", " ") + "\n").encode())
    os.close(fd)


def lines(path):
    """How many lines a file has; none if it is not there."""
    try:
        with open(path, "rb") as file:
            return len(file.readlines())
    except FileNotFoundError:
        return 0


class Echo(Teacher):
    """Says the question again with a word more; fails for good on some."""

    fail_on: str = Field(default="", description="Fail when the question holds this.")
    fail_while: str = Field(default="", description="File; only while it is there, questions fail.")
    delay: float = Field(default=0.0, description="Seconds per answer.")
    came: str = Field(default="", description="File that gets a line per question.")
    log: str = Field(default="", description="File that gets a line per answer sent.")
    hold: str = Field(default="", description="File; while it is there, no more answers are sent than it has lines.")

    def identity(self):
        return {"echo": 1, "fail_on": self.fail_on}

    async def reply(self, request):
        question = request.messages[-1].content
        if self.came:
            append(self.came, question)
        await asyncio.sleep(self.delay * (1 + hash(question) % 3))
        while self.hold and os.path.exists(self.hold) and lines(self.log) >= lines(self.hold):
            await asyncio.sleep(0.01)
        failing = not self.fail_while or os.path.exists(self.fail_while)
        if failing and self.fail_on and self.fail_on in question:
            raise TeacherError("broken", "it fails here", answer="half an answ")
        if self.log:
            append(self.log, question)
        return Reply(text=f"{question} indeed", prompt_tokens=2, completion_tokens=3)


@hookimpl
def register_generators(register):
    register("count", Count)


@hookimpl
def register_strategies(register):
    register("longer", Longer)


@hookimpl
def register_filters(register):
    register("short", Short)
    register("first", First)


@hookimpl
def register_mixers(register):
    register("even", Even)


@hookimpl
def register_teachers(register):
    register("echo", Echo)
