"""Self-Instruct: a teacher proposes new tasks from examples, then writes instances of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from filial import (
    Context,
    Drop,
    Field,
    FilialError,
    Generator,
    Origin,
    Record,
    Reply,
    TeacherError,
    UsageError,
    hookimpl,
    in_order,
)
from filial_plugins.filters.rouge_index import RougeIndex
from filial_plugins.generators.examples import WINDOW, ask_examples
from filial_plugins.generators.parsing import numbered_tasks
from filial_plugins.generators.screening import BLOCKED, OPENINGS, Screen
from filial_plugins.generators.tally import SAMPLE, Tally
from filial_plugins.refusals import is_refusal
from filial_plugins.texts import collapse, excerpt

PROPOSE = """Below is a list of tasks that people give to an assistant. Write {n} new tasks that go on with the
list, one per number. Each must differ from all the others in what it asks for and in how it is put, make sense
without further material, and be something that can be answered in writing. Write the tasks only, no answers.

{examples}
{next}."""


@dataclass(slots=True)
class _Pool:
    """Seeds (instruction to id), accepted tasks, how often each prompt was sent, and the yield so far.

    ``dry``: rounds in a row that brought no task; ``barren``: tasks in a row whose examples brought no record.
    """

    seeds: dict[str, str]
    index: RougeIndex
    screen: Screen
    tally: Tally
    accepted: list[Record] = field(default_factory=list)
    prompts: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    dry: int = 0
    barren: int = 0


@dataclass(frozen=True, slots=True)
class _Proposal:
    """One request for new tasks: its prompt, the number its list goes on with, the seeds it shows."""

    prompt: str
    first: int
    parents: tuple[str, ...]
    draw: int


USUAL_YIELD = 0.6
"""Share of proposed tasks that are accepted, for an estimate before anything is asked."""


class SelfInstruct(Generator):
    """Grow new tasks from seed tasks with a teacher, and write examples of each.

    After Self-Instruct (Wang et al., 2023, section 2.2; bootstrap_instructions.py and
    prepare_for_finetuning.py). Each request shows ``machine_examples`` tasks accepted so far (as many as there
    are) filled up with seeds, shuffled, as a numbered list to go on with. Proposals are screened for length,
    blocked words and punctuation, and must be new against all seeds and accepted tasks (`novelty`); an accepted
    one counts from then on. A round of requests works on the pool as it was when the round began, so results do
    not depend on which answer comes first.

    ``count`` is the number of records. Once some tasks are accepted, examples of a few are asked for, to see what
    they are worth; then tasks are proposed until there are enough for what is missing, and examples of those are
    asked for, until ``count`` records are there. What goes beyond it is a drop ``surplus``; estimates keep that
    small. When ``patience`` rounds in a row bring no new task, or the examples of 16 times as many tasks no record,
    generation ends early: what there is comes out, and the last item is a drop ``yield-collapsed`` with the yield.
    """

    count: int = Field(100, ge=1, description="Records to make.")
    instances: int = Field(1, ge=1, le=100, description="Examples asked for per instruction.")
    per_request: int = Field(8, ge=1, le=100, description="New tasks asked for per request.")
    seed_examples: int = Field(6, ge=1, description="Seed tasks shown in a request.")
    machine_examples: int = Field(2, ge=0, description="Accepted tasks shown in a request, once there are some.")
    round_size: int = Field(16, ge=1, description="Requests per round at most.")
    patience: int = Field(4, ge=1, description="Rounds without a gain after which to stop.")
    threshold: float = Field(0.7, gt=0, le=1, description="ROUGE-L F above which a task is not new.")
    rule: Literal["<=", "<"] = Field("<=", description="New up to and including the threshold, or below it.")
    min_words: int = Field(4, ge=1, description="Fewest words of an instruction.")
    max_words: int = Field(150, ge=1, description="Most words of an instruction.")
    blocked: tuple[str, ...] = Field(BLOCKED, description="Words and phrases an instruction must not hold.")
    blocked_openings: tuple[str, ...] = Field(OPENINGS, description="Phrases it must not begin with.")

    def calls(self, records: int) -> float:
        """Proposals, of which `USUAL_YIELD` are accepted, and an instance for each."""
        tasks = self.count / self.instances
        return tasks / (self.per_request * USUAL_YIELD) + tasks

    async def generate(self, seeds: Sequence[Record], ctx: Context) -> AsyncIterator[Record | Drop]:
        pool = self._pool(seeds)
        tally = pool.tally
        try:
            while (step := self._step(pool, ctx)) is not None:
                async for item in step:
                    if isinstance(item, Drop):
                        tally.dropped(item)
                    yield item
                if news := tally.news():
                    ctx.note(f"self-instruct: {news}")
        except FilialError:  # a cap is met, or the teacher is gone: what was reached, and what more it would take
            if tally.records:
                ctx.note(f"self-instruct: {tally.forecast()}")
            raise
        if not tally.records:  # no drop of this stage will be kept, so the error shows what was dropped
            last = f"; the last answer it could not use was {excerpt(tally.answer)!r}" if tally.answer else ""
            raise FilialError(self._collapsed(pool) + last)
        for task in pool.accepted[tally.examined :]:
            yield self._surplus(task)
        if tally.missing:
            ctx.note(self._collapsed(pool))
            yield Drop("yield-collapsed", self._collapsed(pool))

    def _step(self, pool: _Pool, ctx: Context) -> AsyncIterator[Record | Drop] | None:
        """What to do next: a round of proposals or a batch of examples; None when all is there or no more comes."""
        tally = pool.tally
        if not tally.missing or pool.barren >= self.patience * SAMPLE:
            return None
        dry = pool.dry >= self.patience
        needed = tally.tasks_needed()
        if tally.waiting and (dry or tally.waiting >= needed):
            return self._examples(pool, min(needed, tally.waiting), ctx)
        return None if dry else self._proposals(pool, needed, ctx)

    async def _proposals(self, pool: _Pool, needed: int, ctx: Context) -> AsyncIterator[Drop]:
        """One round: take good tasks into the pool; drops say why the others are not."""
        tally, before = pool.tally, pool.tally.accepted
        drawn = self._round(pool, needed, ctx.derive("round", pool.rounds))
        pool.rounds += 1
        async for proposal, outcome in in_order(drawn, partial(_propose, ctx), WINDOW):
            tally.proposals += 1
            for drop in self._screened(proposal, outcome, pool):
                yield drop
        pool.dry = 0 if tally.accepted > before else pool.dry + 1

    async def _examples(self, pool: _Pool, n: int, ctx: Context) -> AsyncIterator[Record | Drop]:
        """The examples of the next ``n`` accepted tasks."""
        tally, before = pool.tally, pool.tally.records

        async def ask(task: Record) -> list[Record | Drop]:
            return await ask_examples(task, self.instances, ctx)

        tasks = pool.accepted[tally.examined : tally.examined + n]
        async for _, results in in_order(tasks, ask, WINDOW):
            tally.examined += 1
            for result in results:
                if isinstance(result, Drop):
                    yield result
                elif tally.missing:
                    tally.records += 1
                    yield result
                else:
                    yield self._surplus(result)
        pool.barren = 0 if tally.records > before else pool.barren + n

    def _surplus(self, record: Record) -> Drop:
        return Drop("surplus", f"{self.count:,} records had been accepted before", record=record)

    def _pool(self, seeds: Sequence[Record]) -> _Pool:
        index = RougeIndex(self.threshold, self.rule)
        known: dict[str, str] = {}
        for seed in seeds:
            text = collapse(seed.instruction)
            if text and text not in known:
                known[text] = seed.id
                index.add(text, f"seed {seed.id}: {excerpt(text)}")
        if not known:
            raise UsageError("self-instruct got no seed with an instruction; give it a file of seed tasks")
        screen = Screen(self.min_words, self.max_words, self.blocked, self.blocked_openings)
        return _Pool(known, index, screen, Tally(self.count, self.instances, self.per_request))

    def _round(self, pool: _Pool, needed: int, ctx: Context) -> list[_Proposal]:
        """The requests of a round: as many as the yield so far says, twice as many after each that brought nothing."""
        size = (pool.tally.requests_needed(needed - pool.tally.waiting) << pool.dry) or self.round_size
        return [self._drawn(pool, ctx.derive("request", i)) for i in range(min(size, self.round_size))]

    def _drawn(self, pool: _Pool, ctx: Context) -> _Proposal:
        seeds = list(pool.seeds)
        machine = ctx.rng.sample(pool.accepted, min(self.machine_examples, len(pool.accepted)))
        wanted = self.seed_examples + self.machine_examples - len(machine)
        human = ctx.rng.sample(seeds, min(wanted, len(seeds)))
        shown = [task.instruction for task in machine] + human
        ctx.rng.shuffle(shown)
        first = len(shown) + 1
        listed = "\n".join(f"{i}. {text}" for i, text in enumerate(shown, 1))
        prompt = PROPOSE.format(n=self.per_request, examples=listed, next=first)
        parents = tuple(pool.seeds[text] for text in human if pool.seeds[text])
        draw = pool.prompts[prompt]  # with few seeds the same list may come again: another answer to it is wanted
        pool.prompts[prompt] += 1
        return _Proposal(prompt, first, parents, draw)

    def _screened(self, proposal: _Proposal, outcome: Reply | TeacherError, pool: _Pool) -> Iterator[Drop]:
        """Take the good tasks of a reply into the pool; say of the others why not."""
        if isinstance(outcome, TeacherError):
            yield Drop.failed(outcome)
            return
        if is_refusal(outcome.text):
            yield Drop("refused", "the teacher declined to propose tasks", answer=outcome.text)
            return
        origin = Origin(parents=proposal.parents)
        for text in numbered_tasks(outcome.text, proposal.first):
            pool.tally.proposed += 1
            if not text:
                yield Drop("empty", "a number without a task", answer=outcome.text)
                continue
            task = Record(instruction=text, origin=origin).citing(outcome)
            fault = pool.screen.fault(text) or self._not_new(text, pool)
            if fault:
                yield Drop(*fault, record=task)
                continue
            pool.accepted.append(task)
            pool.tally.accepted += 1
            pool.index.add(text, f"accepted task {pool.tally.accepted}: {excerpt(text)}")

    def _not_new(self, text: str, pool: _Pool) -> tuple[str, str] | None:
        found = pool.index.nearest(text)
        return ("too-similar", f"ROUGE-L {found.score:.3f} with {found.name}") if found else None

    def _collapsed(self, pool: _Pool) -> str:
        """How far it came, why it went no further, and what to do."""
        end = f"{self.patience} rounds in a row brought no new task"
        cure = "give it more varied seeds, lower count, raise threshold, or use a teacher that knows these tasks"
        if pool.dry < self.patience:
            end = f"the examples of {pool.barren} tasks in a row brought no record"
            cure = "look at the teacher's answers in the drops, or use a teacher that knows these tasks"
        if pool.tally.failing:
            cure = "see to the teacher, whose calls failed, and try again; what it answered is kept"
        return f"self-instruct stopped, since {end}, at {pool.tally.line()}; {cure}"


async def _propose(ctx: Context, proposal: _Proposal) -> Reply | TeacherError:
    try:
        return await ctx.ask(proposal.prompt, draw=proposal.draw)
    except TeacherError as error:
        return error


@hookimpl
def register_generators(register: Callable[[str, type[Generator]], None]) -> None:
    register("self-instruct", SelfInstruct)
