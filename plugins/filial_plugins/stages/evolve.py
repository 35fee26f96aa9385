"""The evolve stage (Evol-Instruct, arXiv 2304.12244, section 3.2): draws strategies, runs rounds, has the evolved
instruction answered, applies the elimination rules, tries a record again if its evolution failed, and keeps lineage."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from filial import Context, Drop, Field, Record, Reply, Strategy, TeacherError, UsageError, in_order, seeded_rng
from filial.stages import (
    DuplicateCounter,
    Expected,
    Manager,
    Name,
    Part,
    Records,
    Report,
    Settings,
    Stage,
    StageContext,
    StageSpec,
    Work,
    await_result,
    breach,
    build,
    cut,
    drop_if_unwritable,
    provenance,
    wrong_type,
)
from filial_plugins.stages.calls import keys_of, lend, short_name, with_last_answer
from filial_plugins.stages.conversations import find_obstacle, join_question, split_question
from filial_plugins.stages.filter import FilterStep
from filial_plugins.stages.survival import SurvivalTable

AT_ONCE = 16
"""Records of a `Work` that is done in another process."""
EVOLVED = 0.85
"""Assumed share of attempts that succeed."""
SIBLING = "same-as-sibling"
Item = TypeVar("Item")
Result = TypeVar("Result")


class StrategyKeys(Settings):
    """A strategy of an evolve stage."""

    kind = "strategies"
    weight: float = Field(1.0, description="How often this strategy is drawn, relative to the others.", gt=0)
    name: Name | None = Field(
        None, description="Name in the survival table and in `filial plan`; default: the plugin's."
    )
    family: Literal["in-depth", "in-breadth"] | None = Field(
        None, description="Family in the survival table; default: the plugin's."
    )

    def key_parts(self) -> list[Any]:
        """Return the parts of stage keys, unchanged since 0.1."""
        return [self.weight, self.name, self.family] if self.name or self.family else [self.weight]


class Evolve(Stage):
    """An evolve stage."""

    works = "map"  # unless an elimination rule remembers; then all records end a round before the next begins
    owner, by_inputs = "the evolve stage", ("strategies",)
    rounds: int = Field(1, description="Evolutions of each record.", ge=1)
    strategies: list[Annotated[Any, Part("strategies", StrategyKeys)]] = Field(
        description="The strategies; one is drawn per attempt.", min_length=1, exclude=True
    )
    eliminate: list[Annotated[Any, Part("filters")]] = Field(
        ["evolved"], description="Filters that decide whether an evolution has failed.", exclude=True
    )
    keep: Literal["all", "last"] = Field(
        "all", description="Keep parents and all generations, or the newest of each line only."
    )
    branch: int = Field(
        1, description="Children of each record per round: 1 makes chains, more make trees.", ge=1, le=100
    )
    order: Literal["random", "fixed", "rotation"] = Field(
        "random",
        description="Draw strategies by weight; or use them in turn, beginning with another one for each record "
        "(fixed) or with the first one for every record (rotation).",
    )
    answer: bool = Field(
        True,
        description="Ask the teacher to answer each evolved instruction; if off, rules on answers do not apply.",
    )
    reasoning: Literal["drop", "keep"] | None = Field(
        None, description="Keep the teacher's reasoning on each answer in the record, to train on it; default: drop it."
    )

    @classmethod
    def asks(cls, given: dict[str, Any]) -> bool:
        """Return True unless the recipe turns answers off."""
        return given.get("answer", True) is True

    async def run(self, stage: StageSpec, records: Records, base: Path, manager: Manager, env: StageContext) -> Report:
        """Run an evolve stage on the records of the stage before. Returns its report."""
        return await evolve_records(records, self.prepare(stage, base, manager), env)

    def expect(self, stage: StageSpec, entering: int, base: Path, manager: Manager) -> Expected:
        """Estimate requests and records. Every child has ``branch`` attempts in the next round, every failure has
        one."""
        plan = self.prepare(stage, base, manager)
        growth = 1 + EVOLVED * (self.branch - 1)
        attempts = round(entering * self.branch * sum(growth**turn for turn in range(self.rounds)))
        calls = sum(choice.strategy.calls(attempts) for choice in plan.choices) / len(plan.choices)
        calls += sum(rule.filter.calls(attempts) for rule in plan.on_questions if rule)
        calls += attempts if self.answer else 0
        born = EVOLVED * attempts
        return Expected(calls, round(entering + born * (1 if self.keep == "all" else 1 - 1 / self.branch)))

    def prepare(self, stage: StageSpec, base: Path, manager: Manager) -> Evolution:
        """Build the strategies and rules of a stage."""
        choices = []
        for spec in stage.of("strategies"):
            strategy, own = build(manager, spec, base), spec.settings
            name, family = own.name or spec.use, own.family or strategy.family
            choices.append(Choice(name, provenance(manager, spec), strategy, own.weight, family))
        return Evolution(choices, [FilterStep.from_spec(spec, base, manager) for spec in stage.of("filters")], self)

    async def perform(self, plan: Evolution, env: StageContext, work: Work) -> list[Tree]:
        """Run `grow_trees` on a batch."""
        return await grow_trees(plan, env, work)


@dataclass(frozen=True, slots=True)
class Choice:
    """One strategy of the recipe: its name there, its provenance, and its weight."""

    name: str
    plugin: str
    strategy: Strategy
    weight: float = 1.0
    family: str = "in-depth"


@dataclass(slots=True)
class Evolution:
    """How the stage evolves: the recipe's ``evolve`` block with its plugins.

    ``on_questions`` are the rules of ``eliminate``, by position, for children without an answer: the part of each rule
    that needs no answer, or None.
    """

    choices: list[Choice]
    eliminate: list[FilterStep]
    settings: Evolve
    on_questions: list[FilterStep | None] = field(init=False)

    def __post_init__(self) -> None:
        self.on_questions = [rule if self.settings.answer else rule.on_questions() for rule in self.eliminate]

    def trees(self, work: Work) -> list[Tree]:
        """Return a tree for each record, not evolved yet."""
        trees = []
        ranks = work.ranks or [None] * len(work.records)
        for place, (record, rank) in enumerate(zip(work.records, ranks, strict=True), work.place):
            root = Node(record, self.settings.branch)
            trees.append(Tree(place, rank, [root], [root]))
        return trees

    def draw(self, env: StageContext, turn: int, place: int, tip: Node) -> list[Choice]:
        """Choose a strategy for every child of a record in this round, by seeded weights or in the recipe's order; all
        different if there are enough."""
        if self.settings.order != "random":
            first = turn - 1 + (place if self.settings.order == "fixed" else 0)
            return [self.choices[(first + slot) % len(self.choices)] for slot in range(tip.due)]
        rng, left, drawn = (
            seeded_rng(env.seed, env.stage, "draw", turn, tip.record.id),
            list(self.choices),
            list[Choice](),
        )
        while len(drawn) < tip.due:
            left = left or list(self.choices)
            drawn += rng.choices(left, [choice.weight for choice in left])
            left.remove(drawn[-1])
        return drawn

    def rules(self, attempt: Attempt, *, remember: bool) -> Iterator[tuple[int, FilterStep, Record]]:
        """Yield the rules that remember, or the others, up to the one that stops the child of an attempt: the position,
        the rule in the form for this child, and the child as changed so far."""
        for place, listed in enumerate(self.eliminate):
            child = attempt.result
            if listed.filter.remembers == remember and isinstance(child, Record):
                answered = self.settings.answer or child.turns()[-1].role == "assistant"
                if rule := listed if answered else self.on_questions[place]:
                    yield place, rule, child

    def describe_unjudged(self) -> str:
        """Say which rules are left out because no answer is requested; empty if none."""
        both = list(zip(self.eliminate, self.on_questions, strict=True))
        part = [short_name(rule.plugin) for rule, left in both if left is not None and left.filter is not rule.filter]
        whole = [short_name(rule.plugin) for rule, left in both if left is None]
        ways = {"by the instruction only": part, "not at all": whole}
        said = ", ".join(f"{' and '.join(names)} {way}" for way, names in ways.items() if names)
        return f"no answers are requested; evolved records without one are judged {said}" if said else ""


@dataclass(slots=True)
class Node:
    """A record of a tree: its number of children in the next round, and of attempts so far."""

    record: Record
    due: int
    tried: int = 0
    children: list[Record] = field(default_factory=list)


@dataclass(slots=True)
class Tree:
    """One record of the stage and its descendants.

    ``place`` is the record's position among all, ``rank`` among those with the same id (0 for the first); it
    distinguishes equal children of such records; None: their order does. ``tips`` are the nodes to evolve next.
    ``not_evolved`` counts the records that cannot be evolved, by reason; ``tried`` are attempts that are not counted
    yet.
    """

    place: int
    rank: int | None
    nodes: list[Node]
    tips: list[Node]
    not_evolved: Counter[str] = field(default_factory=Counter)
    tried: list[Attempt] = field(default_factory=list)


@dataclass(slots=True)
class Attempt:
    """An attempt to evolve a record with a strategy in a round, and its result: a child or why there is none, and who
    decided.

    ``child`` is shown by a drop. ``asked`` are the answers that were used, ``scores`` are measured by filters.
    """

    strategy: str
    turn: int
    parent: Record
    result: Record | Drop
    by: str
    child: Record | None
    asked: list[Reply]
    scores: dict[str, float] = field(default_factory=dict)

    async def judge(self, rule: FilterStep, child: Record, ctx: Context, env: StageContext) -> bool:
        """Let a rule decide on the child, of a conversation on its last question.

        Return whether the rule changed its text: the changed record is then the child, made with the rule's answers,
        too, and without an id.
        """
        question, history = split_question(child)
        ((result, scores),) = await rule.decide([question], ctx, env)
        self.asked = [*self.asked, *ctx.replies]
        self.scores |= scores
        if isinstance(result, Drop):
            self.result, self.by = result, rule.plugin
            return False
        changed = result.content() != question.content()
        self.result = join_question(result.replaced(id="").citing(*ctx.replies) if changed else result, history)
        self.child = self.result if changed else self.child
        return changed


async def evolve_records(records: Records, plan: Evolution, env: StageContext) -> Report:
    """Run all rounds. Returns the report: the survival table (strategy -> round -> figures), each strategy's family,
    and ``not_evolved``, the number of records that were passed on unchanged, if any.

    Each record goes through its rounds independently, many at a time, and is written with its descendants after the
    records before it; drops come record by record. Only if an elimination rule remembers do all records, held in
    memory, end a round before the next begins; drops then come round by round.
    """
    if whole := [rule.plugin for rule in plan.eliminate if rule.filter.whole_set]:
        raise UsageError(
            f"{whole[0]} needs all records at once, but stage {env.stage} has one at a time; put it into a filter "
            "stage after it"
        )
    if not_judged := plan.describe_unjudged():
        env.note(f"{env.stage}: {not_judged}")
    env.counters.entered = len(records)
    env.counters.total = plan.settings.rounds * len(records)
    table = SurvivalTable(env.price)
    remembers = any(rule.filter.remembers for rule in plan.eliminate)
    with closing(env.worker):
        not_evolved = await (_round_by_round if remembers else _tree_by_tree)(records, plan, table, env)
    families = {choice.name: choice.family for choice in plan.choices}
    report = {"survival": table.rows(), "families": families, **env.means.report()}
    if not_evolved:
        reasons = ", ".join(f"{n:,} {why}" for why, n in sorted(not_evolved.items()))
        env.note(
            f"{env.stage}: conversations passed on unchanged, since their last question cannot be asked: {reasons}"
        )
        report["not_evolved"] = not_evolved.total()
    return report


async def grow_trees(plan: Evolution, env: StageContext, work: Work) -> list[Tree]:
    """Take each record of a batch through all rounds."""
    return await _gather(partial(_grow, plan, env), plan.trees(work))


async def _tree_by_tree(records: Records, plan: Evolution, table: SurvivalTable, env: StageContext) -> Counter[str]:
    """Evolve record by record. Return how many records were not evolved, by reason."""
    not_evolved, size = Counter[str](), AT_ONCE if env.dispatch else 1
    window = env.window if size == 1 else max(2, 2 * env.window // size)
    works = cut(env.job, records, size, DuplicateCounter().next)
    async with aclosing(in_order(works, env.dispatch or partial(grow_trees, plan, env), window)) as evolved:
        async for _, trees in evolved:
            for tree in trees:
                _count_attempts(tree, table, env)
                _write(tree, plan, env)
                not_evolved += tree.not_evolved
    return not_evolved


async def _grow(plan: Evolution, env: StageContext, tree: Tree) -> Tree:
    for turn in range(1, plan.settings.rounds + 1):
        await _finish_round(await _try(plan, env, turn, tree), tree, plan, env)
        env.step()
    return tree


async def _round_by_round(records: Records, plan: Evolution, table: SurvivalTable, env: StageContext) -> Counter[str]:
    """Evolve round by round. Return how many records were not evolved, by reason."""
    trees = [tree for work in cut(None, records, AT_ONCE) for tree in plan.trees(work)]
    for turn in range(1, plan.settings.rounds + 1):
        async with aclosing(in_order(trees, partial(_try, plan, env, turn), env.window)) as tried:
            async for tree, tries in tried:
                await _finish_round(tries, tree, plan, env)
                _count_attempts(tree, table, env)
                env.step()
    for tree in trees:
        _write(tree, plan, env)
    return sum((tree.not_evolved for tree in trees), Counter())


Tries = list[tuple[Node, list[Attempt]]]
"""The attempts of a round: each tip of a tree with its attempts."""


async def _try(plan: Evolution, env: StageContext, turn: int, tree: Tree) -> Tries:
    """Evolve every tip of a tree. A record that cannot be evolved is counted, with the reason."""
    obstacles = [find_obstacle(tip.record) for tip in tree.tips]
    tips = [tip for tip, obstacle in zip(tree.tips, obstacles, strict=True) if not obstacle]
    tree.not_evolved += Counter(filter(None, obstacles))
    tries = [(tip, slot, choice) for tip in tips for slot, choice in enumerate(plan.draw(env, turn, tree.place, tip))]
    attempts = iter(await _gather(partial(_attempt, plan, env, turn), tries))
    return [(tip, list(islice(attempts, tip.due))) for tip in tips]


async def _gather(work: Callable[[Item], Coroutine[Any, Any, Result]], items: Sequence[Item]) -> list[Result]:
    """Return the results for all items, computed concurrently. All end before the first failure is raised."""
    if len(items) == 1:  # the usual case: no task is needed
        return [await work(items[0])]
    tasks = [asyncio.create_task(work(item)) for item in items]
    await asyncio.gather(*tasks, return_exceptions=True)
    return [task.result() for task in tasks]


async def _attempt(plan: Evolution, env: StageContext, turn: int, what: tuple[Node, int, Choice]) -> Attempt:
    """Ask for the evolved instruction, then for its answer, then apply the rules that need no memory."""
    tip, slot, choice = what
    parent, history = split_question(tip.record)
    key = (turn, parent.id, *([slot] if slot else []))
    ctx = env.context(*key, parent=parent, attempt=tip.tried + slot)
    ctx.history = history
    result = await _evolve(choice, parent, plan, ctx, env)
    if isinstance(result, Drop):
        child = result.record and join_question(result.record, history)
    else:
        result = child = join_question(result, history)
    attempt = Attempt(choice.name, turn, parent, result, choice.plugin, child, ctx.replies)
    for place, rule, child in plan.rules(attempt, remember=False):
        await attempt.judge(rule, child, ctx.derive("eliminate", place), env)
        if isinstance(attempt.result, Drop):
            attempt.result = with_last_answer(attempt.result, ctx)
    return attempt


async def _evolve(choice: Choice, parent: Record, plan: Evolution, ctx: Context, env: StageContext) -> Record | Drop:
    """Return the evolved record with its answer, or why there is none."""
    plugin = choice.plugin
    with lend(plugin, env.stage, [parent], ctx) as (copy,):
        result = await await_result(choice.strategy.evolve(copy, ctx))
        if not isinstance(result, Record | Drop):
            raise wrong_type(plugin, env.stage, "evolve", result, "Record or Drop", parent)
        if isinstance(result, Drop):
            if fault := result.fault():
                raise breach(plugin, env.stage, fault, parent)
            return with_last_answer(result, ctx)
        if result.origin.parents != (parent.id,):
            env.check_parents(result, (parent.id,), plugin, parent)
        child = result if result.origin.parents else result.replaced(origin=parent.evolved().origin)
    drop_if_unwritable(child, plugin, env.stage, parent)  # a lone surrogate drops the question or, later, the record
    child = child.replaced(origin=msgspec.structs.replace(child.origin, stage=env.stage, plugin=plugin))
    if plan.settings.answer and child.instruction and not child.answer():
        try:
            answer = await ctx.ask(join_question(child, ctx.history).prompt())
        except TeacherError as err:
            return Drop.from_error(err, child)
        child = child.with_answer(answer.text.strip(), answer.reasoning if plan.settings.reasoning == "keep" else "")
    return child.citing(*ctx.replies)


async def _finish_round(tries: Tries, tree: Tree, plan: Evolution, env: StageContext) -> None:
    """Give the children of a round their ids and apply the rules that remember. The remaining ones are evolved next,
    and so are records with failed attempts."""
    tree.tips = []
    for tip, attempts in tries:
        siblings = list(tip.children)
        for attempt in attempts:
            _identify(attempt, env, tree.rank, siblings)
            for place, rule, child in plan.rules(attempt, remember=True):
                attempt.child = child
                ctx = env.context("eliminate", place, child.id, parent=attempt.parent)
                if await attempt.judge(rule, child, ctx, env):
                    siblings.pop()  # the id of this child before its text was changed
                    _identify(attempt, env, tree.rank, siblings)
        tree.tried += attempts
        born = [Node(a.result, plan.settings.branch) for a in attempts if isinstance(a.result, Record)]
        tip.due, tip.tried = len(attempts) - len(born), tip.tried + len(attempts)
        tip.children += [node.record for node in born]
        tree.nodes += born
        tree.tips += [tip, *born] if tip.due else born


def _identify(attempt: Attempt, env: StageContext, rank: int | None, siblings: list[Record]) -> None:
    """Give the child of an attempt its id and make it one of its siblings, unless it has the same text as one of
    them."""
    child = attempt.result
    if isinstance(child, Drop):
        return
    if alike := next((sibling for sibling in siblings if sibling.content() == child.content()), None):
        attempt.result = Drop(SIBLING, f"its text is the same as that of {alike.id}", record=child)
        return
    attempt.result = env.identify(child, attempt.by, rank, attempt.parent)
    if isinstance(attempt.result, Record):
        siblings.append(attempt.result)


def _count_attempts(tree: Tree, table: SurvivalTable, env: StageContext) -> None:
    """Add the attempts to the survival table and the stage's counters."""
    for attempt in tree.tried:
        env.counters.made += 1
        env.means.add(attempt.scores)
        result = attempt.result if isinstance(attempt.result, Drop) else split_question(attempt.result)[0]
        table.count(attempt.strategy, attempt.turn, attempt.parent, result, attempt.asked)
        if isinstance(attempt.result, Drop):
            shown, keys = attempt.child or attempt.parent, keys_of(attempt.asked)
            env.drop(_name_strategy(attempt, shown), attempt.by, shown, parent=attempt.parent.id, answers=keys)
    tree.tried = []


def _name_strategy(attempt: Attempt, shown: Record) -> Drop:
    """Return the drop of an attempt; if the recipe gives the strategy a name of its own, the detail tells it."""
    drop = attempt.result
    assert isinstance(drop, Drop)
    if attempt.strategy in (short_name(attempt.by), short_name(shown.origin.plugin)):
        return drop
    detail = f"{drop.detail}; by the strategy {attempt.strategy}" if drop.detail else attempt.strategy
    return replace(drop, detail=detail)


def _write(tree: Tree, plan: Evolution, env: StageContext) -> None:
    """Write the result. With ``keep: last`` every record that has a child is a drop."""
    for node in tree.nodes:
        if plan.settings.keep == "last" and node.children:
            into = ", ".join(child.id for child in node.children)
            env.drop(Drop("superseded", f"evolved into {into}"), "", node.record)
        else:
            env.keep(node.record)
