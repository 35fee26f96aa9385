"""The generate stage: a generator makes records from seeds, or from the records of the stage before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Container, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from filial import Drop, Field, Generator, Origin, Record
from filial.formats import SourceSpec
from filial.stages import (
    COUNT,
    Expected,
    Manager,
    Records,
    Report,
    Source,
    Stage,
    StageContext,
    StageSpec,
    blame_plugin,
    build,
    copy_for_plugin,
    each,
    provenance,
    read_inputs,
    wrong_type,
)
from filial_plugins.stages.calls import check_unchanged

LEFT_OUT = "input-not-kept"


class Generate(Stage):
    """A generate stage."""

    works = "reduce"  # a generator sees its own records so far
    kind, by_inputs, bounded = "generators", ("seeds", "keep_inputs"), True
    seeds: SourceSpec | None = Field(
        None,
        description="Seed tasks: a file, pkg:PACKAGE/FILE, hf:NAME or a source. Most generators need it in the first "
        "stage.",
    )
    keep_inputs: bool | None = Field(
        None,
        description="Also pass on the records of the stage before. Only for a generate stage that is not the first "
        "and whose generator does not decide about them.",
        json_schema_extra={"default": True},
    )

    @classmethod
    def starts(cls, given: dict[str, Any]) -> bool:
        """Return True: `check` examines what it needs to start."""
        return True

    @classmethod
    def check(
        cls, given: dict[str, Any], component: Any, first: bool, fault: Callable[[str, str], None]
    ) -> dict[str, Any]:
        """Check that there are seeds if the generator needs some, and inputs if they are kept (the default, unless the
        recipe or the generator decides otherwise)."""
        seeded = given.get("seeds") is not None
        if first and not seeded and (component is None or component.needs_seeds):
            fault("the first stage has nothing to start from; add 'seeds: FILE'", "")
        consumes = component is not None and component.consumes and not seeded
        if "keep_inputs" in given and (first or consumes):
            why = f"{given.get('use')} decides itself about the records it is given"
            why = "the first stage has no inputs to keep" if first else why
            fault(f"{why}; remove keep_inputs", "keep_inputs")
        depends = {} if "keep_inputs" in given or first or consumes else {"keep_inputs": True}
        return depends | (_name_format(given["seeds"], component.seeds_format) if seeded and component else {})

    def seed_files(self) -> list[SourceSpec]:
        """Return the sources of seeds."""
        return [self.seeds] if self.seeds else []

    async def run(self, stage: StageSpec, records: Records, base: Path, manager: Manager, env: StageContext) -> Report:
        """Run a generate stage on the records of the stage before."""
        (spec,) = stage.components
        generator: Generator = build(manager, spec, base)
        if self.seeds:
            seeds = list(read_inputs(self.seeds, base, manager, env))
        else:
            seeds = list(records)  # a generator may look at any of them at any time
        keep, nothing = self.keep_inputs, list[Record]()
        left_out = records if keep is False or (keep is None and generator.consumes) else nothing
        await generate_records(
            seeds, provenance(manager, spec), generator, env,
            passed_on=records if keep else nothing, left_out=left_out, limit=stage.limit,
        )  # fmt: skip
        return {}

    def expect(self, stage: StageSpec, entering: int, base: Path, manager: Manager) -> Expected:
        """Estimate requests and records of a generate stage."""
        (spec,) = stage.components
        seeds = len(Source(self.seeds, base, manager)) if self.seeds else entering
        generator: Generator = build(manager, spec, base)
        made = int(spec.options.get(COUNT) or seeds)
        return Expected(generator.calls(seeds), made + (entering if self.keep_inputs else 0), counted=False)


def _name_format(seeds: Any, format: str) -> dict[str, Any]:
    """Return seeds as a source in the generator's own format, if it has one and the user names none."""
    try:
        source = SourceSpec.model_validate(seeds)
    except ValidationError:  # reported with the other faults of the stage
        return {}
    named = format == "auto" or source.format != "auto"
    return {} if named else {"seeds": source.model_copy(update={"format": format})}


async def generate_records(
    seeds: Sequence[Record], plugin: str, generator: Generator, env: StageContext, *,
    passed_on: Records = (), left_out: Records = (), limit: int | None = None,
) -> None:  # fmt: skip
    """Yield new records, each with an id and an origin, after the records that only pass through.

    Conversations of one question are given to the generator as instruction and output. ``left_out`` are records of the
    stage before that served as seeds and do not pass through: they are drops, unless the generator consumes its seeds
    and yields them. The generator is stopped when it has made ``limit`` records.
    """
    env.counters.entered = len(passed_on) + len(left_out)
    for record in passed_on:
        env.keep(record)
    singles, ids = [seed.single() for seed in seeds], {seed.id for seed in seeds}
    copies = tuple(map(copy_for_plugin, singles))
    waiting = dict[int, Record]()  # by the identity of its copy, until the generator says what becomes of each
    if generator.consumes:
        waiting = {id(copy): seed for copy, seed in zip(copies, seeds, strict=True)}
    else:
        for record in left_out:
            env.drop(Drop(LEFT_OUT, "keep_inputs is off"), plugin, record)
    count = getattr(generator, "count", None)
    env.counters.total = count if isinstance(count, int) else limit
    most = None if limit is None else env.counters.out + limit
    async with aclosing(_generate(generator, copies, plugin, env)) as made:
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
        env.drop(Drop(LEFT_OUT, "the generator ended without a result for this record"), plugin, record)


async def _generate(
    generator: Generator, seeds: Sequence[Record], plugin: str, env: StageContext
) -> AsyncGenerator[Any, None]:
    """Yield the generator's results."""
    with blame_plugin(plugin, env.stage):
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
    """Keep or drop a result; ``given`` are the ids of the generator's seeds."""
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
        origin = result.record.origin if isinstance(result.record, Record) else Origin()
        env.drop(result, plugin, None, parent=next(iter(origin.parents), ""), answers=origin.answers)
