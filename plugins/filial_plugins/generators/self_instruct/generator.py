"""Self-Instruct: a teacher proposes new tasks from examples, then writes instances of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence

from filial import (
    Context,
    Drop,
    FilialError,
    Generator,
    Origin,
    Record,
    Reply,
    TeacherError,
    hookimpl,
    in_order,
)
from filial_plugins.generators.self_instruct.blocks import Block
from filial_plugins.generators.self_instruct.example_parser import find_faults
from filial_plugins.generators.self_instruct.examples import WINDOW, ExampleWriter, ask_teacher
from filial_plugins.generators.self_instruct.options import Options
from filial_plugins.generators.self_instruct.pool import Pool, make_pool, requests_per_task
from filial_plugins.generators.self_instruct.proposals import Proposal, parse_reply
from filial_plugins.generators.self_instruct.yield_stats import SAMPLE
from filial_plugins.texts import excerpt

USUAL_YIELD = 0.6
"""Share of proposed tasks that are accepted, for an estimate before anything is asked."""


class SelfInstruct(Options):
    """Write new tasks from seed tasks with a teacher, and examples of each task.

    After Self-Instruct (Wang et al., 2023, section 2.2; bootstrap_instructions.py, identify_clf_or_not.py,
    generate_instances.py, prepare_for_finetuning.py). Each request shows up to ``machine_examples`` accepted tasks,
    filled up with seeds and shuffled, as a numbered list that the teacher continues. New tasks are checked for length,
    blocked words and punctuation, and must be new compared with all seeds and accepted tasks (`novelty`). All requests
    of a round show the tasks accepted before the round, so results do not depend on the order of answers. The teacher
    is asked whether each task is a classification task; such tasks are tagged ``classification``, and their examples
    are written label first, so that labels are balanced.

    ``style`` chooses the method: ``filial`` is ours; ``paper`` decides as the published program does, including its
    quirks; ``alpaca`` as that of Stanford Alpaca (generate_instruction.py), which asks for tasks with input and output
    in one request. Every difference between the styles is also an option.

    ``count`` is the number of records. First, examples of a few accepted tasks are requested, to estimate the number of
    records per task. Then tasks and examples are requested until there are ``count`` records. Records and tasks beyond
    ``count`` are drops ``surplus``; the estimates keep them few. Generation ends early after ``patience`` rounds in a
    row without a new task, or after the examples of 16 times as many tasks without a record: the records so far are
    kept, and the last item is a drop ``yield-collapsed`` with the yield.
    """

    def calls(self, records: int) -> float:
        """Estimate the requests.

        Proposals, of which `USUAL_YIELD` are accepted, and the examples of each accepted task.
        """
        tasks = self.count if self.chosen.joint else self.count / self.chosen.instances
        return tasks / (self.chosen.per_request * USUAL_YIELD) + tasks * requests_per_task(self)

    async def generate(self, seeds: Sequence[Record], ctx: Context) -> AsyncIterator[Record | Drop]:
        pool = make_pool(self, seeds)
        tally = pool.tally
        try:
            while (step := self._choose_step(pool, ctx)) is not None:
                async for item in step:
                    if isinstance(item, Drop):
                        tally.count_drop(item)
                    yield item
                if news := tally.next_report():
                    ctx.note(f"self-instruct: {news}")
        except FilialError:  # a cap is met, or the teacher is gone: what was reached, and what more it would take
            if tally.records:
                ctx.note(f"self-instruct: {tally.forecast()}")
            raise
        if not tally.records:  # no drop of this stage will be kept, so the error shows what was dropped
            last = f"; the last answer it could not use was {excerpt(tally.answer)!r}" if tally.answer else ""
            raise FilialError(self._explain_stop(pool) + last)
        for task in pool.accepted[tally.examined :]:
            yield self._make_surplus(task)
        if tally.missing:
            ctx.note(self._explain_stop(pool))
            yield Drop("yield-collapsed", self._explain_stop(pool))

    def _choose_step(self, pool: Pool, ctx: Context) -> AsyncIterator[Record | Drop] | None:
        """Return the next step: a round of proposals or a batch of examples; None if nothing is left to do."""
        tally = pool.tally
        if not tally.missing or pool.barren >= self.patience * SAMPLE:
            return None
        dry = pool.dry >= self.patience
        needed = tally.tasks_needed()
        if tally.waiting and (dry or tally.waiting >= needed):
            return self._request_examples(pool, min(needed, tally.waiting), ctx)
        return None if dry else self._run_round(pool, needed, ctx)

    async def _run_round(self, pool: Pool, needed: int, ctx: Context) -> AsyncIterator[Record | Drop]:
        """Run one round of proposals: add good tasks to the pool, yield drops for the others.

        Joint tasks are yielded as records.
        """
        tally, before = pool.tally, pool.tally.accepted
        drawn = self._draw_requests(pool, needed, ctx.derive("round", pool.rounds))
        pool.rounds += 1

        async def propose(proposal: Proposal) -> Reply | TeacherError:
            return await ask_teacher(proposal.prompt, self.chosen.proposals, ctx, proposal.draw)

        async for proposal, outcome in in_order(drawn, propose, WINDOW):
            tally.proposals += 1
            for item in self._accept_tasks(proposal, outcome, pool):
                yield item
        pool.dry = 0 if tally.accepted > before else pool.dry + 1

    def _draw_requests(self, pool: Pool, needed: int, ctx: Context) -> list[Proposal]:
        """Draw the requests of a round.

        As many as the yield so far says, doubled after each round without a new task.
        """
        most = self.chosen.round_size
        size = (pool.tally.requests_needed(needed - pool.tally.waiting) << pool.dry) or most
        size = most if self.chosen.full_rounds else min(size, most)
        return [pool.proposing.draw(pool.accepted, ctx.derive("request", i)) for i in range(size)]

    def _accept_tasks(self, proposal: Proposal, outcome: Reply | TeacherError, pool: Pool) -> Iterator[Record | Drop]:
        """Add the good tasks of a reply to the pool; yield joint tasks as records, and a drop for each other task."""
        for found in parse_reply(outcome, proposal.first, self.chosen):
            if isinstance(found, Drop):
                yield found
                continue
            assert isinstance(outcome, Reply)
            pool.tally.proposed += 1
            task = Record(
                instruction=found.instruction, input=found.input, output=found.output,
                origin=Origin(parents=proposal.parents),
            ).citing(outcome)  # fmt: skip
            fault = pool.find_fault(found.instruction) or self._check_example(found)
            if fault:
                yield Drop(*fault, record=task)
                continue
            pool.accept(task)
            if self.chosen.joint:
                pool.tally.examined += 1
                yield self._count_record(task, pool)

    def _check_example(self, found: Block) -> tuple[str, str] | None:
        if not (self.chosen.joint and self.chosen.check_examples):
            return None
        (fault,) = find_faults([(found.input, found.output)])
        return (fault, "") if fault else None

    async def _request_examples(self, pool: Pool, n: int, ctx: Context) -> AsyncIterator[Record | Drop]:
        """Yield the examples of the next ``n`` accepted tasks."""
        tally, before = pool.tally, pool.tally.records
        writer, size, end = ExampleWriter(self.chosen, self.prompt_texts), self.chosen.batch, tally.examined + n

        async def examples(start: int) -> list[list[Record | Drop]]:
            return await writer.write(pool.accepted[start : min(start + size, end)], ctx.derive("examples", start))

        async for _, batch in in_order(range(tally.examined, end, size), examples, WINDOW):
            for results in batch:
                tally.examined += 1
                for result in results:
                    yield result if isinstance(result, Drop) else self._count_record(result, pool)
        pool.barren = 0 if tally.records > before else pool.barren + n

    def _count_record(self, record: Record, pool: Pool) -> Record | Drop:
        """Count the record and return it, or return the drop ``surplus`` if no record is missing."""
        if not pool.tally.missing:
            return self._make_surplus(record)
        pool.tally.records += 1
        return record

    def _make_surplus(self, record: Record) -> Drop:
        return Drop("surplus", f"{self.count:,} records had been accepted before", record=record)

    def _explain_stop(self, pool: Pool) -> str:
        """Say how far generation came, why it stopped, and what to do."""
        end = f"{self.patience} rounds in a row brought no new task"
        cure = "give it more varied seeds, lower count, raise threshold, or use a teacher that knows these tasks"
        if pool.dry < self.patience:
            end = f"the examples of {pool.barren} tasks in a row brought no record"
            cure = "look at the teacher's answers in the drops, or use a teacher that knows these tasks"
        if "unreadable-list" in dict(pool.tally.reasons.most_common(1)):
            cure = "its lists could not be read: look at the answers in the drops; a propose_prompt that asks for one "
            cure += "numbered task per line may help"
        if pool.tally.failing:
            cure = "check the teacher, whose calls failed, and run again; its answers are kept"
        return f"self-instruct stopped, since {end}, at {pool.tally.summarize()}; {cure}"


@hookimpl
def register_generators(register: Callable[[str, type[Generator]], None]) -> None:
    register("self-instruct", SelfInstruct)
