"""The generate stage: a generator makes records from seeds, or from the records of the stage before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Any

from filial.components import Drop, Generator
from filial.records import Record
from filial.stages.blame import blamed, wrong_type
from filial.stages.stage import Surroundings


async def generate_records(
    seeds: list[Record],
    plugin: str,
    generator: Generator,
    env: Surroundings,
    *,
    passed_on: Sequence[Record] = (),
    left_out: Sequence[Record] = (),
) -> list[Record]:
    """New records, each with an id and an origin, behind the records that only pass through.

    ``left_out`` are records of the stage before that served as seeds and end here; they are drops.
    """
    env.books.entered = len(passed_on) + len(left_out)
    out = list(passed_on)
    for record in passed_on:
        env.keep(record)
    for record in left_out:
        env.drop(Drop("input-not-kept", "keep_inputs is off"), plugin, record)
    async with AsyncExitStack() as stack:
        with blamed(plugin, env.stage):
            made = aiter(_begun(generator, seeds, plugin, env))
        if hasattr(made, "aclose"):  # an async generator; other iterators need no closing
            stack.push_async_callback(made.aclose)
        while True:
            with blamed(plugin, env.stage):
                try:
                    item = await anext(made)
                except StopAsyncIteration:
                    break
            _book(item, plugin, env, out)
    return out


def _begun(generator: Generator, seeds: list[Record], plugin: str, env: Surroundings) -> AsyncIterator[Any]:
    made: Any = generator.generate(seeds, env.context())
    if hasattr(made, "__aiter__"):
        return made  # type: ignore[no-any-return]
    if asyncio.iscoroutine(made):
        made.close()
    name = f"{type(generator).__name__}.generate"
    raise wrong_type(plugin, env.stage, name, made, "an async iterator; write it as 'async def' with 'yield'")


def _book(item: Any, plugin: str, env: Surroundings, out: list[Record]) -> None:
    """Keep or drop what a generator yielded."""
    if not isinstance(item, Record | Drop):
        raise wrong_type(plugin, env.stage, "generate", item, "Record or Drop")
    env.books.made += 1
    result = env.identified(item, plugin) if isinstance(item, Record) else item
    if isinstance(result, Drop):
        origin = result.record.origin if isinstance(result.record, Record) else None
        parents = origin.parents if origin else ()
        answers = origin.answers if origin else ()
        env.drop(result, plugin, None, parent=parents[0] if parents else "", answers=answers)
    else:
        out.append(result)
        env.keep(result)
