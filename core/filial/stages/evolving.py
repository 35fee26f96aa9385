"""The evolve stage: draws strategies, runs rounds, has the evolved instruction answered, applies the elimination
rules, gives a failed record's parent another chance, keeps lineage (Evol-Instruct, arXiv 2304.12244, section 3.2)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from filial.components import Drop
from filial.context import Context
from filial.errors import TeacherError
from filial.executor import in_order
from filial.records import Record
from filial.stages.blame import blamed, wrong_type
from filial.stages.filtering import last_answer
from filial.stages.ranks import Ranks
from filial.stages.rows import Records
from filial.stages.stage import Surroundings, settled
from filial.stages.survival import Table
from filial.stages.trees import Attempt, Choice, Evolution, Tip, Tree, unlike
from filial.teaching import Reply

__all__ = ["Choice", "Evolution", "evolve_records"]


@dataclass(slots=True)
class Outcome:
    """What an attempt came to: a child or why there is none, who decided it, the child it was about, the answers it
    used, and what filters measured."""

    result: Record | Drop
    by: str
    child: Record | None = None
    asked: list[Reply] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=dict)

    def dropped(self, drop: Drop, by: str) -> None:
        """A rule has decided against the child."""
        self.result, self.by = drop, by

    def passed(self, child: Record, ctx: Context) -> bool:
        """A rule has let the child pass. Whether it has mended its text: that is then the child, made with the rule's
        answers too, and has no id yet."""
        mended = isinstance(self.result, Record) and child.content() != self.result.content()
        if mended:
            self.child = child = child.replaced(id="").citing(*ctx.asked)
        self.result = child
        return mended


Tried = list[tuple[Attempt, Outcome]]


async def evolve_records(records: Records, plan: Evolution, env: Surroundings) -> dict[str, Any]:
    """All rounds. Returns the report: the survival table, strategy -> round -> figures, and each strategy's family;
    ``not_evolved``: how many conversations were passed on as they are, where there are any.

    Every record goes through its rounds by itself, many of them at a time, and is written with what grew from it as
    soon as those before it are: drops come record by record. Only where a rule that eliminates remembers do all
    records end a round before the next begins, held in memory; drops come round by round then.
    """
    if left_out := plan.left_out():
        env.note(f"{env.stage}: {left_out}")
    env.books.entered = len(records)
    env.books.total = plan.rounds * len(records)
    table, ranks = Table(env.price), Ranks()
    trees = (Tree.planted(i, ranks.next(record.id), record, plan.branch) for i, record in enumerate(records))
    remembers = any(sieve.filter.remembers for sieve in plan.eliminate)
    conversations = await (_round_by_round if remembers else _tree_by_tree)(trees, plan, table, env)
    families = {choice.name: choice.family for choice in plan.choices}
    report = {"survival": table.rows(), "families": families, **env.means.report()}
    if conversations:
        what = "1 conversation is" if conversations == 1 else f"{conversations:,} conversations are"
        env.note(
            f"{env.stage}: {what} passed on unchanged; only single questions are evolved, without a system text or "
            "other turns"
        )
        report["not_evolved"] = conversations
    return report


async def _tree_by_tree(trees: Iterable[Tree], plan: Evolution, table: Table, env: Surroundings) -> int:
    """Returns how many conversations were not evolved."""

    async def grown(tree: Tree) -> Tried:
        tried: Tried = []
        for turn in range(1, plan.rounds + 1):
            rounds = list(tree.attempts(turn, plan, env))
            outcomes = iter(await _at_once([a for _, attempts in rounds for a in attempts], plan, env))
            results = [(tip, _settled(tip, attempts, outcomes, tried, tree, env)) for tip, attempts in rounds]
            tree.enter(results)
            env.step()
        return tried

    conversations = 0
    async with aclosing(in_order(trees, grown, env.window)) as evolved:
        async for tree, tried in evolved:
            for attempt, outcome in tried:
                _book(attempt, outcome, table, env)
            _let_go(tree, plan, env)
            conversations += tree.conversations
    return conversations


async def _at_once(attempts: list[Attempt], plan: Evolution, env: Surroundings) -> list[Outcome]:
    """The attempts of one tree in one round. All end before the first failure is told."""
    if len(attempts) == 1:
        return [await _evolved(attempts[0], plan, env)]
    found = await asyncio.gather(*(_evolved(a, plan, env) for a in attempts), return_exceptions=True)
    for outcome in found:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in found if isinstance(outcome, Outcome)]


def _settled(
    tip: Tip, attempts: list[Attempt], outcomes: Iterator[Outcome], tried: Tried, tree: Tree, env: Surroundings
) -> list[Record | Drop]:
    """What a tip's attempts of one round came to, each child with its id and unlike its siblings."""
    siblings = list(tip.children)
    results: list[Record | Drop] = []
    for attempt, outcome in zip(attempts, outcomes, strict=False):
        _identify(outcome, attempt, env, tree.rank, siblings)
        tried.append((attempt, outcome))
        results.append(outcome.result)
    return results


async def _round_by_round(trees: Iterable[Tree], plan: Evolution, table: Table, env: Surroundings) -> int:
    """Returns how many conversations were not evolved."""
    held = list(trees)
    for turn in range(1, plan.rounds + 1):
        rounds = [(tree, list(tree.attempts(turn, plan, env))) for tree in held]
        attempts = (attempt for _, tips in rounds for _, some in tips for attempt in some)
        async with aclosing(in_order(attempts, lambda attempt: _evolved(attempt, plan, env), env.window)) as evolved:
            for tree, tips in rounds:
                results = []
                for tip, some in tips:
                    results.append((tip, list[Record | Drop]()))
                    siblings = list(tip.children)
                    for _ in some:
                        attempt, outcome = await anext(evolved)
                        _identify(outcome, attempt, env, None, siblings)
                        await _remember(outcome, attempt, plan, env, siblings)
                        results[-1][1].append(outcome.result)
                        _book(attempt, outcome, table, env)
                tree.enter(results)
                env.step()
    for tree in held:
        _let_go(tree, plan, env)
    return sum(tree.conversations for tree in held)


def _book(attempt: Attempt, outcome: Outcome, table: Table, env: Surroundings) -> None:
    """Enter one outcome into the survival table and the stage's books."""
    env.books.made += 1
    env.means.add(outcome.scores)
    table.count(attempt.choice.name, attempt.turn, attempt.parent, outcome.result, outcome.asked)
    if isinstance(outcome.result, Drop):
        shown = outcome.child or attempt.parent
        keys = tuple(reply.key for reply in outcome.asked if reply.key)
        env.drop(outcome.result, outcome.by, shown, parent=attempt.parent.id, answers=keys)


def _let_go(tree: Tree, plan: Evolution, env: Surroundings) -> None:
    tree.let_go(plan, env.keep, lambda drop, record: env.drop(drop, "", record))


async def _evolved(attempt: Attempt, plan: Evolution, env: Surroundings) -> Outcome:
    """Ask for the evolved instruction, then for its answer, then apply the rules that need no memory."""
    key = (attempt.turn, attempt.parent.id, *([attempt.slot] if attempt.slot else []))
    ctx = env.context(*key, parent=attempt.parent, attempt=attempt.nth)
    child = await _child(attempt, plan, ctx, env)
    if isinstance(child, Drop):
        return Outcome(child, attempt.choice.plugin, child.record, ctx.asked)
    outcome = Outcome(child, attempt.choice.plugin, child, ctx.asked)
    for place, listed in enumerate(plan.eliminate):
        child = outcome.result
        if not listed.filter.remembers and isinstance(child, Record) and (sieve := plan.rule(place, child)):
            asking = ctx.derive("eliminate", place)
            result = await sieve.verdict(child, asking, env.stage, outcome.scores)
            outcome.asked = [*outcome.asked, *asking.asked]
            if isinstance(result, Drop):
                raw = last_answer(ctx) if result.answer is None else result.answer
                outcome.dropped(replace(result, answer=raw), sieve.plugin)
            else:
                outcome.passed(result, asking)
    return outcome


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


def _identify(
    outcome: Outcome, attempt: Attempt, env: Surroundings, rank: int | None, siblings: list[Record]
) -> None:  # fmt: skip
    """Give the child its id, unless it is like a sibling; ``siblings`` are those so far, and then it too."""
    if isinstance(outcome.result, Record):
        alike = unlike(outcome.result, siblings)
        named = alike if isinstance(alike, Drop) else env.identified(alike, attempt.choice.plugin, rank)
        outcome.result = named
        if isinstance(named, Record):
            siblings.append(named)


async def _remember(
    outcome: Outcome, attempt: Attempt, plan: Evolution, env: Surroundings, siblings: list[Record]
) -> None:
    """Apply the rules that remember, in canonical order. A child that one of them mends is named anew."""
    for place, listed in enumerate(plan.eliminate):
        child = outcome.result
        if listed.filter.remembers and isinstance(child, Record) and (sieve := plan.rule(place, child)):
            ctx = env.context("eliminate", place, child.id, parent=attempt.parent)
            result = await sieve.verdict(child, ctx, env.stage, outcome.scores)
            outcome.asked = [*outcome.asked, *ctx.asked]
            if isinstance(result, Drop):
                outcome.child = child
                outcome.dropped(result, sieve.plugin)
            elif outcome.passed(result, ctx):
                siblings.remove(child)
                _identify(outcome, attempt, env, None, siblings)
