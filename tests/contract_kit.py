"""A component of each kind that keeps the contract of its kind."""

from __future__ import annotations

from typing import ClassVar

from filial import (
    END,
    Drop,
    Field,
    Filter,
    Generator,
    Judge,
    Keep,
    Mixer,
    Record,
    Reply,
    Span,
    Strategy,
    Teacher,
    Template,
    Verdict,
)
from filial.formats import RowFormat, Unfit


class GoodGenerator(Generator):
    """One record per seed."""

    async def generate(self, seeds, ctx):
        for seed in seeds:
            reply = await ctx.ask(seed.instruction)
            yield seed.evolved(instruction=reply.text) if reply.text else Drop("empty-reply")


class GoodStrategy(Strategy):
    """Ask for a harder one."""

    words: int = Field(default=10, ge=1, description="How many words more.")

    async def evolve(self, record, ctx):
        reply = await ctx.ask(f"{record.question()} {ctx.rng.random()}")
        return record.evolved(instruction=reply.text, input="") if reply.text.strip() else Drop("empty-reply")


class GoodFilter(Filter):
    """Each question once."""

    remembers: ClassVar = True

    def check(self, record, ctx):
        seen = ctx.memory.setdefault("seen", set())
        if record.question() in seen:
            return Drop("seen-before")
        seen.add(record.question())
        return Keep(scores={"words": len(record.instruction.split())})


class GoodBatchFilter(Filter):
    """Short questions, many at a time."""

    def check_batch(self, records, ctx):
        return [Keep() if len(r.instruction) < 20 else Drop("long") for r in records]


class GoodMixer(Mixer):
    """By size."""

    def rates(self, sizes):
        return {task: float(size) for task, size in sizes.items()}


class GoodTemplate(Template):
    """Question and answer."""

    def render(self, record):
        prompt = [Span("Q: "), Span(record.question()), Span("\nA: ")]
        return [*prompt, Span(record.output, train=True), END] if record.output else prompt


class GoodTeacher(Teacher):
    """Says how long the question is."""

    bonus: int = Field(default=0, description="Added to the length.")

    async def reply(self, request):
        return Reply(text=str(len(request.messages[-1].content) + self.bonus))


class GoodJudge(Judge):
    """Right or wrong."""

    async def judge(self, record, candidates, ctx):
        right = (await candidates[0].ask(record.question())).text == record.output
        return Verdict(score=float(right), passed=right)


class GoodFormat(RowFormat):
    """Cards with two sides."""

    keys = ("front", "back")

    def from_row(self, row):
        return [Record(instruction=row["front"], output=row["back"])]

    def to_rows(self, records):
        for record in records:
            if len(record.turns()) != 2:
                raise Unfit(record, "a card has two sides")
            question, answer = record.turns()
            yield {"front": question.content, "back": answer.content}
