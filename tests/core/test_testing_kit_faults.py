"""Each contract of the conformance kit notices what it is there for."""

from __future__ import annotations

import importlib
import math
import pickle
import random
import sys
from typing import Any, ClassVar

import pytest
from contract_kit import (
    GoodBatchFilter,
    GoodFilter,
    GoodFormat,
    GoodGenerator,
    GoodJudge,
    GoodMixer,
    GoodStrategy,
    GoodTeacher,
    GoodTemplate,
)

from filial import Component, Drop, Field, Keep, Record, Reply, Span, Verdict
from filial.testing import (
    ComponentContract,
    FilterContract,
    FormatContract,
    GeneratorContract,
    JudgeContract,
    MixerContract,
    StrategyContract,
    TeacherContract,
    TemplateContract,
)


class NoDocs(GoodStrategy):
    size: int = 1


class NoDescription(GoodStrategy):
    """Has an option nobody explains."""

    size: int = 1


class Unpicklable(GoodStrategy):
    """Holds something that cannot be sent to another process."""

    hook: Any = Field(default=None, exclude=True, description="A function.")


class ReturnsNone(GoodStrategy):
    """Forgets to return."""

    async def evolve(self, record, ctx):
        await ctx.ask("x")


class OwnDice(GoodStrategy):
    """Throws dice of its own."""

    async def evolve(self, record, ctx):
        return record.evolved(instruction=f"{record.instruction} {random.random()}")


class Foundling(GoodStrategy):
    """A child without parents."""

    async def evolve(self, record, ctx):
        return Record(instruction=(await ctx.ask("x")).text or "nothing")


class Chatty(GoodStrategy):
    """A sentence for a reason."""

    async def evolve(self, record, ctx):
        return Drop("The reply was empty.")


class Scribbler(GoodStrategy):
    """Writes into its input."""

    async def evolve(self, record, ctx):
        record.scores["touched"] = 1.0
        return Drop("touched")


class Blind(GoodStrategy):
    """Does not show the input, and keeps it."""

    async def evolve(self, record, ctx):
        reply = await ctx.ask(record.instruction)
        return record.evolved(instruction=reply.text)


class Forgetful(GoodFilter):
    """Remembers without saying so."""

    remembers: ClassVar = False

    def check(self, record, ctx):
        ctx.memory["n"] = ctx.memory.get("n", 0) + 1
        return Keep() if ctx.memory["n"] < 3 else Drop("late")


class Hoarder(GoodFilter):
    """Remembers beyond the stage."""

    _seen: set[str] = set()

    def check(self, record, ctx):
        known = record.id in self._seen
        self._seen.add(record.id)
        return Drop("known") if known else Keep()


class Endless(GoodFilter):
    """Gives a score that is no number."""

    def check(self, record, ctx):
        return Keep(scores={"x": math.nan})


class Counting(GoodBatchFilter):
    """Goes by the size of the batch."""

    def check_batch(self, records, ctx):
        return [Keep() if len(records) > 1 else Drop("alone") for record in records]


class Careless(GoodBatchFilter):
    """Forgets the last one."""

    def check_batch(self, records, ctx):
        return super().check_batch(records, ctx)[:-1]


class Waiting(GoodFilter):
    """Awaits without saying so."""

    def check(self, record, ctx):
        async def later():
            return Keep()

        return later()


class Inventive(GoodMixer):
    """Makes up a task."""

    def rates(self, sizes):
        return {"poems": 1.0}


class Draining(GoodMixer):
    """Empties its argument."""

    def rates(self, sizes):
        return {sizes.popitem()[0]: 1.0}


class TrainsAll(GoodTemplate):
    """Trains on the question too."""

    def render(self, record):
        return [Span(span.text, train=True, special=span.special) for span in super().render(record)]


class Injectable(GoodTemplate):
    """Lets user text be control text."""

    def render(self, record):
        return [Span(span.text, train=span.train, special=True) for span in super().render(record)]


class OtherPrompt(GoodTemplate):
    """Asks in other words than it trained with."""

    def render(self, record):
        return super().render(record) if record.output else [Span(record.question())]


class Leaky(GoodTeacher):
    """Its key is part of its identity."""

    api_key: str = Field(default="k", description="The key.")


class Moody(GoodTeacher):
    """Answers differently each time."""

    async def reply(self, request):
        return Reply(text=str(random.random()))


class Silent(GoodGenerator):
    """Generates nothing."""

    async def generate(self, seeds, ctx):
        for record in ():
            yield record


class UpsideDown(GoodJudge):
    """Smaller is better."""

    async def judge(self, record, candidates, ctx):
        reply = await candidates[0].ask(record.question())
        return Verdict(score=float(reply.text != record.output))


class OneSided(GoodFormat):
    """Forgets the answer."""

    def to_rows(self, records):
        yield from ({"front": record.instruction, "back": ""} for record in records)


class Dated(GoodFormat):
    """Writes when it was written."""

    def to_rows(self, records):
        yield from ({**row, "at": random.random()} for row in super().to_rows(records))


class Greedy(GoodFormat):
    """Takes every row for its own."""

    def detect(self, sample):
        return len(sample)


class Brittle(GoodFormat):
    """Breaks at a row of another type."""

    def from_row(self, row):
        return [Record(instruction=row["front"].strip(), output=row["back"].strip())]


class Selective(GoodFormat):
    """Leaves out what it cannot hold."""

    holds = ("messages", "system")

    def to_rows(self, records):
        return super().to_rows(record for record in records if not record.messages)


class Boastful(GoodFormat):
    """Says that it holds labels, and has no place for them."""

    holds = ("label",)


class Unescaped(GoodFormat):
    """Writes texts as they are, each on a line."""

    def from_row(self, row):
        return super().from_row({**row, "back": row["back"].partition("\n")[0]})


class Overwriting(GoodFormat):
    """Lets extra columns replace its own."""

    def to_rows(self, records):
        for record in records:
            yield from ({**row, **record.extra} for row in super().to_rows([record]))


FAULTS = [
    (FormatContract, Boastful(), "test_what_changes_a_meaning_is_refused_or_read_back"),
    (FormatContract, Unescaped(), "test_marks_of_the_format_in_a_text_stay_text"),
    (FormatContract, Overwriting(), "test_extra_columns_replace_no_column"),
    (FormatContract, OneSided(), "test_what_it_writes_it_reads"),
    (FormatContract, Dated(), "test_same_records_same_bytes"),
    (FormatContract, Greedy(), "test_it_finds_its_own_rows_and_no_others"),
    (FormatContract, Brittle(), "test_a_bad_row_is_a_fault_and_stops_no_other"),
    (FormatContract, Selective(), "test_a_record_it_cannot_hold_is_refused_in_a_sentence"),
    (StrategyContract, NoDocs(), "test_explains_itself_in_one_line"),
    (StrategyContract, NoDescription(), "test_options_have_a_schema_and_a_description"),
    (StrategyContract, Unpicklable(hook=lambda: 1), "test_survives_pickling"),
    (StrategyContract, ReturnsNone(), "test_it_gives_what_its_kind_promises"),
    (StrategyContract, OwnDice(), "test_same_input_same_output"),
    (StrategyContract, Foundling(), "test_lineage_grows_by_one"),
    (StrategyContract, Foundling(), "test_empty_reply_is_a_drop"),
    (StrategyContract, Chatty(), "test_it_gives_what_its_kind_promises"),
    (StrategyContract, Chatty(), "test_some_record_evolves"),
    (StrategyContract, Scribbler(), "test_input_is_untouched"),
    (StrategyContract, Blind(), "test_input_that_stays_is_shown_to_the_teacher"),
    (FilterContract, Forgetful(), "test_order_matters_only_to_a_filter_that_remembers"),
    (FilterContract, Hoarder(), "test_same_input_same_output"),
    (FilterContract, Endless(), "test_it_gives_what_its_kind_promises"),
    (FilterContract, Counting(), "test_batches_may_be_cut_anywhere"),
    (FilterContract, Careless(), "test_it_gives_what_its_kind_promises"),
    (FilterContract, Waiting(), "test_it_gives_what_its_kind_promises"),
    (MixerContract, Inventive(), "test_rates_are_shares_of_the_given_tasks"),
    (MixerContract, Draining(), "test_rates_are_pure"),
    (TemplateContract, TrainsAll(), "test_the_answer_is_trained_and_the_question_is_not"),
    (TemplateContract, Injectable(), "test_user_text_is_never_special"),
    (TemplateContract, OtherPrompt(), "test_without_an_answer_it_is_the_prompt"),
    (TeacherContract, Leaky(), "test_identity_is_plain_data_without_secrets_or_limits"),
    (TeacherContract, Moody(), "test_reply_answers_the_same_each_time"),
    (GeneratorContract, Silent(), "test_it_gives_what_its_kind_promises"),
    (JudgeContract, UpsideDown(), "test_a_wrong_answer_is_no_better_than_the_right_one"),
]


def case_of(contract: type[ComponentContract], component: Component) -> Any:
    """The tests of a contract, for one component."""
    return type("Case", (contract,), {"component": component, "offline": True})()


@pytest.mark.parametrize(
    ("contract", "component", "test"), FAULTS, ids=[f"{type(c).__name__}-{t[5:]}" for _, c, t in FAULTS]
)
def test_each_contract_notices_its_fault(contract: type[ComponentContract], component: Component, test: str) -> None:
    case = case_of(contract, component)
    with pytest.raises((AssertionError, AttributeError, pickle.PicklingError)):
        getattr(case, test)()


@pytest.mark.parametrize(
    ("contract", "component", "test", "told"),
    [
        (StrategyContract, OwnDice(), "test_same_input_same_output", "ctx.rng"),
        (FilterContract, Hoarder(), "test_same_input_same_output", "keep no state"),
        (StrategyContract, Foundling(), "test_empty_reply_is_a_drop", "return Drop('empty-reply')"),
        (StrategyContract, Blind(), "test_empty_reply_is_a_drop", "raises ValueError: a record needs an instruction"),
        (StrategyContract, Blind(), "test_input_that_stays_is_shown_to_the_teacher", "ask with record.question()"),
    ],
)
def test_a_failure_says_what_to_do(contract, component, test, told):
    with pytest.raises(AssertionError) as caught:
        getattr(case_of(contract, component), test)()
    assert told in str(caught.value)


def test_a_strategy_may_keep_the_input_on_purpose():
    case = case_of(StrategyContract, Blind())
    type(case).keeps_input = True
    case.test_input_that_stays_is_shown_to_the_teacher()


def test_an_unknown_group_is_noticed(site, source):
    site.dist("filial-x", {"filial.strategy": {"x": "x_module"}}, {"x_module": source("x")})
    case = case_of(StrategyContract, importlib.import_module("x_module").X())
    with pytest.raises(AssertionError, match=r"'filial\.strategy', which is no entry-point group"):
        case.test_is_registered_under_the_name_it_promises()


def test_heavy_imports_are_noticed(site, tmp_path, monkeypatch):
    (site.folder / "torch.py").write_text("")
    (site.folder / "heavy_plugin.py").write_text(
        'import torch\nfrom filial import Mixer\nclass Heavy(Mixer):\n    """Heavy."""\n'
        "    def rates(self, sizes):\n        return sizes\n"
    )
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    case = case_of(MixerContract, importlib.import_module("heavy_plugin").Heavy())
    with pytest.raises(AssertionError, match="importing heavy_plugin also imports torch"):
        case.test_importing_it_loads_nothing_heavy()


def test_a_promise_that_is_not_kept_is_noticed(site, source):
    code = source("x") + "class Other(X):\n    '''Another.'''\n"
    site.dist("filial-x", {"filial.strategies": {"x": "x_module"}}, {"x_module": code})
    module = importlib.import_module("x_module")
    good = case_of(StrategyContract, module.X())
    good.test_is_registered_under_the_name_it_promises()
    bad = case_of(StrategyContract, module.Other())
    with pytest.raises(AssertionError, match=r"none of \['filial-x:x'\] is Other"):
        bad.test_is_registered_under_the_name_it_promises()
