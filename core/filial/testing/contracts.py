"""The contracts as test classes: what every component must satisfy, and the components of each kind."""

from __future__ import annotations

import asyncio
import copy
import inspect
import math
import pickle
import subprocess
import sys
from abc import abstractmethod
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar
from unittest.mock import patch

from filial.contracts.context import Context
from filial.contracts.errors import UsageError
from filial.contracts.kinds import BATCH, KINDS, Drop, Filter, Keep, Teacher, Trainer, Verdict
from filial.contracts.messages import Message, Reply, Request
from filial.contracts.records import Origin, Record
from filial.testing.scripted import TIME_LIMIT, candidate, context, run_async, scripted_teacher

HEAVY = ("torch", "transformers", "datasets", "openai", "pyarrow", "pandas", "tensorflow")
RECORDS = (
    Record(id="s1", instruction="Name three colours.", output="Red, green and blue.", task="lists"),
    Record(id="s2", instruction="Add the numbers.", input="2 and 40", output="42", task="sums"),
    Record(id="s3", instruction="Sage „Grüß Gott“ 你好.", output="Grüß Gott! 🙂", task="talk"),
)


class ComponentContract:
    """Tests for a component of any kind. Subclass the contract of your kind.

    Set ``component`` to an instance with the options to test.
    """

    component: ClassVar[Any]

    def test_explains_itself_in_one_line(self) -> None:
        """The class has its own docstring; lists and ``--help`` show the first line."""
        from filial.plugins.options import summary

        line = summary(type(self.component))
        assert line, f"{type(self.component).__name__} has no docstring of its own"
        assert len(line) <= 120, f"the first line of the docstring has {len(line)} characters, 120 at most"

    def test_options_have_a_schema_and_a_description(self) -> None:
        """Recipes, flags and docs are made from the schema, and the component's values satisfy it."""
        from jsonschema import Draft202012Validator

        from filial.plugins.options import click_options, json_schema

        cls = type(self.component)
        schema = json_schema(cls)
        Draft202012Validator.check_schema(schema)
        held = self.component.model_dump(mode="json", exclude_unset=True)
        Draft202012Validator(schema).validate(held)
        assert len(click_options(cls)) == len(schema["properties"])
        bare = [name for name, option in schema["properties"].items() if not option.get("description")]
        assert not bare, f"options without a description: {', '.join(bare)}"

    def test_is_rebuilt_from_its_options(self) -> None:
        """The lock file of a run stores options, not objects."""
        held = self.component.model_dump(mode="json", exclude_unset=True)
        assert type(self.component).model_validate(held).model_dump() == self.component.model_dump()

    def test_survives_pickling(self) -> None:
        """Work may be done in other processes."""
        copied = pickle.loads(pickle.dumps(self.component))
        assert type(copied) is type(self.component)
        assert copied.model_dump() == self.component.model_dump()

    def test_importing_it_loads_nothing_heavy(self) -> None:
        """Methods import torch, transformers and the like when they need them."""
        cls = type(self.component)
        loaded = _heavy_imports(cls.__module__, inspect.getfile(cls), tuple(sys.path))
        assert not loaded, f"importing {cls.__module__} also imports {loaded}"

    def test_is_registered_under_the_name_it_promises(self) -> None:
        """The entry points of its package and its ``register`` hook agree."""
        import pytest

        from filial.plugins.discovery import GROUPS
        from filial.plugins.manager import Manager

        cls = type(self.component)
        kind = next(kind for kind, base in KINDS.items() if issubclass(cls, base))
        manager, package = Manager(), cls.__module__.partition(".")[0]
        claims = [claim for names in manager.index.values() for claims in names.values() for claim in claims]
        ours = [claim for claim in claims if claim.value.partition(".")[0].partition(":")[0] == package]
        wrong = [f"filial.{claim.kind}" for claim in ours if claim.kind not in GROUPS]
        assert not wrong, f"its package names {wrong[0]!r}, which is no entry-point group; write 'filial.{kind}'"
        names = [f"{claim.dist}:{claim.name}" for claim in ours if claim.kind == kind]
        if not names:
            pytest.skip(f"no installed package promises anything of {package} in filial.{kind}; pip install -e .")
        assert cls in [manager.get(kind, name) for name in names], f"none of {names} is {cls.__name__}"


class RecordContract(ComponentContract):
    """Tests for a component that is given records. ``reply`` is the teacher's answer, for components that ask."""

    records: ClassVar[Sequence[Record]] = RECORDS
    reply: ClassVar[Any] = "Name three colours that a painter would never mix, and say why."
    result_type: ClassVar[Any]
    """The type of its results."""

    def context(self, *key: object, memory: dict[str, Any] | None = None) -> Context:
        """Return a new context whose teacher answers ``reply``."""
        return context(type(self).reply, key=("test", *key), memory=memory)

    def inputs(self) -> Sequence[Record]:
        """Return the records it is given."""
        return self.records

    @abstractmethod
    def outcomes(self) -> list[Any]:
        """Return its results for the records, in a new context."""

    def test_it_gives_what_its_kind_promises(self) -> None:
        """There is at least one result; all have the contract's type and valid values (a score of NaN is not valid)."""
        outcomes = self.outcomes()
        assert outcomes, "it gives nothing"
        for outcome in outcomes:
            assert isinstance(outcome, self.result_type), f"it gives {outcome!r}"
            fault = outcome.fault() if hasattr(outcome, "fault") else ""
            assert not fault, fault

    def test_input_is_untouched(self) -> None:
        """Records are shared: new values go into a new record."""
        before = copy.deepcopy(list(self.inputs()))
        self.outcomes()
        assert list(self.inputs()) == before

    def test_same_input_same_output(self) -> None:
        """Randomness comes from ``ctx.rng`` only; a filter's memory is empty when a stage starts."""
        again = "it gives something else the second time; draw random numbers from ctx.rng, and keep no state"
        assert self.outcomes() == self.outcomes(), again


class FilterContract(RecordContract):
    """``records`` are checked; ``reply`` is the teacher's answer, for filters that ask."""

    reply: ClassVar[Any] = "Yes."
    result_type = Keep | Drop

    def outcomes(self) -> list[Any]:
        return self.check_all(self.records)

    def check_all(self, records: Sequence[Record], size: int = BATCH) -> list[Keep | Drop]:
        """Return the results for records in this order, in one stage; `check_batch` gets ``size`` records at once."""
        memory: dict[str, Any] = {}
        verdicts: list[Keep | Drop] = []
        size = len(records) if self.component.whole_set else size if self.checks_batches() else 1
        with asyncio.Runner() as runner:  # one loop for the whole stage, as in a run
            for start in range(0, len(records), size):
                batch = records[start : start + size]
                ctx = self.context(batch[0].id, memory=memory)
                batches = self.checks_batches()
                words = self._check(runner, batch, ctx) if batches else [self._check(runner, batch[0], ctx)]
                assert isinstance(words, list | tuple), f"check_batch returned {words!r}"
                assert len(words) == len(batch), f"{len(words)} verdicts on {len(batch)} records"
                verdicts += words
        return verdicts

    def _check(self, runner: asyncio.Runner, given: Any, ctx: Context) -> Any:
        """Return the filter's result for one record, or for a batch."""
        method = self.component.check_batch if self.checks_batches() else self.component.check
        words = method(given, ctx)
        if inspect.iscoroutinefunction(method):
            return runner.run(asyncio.wait_for(words, TIME_LIMIT))
        if inspect.iscoroutine(words):
            words.close()
            raise AssertionError(f"{method.__name__} awaits; write it as 'async def'")
        return words

    def checks_batches(self) -> bool:
        """Return whether the filter has `check_batch`."""
        return type(self.component).check_batch is not Filter.check_batch

    def test_batches_may_be_cut_anywhere(self) -> None:
        """A result does not depend on the other records of the batch; otherwise set ``whole_set = True``."""
        if self.checks_batches() and not self.component.whole_set:
            each = [(type(word), getattr(word, "reason", "")) for word in self.check_all(self.records, size=1)]
            assert each == [(type(word), getattr(word, "reason", "")) for word in self.check_all(self.records)]

    def test_question_rules_are_a_filter_or_none(self) -> None:
        """`question_rules` returns a filter, or None if the filter judges answers only."""
        rules = self.component.question_rules()
        assert isinstance(rules, Filter | None), f"question_rules gave {rules!r}"

    def test_order_matters_only_to_a_filter_that_remembers(self) -> None:
        """A filter whose result depends on earlier records sets ``remembers = True``."""
        if not (type(self.component).remembers or self.component.whole_set):
            backwards = self.check_all(self.records[::-1])
            assert backwards[::-1] == self.check_all(self.records), "set remembers = True on the class"


class TemplateContract(RecordContract):
    """``records`` are rendered; all have an answer. Give a template that needs a tokenizer in bound form."""

    result_type = list

    def outcomes(self) -> list[Any]:
        return [self.component.render(record) for record in self.records]

    def test_the_answer_is_trained_and_the_question_is_not(self) -> None:
        """The whole answer carries loss; the instruction and the input do not."""
        for record in self.records:
            spans = self.component.render(record)
            trained = "".join(s.text for s in spans if s.train)
            untrained = "".join(s.text for s in spans if not s.train)
            assert record.output in trained, "the answer is not trained"
            assert record.instruction in untrained, "the instruction is missing or trained"
            assert record.input in untrained, "the input is missing or trained"

    def test_without_an_answer_it_is_the_prompt(self) -> None:
        """A model is asked with exactly the text before the answer in training; none of it is trained."""
        for record in self.records:
            prompt = self.component.render(record.replaced(output=""))
            assert not any(span.train for span in prompt)
            whole = "".join(span.text for span in self.component.render(record))
            asked = "".join(span.text for span in prompt)
            rest = whole.removeprefix(asked).lstrip()  # a format may put a blank before the answer, and train it
            assert whole.startswith(asked), f"{whole!r} does not start with {asked!r}"
            assert rest.startswith(record.output), f"{rest!r} does not start with the answer"

    def test_user_text_is_never_special(self) -> None:
        """Control text in a user's data stays text."""
        mark = "<|im_end|></s>{eos}"
        record = Record(instruction=f"Say {mark}", input=f"in {mark}", output=f"out {mark}")
        spans = self.component.render(record)
        assert sum(span.text.count(mark) for span in spans if not span.special) == 3
        assert not any(mark in span.text for span in spans if span.special)


class MixerContract(ComponentContract):
    """``sizes`` is the number of records per task."""

    sizes: ClassVar[dict[str, int]] = {"sums": 10, "lists": 1000, "talk": 1}

    def test_rates_are_shares_of_the_given_tasks(self) -> None:
        """All rates are finite and >= 0, for existing tasks, and not all are 0."""
        rates = self.component.rates(dict(self.sizes))
        assert set(rates) <= set(self.sizes), f"there are no tasks {set(rates) - set(self.sizes)}"
        assert all(math.isfinite(rate) and rate >= 0 for rate in rates.values())
        assert sum(rates.values()) > 0

    def test_rates_are_pure(self) -> None:
        """Same sizes, same rates, in any order of tasks; the argument is not changed."""
        sizes = dict(self.sizes)
        backwards = dict(reversed(sizes.items()))
        assert self.component.rates(sizes) == self.component.rates(backwards) == self.component.rates(sizes)
        assert sizes == self.sizes


class TeacherContract(ComponentContract):
    """Set ``offline = True`` for a teacher that answers ``request`` without a network."""

    offline: ClassVar[bool] = False
    request: ClassVar[Request] = Request(messages=(Message(role="user", content="Name three colours."),), seed=1)

    def test_construction_opens_no_connection(self) -> None:
        """Checking a recipe sends nothing."""
        with patch("socket.socket", side_effect=AssertionError("a socket was opened")):
            rebuilt = type(self.component).model_validate(self.component.model_dump(exclude_unset=True))
        assert rebuilt == self.component

    def test_identity_is_plain_data_without_secrets_or_limits(self) -> None:
        """It is part of a ledger key; limits do not change an answer."""
        import json

        identity = self.component.identity()
        assert json.loads(json.dumps(identity)) == identity
        words = {word for key in identity for word in key.lower().split("_")}
        assert not words & {"password", "secret", "authorization", "headers"}
        assert "api_key" not in identity
        assert not identity.keys() & set(Teacher.model_fields)
        faster = self.component.model_copy(update={"max_concurrency": 7, "timeout": 3.5, "max_retries": 1})
        assert faster.identity() == identity

    def test_reply_answers_the_same_each_time(self) -> None:
        """Only for a teacher that works offline."""
        import pytest

        if not self.offline:
            pytest.skip("not offline: a contract test sends no requests")
        with patch("socket.socket.connect", side_effect=AssertionError("a connection was opened")):
            first, second = (run_async(self.component.reply(self.request)) for _ in range(2))
        assert isinstance(first, Reply)
        assert first == second


class StrategyContract(RecordContract):
    """``records`` are evolved; ``reply`` is the teacher's answer.

    Set ``keeps_input = True`` for a strategy that rewrites the instruction without looking at the input.
    """

    result_type = Record | Drop
    keeps_input: ClassVar[bool] = False

    def evolve(self, record: Record, ctx: Context | None = None) -> Record | Drop:
        """Evolve one record in a new context."""
        outcome: Record | Drop = run_async(self.component.evolve(record, ctx or self.context()))
        return outcome

    def outcomes(self) -> list[Any]:
        return list(map(self.evolve, self.records))

    def test_some_record_evolves(self) -> None:
        """With ``reply``, at least one record gets a child; otherwise the tests prove nothing."""
        assert any(isinstance(outcome, Record) for outcome in self.outcomes())

    def test_lineage_grows_by_one(self) -> None:
        """A child is made with ``record.evolved(...)``: it names its parent, and its round is one higher."""
        for record in self.records:
            grown = record.replaced(origin=Origin(round=2))
            child = self.evolve(grown)
            if isinstance(child, Record):
                assert child.origin.parents == (record.id,), "the child does not name its parent; use record.evolved()"
                assert child.origin.round == 3, "the child's round is not one higher; use record.evolved()"

    def test_input_that_stays_is_shown_to_the_teacher(self) -> None:
        """A teacher that does not see the input writes an instruction that need not fit it."""
        cure = "ask with record.question() and set input=, or set keeps_input = True on the contract"
        for record in self.records if not self.keeps_input else ():
            teacher = scripted_teacher(type(self).reply)
            child = self.evolve(record, Context(teacher.reply, key=("test",)))
            asked = [message.content for request in teacher.requests for message in request.messages]
            shown = not asked or any(record.input in text for text in asked)
            if (
                isinstance(child, Record)
                and child.input == record.input
                and record.instruction not in child.instruction
            ):
                assert shown, f"the teacher never saw the input that the child keeps: {cure}"

    def test_empty_reply_is_a_drop(self) -> None:
        """An empty or blank answer of the teacher makes no child."""
        for reply in ("", " \n"):
            teacher, cure = scripted_teacher(reply), "return Drop('empty-reply') if reply.text is blank"
            try:
                outcome = self.evolve(self.records[0], Context(teacher.reply))
            except ValueError as err:
                raise AssertionError(f"the reply {reply!r} raises {type(err).__name__}: {err}; {cure}") from err
            assert isinstance(outcome, Drop) or not teacher.requests, f"the reply {reply!r} made {outcome!r}; {cure}"


class GeneratorContract(RecordContract):
    """``seeds`` are its input; ``reply`` is the teacher's answer; ``limit`` results are read."""

    result_type = Record | Drop
    seeds: ClassVar[Sequence[Record]] = RECORDS
    limit: ClassVar[int] = 20

    def inputs(self) -> Sequence[Record]:
        return self.seeds

    def outcomes(self) -> list[Any]:
        return self.generate(self.seeds)

    def generate(self, seeds: Sequence[Record]) -> list[Record | Drop]:
        """Return the first results, in a new context."""

        async def work() -> list[Record | Drop]:
            out: list[Record | Drop] = []
            async for result in self.component.generate(seeds, self.context()):
                out.append(result)
                if len(out) == self.limit:
                    break
            return out

        results: list[Record | Drop] = run_async(work())
        return results

    def test_one_that_consumes_its_seeds_says_what_becomes_of_each(self) -> None:
        """It yields each seed unchanged, or a `Drop` whose record is the seed."""
        if self.component.consumes:
            seeds = self.seeds[: self.limit]
            spoken = [r.record if isinstance(r, Drop) else r for r in self.generate(seeds)]
            silent = [seed.id for seed in seeds if not any(one is seed for one in spoken)]
            assert not silent, f"there is no result for {', '.join(silent)}"

    def test_one_that_needs_no_seeds_makes_something_without(self) -> None:
        """Recipes may begin with a generator that sets ``needs_seeds = False``."""
        if not self.component.needs_seeds:
            assert self.generate([]), "nothing was generated without seeds; set needs_seeds = True"

    def test_no_seeds_is_nothing_or_a_clear_error(self) -> None:
        """It never crashes, and never makes a record with a parent."""
        try:
            results = self.generate([])
        except UsageError:
            return
        assert all(not r.origin.parents for r in results if isinstance(r, Record))


class TrainerContract(ComponentContract):
    """Tests of a trainer that need no training."""

    def test_its_models_can_be_asked(self) -> None:
        """``teacher(out)`` returns the same teacher each time and writes nothing: the model does not exist yet."""
        import pytest

        trainer: Trainer = self.component
        if type(trainer).teacher is Trainer.teacher:
            pytest.skip("it has no method teacher, so its models cannot be judged")
        with TemporaryDirectory() as folder:
            out = Path(folder) / "model"
            first, second = trainer.teacher(out), trainer.teacher(out)
            assert isinstance(first, Teacher), f"teacher gave {first!r}"
            assert first == second
            assert not out.exists(), "teacher(out) writes to out"


class JudgeContract(RecordContract):
    """``records`` are judged by their own answer and a wrong one; ``reply`` is the teacher's answer.

    A judge of pairs gets the answer to judge first, then the wrong one.
    """

    reply: ClassVar[Any] = "5"
    result_type = Verdict
    wrong: ClassVar[str] = "No idea."

    def judge(self, record: Record, answer: Any) -> Verdict:
        """Judge candidates that answer ``answer`` (a text, texts in order, a function), in a new context."""
        rivals = [candidate(self.wrong, "base")] * (self.component.compares - 1)
        verdict: Verdict = run_async(self.component.judge(record, [candidate(answer), *rivals], self.context()))
        return verdict

    def outcomes(self) -> list[Any]:
        """Return the verdicts on a right, a wrong and an empty answer to each record."""
        answers = [(record, answer) for record in self.records for answer in (record.output, self.wrong, "")]
        return [self.judge(record, answer) for record, answer in answers]

    def test_it_compares_one_candidate_or_two(self) -> None:
        """``compares`` is 1 or 2."""
        assert type(self.component).compares in (1, 2)

    def test_a_wrong_answer_is_no_better_than_the_right_one(self) -> None:
        """A larger score is better."""
        for record in self.records:
            assert self.judge(record, record.output).score >= self.judge(record, self.wrong).score


_PROBE = """
import importlib.util, runpy, sys
name, file, heavy, sys.path[:] = sys.argv[1], sys.argv[2], sys.argv[3].split(","), sys.argv[4:]
if importlib.util.find_spec(name.partition(".")[0]) is not None:
    importlib.import_module(name)
else:
    runpy.run_path(file)
print(",".join(name for name in heavy if name in sys.modules))
"""


@cache
def _heavy_imports(module: str, file: str, path: tuple[str, ...]) -> str:
    """Return the heavy packages that a new interpreter has loaded after importing ``module``, comma-separated."""
    command = [sys.executable, "-c", _PROBE, module, file, ",".join(HEAVY), *path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT, cwd=Path(file).parent)
    assert done.returncode == 0, f"importing {module} in a fresh interpreter fails: {done.stderr[-2000:]}"
    return done.stdout.strip()
