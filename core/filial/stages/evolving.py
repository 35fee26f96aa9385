"""The evolve stage: draws strategies, runs rounds, has the evolved instruction answered, applies the elimination
rules, gives a failed record's parent another chance, keeps lineage (Evol-Instruct, arXiv 2304.12244, section 3.2)."""

from __future__ import annotations

from collections.abc import Iterable
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
from filial.stages.ranks import Ranks
from filial.stages.rows import Records
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
    """One record of the stage and what came of it: every generation, and how often the newest failed to evolve.

    ``place`` is the record's among all, ``rank`` among those with the same id: 0 unless a record comes again.
    """

    place: int
    rank: int
    generations: list[Record]
    failed: int = 0

    def enter(self, result: Record | Drop) -> None:
        """What the newest generation's attempt came to."""
        if isinstance(result, Drop):
            self.failed += 1
        else:
            self.failed = 0
            self.generations.append(result)


class Attempt(msgspec.Struct, frozen=True):
    """One record about to be evolved: the round, the strategy drawn, how often it failed before."""

    turn: int
    choice: Choice
    failed: int
    parent: Record


class Outcome(msgspec.Struct, frozen=True):
    """What an attempt came to, who decided it, the ledger keys behind it, and the child it was about."""

    result: Record | Drop
    by: str
    answers: tuple[str, ...]
    child: Record | None = None


async def evolve_records(records: Records, plan: Evolution, env: Surroundings) -> dict[str, Any]:
    """All rounds. Returns the report: the survival table, strategy -> round -> figures.

    Every record goes through its rounds by itself, many of them at a time, and is written with its generations as soon
    as those before it are: drops come record by record. Only where a rule that eliminates remembers do all records
    end a round before the next begins, held in memory; drops come round by round then.
    """
    env.books.entered = len(records)
    env.books.total = plan.rounds * len(records)
    table, ranks = Table(), Ranks()
    lines = (Line(place, ranks.next(record.id), [record]) for place, record in enumerate(records))
    remembers = any(sieve.filter.remembers for sieve in plan.eliminate)
    await (_round_by_round if remembers else _line_by_line)(lines, plan, table, env)
    return {"survival": table.rows()}


async def _line_by_line(lines: Iterable[Line], plan: Evolution, table: Table, env: Surroundings) -> None:
    async def grown(line: Line) -> list[tuple[Attempt, Outcome]]:
        tried = []
        for turn in range(1, plan.rounds + 1):
            if attempt := _attempt(line, turn, plan, env):
                outcome = _identified(await _evolved(attempt, plan, env), attempt, env, line.rank)
                line.enter(outcome.result)
                tried.append((attempt, outcome))
            env.step()
        return tried

    async with aclosing(in_order(lines, grown, env.window)) as evolved:
        async for line, tried in evolved:
            for attempt, outcome in tried:
                _book(attempt, outcome, table, env)
            _let_go(line, plan, env)


async def _round_by_round(lines: Iterable[Line], plan: Evolution, table: Table, env: Surroundings) -> None:
    held = list(lines)

    async def tried(pair: tuple[Line, Attempt]) -> Outcome:
        outcome = await _evolved(pair[1], plan, env)
        env.step()
        return outcome

    for turn in range(1, plan.rounds + 1):
        attempts = [(line, attempt) for line in held if (attempt := _attempt(line, turn, plan, env))]
        env.books.done += len(held) - len(attempts)
        async with aclosing(in_order(attempts, tried, env.window)) as evolved:
            async for (line, attempt), outcome in evolved:
                outcome = await _remembered(outcome, attempt, plan, env)
                line.enter(outcome.result)
                _book(attempt, outcome, table, env)
    for line in held:
        _let_go(line, plan, env)


def _attempt(line: Line, turn: int, plan: Evolution, env: Surroundings) -> Attempt | None:
    """What a line tries in a round; conversations pass through."""
    parent = line.generations[-1]
    if parent.messages:
        return None
    return Attempt(turn, plan.drawn(env, turn, line.place, parent), line.failed, parent)


def _book(attempt: Attempt, outcome: Outcome, table: Table, env: Surroundings) -> None:
    """Enter one outcome into the survival table and the stage's books."""
    env.books.made += 1
    table.count(attempt.choice.name, attempt.turn, attempt.parent, outcome.result)
    if isinstance(outcome.result, Drop):
        shown = outcome.child or attempt.parent
        env.drop(outcome.result, outcome.by, shown, parent=attempt.parent.id, answers=outcome.answers)


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


def _identified(outcome: Outcome, attempt: Attempt, env: Surroundings, rank: int | None = None) -> Outcome:
    """Give the child its id."""
    if isinstance(outcome.result, Drop):
        return outcome
    named = env.identified(outcome.result, attempt.choice.plugin, rank)
    return Outcome(named, outcome.by, outcome.answers, outcome.child)


async def _remembered(outcome: Outcome, attempt: Attempt, plan: Evolution, env: Surroundings) -> Outcome:
    """Give the child its id and apply the rules that remember, in canonical order."""
    outcome = _identified(outcome, attempt, env)
    for place, sieve in enumerate(plan.eliminate):
        if sieve.filter.remembers and isinstance(child := outcome.result, Record):
            ctx = env.context("eliminate", place, child.id, parent=attempt.parent)
            result = await sieve.verdict(child, ctx, env.stage)
            if isinstance(result, Drop):
                return Outcome(result, sieve.plugin, outcome.answers, child)
            outcome = msgspec.structs.replace(outcome, result=result)
    return outcome


def _let_go(line: Line, plan: Evolution, env: Surroundings) -> None:
    """Write what goes on. With ``keep: last`` every older generation of a line that moved on is a drop."""
    *older, newest = line.generations
    for old in older:
        if plan.keep == "last":
            env.drop(Drop("superseded", f"evolved into {newest.id}"), "", old)
        else:
            env.keep(old)
    env.keep(newest)
