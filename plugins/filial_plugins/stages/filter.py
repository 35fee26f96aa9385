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
"""Batches that an async `check_batch` may be working on."""
PASSED = 0.9
"""The share of records that pass a filter, where nothing better is known."""
PLAIN = Keep()
"""What most filters say of most records."""


class Filter(Stage):
    """A filter stage. A recipe writes the list itself, or its one item, in place of a mapping with this key."""

    works = (
        "map"  # up to the first filter that remembers or needs other records; from there on a reduce (`count_leading`)
    )
    owner, by_inputs, alone = "the filter stage", ("filters",), "filters"
    filters: list[Annotated[Any, Part("filters")]] = Field(
        description="The filters, applied one after the other.", min_length=1, exclude=True
    )

    async def run(self, stage: StageSpec, records: Records, base: Path, manager: Manager, env: StageContext) -> Report:
        """Run a filter stage on the records of the one before. Returns its report."""
        return await filter_records(records, self.prepare(stage, base, manager), env)

    def expect(self, stage: StageSpec, entering: int, base: Path, manager: Manager) -> Expected:
        """Say what a filter stage would take and give."""
        calls = sum(build(manager, spec, base).calls(entering) for spec in stage.components)
        return Expected(calls, round(entering * PASSED ** len(stage.components)))

    def prepare(self, stage: StageSpec, base: Path, manager: Manager) -> list[FilterStep]:
        """Make the filters of a stage."""
        return [FilterStep.from_spec(spec, base, manager) for spec in stage.components]

    async def perform(self, steps: list[FilterStep], env: StageContext, work: Work) -> list[FilterEntry]:
        """Run a batch of records through the `count_leading` filters of a stage."""
        first = list(enumerate(steps))[: count_leading(steps)]
        async with aclosing(_filter(_enter_all(work.records), first, env)) as batches:
            return [passage async for batch in batches for passage in batch]


def count_leading(steps: Sequence[FilterStep]) -> int:
    """How many filters, from the first, go by each record alone, or by `BATCH` of those that enter."""
    alone = (not (s.filter.remembers or s.filter.whole_set or (s.batched and place)) for place, s in enumerate(steps))
    return sum(takewhile(bool, alone))


@dataclass(slots=True)
class FilterStep:
    """One filter of a stage: who brought it, itself, and what it remembers within the stage.

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
        """The step of a filter that a recipe describes."""
        return cls(provenance(manager, spec), build(manager, spec, base))

    def on_questions(self) -> FilterStep | None:
        """The part of the filter that goes by the question alone, with the same memory.

        Raises:
            FilialError: the filter failed or broke its contract.
        """
        with blame_plugin(self.plugin, "evolve"):
            rules = self.filter.question_rules()
            if not isinstance(rules, filial.Filter | None):
                raise wrong_type(self.plugin, "evolve", "question_rules", rules, "Filter or None")
        return None if rules is None else replace(self, filter=rules)

    async def decide(self, records: Sequence[Record], ctx: Context, env: StageContext) -> list[Decision]:
        """Decide on records, one unless the filter is batched, wherever it has to run. A failed teacher call is a
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
        """As `decide`, of a filter that is not async, in this thread."""
        with lend(self.plugin, stage, records, ctx) as copies:
            return self._decisions(self._call(copies, ctx), records, ctx, stage)

    def _call(self, copies: Sequence[Record], ctx: Context) -> Any:
        ctx.memory = self.memory
        return self.filter.check_batch(copies, ctx) if self.batched else self.filter.check(copies[0], ctx)

    def _decisions(self, words: Any, records: Sequence[Record], ctx: Context, stage: str) -> list[Decision]:
        """What the filter's words make of the records."""
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
        # Who a record is and where it comes from is not the filter's to say.
        new = new.replaced(id=record.id, origin=record.origin, scores={**new.scores, **word.scores}, tags=tags)
        unwritable = drop_if_unwritable(new, self.plugin, stage, record)
        return (unwritable, {}) if unwritable else (new, word.scores)

    def _wrong(self, stage: str, word: object, wanted: str, record: Record | None = None) -> FilialError:
        if iscoroutine(word):
            word.close()
            wanted += "; a method that awaits is written as 'async def'"
        return wrong_type(self.plugin, stage, "check_batch" if self.batched else "check", word, wanted, record)


Decision = tuple[Record | Drop, dict[str, float]]
"""What a filter makes of a record, that with its scores and tags, mended where the filter did so, or a drop; and what
it measured. A mended text has the id of the one that came."""


@dataclass(slots=True)
class FilterEntry:
    """A record on its way: as marked so far, and, where a filter stopped it, the drop, that filter's plugin and the
    ledger keys of the answers it was given; ``scores`` are what filters measured on the way. ``came`` is the record
    that entered the stage, where filters have mended its text since."""

    record: Record
    came: Record | None = None
    drop: Drop | None = None
    by: str = ""
    answers: tuple[str, ...] = ()
    scores: dict[str, float] = field(default_factory=dict)

    def enter(self, decision: Decision, plugin: str, stage: str, answers: tuple[str, ...]) -> None:
        """A filter has stopped the record or let it pass. With another text it is a new one, a child of the record
        that entered."""
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
"""All passages in their order, as many at a time as are there."""


async def filter_records(records: Records, steps: list[FilterStep], env: StageContext) -> Report:
    """Run every record through every filter, in the recipe's order. Returns the report: the means of their scores.

    Filters are steps of one pipeline, and rows are written as records come out of it, kept or dropped, in the order
    of the records. Async filters that do not remember work on many records at once.
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
        await asyncio.sleep(0)  # whoever takes them may never wait: let the rest of the loop have its turn


async def _dispatch(records: Records, env: StageContext) -> Batches:
    assert env.dispatch is not None
    works, window = cut(env.job, records, BATCH), max(2, 2 * env.window // BATCH)
    async with aclosing(in_order(works, env.dispatch, window)) as done:
        async for _, passages in done:
            yield passages


Placed = tuple[int, FilterStep]
"""A filter and its place in the recipe's list."""


def _filter(passing: Batches, steps: Iterable[Placed], env: StageContext) -> Batches:
    """What comes out of these filters. Neighbours that run in the same way are one step of the pipeline."""
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
    """Through filters that are neither async nor batched."""

    def decide(batch: Sequence[FilterEntry]) -> int:
        """Returns how many went through in `SLICE` seconds, one at least."""
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
    """Through async filters that remember."""
    async with aclosing(passing) as source:
        async for batch in source:
            handed, until = 0, time.monotonic() + SLICE
            for done, passage in enumerate(batch, 1):
                await _decide(passage, group, env)
                if done == len(batch) or time.monotonic() > until:
                    yield batch[handed:done]
                    handed, until = done, time.monotonic() + SLICE


async def _at_once(passing: Batches, group: list[Placed], env: StageContext) -> Batches:
    """Through async filters that do not, many records at a time."""

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
    """Through batched filters, each of which has batches of its own."""
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
    """Batches with so many records that no filter has dropped yet, the same however they come; None: one of all."""
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
