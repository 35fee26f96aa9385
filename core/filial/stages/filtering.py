"""The filter stage: records pass one filter after the other; a filter that remembers sees them in canonical order."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from filial.components import Drop, Filter, Keep
from filial.context import Context
from filial.executor import in_order
from filial.records import Record
from filial.stages.blame import blamed, unsound, wrong_type
from filial.stages.stage import Surroundings, settled


@dataclass(frozen=True, slots=True)
class Sieve:
    """One filter of a stage: who brought it, itself, and what it remembers within the stage."""

    plugin: str
    filter: Filter
    memory: dict[str, Any] = field(default_factory=dict)

    async def verdict(self, record: Record, ctx: Context, stage: str) -> Record | Drop:
        """The record with the filter's scores and tags, or a drop; a failed teacher call is a drop.

        Raises:
            FilialError: the filter failed or broke its contract.
        """
        ctx.memory = self.memory
        with blamed(self.plugin, stage):
            word = await settled(self.filter.check(record, ctx))
            if isinstance(word, Drop):
                return replace(word, answer=last_answer(ctx)) if word.answer is None else word
            if not isinstance(word, Keep):
                raise wrong_type(self.plugin, stage, "check", word, "Keep or Drop")
            if not word.scores and not word.tags:
                return record
            new = marked(record, word)
        return unsound(new, self.plugin, stage) or new


def marked(record: Record, keep: Keep) -> Record:
    """The record with a filter's scores and tags added."""
    tags = (*record.tags, *(t for t in keep.tags if t not in record.tags))
    return msgspec.structs.replace(record, scores={**record.scores, **keep.scores}, tags=tags)


def last_answer(ctx: Context) -> str | None:
    """What the teacher said last in this context."""
    return ctx.asked[-1].text if ctx.asked else None


def keys_of(ctx: Context) -> tuple[str, ...]:
    """The ledger keys of what this context was told."""
    return tuple(reply.key for reply in ctx.asked if reply.key)


async def filter_records(records: list[Record], sieves: list[Sieve], env: Surroundings) -> list[Record]:
    """Run every record through every filter, in the recipe's order."""
    env.books.entered = len(records)
    for place, sieve in enumerate(sieves):
        kept = []

        async def decide(record: Record, sieve: Sieve = sieve, place: int = place) -> tuple[Record | Drop, Context]:
            ctx = env.context(place, record.id)
            return await sieve.verdict(record, ctx, env.stage), ctx

        async with aclosing(in_order(records, decide, 1 if sieve.filter.remembers else env.window)) as decided:
            async for record, (result, ctx) in decided:
                if isinstance(result, Drop):
                    env.drop(result, sieve.plugin, record, answers=keys_of(ctx))
                else:
                    kept.append(result)
        records = kept
    for record in records:
        env.keep(record)
    return records
