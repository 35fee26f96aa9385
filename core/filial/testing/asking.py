"""The contracts of what makes records or judges them by asking a teacher."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, ClassVar

from filial.components import Drop, Generator, Judge, Strategy, Verdict
from filial.context import Context
from filial.errors import UsageError
from filial.records import Origin, Record
from filial.testing.base import RECORDS, ComponentContract, check_reason
from filial.testing.scripted import Script, context, finished, scripted


class StrategyContract(ComponentContract):
    """``reply`` is what the teacher says; ``records`` are what is evolved."""

    reply: ClassVar[Any] = "Name three colours that a painter would never mix, and say why."
    records: ClassVar[Sequence[Record]] = RECORDS

    def evolve(self, record: Record, reply: Script | None = None) -> Record | Drop:
        """One evolution with a fresh context."""
        strategy: Strategy = self.component
        ctx = context(type(self).reply if reply is None else reply)
        outcome: Record | Drop = finished(strategy.evolve(record, ctx))
        return outcome

    def test_evolve_returns_a_record_or_a_drop(self) -> None:
        """A value either way, never None."""
        for record in self.records:
            outcome = self.evolve(record)
            assert isinstance(outcome, Record | Drop), f"evolve returned {outcome!r}"
            check_reason(outcome)

    def test_some_record_evolves(self) -> None:
        """With ``reply`` as given, at least one record gets a child; else this test set shows nothing."""
        assert any(isinstance(self.evolve(record), Record) for record in self.records)

    def test_input_is_untouched(self) -> None:
        """A record is shared by everybody who holds it."""
        for record in self.records:
            before = copy.deepcopy(record)
            self.evolve(record)
            assert record == before

    def test_same_input_same_output(self) -> None:
        """Randomness comes from ``ctx.rng`` alone."""
        for record in self.records:
            assert self.evolve(record) == self.evolve(record)

    def test_lineage_grows_by_one(self) -> None:
        """A child is made with ``record.evolved(...)``: it names its parent and its round is one higher."""
        for record in self.records:
            grown = record.replaced(origin=Origin(round=2))
            child = self.evolve(grown)
            if isinstance(child, Record):
                assert child.origin.parents == (record.id,), "the child does not name its parent; use record.evolved()"
                assert child.origin.round == 3, "the child's round is not one higher; use record.evolved()"

    def test_empty_reply_is_a_drop(self) -> None:
        """A teacher that says nothing, or only blanks, makes no child."""
        for reply in ("", " \n"):
            teacher = scripted(reply)
            outcome = finished(self.component.evolve(self.records[0], Context(teacher.reply, key=("test",))))
            assert isinstance(outcome, Drop) or not teacher.requests, f"the reply {reply!r} made {outcome!r}"


class GeneratorContract(ComponentContract):
    """``seeds`` is what it starts from; ``reply`` what the teacher says; ``limit`` results are taken."""

    reply: ClassVar[Any] = "Name three colours that a painter would never mix, and say why."
    seeds: ClassVar[Sequence[Record]] = RECORDS
    limit: ClassVar[int] = 20

    def generate(self, seeds: Sequence[Record]) -> list[Record | Drop]:
        """The first results, with a fresh context."""
        generator: Generator = self.component

        async def work() -> list[Record | Drop]:
            out: list[Record | Drop] = []
            stream = generator.generate(seeds, context(type(self).reply))
            async for result in stream:
                out.append(result)
                if len(out) == self.limit:
                    break
            return out

        results: list[Record | Drop] = finished(work())
        return results

    def test_generate_yields_records_and_drops(self) -> None:
        """At least one of them."""
        results = self.generate(self.seeds)
        assert results, "nothing was generated"
        for result in results:
            assert isinstance(result, Record | Drop), f"generate yielded {result!r}"
            check_reason(result)

    def test_same_seeds_same_results(self) -> None:
        """Order included."""
        assert self.generate(self.seeds) == self.generate(self.seeds)

    def test_seeds_are_untouched(self) -> None:
        """They are shared with everybody else."""
        seeds = list(self.seeds)
        before = copy.deepcopy(seeds)
        self.generate(seeds)
        assert seeds == before

    def test_one_that_consumes_its_seeds_says_what_becomes_of_each(self) -> None:
        """It yields the seed as it is, or a `Drop` whose record is the seed."""
        if self.component.consumes:
            results = self.generate(self.seeds[: self.limit])
            spoken = [r.record if isinstance(r, Drop) else r for r in results]
            silent = [seed.id for seed in self.seeds[: self.limit] if not any(one is seed for one in spoken)]
            assert not silent, f"nothing is said of {', '.join(silent)}"

    def test_no_seeds_is_nothing_or_a_clear_error(self) -> None:
        """Never a crash, and never a record from nowhere passed off as having a parent."""
        try:
            results = self.generate([])
        except UsageError:
            return
        assert all(not r.origin.parents for r in results if isinstance(r, Record))


class JudgeContract(ComponentContract):
    """``records`` are judged by their own answer and a wrong one; ``reply`` is what the teacher says."""

    reply: ClassVar[Any] = "5"
    records: ClassVar[Sequence[Record]] = RECORDS

    def judge(self, record: Record, answers: Sequence[str]) -> Verdict:
        """One verdict with a fresh context."""
        judge: Judge = self.component
        verdict: Verdict = finished(judge.judge(record, answers, context(type(self).reply)))
        return verdict

    def test_judge_gives_a_finite_score(self) -> None:
        """To a right, a wrong and an empty answer."""
        for record in self.records:
            for answer in (record.output, "No idea.", ""):
                verdict = self.judge(record, [answer])
                assert isinstance(verdict, Verdict), f"judge returned {verdict!r}"
                assert math.isfinite(verdict.score)

    def test_same_answers_same_verdict(self) -> None:
        """Randomness comes from ``ctx.rng`` alone."""
        for record in self.records:
            assert self.judge(record, [record.output]) == self.judge(record, [record.output])

    def test_a_wrong_answer_is_no_better_than_the_right_one(self) -> None:
        """Larger is better."""
        for record in self.records:
            assert self.judge(record, [record.output]).score >= self.judge(record, ["No idea."]).score
