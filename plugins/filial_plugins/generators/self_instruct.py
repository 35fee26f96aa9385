"""Self-Instruct: a teacher proposes new tasks from examples, then writes instances of them."""

from __future__ import annotations

import math
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
from filial_plugins.refusals import is_refusal
from filial_plugins.texts import collapse, excerpt

PROPOSE = """Below is a list of tasks that people give to an assistant. Write {n} new tasks that go on with the
list, one per number. Each must differ from all the others in what it asks for and in how it is put, make sense
without further material, and be something that can be answered in writing. Write the tasks only, no answers.

{examples}
{next}."""


@dataclass(slots=True)
class _Pool:
    """Seeds (instruction to id), accepted tasks, and the yield so far."""

    seeds: dict[str, str]
    index: RougeIndex
    accepted: list[Record] = field(default_factory=list)
    requests: int = 0
    proposed: int = 0


@dataclass(frozen=True, slots=True)
class _Proposal:
    """One request for new tasks: its prompt, the number its list goes on with, the seeds it shows."""

    prompt: str
    first: int
    parents: tuple[str, ...]
    draw: int


class SelfInstruct(Generator):
    """Grow new tasks from seed tasks with a teacher, and write examples of each.

    After Self-Instruct (Wang et al., 2023, section 2.2; bootstrap_instructions.py and
    prepare_for_finetuning.py). Each request shows ``machine_examples`` tasks accepted so far (as many as there
    are) filled up with seeds, shuffled, as a numbered list to go on with. Proposals are screened for length,
    blocked words and punctuation, and must be new against all seeds and accepted tasks (`novelty`); an accepted
    one counts from then on. A round of requests works on the pool as it was when the round began, so results do
    not depend on which answer comes first.

    ``count`` is the number of accepted instructions; one whose examples are all dropped yields no record. When
    ``patience`` rounds in a row bring nothing new, generation ends early: what was accepted is still given its
    examples, and the last item is a drop ``yield-collapsed`` that tells the yield.
    """

    count: int = Field(100, ge=1, description="Instructions to accept.")
    instances: int = Field(1, ge=1, le=100, description="Examples asked for per instruction.")
    per_request: int = Field(8, ge=1, le=100, description="New tasks asked for per request.")
    seed_examples: int = Field(6, ge=1, description="Seed tasks shown in a request.")
    machine_examples: int = Field(2, ge=0, description="Accepted tasks shown in a request, once there are some.")
    round_size: int = Field(16, ge=1, description="Requests per round at most.")
    patience: int = Field(4, ge=1, description="Rounds without a new task after which to stop.")
    threshold: float = Field(0.7, gt=0, le=1, description="ROUGE-L F above which a task is not new.")
    rule: Literal["<=", "<"] = Field("<=", description="New up to and including the threshold, or below it.")
    min_words: int = Field(4, ge=1, description="Fewest words of an instruction.")
    max_words: int = Field(150, ge=1, description="Most words of an instruction.")
    blocked: tuple[str, ...] = Field(BLOCKED, description="Words and phrases an instruction must not hold.")
    blocked_openings: tuple[str, ...] = Field(OPENINGS, description="Phrases it must not begin with.")

    async def generate(self, seeds: Sequence[Record], ctx: Context) -> AsyncIterator[Record | Drop]:
        pool = self._pool(seeds)
        screen = Screen(self.min_words, self.max_words, self.blocked, self.blocked_openings)
        prompts: Counter[str] = Counter()
        idle = turn = 0
        while len(pool.accepted) < self.count and idle < self.patience:
            before = len(pool.accepted)
            drawn = self._round(pool, prompts, ctx.derive("round", turn))
            async for proposal, outcome in in_order(drawn, partial(_propose, ctx), WINDOW):
                for drop in self._screened(proposal, outcome, pool, screen):
                    yield drop
            idle = 0 if len(pool.accepted) > before else idle + 1
            turn += 1
        if not pool.accepted:
            raise FilialError(self._collapsed(pool))

        async def examples(work: tuple[int, Record]) -> list[Record | Drop]:
            return await ask_examples(work[1], self.instances, ctx.derive("instances", work[0]))

        async for _, results in in_order(enumerate(pool.accepted), examples, WINDOW):
            for result in results:
                yield result
        if len(pool.accepted) < self.count:
            yield Drop("yield-collapsed", self._collapsed(pool))

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
        return _Pool(known, index)

    def _round(self, pool: _Pool, prompts: Counter[str], ctx: Context) -> list[_Proposal]:
        """The requests of a round: as many as the yield so far says are needed for what is missing."""
        missing = self.count - len(pool.accepted)
        per_request = len(pool.accepted) / pool.requests if pool.requests else self.per_request
        size = math.ceil(missing / per_request) if per_request else self.round_size
        drawn = []
        for i in range(min(size, self.round_size)):
            proposal = self._drawn(pool, prompts, ctx.derive("request", i))
            prompts[proposal.prompt] += 1
            drawn.append(proposal)
        pool.requests += len(drawn)
        return drawn

    def _drawn(self, pool: _Pool, prompts: Counter[str], ctx: Context) -> _Proposal:
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
        # With few seeds the same list may come again: then another answer to it is asked for.
        return _Proposal(prompt, first, parents, draw=prompts[prompt])

    def _screened(
        self, proposal: _Proposal, outcome: Reply | TeacherError, pool: _Pool, screen: Screen
    ) -> Iterator[Drop]:
        """Take the good tasks of a reply into the pool; say of the others why not."""
        if isinstance(outcome, TeacherError):
            yield Drop.failed(outcome)
            return
        if is_refusal(outcome.text):
            yield Drop("refused", "the teacher declined to propose tasks", answer=outcome.text)
            return
        origin = Origin(parents=proposal.parents)
        for text in numbered_tasks(outcome.text, proposal.first):
            pool.proposed += 1
            if not text:
                yield Drop("empty", "a number without a task", answer=outcome.text)
                continue
            task = Record(instruction=text, origin=origin).citing(outcome)
            fault = screen.fault(text) or self._not_new(text, pool)
            if fault:
                yield Drop(*fault, record=task)
            elif len(pool.accepted) >= self.count:
                yield Drop("surplus", "enough tasks had been accepted before", record=task)
            else:
                pool.accepted.append(task)
                pool.index.add(text, f"accepted task {len(pool.accepted)}: {excerpt(text)}")

    def _not_new(self, text: str, pool: _Pool) -> tuple[str, str] | None:
        found = pool.index.nearest(text)
        return ("too-similar", f"ROUGE-L {found.score:.3f} with {found.name}") if found else None

    def _collapsed(self, pool: _Pool) -> str:
        return (
            f"self-instruct accepted {len(pool.accepted)} of {self.count} instructions out of {pool.proposed} "
            f"proposed in {pool.requests} requests, and {self.patience} rounds in a row brought nothing new; "
            "give it more varied seeds, lower count, raise threshold, or use a teacher that knows these tasks"
        )


async def _propose(ctx: Context, proposal: _Proposal) -> Reply | TeacherError:
    try:
        return await ctx.ask(proposal.prompt, draw=proposal.draw)
    except TeacherError as error:
        return error


@hookimpl
def register_generators(register: Callable[[str, type[Generator]], None]) -> None:
    register("self-instruct", SelfInstruct)
