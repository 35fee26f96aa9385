"""The generate stage: a generator makes records from seeds, or from the records of the stage before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Container, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from filial.contracts.checks import changed, lent
from filial.contracts.kinds import Drop, Generator
from filial.contracts.plugin_errors import blamed, breach, wrong_type
from filial.contracts.records import Record
from filial.engine.build import Source, build, provenance, read_inputs
from filial.engine.stage import Expected, Records, Report, StageContext
from filial.plugins.manager import Manager
from filial.recipe.model import COUNT, StageSpec
from filial.recipe.settings import Generate

KIND = "reduce"
"""A generator sees its own records so far."""


async def run(stage: StageSpec[Generate], records: Records, base: Path, manager: Manager, env: StageContext) -> Report:
    """Run a generate stage on the records of the one before."""
    settings, (spec,) = stage.settings, stage.components
    generator: Generator = build(manager, spec, base)
    if settings.seeds:
        seeds = read_inputs(settings.seeds, base, manager, env, settings.seeds_format or "auto")
    else:
        seeds = list(records)  # a generator may look at any of them at any time
    nothing: Records = []
    passed_on, left_out = (records, nothing) if settings.keep_inputs else (nothing, records)
    if settings.keep_inputs is None and not generator.consumes:
        left_out = nothing  # they are seeds and no more
    await generate_records(
        seeds, provenance(manager, spec), generator, env,
        passed_on=passed_on, left_out=left_out, limit=stage.limit,
    )  # fmt: skip
    return {}


def expect(stage: StageSpec[Generate], entering: int, base: Path, manager: Manager) -> Expected:
    """Say what a generate stage would take and give."""
    settings, (spec,) = stage.settings, stage.components
    seeds = len(Source(settings.seeds, base, manager)) if settings.seeds else entering
    generator: Generator = build(manager, spec, base)
    made = int(spec.options.get(COUNT) or seeds)
    return Expected(generator.calls(seeds), made + (entering if settings.keep_inputs else 0), counted=False)


async def generate_records(
    seeds: Sequence[Record],
    plugin: str,
    generator: Generator,
    env: StageContext,
    *,
    passed_on: Records = (),
    left_out: Records = (),
    limit: int | None = None,
) -> None:
    """New records, each with an id and an origin, behind the records that only pass through.

    Seeds that are conversations of one question are given as instruction and output. ``left_out`` are records of the
    stage before that served as seeds and do not pass through: they are drops, unless the generator consumes its seeds
    and hands them on. The generator is stopped when it has made ``limit`` records.
    """
    env.counters.entered = len(passed_on) + len(left_out)
    for record in passed_on:
        env.keep(record)
    copies = tuple(lent(seed.single()) for seed in seeds)
    inputs = Inputs({seed.id for seed in seeds}, entered=bool(left_out))
    if generator.consumes:
        inputs.waiting = {id(copy): seed for copy, seed in zip(copies, seeds, strict=True)}
    else:
        for record in left_out:
            env.drop(Drop(LEFT_OUT, "keep_inputs is off"), plugin, record)
    count = getattr(generator, "count", None)
    env.counters.total = count if isinstance(count, int) else limit
    async with AsyncExitStack() as stack:
        with blamed(plugin, env.stage):
            made = aiter(_begun(generator, copies, plugin, env))
        if hasattr(made, "aclose"):  # an async generator; other iterators need no closing
            stack.push_async_callback(made.aclose)
        most = None if limit is None else env.counters.out + limit
        while most is None or env.counters.out < most:
            with blamed(plugin, env.stage):
                try:
                    item = await anext(made)
                except StopAsyncIteration:
                    break
            if not inputs.settled(item, plugin, env):
                _book(item, inputs.ids, plugin, env)
    for copy, seed in zip(copies, seeds, strict=True):
        if fault := changed(copy, seed):
            raise breach(plugin, env.stage, fault, seed)
    inputs.let_go(plugin, env)


LEFT_OUT = "input-not-kept"


@dataclass(slots=True)
class Inputs:
    """The records given to a generator, by their ids; and where it consumes them, by identity, until it says what
    becomes of each.

    ``entered``: they come from the stage before; otherwise from a file, and count as made when they are handed on.
    """

    ids: set[str]
    entered: bool
    waiting: dict[int, Record] = field(default_factory=dict)

    def settled(self, item: Any, plugin: str, env: StageContext) -> bool:
        """Whether what the generator yielded was one of these, which goes on as it is, or its drop."""
        record = self.waiting.pop(id(item.record if isinstance(item, Drop) else item), None)
        if record is None:
            return False
        env.counters.made += not self.entered
        env.counters.done += 1
        if isinstance(item, Drop):
            env.drop(replace(item, record=record), plugin, record)
        else:
            env.keep(record)
        return True

    def let_go(self, plugin: str, env: StageContext) -> None:
        """Drop those that the generator has not spoken of."""
        if self.entered:
            for record in self.waiting.values():
                env.drop(Drop(LEFT_OUT, "the generator ended before it said what becomes of this"), plugin, record)


def _begun(generator: Generator, seeds: Sequence[Record], plugin: str, env: StageContext) -> AsyncIterator[Any]:
    made: Any = generator.generate(seeds, env.context())
    if hasattr(made, "__aiter__"):
        return made  # type: ignore[no-any-return]
    if asyncio.iscoroutine(made):
        made.close()
    name = f"{type(generator).__name__}.generate"
    raise wrong_type(plugin, env.stage, name, made, "an async iterator; write it as 'async def' with 'yield'")


def _book(item: Any, given: Container[str], plugin: str, env: StageContext) -> None:
    """Keep or drop what a generator yielded; ``given`` are the ids of its seeds."""
    if not isinstance(item, Record | Drop):
        raise wrong_type(plugin, env.stage, f"generate, result {env.counters.made + 1},", item, "Record or Drop")
    made = item if isinstance(item, Record) else item.record
    if isinstance(made, Record):
        env.check_parents(made, given, plugin)
    env.counters.made += 1
    env.counters.done += isinstance(item, Record)
    result = env.identified(item, plugin) if isinstance(item, Record) else item
    if isinstance(result, Drop):
        origin = result.record.origin if isinstance(result.record, Record) else None
        parents = origin.parents if origin else ()
        answers = origin.answers if origin else ()
        env.drop(result, plugin, None, parent=parents[0] if parents else "", answers=answers)
    else:
        env.keep(result)
