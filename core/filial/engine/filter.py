"""The filter stage: records pass one filter after the other; a filter that remembers sees them in canonical order."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from filial.contracts.concurrency import each, in_order
from filial.contracts.context import Context
from filial.contracts.kinds import Drop, Filter, Keep
from filial.contracts.plugin_errors import blamed, wrong_type
from filial.contracts.records import Origin, Record, record_id
from filial.engine.build import build, provenance
from filial.engine.stage import Expected, Records, Report, StageContext, settled, unsound
from filial.plugins.manager import Manager
from filial.recipe import ComponentSpec, StageSpec
from filial.recipe.settings import Filter as Settings


@dataclass(frozen=True, slots=True)
class FilterStep:
    """One filter of a stage: who brought it, itself, and what it remembers within the stage."""

    plugin: str
    filter: Filter
    memory: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def built(cls, spec: ComponentSpec, base: Path, manager: Manager) -> FilterStep:
        """The step of a filter that a recipe describes."""
        return cls(provenance(manager, spec), build(manager, spec, base))

    @property
    def name(self) -> str:
        """The filter's name without its distribution and version."""
        return self.plugin.partition("==")[0].rpartition(":")[2]

    def on_questions(self) -> FilterStep | None:
        """The part of the filter that goes by the question alone, with the same memory.

        Raises:
            FilialError: the filter failed or broke its contract.
        """
        with blamed(self.plugin, "evolve"):
            rules = self.filter.question_rules()
            if not isinstance(rules, Filter | None):
                raise wrong_type(self.plugin, "evolve", "question_rules", rules, "Filter or None")
        return None if rules is None else replace(self, filter=rules)

    async def verdict(self, record: Record, ctx: Context, stage: str, scores: dict[str, float]) -> Record | Drop:
        """The record with the filter's scores and tags, mended where the filter did so, or a drop; a failed teacher
        call is a drop. What the filter measured goes into ``scores``. A mended text has the id of the one that came.

        Raises:
            FilialError: the filter failed or broke its contract.
        """
        ctx.memory = self.memory
        with blamed(self.plugin, stage):
            word = await settled(self.filter.check(record, ctx))
            if isinstance(word, Drop):
                scores |= word.scores
                return replace(word, answer=last_answer(ctx)) if word.answer is None else word
            if not isinstance(word, Keep):
                raise wrong_type(self.plugin, stage, "check", word, "Keep or Drop")
            if not isinstance(word.record, Record | None):
                raise wrong_type(self.plugin, stage, "Keep.record", word.record, "a Record")
            if word == Keep():
                return record
            new = marked(record, word)
        if fault := unsound(new, self.plugin, stage):
            return fault
        scores |= word.scores
        return new


def marked(record: Record, keep: Keep) -> Record:
    """The record, or what a filter made of it, with the filter's scores and tags added. Who a record is and where it
    comes from is not the filter's to say."""
    new = record if keep.record is None else keep.record
    tags = (*new.tags, *(t for t in keep.tags if t not in new.tags))
    return new.replaced(id=record.id, origin=record.origin, scores={**new.scores, **keep.scores}, tags=tags)


def last_answer(ctx: Context) -> str | None:
    """What the teacher said last in this context."""
    return ctx.asked[-1].text if ctx.asked else None


def keys_of(ctx: Context) -> tuple[str, ...]:
    """The ledger keys of what this context was told."""
    return tuple(reply.key for reply in ctx.asked if reply.key)


@dataclass(slots=True)
class Passage:
    """A record on its way: as marked so far, and, where a filter stopped it, the drop, that filter's plugin and the
    ledger keys of the answers it was given; ``scores`` are what filters measured on the way. ``came`` is the record
    that entered the stage, where filters have mended its text since."""

    record: Record
    came: Record | None = None
    drop: Drop | None = None
    by: str = ""
    answers: tuple[str, ...] = ()
    scores: dict[str, float] = field(default_factory=dict)

    def goes_on(self, record: Record, plugin: str, stage: str, answers: tuple[str, ...]) -> None:
        """A filter has let the record pass. With another text it is a new one, a child of the record that entered."""
        if record.content() != self.record.content():
            answers = (*(self.record.origin.answers if self.came else ()), *answers)
            self.came = came = self.came or self.record
            origin = Origin(stage, plugin, (came.id,) if came.id else (), came.origin.round, answers)
            name = record_id(record.content(), parents=origin.parents, stage=stage)
            record = record.replaced(id=name, origin=origin)
        self.record = record


Passages = Iterable[Passage] | AsyncIterable[Passage]
Placed = tuple[int, FilterStep]
"""A filter and its place in the recipe's list."""


async def run(stage: StageSpec[Settings], records: Records, base: Path, manager: Manager, env: StageContext) -> Report:
    """Run a filter stage on the records of the one before. Returns its report."""
    return await filter_records(records, [FilterStep.built(spec, base, manager) for spec in stage.components], env)


PASSED = 0.9
"""The share of records that pass a filter, where nothing better is known."""


def expect(stage: StageSpec[Settings], entering: int, base: Path, manager: Manager) -> Expected:
    """Say what a filter stage would take and give."""
    calls = sum(build(manager, spec, base).calls(entering) for spec in stage.components)
    return Expected(calls, round(entering * PASSED ** len(stage.components)))


async def filter_records(records: Records, sieves: list[FilterStep], env: StageContext) -> Report:
    """Run every record through every filter, in the recipe's order. Returns the report: the means of their scores.

    Filters are steps of one pipeline, and rows are written as records come out of it, kept or dropped, in the order
    of the records. Filters that do not remember work on many records at once.
    """
    env.counters.entered = env.counters.total = len(records)
    passing: Passages = map(Passage, records)
    for remembers, group in groupby(enumerate(sieves), lambda placed: placed[1].filter.remembers):
        step = _one_by_one if remembers else _at_once
        passing = step(passing, list(group), env)
    async with aclosing(each(passing)) as ended:
        async for passage in ended:
            env.counters.done += 1
            if passage.drop is None:
                env.keep(env.named(passage.record) if passage.came else passage.record)
            else:
                parent = passage.came.id if passage.came else ""
                env.drop(passage.drop, passage.by, passage.record, parent=parent, answers=passage.answers)
            env.means.add(passage.scores)
    return env.means.report()


async def _one_by_one(passing: Passages, group: list[Placed], env: StageContext) -> AsyncGenerator[Passage, None]:
    async with aclosing(each(passing)) as source:
        async for passage in source:
            yield await _passed(group, env, passage)


async def _at_once(passing: Passages, group: list[Placed], env: StageContext) -> AsyncGenerator[Passage, None]:
    async with aclosing(in_order(passing, partial(_passed, group, env), env.window)) as decided:
        async for _, passage in decided:
            yield passage


async def _passed(group: list[Placed], env: StageContext, passage: Passage) -> Passage:
    """The passage behind these filters, or behind the one that stopped it."""
    for place, sieve in group:
        if passage.drop is not None:
            break
        ctx = env.context(place, passage.record.id)
        result = await sieve.verdict(passage.record, ctx, env.stage, passage.scores)
        if isinstance(result, Drop):
            passage.drop, passage.by, passage.answers = result, sieve.plugin, keys_of(ctx)
        else:
            passage.goes_on(result, sieve.plugin, env.stage, keys_of(ctx))
    return passage
