"""The evolve stage: draws strategies, runs rounds, has the evolved instruction answered, applies the elimination
rules, gives a failed record's parent another chance, keeps lineage (Evol-Instruct, arXiv 2304.12244, section 3.2)."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec

from filial.components import Drop, Strategy
from filial.context import Context, seeded
from filial.errors import TeacherError
from filial.executor import in_order
from filial.records import Record
from filial.stages.blame import blamed, wrong_type
from filial.stages.filtering import Sieve, keys_of, last_answer
from filial.stages.stage import Surroundings, settled
from filial.stages.survival import Table


@dataclass(frozen=True, slots=True)
class Choice:
    """One strategy of the recipe: its name there, its provenance, how often it is drawn relative to the others."""

    name: str
    plugin: str
    strategy: Strategy
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Evolution:
    """How the stage evolves: the recipe's ``evolve`` block with its plugins in place.

    ``keep``: "all" keeps parents and every generation, "last" the newest of each line. ``answer``: ask the teacher
    for the evolved instruction's answer.
    """

    choices: list[Choice]
    eliminate: list[Sieve]
    rounds: int = 1
    order: Literal["random", "fixed"] = "random"
    keep: Literal["all", "last"] = "all"
    answer: bool = True

    def drawn(self, env: Surroundings, turn: int, place: int, record: Record) -> Choice:
        """The strategy for this record in this round: by seeded weights, or in the recipe's order."""
        if self.order == "fixed":
            return self.choices[(place + turn - 1) % len(self.choices)]
        rng = seeded(env.seed, env.stage, "draw", turn, record.id)
        return rng.choices(self.choices, [c.weight for c in self.choices])[0]


@dataclass(slots=True)
class Line:
    """One record of the stage and what came of it: every generation, and how often the newest failed to evolve."""

    generations: list[Record]
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One record about to be evolved: its line, the round, the strategy drawn."""

    line: Line
    turn: int
    choice: Choice
    failed: int
    parent: Record


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt came to, who decided it, the ledger keys behind it, and the child it was about."""

    result: Record | Drop
    by: str
    answers: tuple[str, ...]
    child: Record | None = None


async def evolve_records(
    records: list[Record], plan: Evolution, env: Surroundings
) -> tuple[list[Record], dict[str, Any]]:
    """All rounds. Returns the records that go on and the report: the survival table, strategy -> round -> figures."""
    env.books.entered = len(records)
    lines = [Line([record]) for record in records]
    table = Table()
    for turn in range(1, plan.rounds + 1):
        attempts = [
            Attempt(line, turn, plan.drawn(env, turn, i, line.generations[-1]), line.failed, line.generations[-1])
            for i, line in enumerate(lines)
            if not line.generations[-1].messages  # conversations pass through
        ]

        async def work(attempt: Attempt) -> Outcome:
            return await _evolved(attempt, plan, env)

        async with aclosing(in_order(attempts, work, env.window)) as evolved:
            async for attempt, outcome in evolved:
                _book(attempt, await _remembered(outcome, attempt, plan, env), table, env)
    return _surviving(lines, plan, env), {"survival": table.rows()}


def _book(attempt: Attempt, outcome: Outcome, table: Table, env: Surroundings) -> None:
    """Enter one outcome into the line it belongs to, the survival table and the stage's books."""
    env.books.made += 1
    table.count(attempt.choice.name, attempt.turn, attempt.parent, outcome.result)
    if isinstance(outcome.result, Drop):
        attempt.line.failed += 1
        shown = outcome.child or attempt.parent
        env.drop(outcome.result, outcome.by, shown, parent=attempt.parent.id, answers=outcome.answers)
    else:
        attempt.line.failed = 0
        attempt.line.generations.append(outcome.result)


async def _evolved(attempt: Attempt, plan: Evolution, env: Surroundings) -> Outcome:
    """Ask for the evolved instruction, then for its answer, then apply the rules that need no memory."""
    ctx = env.context(attempt.turn, attempt.parent.id, parent=attempt.parent, attempt=attempt.failed)
    by = attempt.choice.plugin
    child = await _child(attempt, plan, ctx, env)
    if isinstance(child, Drop):
        return Outcome(child, by, keys_of(ctx), child.record)
    result: Record | Drop = child
    for place, sieve in enumerate(plan.eliminate):
        if not sieve.filter.remembers:
            result = await sieve.verdict(child, ctx.derive("eliminate", place), env.stage)
            if isinstance(result, Drop):
                raw = last_answer(ctx) if result.answer is None else result.answer
                return Outcome(replace(result, answer=raw), sieve.plugin, keys_of(ctx), child)
            child = result
    return Outcome(child, by, keys_of(ctx), child)


async def _child(attempt: Attempt, plan: Evolution, ctx: Context, env: Surroundings) -> Record | Drop:
    """The evolved record with its answer, or why there is none."""
    parent, plugin = attempt.parent, attempt.choice.plugin
    with blamed(plugin, env.stage):
        result = await settled(attempt.choice.strategy.evolve(parent, ctx))
        if isinstance(result, Drop):
            return replace(result, answer=last_answer(ctx)) if result.answer is None else result
        if not isinstance(result, Record):
            raise wrong_type(plugin, env.stage, "evolve", result, "Record or Drop")
        child = result if result.origin.parents else result.replaced(origin=parent.evolved().origin)
    child = child.replaced(origin=msgspec.structs.replace(child.origin, stage=env.stage, plugin=plugin))
    if plan.answer and not child.output and not child.messages:
        try:
            answer = await ctx.ask(child.question())
        except TeacherError as err:
            return Drop.failed(err, child)
        child = child.replaced(output=answer.text.strip())
    return child.citing(*ctx.asked)


async def _remembered(outcome: Outcome, attempt: Attempt, plan: Evolution, env: Surroundings) -> Outcome:
    """Give the child its id and apply the rules that remember, in canonical order."""
    if isinstance(outcome.result, Drop):
        return outcome
    result = env.identified(outcome.result, attempt.choice.plugin)
    if isinstance(result, Drop):
        return replace(outcome, result=result)
    for place, sieve in enumerate(plan.eliminate):
        if sieve.filter.remembers:
            child = result
            ctx = env.context("eliminate", place, child.id, parent=attempt.parent)
            result = await sieve.verdict(child, ctx, env.stage)
            if isinstance(result, Drop):
                return Outcome(result, sieve.plugin, outcome.answers, child)
    return replace(outcome, result=result)


def _surviving(lines: list[Line], plan: Evolution, env: Surroundings) -> list[Record]:
    """Write what goes on. With ``keep: last`` every older generation of a line that moved on is a drop."""
    out: list[Record] = []
    for line in lines:
        *older, newest = line.generations
        if plan.keep == "last":
            for old in older:
                env.drop(Drop("superseded", f"evolved into {newest.id}"), "", old)
        else:
            out += older
        out.append(newest)
    for record in out:
        env.keep(record)
    return out
