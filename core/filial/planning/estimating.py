"""What a run would ask, and what that would cost, before anything is sent.

Requests come from what the components say (`Component.calls`), less what a rehearsal finds in the ledger; tokens per
request from what this teacher's answers in the ledger had, or from rules of thumb. Every figure says how sure it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from filial.asking.gateway import Proceed
from filial.components import Component
from filial.ledger import Addresses, Ledger
from filial.planning.rehearsal import Prompter, Rehearsal, rehearse
from filial.stages.assemble import Source, build
from filial.stages.rows import Records, Rows

if TYPE_CHECKING:
    from filial.recipe import JudgeSpec, StageSpec
    from filial.run import Run

EXACT, LIKELY, ROUGH = "exact", "likely", "rough"
EVOLVED, FILTERED = 0.85, 0.9
"""Shares of records that evolve and that pass filters, where nothing better is known."""
PROMPT, ANSWER = 300, 300
"""Tokens of a request, where nothing better is known."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one step would take: records that enter, requests to send, answers that are there, tokens and US dollars of
    what is sent (None where the price is not known), and how sure that is."""

    records: int
    calls: int
    held: int
    tokens: int
    usd: float | None
    sure: str


class Estimator:
    """Goes through a run's steps in their order, each on what the one before would give.

    Use it as a context manager: it reads the ledger, if there is one.
    """

    def __init__(self, run: Run) -> None:
        self._run, recipe = run, run.recipe
        path = run.home / ".filial" / "ledger.sqlite"
        self._ledger = Ledger(path) if recipe.teacher and path.exists() else None
        self._prompter: Prompter | None = None
        self._usual: tuple[float, float] | None = None
        self._price = None
        self._wrap: Callable[[Proceed], Proceed] = lambda proceed: proceed
        if recipe.teacher is not None:
            teacher = recipe.teacher_of(run.manager)
            addresses = Addresses(recipe.teacher.use, teacher.identity())
            self._prompter, self._price = Prompter(self._ledger, addresses), teacher.price()
            self._usual = self._ledger.usual(addresses.identity) if self._ledger else None
            self._wrap = partial(run.manager.hook.ask, teacher)
        self._records: Records | None = Source(recipe.data, recipe.base, recipe.limit) if recipe.data else []
        self._count = len(self._records or ())

    def __enter__(self) -> Estimator:
        return self

    def __exit__(self, *error: object) -> None:
        if self._ledger is not None:
            self._ledger.close()

    @property
    def entering(self) -> str:
        """Checksum of the file whose records enter the next stage; empty for what the recipe names."""
        return self._records.sha256 if isinstance(self._records, Rows) else ""

    def done(self, rows: Records) -> Estimate:
        """A stage that is done: what it gave goes on."""
        entered, self._records, self._count = self._count, rows, len(rows)
        return Estimate(entered, 0, 0, 0, 0.0, EXACT)

    async def stage(self, stage: StageSpec) -> Estimate:
        """A stage that is to be done."""
        entered, expected = self._count, self._calls(stage)
        seen = await self._rehearsed(stage) if expected else None
        self._records = seen.out if seen else None
        self._count = len(self._records) if self._records is not None else self._out(stage)
        if seen is None:
            return self._estimate(entered, expected, 0, None, ROUGH if expected else EXACT)
        if not seen.missing:
            return self._estimate(
                entered, 0, round(seen.held / seen.share), 0.0, EXACT if seen.out is not None else LIKELY
            )
        held = round(seen.held / seen.share)
        left = max(expected - held, seen.missing / seen.share)
        counted = stage.verb != "generate" and self._usual is not None
        return self._estimate(entered, left, held, seen.prompt_tokens, LIKELY if counted else ROUGH)

    @property
    def records(self) -> Records:
        """What enters the next step, where all before it are done."""
        assert self._records is not None
        return self._records

    def judge(self, judge: JudgeSpec, records: int, answerers: int) -> Estimate:
        """A judge on so many records, for so many of the model and its rivals."""
        component: Component = build(self._run.manager, judge.component, self._run.recipe.base)
        calls = component.calls(records) * answerers
        return self._estimate(records, calls, 0, None, ROUGH if calls else EXACT)

    @property
    def count(self) -> int:
        """Records that would leave the last step."""
        return self._count

    async def _rehearsed(self, stage: StageSpec) -> Rehearsal | None:
        """None where the records that enter are not known yet."""
        if self._records is None or self._prompter is None:
            return None
        return await rehearse(stage, self._records, self._run, self._prompter, self._wrap)

    def _calls(self, stage: StageSpec) -> float:
        """Requests of a whole stage."""
        base = self._run.recipe.base
        built: list[Component] = [build(self._run.manager, spec, base) for spec in stage.components]
        if stage.verb == "generate":
            return built[0].calls(self._seeds(stage))
        if stage.verb != "evolve":
            return sum(component.calls(self._count) for component in built)
        attempts = _attempts(self._count, stage)
        strategies = built[: len(stage.of("strategies"))]
        each = sum(c.calls(attempts) for c in strategies) / len(strategies)
        filters: list[Any] = built[len(strategies) :]
        if not stage.settings["answer"]:
            filters = [rules for rule in filters if (rules := rule.question_rules()) is not None]
        asked: float = sum(rule.calls(attempts) for rule in filters)
        return each + asked + (attempts if stage.settings["answer"] else 0)

    def _seeds(self, stage: StageSpec) -> int:
        source = stage.settings.get("seeds")
        return len(Source(source, self._run.recipe.base)) if source else self._count

    def _out(self, stage: StageSpec) -> int:
        """Records that a stage would give, by rule of thumb."""
        n, settings = self._count, stage.settings
        if stage.verb == "generate":
            made = stage.components[0].options.get("count") or self._seeds(stage)
            return int(made) + (n if settings.get("keep_inputs") else 0)
        if stage.verb == "evolve":
            born = EVOLVED * _attempts(n, stage)
            return round(n + born * (1 if settings["keep"] == "all" else 1 - 1 / settings["branch"]))
        if stage.verb == "filter":
            return round(n * FILTERED ** len(stage.components))
        return int(settings.get("total") or n)

    def _estimate(self, entered: int, calls: float, held: int, prompt: float | None, sure: str) -> Estimate:
        usual = self._usual or (PROMPT, ANSWER)
        asked = calls * (prompt or usual[0])
        answered = calls * usual[1]
        usd = self._price.cost(round(asked), round(answered)) if self._price else (None if calls else 0.0)
        return Estimate(entered, round(calls), held, round(asked + answered), usd, sure)


def _attempts(records: int, stage: StageSpec) -> int:
    """How often an evolve stage tries, where `EVOLVED` of all attempts succeed: every child has ``branch`` attempts in
    the next round, every failure one."""
    branch, due, tried = stage.settings["branch"], float(records * stage.settings["branch"]), 0.0
    for _ in range(stage.settings["rounds"]):
        tried += due
        due *= 1 + EVOLVED * (branch - 1)
    return round(tried)


def exam_size(run: Run, judge: JudgeSpec) -> int:
    """How many records a judge looks at."""
    recipe = run.recipe
    size = recipe.heldout if judge.data == "heldout" else len(Source(judge.data, recipe.base))
    return min(size, judge.limit) if judge.limit else size
