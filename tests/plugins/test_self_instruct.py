"""The generators `self-instruct` and `instances` against scripted teachers."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from zlib import crc32

import pytest

from filial import Context, Drop, FilialError, Generator, Message, Record, Reply, Request, TeacherError, UsageError
from filial.testing import GeneratorContract, context
from filial_plugins.generators.instances import Instances
from filial_plugins.generators.self_instruct import SelfInstruct

VERBS = ("Describe", "Compare", "Invent", "Translate", "Rewrite", "Explain", "Classify", "Rhyme", "Estimate", "Sort")
THINGS = ("rivers", "stamps", "comets", "lamps", "bridges", "violins", "cactus", "harbours", "glaciers", "wolves")
SEEDS = [
    Record(id=f"s{i}", instruction=f"{verb} {thing} {i} times while humming tune number {i * 7}.")
    for i, (verb, thing) in enumerate(zip(VERBS, THINGS, strict=True))
]
EXAMPLE = "Example 1\nInput: {n} apples\nOutput: {n} pears"


class Model:
    """A teacher that invents tasks and examples; what it says depends on the request alone."""

    def __init__(self, propose: Callable[[int, int, Request], str] | None = None, delay: bool = False) -> None:
        self.propose, self.delay = propose or self.novel, delay
        self.proposals: list[Request] = []
        self.tasks: list[str] = []

    async def __call__(self, request: Request) -> Reply:
        text = request.messages[0].content
        if self.delay:
            await asyncio.sleep((crc32(text.encode()) % 7) / 500)
        wanted = re.search(r"Write (\d+) new tasks", text)
        if wanted:
            self.proposals.append(request)
            first = int(re.search(r"(\d+)\.\Z", text)[1])
            said = self.propose(int(wanted[1]), first, request)
        else:
            self.tasks.append(re.search(r"\nTask: (.*)\n\Z", text)[1])
            said = EXAMPLE.format(n=len(text))
        return Reply(text=said, key=f"key of {len(text)}")

    @staticmethod
    def novel(n: int, first: int, request: Request) -> str:
        mark = crc32(request.messages[0].content.encode())
        tasks = [" ".join(f"w{mark}x{first + i}y{j}" for j in range(6)) for i in range(n)]
        return " " + "\n".join(tasks[:1] + [f"{first + i}. {task}" for i, task in enumerate(tasks) if i])


def run(generator: Generator, model: Any, seeds: Sequence[Record] = SEEDS) -> list[Record | Drop]:
    async def work() -> list[Record | Drop]:
        return [item async for item in generator.generate(seeds, Context(model, key=(0, "generate")))]

    return asyncio.run(asyncio.wait_for(work(), 30))


def records(items: list[Record | Drop]) -> list[Record]:
    return [item for item in items if isinstance(item, Record)]


def reasons(items: list[Record | Drop]) -> Counter[str]:
    return Counter(item.reason for item in items if isinstance(item, Drop))


# self-instruct ----------------------------------------------------------------------------------------------


class TestContract(GeneratorContract):
    component = SelfInstruct(count=3, patience=1)
    reply = "Name three colours that a painter would never mix, and say why."


@pytest.mark.parametrize("count", [1, 7, 8, 30])
def test_count_is_the_number_of_accepted_instructions(count):
    items = run(SelfInstruct(count=count), Model())
    assert len({record.instruction for record in records(items)}) == count
    assert len(records(items)) == count
    assert reasons(items).keys() <= {"surplus"}


def test_a_prompt_lists_seeds_and_accepted_tasks_and_stops_at_the_next_number():
    model = Model()
    run(SelfInstruct(count=40, round_size=2), model)
    known = {seed.instruction for seed in SEEDS}
    for turn, request in enumerate(model.proposals):
        text = request.messages[0].content
        assert "Write 8 new tasks" in text
        assert text.endswith("\n9.")
        shown = re.findall(r"^(\d+)\. (.+)$", text, re.MULTILINE)
        assert [int(number) for number, _ in shown] == list(range(1, 9))
        from_seeds = [task in known for _, task in shown]
        assert from_seeds.count(True) == (8 if turn < 2 else 6)
        assert len(set(shown)) == 8
    places = {re.search(r"(\d)\. w", r.messages[0].content)[1] for r in model.proposals[2:]}
    assert len(places) > 1  # accepted tasks stand anywhere in the list


def test_few_seeds_make_a_shorter_list_and_repeated_prompts_ask_for_new_draws():
    def by_draw(n: int, first: int, request: Request) -> str:
        assert first == 2
        return " ".join(f"d{request.draw}t{j}" for j in range(6))

    model = Model(by_draw)
    items = run(SelfInstruct(count=4, machine_examples=0), model, SEEDS[:1])
    assert len(records(items)) == 4
    assert [request.draw for request in model.proposals] == list(range(len(model.proposals)))


def test_seeds_with_several_instances_are_shown_once():
    model = Model()
    run(SelfInstruct(count=1), model, [s.replaced(id=f"{s.id}{i}", input=str(i)) for s in SEEDS[:3] for i in range(4)])
    assert model.proposals[0].messages[0].content.endswith("\n4.")


def test_a_record_names_its_seeds_and_both_answers():
    model = Model()
    (record,) = records(run(SelfInstruct(count=1), model))
    shown = model.proposals[0].messages[0].content
    assert set(record.origin.parents) == {seed.id for seed in SEEDS if seed.instruction in shown}
    assert len(record.origin.answers) == 2
    assert (record.output.endswith("pears"), record.task, record.origin.round) == (True, "", 0)


def test_records_come_out_the_same_whatever_answers_first():
    quick = run(SelfInstruct(count=25, round_size=4), Model())
    assert quick == run(SelfInstruct(count=25, round_size=4), Model(delay=True))
    assert len(records(quick)) == 25


def test_rejected_proposals_are_drops_with_reason_and_text():
    bad = [
        "Too short here",
        "Draw a cat on the wall.",
        "Write a program that adds two numbers.",
        "- begins with a dash of salt",
        " ".join(["long"] * 151),
        "",
        SEEDS[0].instruction,
        "A good and new task to do.",
        "A good and new task to do now.",
    ]

    def propose(n: int, first: int, request: Request) -> str:
        return "\n".join(f"{first + i}. {task}" for i, task in enumerate(bad))

    items = run(SelfInstruct(count=1, patience=1), Model(propose))
    assert reasons(items) == {
        "too-short": 1, "blocked-word": 2, "starts-with-punctuation": 1, "too-long": 1, "empty": 1, "too-similar": 2,
    }  # fmt: skip
    by_text = {item.record.instruction: item for item in items if isinstance(item, Drop) and item.record}
    assert "ROUGE-L 1.000 with seed s0" in by_text[SEEDS[0].instruction].detail
    assert "accepted task 1: A good and new task to do." in by_text[bad[-1]].detail


def test_an_accepted_task_counts_within_its_own_round():
    twice = Model(lambda n, first, request: f"{first}. Ask me about lamps and cactus.")
    items = run(SelfInstruct(count=2, patience=1, round_size=3, per_request=1), twice)
    assert len(records(items)) == 1
    assert reasons(items)["too-similar"] >= 1


def test_when_the_yield_collapses_what_there_is_comes_out_with_a_word_about_it():
    items = run(SelfInstruct(count=50, patience=3), Model(lambda n, first, request: f"{first}. Sing about old lamps."))
    assert [record.instruction for record in records(items)] == ["Sing about old lamps."]
    last = items[-1]
    assert isinstance(last, Drop)
    assert last.reason == "yield-collapsed"
    assert "accepted 1 of 50" in last.detail
    assert "seeds" in last.detail


def test_nothing_at_all_is_an_error_that_says_what_to_do():
    with pytest.raises(FilialError, match=r"accepted 0 of 5 .* give it more varied seeds"):
        run(SelfInstruct(count=5, patience=2), Model(lambda n, first, request: "Sorry, I can't propose tasks."))


def test_a_failed_request_costs_only_itself():
    class Faulty(Model):
        calls = 0

        async def __call__(self, request: Request) -> Reply:
            self.calls += 1
            if self.calls in (2, 9):  # a request for tasks, a request for examples
                raise TeacherError("http-500", "overloaded", answer="half")
            return await super().__call__(request)

    items = run(SelfInstruct(count=6, per_request=2), Faulty())
    assert len(records(items)) == 5
    failed = [item for item in items if isinstance(item, Drop) and item.reason == "teacher-http-500"]
    assert [(drop.detail, drop.answer, drop.record is None) for drop in failed] == [
        ("overloaded", "half", True),
        ("overloaded", "half", False),
    ]


def test_other_errors_stop_the_run_and_leave_no_request_behind():
    class Broken(Model):
        async def __call__(self, request: Request) -> Reply:
            if len(self.proposals) == 3:
                raise FilialError("the budget is used up")
            return await super().__call__(request)

    with pytest.raises(FilialError, match="used up"):
        run(SelfInstruct(count=500), Broken())


def test_no_seed_is_told():
    with pytest.raises(UsageError, match="seed"):
        run(SelfInstruct(), Model(), [Record(messages=(Message(role="user", content="Hi"),))])


def test_no_more_is_asked_than_is_missing():
    model = Model()
    run(SelfInstruct(count=10, per_request=5), model)
    assert len(model.proposals) == 2


def test_faulty_examples_are_drops_and_the_good_ones_stay():
    def say(request: Request) -> str:
        if "new tasks" in request.messages[0].content:
            return "Count the apples in the basket."
        return "Example 1\nInput: 2\nOutput: two\n\nExample 2\nInput: 3\nOutput:\n\nExample 3\nInput: 4\nOutput: 4"

    items = run(SelfInstruct(count=1, instances=3), context(say)._ask)
    assert [(r.input, r.output) for r in records(items)] == [("2", "two")]
    assert reasons(items) == {"empty-output": 1, "output-is-input": 1}


@pytest.mark.parametrize(
    ("said", "reason"),
    [("Sorry, no.", "refused"), ("Two apples.", "unreadable-examples"), ("", "unreadable-examples")],
)
def test_an_answer_without_examples_is_a_drop_with_the_task(said, reason):
    items = run(
        SelfInstruct(count=1),
        context(lambda r: "Count the apples in it." if "new tasks" in r.messages[0].content else said)._ask,
    )
    (drop,) = items
    assert (drop.reason, drop.answer, drop.record.instruction) == (reason, said, "Count the apples in it.")


@pytest.mark.parametrize(
    "reply", ["\ud800 a b c", "9." * 10_000, "\n" * 300_000, " " * 300_000, "1. x\n" * 20_000, "\x00"]
)
def test_hostile_replies_never_crash(reply):
    try:
        items = run(SelfInstruct(count=2, patience=1, round_size=1), context(reply)._ask)
    except FilialError as error:
        items = [Drop("nothing accepted", str(error))]
    assert items
    assert all(isinstance(item, Record | Drop) for item in items)


# instances ------------------------------------------------------------------------------------------------------


class TestInstancesContract(GeneratorContract):
    component = Instances(per_record=2)
    reply = "Example 1\nInput: 1\nOutput: one\nExample 2\nInput: 2\nOutput: two"


def test_instances_have_new_inputs_and_a_parent():
    said = "Example 1\nInput: 1\nOutput: one\n\nExample 2\nInput: 2\nOutput: two"
    seeds = [Record(id="a", instruction="Spell it.", input="1", output="one", task="spell"), SEEDS[0]]
    items = run(Instances(per_record=2), context(said)._ask, seeds)
    assert [(r.instruction, r.input, r.task, r.origin.parents) for r in records(items)] == [
        ("Spell it.", "2", "spell", ("a",)),
        (SEEDS[0].instruction, "1", "", ("s0",)),
        (SEEDS[0].instruction, "2", "", ("s0",)),
    ]
    assert reasons(items) == {"repeated-input": 1}


def test_instances_of_the_same_instruction_do_not_repeat_each_other():
    said = "Input: 9\nOutput: nine"
    seeds = [Record(id=name, instruction="Spell it.", input=name, output="x") for name in "abc"]
    items = run(Instances(), context(said)._ask, seeds)
    assert len(records(items)) == 1
    assert reasons(items) == {"repeated-input": 2}
