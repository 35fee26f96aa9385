"""The evolve stage: draws strategies, runs rounds, has the evolved instruction answered, applies the elimination
rules, gives a failed record's parent another chance, keeps lineage (Evol-Instruct, arXiv 2304.12244, section 3.2)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing, closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from filial.contracts.checks import changed, lent
from filial.contracts.concurrency import in_order
from filial.contracts.context import Context, seeded
from filial.contracts.errors import TeacherError, UsageError
from filial.contracts.kinds import Drop, Strategy
from filial.contracts.messages import Reply
from filial.contracts.plugin_errors import blamed, breach, wrong_type
from filial.contracts.records import Record
from filial.engine.build import build, provenance
from filial.engine.filter import FilterStep, last_answer
from filial.engine.stage import Expected, Ranks, Records, Report, StageContext, settled, unsound
from filial.engine.survival import Table
from filial.engine.work import Work, cut
from filial.plugins.manager import Manager
from filial.recipe import ComponentSpec, StageSpec
from filial.recipe.settings import Evolve

KIND = "map"
"""Unless a rule that eliminates remembers; then all records end a round before the next begins."""
AT_ONCE = 16
"""Records of a `Work` that is done elsewhere."""
SIBLING = "same-as-sibling"


@dataclass(frozen=True, slots=True)
class Choice:
    """One strategy of the recipe: its name there, its provenance, how often it is drawn relative to the others."""

    name: str
    plugin: str
    strategy: Strategy
    weight: float = 1.0
    family: str = "in-depth"


@dataclass(frozen=True, slots=True)
class Evolution:
    """How the stage evolves: the recipe's ``evolve`` block with its plugins in place.

    Where no answer is asked for, ``on_questions`` are the rules of ``eliminate`` for children without one, by place.
    """

    choices: list[Choice]
    eliminate: list[FilterStep]
    settings: Evolve
    on_questions: list[FilterStep | None] = field(init=False)

    def __post_init__(self) -> None:
        rules = [step if self.settings.answer else step.on_questions() for step in self.eliminate]
        object.__setattr__(self, "on_questions", rules)

    def rule(self, place: int, child: Record) -> FilterStep | None:
        """The rule at a place as it goes for a child; None where it only judges answers and none was asked for."""
        answered = child.turns()[-1].role == "assistant"
        return self.eliminate[place] if answered else self.on_questions[place]

    def left_out(self) -> str:
        """What the rules do not judge because no answer was asked for, in words; empty if they judge all."""
        both = list(zip(self.eliminate, self.on_questions, strict=True))
        part = [rule.name for rule, left in both if left is not None and left.filter is not rule.filter]
        whole = [rule.name for rule, left in both if left is None]
        said = [f"{' and '.join(part)} by the instruction alone"] if part else []
        said += [f"{' and '.join(whole)} not at all"] if whole else []
        return f"no answer is asked for; evolved records without one are judged {', '.join(said)}" if said else ""

    def drawn(self, env: StageContext, turn: int, place: int, record: Record, n: int) -> list[Choice]:
        """``n`` strategies for this record in this round, by seeded weights or in the recipe's order; all different
        where there are enough."""
        if self.settings.order == "fixed":
            return [self.choices[(place + turn - 1 + slot) % len(self.choices)] for slot in range(n)]
        rng, left, out = seeded(env.seed, env.stage, "draw", turn, record.id), list(self.choices), list[Choice]()
        while len(out) < n:
            left = left or list(self.choices)
            out += (choice := rng.choices(left, [c.weight for c in left])[0],)
            left.remove(choice)
        return out


@dataclass(frozen=True, slots=True)
class Attempt:
    """One record about to be evolved: the round, the strategy drawn, which attempt on this record it is (from 0)."""

    turn: int
    choice: Choice
    nth: int
    slot: int
    parent: Record

    def trial(self, outcome: Outcome) -> Trial:
        """What the stage's figures keep of it."""
        return self.choice.name, self.turn, self.parent, outcome


@dataclass(slots=True)
class EvolutionNode:
    """A record that is evolved in the next round: how many children it is due, and how often that was tried."""

    record: Record
    due: int
    tried: int = 0
    children: list[Record] = field(default_factory=list)


@dataclass(slots=True)
class Tree:
    """One record of the stage and what came of it.

    ``place`` is the record's among all, ``rank`` among those with the same id: 0 unless a record comes again.
    ``conversations`` counts the tips that were passed on as they are; ``tried`` is what was tried so far.
    """

    place: int
    rank: int
    branch: int
    grown: list[EvolutionNode]
    tips: list[EvolutionNode]
    conversations: int = 0
    tried: list[Trial] = field(default_factory=list)

    @classmethod
    def planted(cls, work: Work, branch: int) -> list[Tree]:
        """The trees of records that have not been evolved yet."""
        roots = [EvolutionNode(record, branch) for record in work.records]
        found = zip(roots, work.ranks, strict=True)
        return [cls(place, rank, branch, [root], [root]) for place, (root, rank) in enumerate(found, work.place)]

    def attempts(self, turn: int, plan: Evolution, env: StageContext) -> Iterator[tuple[EvolutionNode, list[Attempt]]]:
        """What every tip tries in a round. A conversation of more than a question and its answer is counted, once, and
        tries nothing."""
        for tip in self.tips:
            parent = tip.record.single()
            if parent.messages:
                self.conversations += 1
            else:
                drawn = plan.drawn(env, turn, self.place, parent, tip.due)
                yield tip, [Attempt(turn, c, tip.tried + i, i, parent) for i, c in enumerate(drawn)]

    def enter(self, rounds: list[tuple[EvolutionNode, list[Record | Drop]]]) -> None:
        """What a round came to: children are tips of the next one, and so is a record with attempts that failed."""
        tips: list[EvolutionNode] = []
        for tip, results in rounds:
            born = [EvolutionNode(result, self.branch) for result in results if isinstance(result, Record)]
            tip.due, tip.tried = len(results) - len(born), tip.tried + len(results)
            tip.children += [child.record for child in born]
            tips += [tip] if tip.due else []
            tips += born
            self.grown += born
        self.tips = tips

    def let_go(self, plan: Evolution, keep: Callable[[Record], None], drop: Callable[[Drop, Record], None]) -> None:
        """Write what goes on. With ``keep: last`` every record that has a child is a drop."""
        for tip in self.grown:
            if plan.settings.keep == "last" and tip.children:
                into = ", ".join(child.id for child in tip.children)
                drop(Drop("superseded", f"evolved into {into}"), tip.record)
            else:
                keep(tip.record)


def unlike(result: Record | Drop, siblings: list[Record]) -> Record | Drop:
    """A child, or the drop of one that says what a sibling says."""
    if isinstance(result, Record):
        for sibling in siblings:
            if sibling.content() == result.content():
                return Drop(SIBLING, f"it is word for word {sibling.id}", record=result)
    return result


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


Trial = tuple[str, int, Record, Outcome]
"""An attempt that was made: the strategy's name, the round, the parent, and what it came to."""


async def run(stage: StageSpec[Evolve], records: Records, base: Path, manager: Manager, env: StageContext) -> Report:
    """Run an evolve stage on the records of the one before. Returns its report."""
    return await evolve_records(records, prepare(stage, base, manager), env)


def prepare(stage: StageSpec[Evolve], base: Path, manager: Manager) -> Evolution:
    """Make the strategies and rules of a stage."""
    choices = [_choice(spec, base, manager) for spec in stage.of("strategies")]
    rules = [FilterStep.built(spec, base, manager) for spec in stage.of("filters")]
    return Evolution(choices, rules, stage.settings)


def _choice(spec: ComponentSpec, base: Path, manager: Manager) -> Choice:
    strategy, settings = build(manager, spec, base), spec.settings
    family = settings.family or strategy.family
    return Choice(settings.name or spec.use, provenance(manager, spec), strategy, settings.weight, family)


EVOLVED = 0.85
"""The share of attempts that succeed, where nothing better is known."""


def expect(stage: StageSpec[Evolve], entering: int, base: Path, manager: Manager) -> Expected:
    """Say what an evolve stage would take and give. Every child has ``branch`` attempts in the next round, every
    failure one."""
    settings = stage.settings
    due, tried = float(entering * settings.branch), 0.0
    for _ in range(settings.rounds):
        tried += due
        due *= 1 + EVOLVED * (settings.branch - 1)
    attempts = round(tried)
    strategies: list[Strategy] = [build(manager, spec, base) for spec in stage.of("strategies")]
    rules: list[Any] = [build(manager, spec, base) for spec in stage.of("filters")]
    if not settings.answer:
        rules = [part for rule in rules if (part := rule.question_rules()) is not None]
    calls = sum(strategy.calls(attempts) for strategy in strategies) / len(strategies)
    calls += sum(rule.calls(attempts) for rule in rules) + (attempts if settings.answer else 0)
    born = EVOLVED * attempts
    return Expected(calls, round(entering + born * (1 if settings.keep == "all" else 1 - 1 / settings.branch)))


async def evolve_records(records: Records, plan: Evolution, env: StageContext) -> Report:
    """All rounds. Returns the report: the survival table, strategy -> round -> figures, and each strategy's family;
    ``not_evolved``: how many conversations were passed on as they are, where there are any.

    Every record goes through its rounds by itself, many of them at a time, and is written with what grew from it as
    soon as those before it are: drops come record by record. Only where a rule that eliminates remembers do all
    records end a round before the next begins, held in memory; drops come round by round then.
    """
    if whole := [sieve.plugin for sieve in plan.eliminate if sieve.filter.whole_set]:
        raise UsageError(
            f"{whole[0]} decides over all records at once, which stage {env.stage} never has; put it into a filter "
            "stage behind it"
        )
    if left_out := plan.left_out():
        env.note(f"{env.stage}: {left_out}")
    env.counters.entered = len(records)
    env.counters.total = plan.settings.rounds * len(records)
    table = Table(env.price)
    remembers = any(sieve.filter.remembers for sieve in plan.eliminate)
    with closing(env.worker):
        conversations = await (_round_by_round if remembers else _tree_by_tree)(records, plan, table, env)
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


async def _tree_by_tree(records: Records, plan: Evolution, table: Table, env: StageContext) -> int:
    """Returns how many conversations were not evolved."""
    conversations, size = 0, AT_ONCE if env.elsewhere else 1
    window = env.window if size == 1 else max(2, 2 * env.window // size)
    works = cut(env.job, records, size, Ranks().next)
    async with aclosing(in_order(works, env.elsewhere or partial(perform, plan, env), window)) as evolved:
        async for _, trees in evolved:
            for tree in trees:
                for trial in tree.tried:
                    _book(trial, table, env)
                _let_go(tree, plan, env)
                conversations += tree.conversations
    return conversations


async def perform(plan: Evolution, env: StageContext, work: Work) -> list[Tree]:
    """Take each record of a batch through all rounds by itself."""
    trees = Tree.planted(work, plan.settings.branch)
    if len(trees) == 1:
        await _grow(plan, env, trees[0])
    else:
        async with aclosing(in_order(trees, partial(_grow, plan, env), len(trees))) as grown:
            async for _ in grown:
                pass
    return trees


async def _grow(plan: Evolution, env: StageContext, tree: Tree) -> None:
    for turn in range(1, plan.settings.rounds + 1):
        rounds = list(tree.attempts(turn, plan, env))
        outcomes = iter(await _at_once([a for _, attempts in rounds for a in attempts], plan, env))
        tree.enter([(tip, _settled(tip, attempts, outcomes, tree, env)) for tip, attempts in rounds])
        env.step()


async def _at_once(attempts: list[Attempt], plan: Evolution, env: StageContext) -> list[Outcome]:
    """The attempts of one tree in one round. All end before the first failure is told."""
    if len(attempts) == 1:
        return [await _evolved(attempts[0], plan, env)]
    found = await asyncio.gather(*(_evolved(a, plan, env) for a in attempts), return_exceptions=True)
    for outcome in found:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in found if isinstance(outcome, Outcome)]


def _settled(
    tip: EvolutionNode, attempts: list[Attempt], outcomes: Iterator[Outcome], tree: Tree, env: StageContext
) -> list[Record | Drop]:  # fmt: skip
    """What a tip's attempts of one round came to, each child with its id and unlike its siblings."""
    siblings = list(tip.children)
    results: list[Record | Drop] = []
    for attempt, outcome in zip(attempts, outcomes, strict=False):
        _identify(outcome, attempt, env, tree.rank, siblings)
        tree.tried.append(attempt.trial(outcome))
        results.append(outcome.result)
    return results


async def _round_by_round(records: Records, plan: Evolution, table: Table, env: StageContext) -> int:
    """Returns how many conversations were not evolved."""
    works = cut(None, records, AT_ONCE, Ranks().next)
    held = [tree for work in works for tree in Tree.planted(work, plan.settings.branch)]
    for turn in range(1, plan.settings.rounds + 1):
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
                        _book(attempt.trial(outcome), table, env)
                tree.enter(results)
                env.step()
    for tree in held:
        _let_go(tree, plan, env)
    return sum(tree.conversations for tree in held)


def _book(trial: Trial, table: Table, env: StageContext) -> None:
    """Enter one attempt into the survival table and the stage's counters."""
    strategy, turn, parent, outcome = trial
    env.counters.made += 1
    env.means.add(outcome.scores)
    table.count(strategy, turn, parent, outcome.result, outcome.asked)
    if isinstance(outcome.result, Drop):
        shown = outcome.child or parent
        keys = tuple(reply.key for reply in outcome.asked if reply.key)
        env.drop(outcome.result, outcome.by, shown, parent=parent.id, answers=keys)


def _let_go(tree: Tree, plan: Evolution, env: StageContext) -> None:
    tree.let_go(plan, env.keep, lambda drop, record: env.drop(drop, "", record))


async def _evolved(attempt: Attempt, plan: Evolution, env: StageContext) -> Outcome:
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
            result = await sieve.verdict(child, asking, env, outcome.scores)
            outcome.asked = [*outcome.asked, *asking.asked]
            if isinstance(result, Drop):
                raw = last_answer(ctx) if result.answer is None else result.answer
                outcome.dropped(replace(result, answer=raw), sieve.plugin)
            else:
                outcome.passed(result, asking)
    return outcome


async def _child(attempt: Attempt, plan: Evolution, ctx: Context, env: StageContext) -> Record | Drop:
    """The evolved record with its answer, or why there is none."""
    parent, plugin = attempt.parent, attempt.choice.plugin
    with blamed(plugin, env.stage, parent):
        copy = lent(parent)
        result = await settled(attempt.choice.strategy.evolve(copy, ctx))
        if not isinstance(result, Record | Drop):
            raise wrong_type(plugin, env.stage, "evolve", result, "Record or Drop", parent)
        told = result.fault() if isinstance(result, Drop) else ""
        if fault := changed(copy, parent) or ctx.fault_of_parent() or told:
            raise breach(plugin, env.stage, fault, parent)
        if isinstance(result, Drop):
            return replace(result, answer=last_answer(ctx)) if result.answer is None else result
        env.check_parents(result, (parent.id,), plugin, parent)
        child = result if result.origin.parents else result.replaced(origin=parent.evolved().origin)
    unsound(child, plugin, env.stage, parent)  # half a character is a drop of the question or, later, of the record
    child = child.replaced(origin=msgspec.structs.replace(child.origin, stage=env.stage, plugin=plugin))
    if plan.settings.answer and child.instruction and not child.answer():
        try:
            answer = await ctx.ask(child.prompt())
        except TeacherError as err:
            return Drop.failed(err, child)
        child = child.with_answer(answer.text.strip())
    return child.citing(*ctx.asked)


def _identify(
    outcome: Outcome, attempt: Attempt, env: StageContext, rank: int | None, siblings: list[Record]
) -> None:  # fmt: skip
    """Give the child its id, unless it is like a sibling; ``siblings`` are those so far, and then it too."""
    if isinstance(outcome.result, Record):
        alike = unlike(outcome.result, siblings)
        named = alike if isinstance(alike, Drop) else env.identified(alike, attempt.choice.plugin, rank, attempt.parent)
        outcome.result = named
        if isinstance(named, Record):
            siblings.append(named)


async def _remember(
    outcome: Outcome, attempt: Attempt, plan: Evolution, env: StageContext, siblings: list[Record]
) -> None:
    """Apply the rules that remember, in canonical order. A child that one of them mends is named anew."""
    for place, listed in enumerate(plan.eliminate):
        child = outcome.result
        if listed.filter.remembers and isinstance(child, Record) and (sieve := plan.rule(place, child)):
            ctx = env.context("eliminate", place, child.id, parent=attempt.parent)
            result = await sieve.verdict(child, ctx, env, outcome.scores)
            outcome.asked = [*outcome.asked, *ctx.asked]
            if isinstance(result, Drop):
                outcome.child = child
                outcome.dropped(result, sieve.plugin)
            elif outcome.passed(result, ctx):
                siblings.remove(child)
                _identify(outcome, attempt, env, None, siblings)
