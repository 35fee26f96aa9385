"""The generate stage: a generator makes records from seeds, or from the records of the stage before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Container, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

from filial.contracts.checks import lent
from filial.contracts.concurrency import each
from filial.contracts.kinds import Drop, Generator
from filial.contracts.plugin_errors import blamed, wrong_type
from filial.contracts.records import NO_ORIGIN, Record
from filial.engine.build import Source, build, provenance, read_inputs
from filial.engine.plugin_calls import check_unchanged
from filial.engine.stage import Expected, Records, Report, StageContext
from filial.plugins.manager import Manager
from filial.recipe.model import COUNT, StageSpec
from filial.recipe.settings import Generate

KIND = "reduce"
"""A generator sees its own records so far."""
LEFT_OUT = "input-not-kept"


async def run(stage: StageSpec[Generate], records: Records, base: Path, manager: Manager, env: StageContext) -> Report:
    """Run a generate stage on the records of the one before."""
    settings, (spec,) = stage.settings, stage.components
    generator: Generator = build(manager, spec, base)
    if settings.seeds:
        seeds = read_inputs(settings.seeds, base, manager, env, settings.seeds_format or "auto")
    else:
        seeds = list(records)  # a generator may look at any of them at any time
    keep, nothing = settings.keep_inputs, list[Record]()
    left_out = records if keep is False or (keep is None and generator.consumes) else nothing
    await generate_records(
        seeds, provenance(manager, spec), generator, env,
        passed_on=records if keep else nothing, left_out=left_out, limit=stage.limit,
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
    seeds: Sequence[Record], plugin: str, generator: Generator, env: StageContext, *,
    passed_on: Records = (), left_out: Records = (), limit: int | None = None,
) -> None:  # fmt: skip
    """New records, each with an id and an origin, behind the records that only pass through.

    Seeds that are conversations of one question are given as instruction and output. ``left_out`` are records of the
    stage before that served as seeds and do not pass through: they are drops, unless the generator consumes its seeds
    and hands them on. The generator is stopped when it has made ``limit`` records.
    """
    env.counters.entered = len(passed_on) + len(left_out)
    for record in passed_on:
        env.keep(record)
    singles, ids = [seed.single() for seed in seeds], {seed.id for seed in seeds}
    copies = tuple(map(lent, singles))
    waiting = dict[int, Record]()  # by the identity of its copy, until the generator says what becomes of each
    if generator.consumes:
        waiting = {id(copy): seed for copy, seed in zip(copies, seeds, strict=True)}
    else:
        for record in left_out:
            env.drop(Drop(LEFT_OUT, "keep_inputs is off"), plugin, record)
    count = getattr(generator, "count", None)
    env.counters.total = count if isinstance(count, int) else limit
    most = None if limit is None else env.counters.out + limit
    async with aclosing(_made(generator, copies, plugin, env)) as made:
        async for item in made:
            seed = waiting.pop(id(item.record if isinstance(item, Drop) else item), None)
            if seed is None:
                _enter(item, ids, plugin, env)
            else:
                env.counters.made += not left_out  # it is from a file, not from the stage before
                env.counters.done += 1
                env.drop(replace(item, record=seed), plugin, seed) if isinstance(item, Drop) else env.keep(seed)
            if env.counters.out == most:
                break
    check_unchanged(copies, singles, plugin, env.stage)
    for record in waiting.values() if left_out else ():
        env.drop(Drop(LEFT_OUT, "the generator ended before it said what becomes of this"), plugin, record)


async def _made(
    generator: Generator, seeds: Sequence[Record], plugin: str, env: StageContext
) -> AsyncGenerator[Any, None]:
    """What the generator yields."""
    with blamed(plugin, env.stage):
        made: Any = generator.generate(seeds, env.context())
        if not isinstance(made, AsyncIterable):
            if asyncio.iscoroutine(made):
                made.close()
            wanted = "an async iterator; write it as 'async def' with 'yield'"
            raise wrong_type(plugin, env.stage, f"{type(generator).__name__}.generate", made, wanted)
        async with aclosing(each(made)) as items:
            async for item in items:
                yield item


def _enter(item: Any, given: Container[str], plugin: str, env: StageContext) -> None:
    """Keep or drop something new; ``given`` are the ids of the generator's seeds."""
    if not isinstance(item, Record | Drop):
        raise wrong_type(plugin, env.stage, f"generate, result {env.counters.made + 1},", item, "Record or Drop")
    made = item if isinstance(item, Record) else item.record
    if isinstance(made, Record):
        env.check_parents(made, given, plugin)
    env.counters.made += 1
    env.counters.done += isinstance(item, Record)
    result = env.identify(item, plugin) if isinstance(item, Record) else item
    if isinstance(result, Record):
        env.keep(result)
    else:
        origin = result.record.origin if isinstance(result.record, Record) else NO_ORIGIN
        env.drop(result, plugin, None, parent=next(iter(origin.parents), ""), answers=origin.answers)
