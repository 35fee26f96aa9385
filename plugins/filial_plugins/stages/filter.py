"""The filter stage: records pass one filter after the other; a filter that remembers sees them in canonical order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass, field, replace
from inspect import iscoroutine, iscoroutinefunction
from itertools import groupby, islice, takewhile
from pathlib import Path
from typing import Annotated, Any

import filial
from filial import Context, Drop, Field, FilialError, Keep, Origin, Record, TeacherError, in_order
from filial.stages import (
    BATCH,
    SLICE,
    TURN,
    ComponentSpec,
    Expected,
    Manager,
    Part,
    Records,
    Report,
    Stage,
    StageContext,
    StageSpec,
    Work,
    blame_plugin,
    breach,
    build,
    cut,
    drop_if_unwritable,
    provenance,
    ready_in_order,
    record_id,
    wrong_type,
)
from filial_plugins.stages.calls import keys_of, lend, with_last_answer

AT_ONCE = 4
"""Maximum number of batches in an async `check_batch` at once."""
PASSED = 0.9
"""Assumed share of records that pass a filter."""
PLAIN = Keep()
"""The usual result of a filter."""


class Filter(Stage):
    """A filter stage. Instead of a mapping with this key, a recipe writes the list itself, or its only item."""

    works = (
        "map"  # up to the first filter that remembers or needs other records; from there on a reduce (`count_leading`)
    )
    owner, by_inputs, alone = "the filter stage", ("filters",), "filters"
    filters: list[Annotated[Any, Part("filters")]] = Field(
        description="The filters, applied one after the other.", min_length=1, exclude=True
    )

    async def run(self, stage: StageSpec, records: Records, base: Path, manager: Manager, env: StageContext) -> Report:
        """Run a filter stage on the records of the stage before. Returns its report."""
        return await filter_records(records, self.prepare(stage, base, manager), env)

    def expect(self, stage: StageSpec, entering: int, base: Path, manager: Manager) -> Expected:
        """Estimate requests and records of a filter stage."""
        calls = sum(build(manager, spec, base).calls(entering) for spec in stage.components)
        return Expected(calls, round(entering * PASSED ** len(stage.components)))

    def prepare(self, stage: StageSpec, base: Path, manager: Manager) -> list[FilterStep]:
        """Build the filters of a stage."""
        return [FilterStep.from_spec(spec, base, manager) for spec in stage.components]

    async def perform(self, steps: list[FilterStep], env: StageContext, work: Work) -> list[FilterEntry]:
        """Run a batch of records through the `count_leading` filters of a stage."""
        first = list(enumerate(steps))[: count_leading(steps)]
        async with aclosing(_filter(_enter_all(work.records), first, env)) as batches:
            return [passage async for batch in batches for passage in batch]


def count_leading(steps: Sequence[FilterStep]) -> int:
    """Return how many filters, from the first, decide on each record independently, or on each `BATCH` of input
    records."""
    alone = (not (s.filter.remembers or s.filter.whole_set or (s.batched and place)) for place, s in enumerate(steps))
    return sum(takewhile(bool, alone))


@dataclass(slots=True)
class FilterStep:
    """One filter of a stage: its plugin, the filter, and its memory within the stage.

    ``batched``: it has `check_batch`. ``waits``: it is async, and runs on the event loop.
    """

    plugin: str
    filter: filial.Filter
    memory: dict[str, Any] = field(default_factory=dict)
    batched: bool = field(init=False)
    waits: bool = field(init=False)

    def __post_init__(self) -> None:
        self.batched = type(self.filter).check_batch is not filial.Filter.check_batch
        self.waits = iscoroutinefunction(self.filter.check_batch if self.batched else self.filter.check)

    @classmethod
    def from_spec(cls, spec: ComponentSpec, base: Path, manager: Manager) -> FilterStep:
        """Return the step of a filter in a recipe."""
        return cls(provenance(manager, spec), build(manager, spec, base))

    def on_questions(self) -> FilterStep | None:
        """Return the step for the part of the filter that judges questions only, with the same memory.

        Raises:
            FilialError: the filter failed or broke its contract.
        """
        with blame_plugin(self.plugin, "evolve"):
            rules = self.filter.question_rules()
            if not isinstance(rules, filial.Filter | None):
                raise wrong_type(self.plugin, "evolve", "question_rules", rules, "Filter or None")
        return None if rules is None else replace(self, filter=rules)

    async def decide(self, records: Sequence[Record], ctx: Context, env: StageContext) -> list[Decision]:
        """Decide on records (one, unless the filter is batched), on the loop or in a thread. A failed teacher call is a
        drop.

        Raises:
            FilialError: the filter failed or broke its contract.
        """
        if not self.waits:
            return await env.worker.call(self.compute, records, ctx, env.stage)
        with lend(self.plugin, env.stage, records, ctx) as copies:
            try:
                words = await self._call(copies, ctx)
            except TeacherError as err:
                words = [Drop.from_error(err)] * len(records) if self.batched else Drop.from_error(err)
            return self._decisions(words, records, ctx, env.stage)

    def compute(self, records: Sequence[Record], ctx: Context, stage: str) -> list[Decision]:
        """Decide like `decide`, for a filter that is not async, in this thread."""
        with lend(self.plugin, stage, records, ctx) as copies:
            return self._decisions(self._call(copies, ctx), records, ctx, stage)

    def _call(self, copies: Sequence[Record], ctx: Context) -> Any:
        ctx.memory = self.memory
        return self.filter.check_batch(copies, ctx) if self.batched else self.filter.check(copies[0], ctx)

    def _decisions(self, words: Any, records: Sequence[Record], ctx: Context, stage: str) -> list[Decision]:
        """Convert the filter's results to decisions on the records."""
        if not self.batched:
            return [self._decision(words, records[0], ctx, stage)]
        if not isinstance(words, list | tuple):
            raise self._wrong(stage, words, "a list of Keep or Drop")
        if len(words) != len(records):
            raise breach(self.plugin, stage, f"check_batch gave {len(words):,} verdicts on {len(records):,} records")
        return [self._decision(word, record, ctx, stage) for word, record in zip(words, records, strict=True)]

    def _decision(self, word: Any, record: Record, ctx: Context, stage: str) -> Decision:
        if not isinstance(word, Keep | Drop):
            raise self._wrong(stage, word, "Keep or Drop", record)
        if word == PLAIN:
            return record, {}
        if fault := word.fault():
            raise breach(self.plugin, stage, fault, record)
        if isinstance(word, Drop):
            return word if self.batched else with_last_answer(word, ctx), word.scores
        new = word.record or record
        tags = (*new.tags, *(tag for tag in word.tags if tag not in new.tags))
        # A filter cannot change id and origin.
        new = new.replaced(id=record.id, origin=record.origin, scores={**new.scores, **word.scores}, tags=tags)
        unwritable = drop_if_unwritable(new, self.plugin, stage, record)
        return (unwritable, {}) if unwritable else (new, word.scores)

    def _wrong(self, stage: str, word: object, wanted: str, record: Record | None = None) -> FilialError:
        if iscoroutine(word):
            word.close()
            wanted += "; a method that awaits is written as 'async def'"
        return wrong_type(self.plugin, stage, "check_batch" if self.batched else "check", word, wanted, record)


Decision = tuple[Record | Drop, dict[str, float]]
"""A filter's decision on a record: the record with its scores and tags, changed if the filter changed it, or a drop;
and the scores. A record with changed text still has the id of the original."""


@dataclass(slots=True)
class FilterEntry:
    """A record in the pipeline, with scores and tags so far. If a filter stopped it: the drop, that filter's plugin and
    the ledger keys of its answers. ``scores`` are all measurements. ``came`` is the record that entered the stage, if
    filters have changed its text."""

    record: Record
    came: Record | None = None
    drop: Drop | None = None
    by: str = ""
    answers: tuple[str, ...] = ()
    scores: dict[str, float] = field(default_factory=dict)

    def enter(self, decision: Decision, plugin: str, stage: str, answers: tuple[str, ...]) -> None:
        """Enter the decision of a filter. A record with changed text becomes a new one, a child of the record that
        entered."""
        result, scores = decision
        self.scores |= scores
        if isinstance(result, Drop):
            self.drop, self.by, self.answers = result, plugin, answers
            return
        if result is not self.record and result.content() != self.record.content():
            answers = (*(self.record.origin.answers if self.came else ()), *answers)
            self.came = came = self.came or self.record
            origin = Origin(stage, plugin, (came.id,) if came.id else (), came.origin.round, answers)
            name = record_id(result.content(), parents=origin.parents, stage=stage)
            result = result.replaced(id=name, origin=origin)
        self.record = result


Batches = AsyncGenerator[Sequence[FilterEntry], None]
"""All records in the pipeline, in order, as many at a time as are ready."""


async def filter_records(records: Records, steps: list[FilterStep], env: StageContext) -> Report:
    """Run every record through every filter, in the recipe's order. Returns the report: the means of their scores.

    Filters are steps of one pipeline. Rows are written as records leave it, kept or dropped, in the order of the
    records. Async filters that do not remember work on many records at once.
    """
    env.counters.entered = env.counters.total = len(records)
    away = count_leading(steps) if env.dispatch else 0
    passing = _filter(_dispatch(records, env) if away else _enter_all(records), list(enumerate(steps))[away:], env)
    with closing(env.worker):
        async with aclosing(passing) as batches:
            async for batch in batches:
                for passage in batch:
                    _write(passage, env)
    return env.means.report()


def _write(passage: FilterEntry, env: StageContext) -> None:
    env.counters.done += 1
    if passage.drop is None:
        env.keep(env.with_id(passage.record) if passage.came else passage.record)
    else:
        parent = passage.came.id if passage.came else ""
        env.drop(passage.drop, passage.by, passage.record, parent=parent, answers=passage.answers)
    env.means.add(passage.scores)


async def _enter_all(records: Iterable[Record]) -> Batches:
    rest = iter(records)
    while batch := [FilterEntry(record) for record in islice(rest, TURN)]:
        yield batch
        await asyncio.sleep(0)  # the consumer may never wait: give the event loop a turn


async def _dispatch(records: Records, env: StageContext) -> Batches:
    assert env.dispatch is not None
    works, window = cut(env.job, records, BATCH), max(2, 2 * env.window // BATCH)
    async with aclosing(in_order(works, env.dispatch, window)) as done:
        async for _, passages in done:
            yield passages


Placed = tuple[int, FilterStep]
"""A filter and its position in the recipe's list."""


def _filter(passing: Batches, steps: Iterable[Placed], env: StageContext) -> Batches:
    """Yield the records that leave these filters. Neighbours that run in the same way are one step of the pipeline."""
    for way, group in groupby(steps, lambda placed: _way(placed[1])):
        passing = way(passing, list(group), env)
    return passing


def _way(step: FilterStep) -> Callable[[Batches, list[Placed], StageContext], Batches]:
    if step.batched:
        return _in_batches
    if not step.waits:
        return _in_thread
    return _one_by_one if step.filter.remembers else _at_once


async def _in_thread(passing: Batches, group: list[Placed], env: StageContext) -> Batches:
    """Run records through filters that are neither async nor batched."""

    def decide(batch: Sequence[FilterEntry]) -> int:
        """Return how many records went through in `SLICE` seconds, at least one."""
        until = time.monotonic() + SLICE
        for done, passage in enumerate(batch, 1):
            for place, step in group:
                if passage.drop is None:
                    ctx = env.context(place, passage.record.id)
                    (decision,) = step.compute([passage.record], ctx, env.stage)
                    passage.enter(decision, step.plugin, env.stage, keys_of(ctx.replies))
            if time.monotonic() > until:
                return done
        return len(batch)

    async with aclosing(passing) as source:
        async for batch in source:
            while batch:
                done = await env.worker.call(decide, batch)
                yield batch[:done]
                batch = batch[done:]


async def _one_by_one(passing: Batches, group: list[Placed], env: StageContext) -> Batches:
    """Run records through async filters that remember."""
    async with aclosing(passing) as source:
        async for batch in source:
            handed, until = 0, time.monotonic() + SLICE
            for done, passage in enumerate(batch, 1):
                await _decide(passage, group, env)
                if done == len(batch) or time.monotonic() > until:
                    yield batch[handed:done]
                    handed, until = done, time.monotonic() + SLICE


async def _at_once(passing: Batches, group: list[Placed], env: StageContext) -> Batches:
    """Run records through async filters that do not remember, many at a time."""

    async def decide(cut: list[FilterEntry]) -> None:
        await _decide(cut[-1], group, env)  # those before it were dropped

    async with aclosing(ready_in_order(_cut(passing, 1), decide, env.window)) as batches:
        async for ready in batches:
            yield [passage for cut, _ in ready for passage in cut]


async def _decide(passage: FilterEntry, group: list[Placed], env: StageContext) -> None:
    """Take a record through async filters, up to the one that drops it."""
    for place, step in group:
        if passage.drop is None:
            ctx = env.context(place, passage.record.id)
            (decision,) = await step.decide([passage.record], ctx, env)
            passage.enter(decision, step.plugin, env.stage, keys_of(ctx.replies))


def _in_batches(passing: Batches, group: list[Placed], env: StageContext) -> Batches:
    """Run records through batched filters, each with its own batches."""
    for place, step in group:
        passing = _in_batch(passing, place, step, env)
    return passing


async def _in_batch(passing: Batches, place: int, step: FilterStep, env: StageContext) -> Batches:
    size = None if step.filter.whole_set else BATCH
    window = 1 if step.filter.remembers else AT_ONCE

    async def decide(batch: list[FilterEntry]) -> None:
        if alive := [passage for passage in batch if passage.drop is None]:
            ctx = env.context(place, alive[0].record.id)
            decisions = await step.decide([passage.record for passage in alive], ctx, env)
            for passage, decision in zip(alive, decisions, strict=True):
                passage.enter(decision, step.plugin, env.stage, ())

    async with aclosing(ready_in_order(_cut(passing, size), decide, window)) as batches:
        async for ready in batches:
            yield [passage for batch, _ in ready for passage in batch]


async def _cut(passing: Batches, size: int | None) -> AsyncGenerator[list[FilterEntry], None]:
    """Yield batches with ``size`` records that no filter has dropped yet, independent of timing; None: one batch of
    all."""
    cut, alive = list[FilterEntry](), 0
    async with aclosing(passing) as source:
        async for batch in source:
            for passage in batch:
                cut.append(passage)
                alive += passage.drop is None
                if alive == size:
                    yield cut
                    cut, alive = [], 0
    if cut:
        yield cut
