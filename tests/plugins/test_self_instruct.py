"""The generators `self-instruct` and `instances` against scripted teachers."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from zlib import crc32

import pytest

from filial import Context, Drop, FilialError, Generator, Message, Record, Reply, Request, TeacherError, UsageError
from filial.cli import invoke
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

    def __init__(
        self,
        propose: Callable[[int, int, Request], str] | None = None,
        delay: bool = False,
        example: Callable[[str], str] = lambda task: EXAMPLE.format(n=len(task)),
    ) -> None:
        self.propose, self.delay, self.example = propose or self.novel, delay, example
        self.proposals: list[Request] = []
        self.tasks: list[str] = []
        self.questions = 0

    @property
    def requests(self) -> int:
        return len(self.proposals) + self.questions + len(self.tasks)

    async def __call__(self, request: Request) -> Reply:
        text = request.messages[0].content
        if self.delay:
            await asyncio.sleep((crc32(text.encode()) % 7) / 500)
        wanted = re.search(r"Write (\d+) new tasks", text)
        if text.endswith("Is it classification?"):
            self.questions += 1
            said = "No"
        elif wanted:
            self.proposals.append(request)
            first = int(re.search(r"(\d+)\.\Z", text)[1])
            said = self.propose(int(wanted[1]), first, request)
        else:
            self.tasks.append(re.search(r"\nTask: (.*)\n\Z", text)[1])
            said = self.example(self.tasks[-1])
        return Reply(text=said, key=f"key of {len(text)}")

    @staticmethod
    def novel(n: int, first: int, request: Request) -> str:
        mark = crc32(request.messages[0].content.encode())
        tasks = [" ".join(f"w{mark}x{first + i}y{j}" for j in range(6)) for i in range(n)]
        return " " + "\n".join(tasks[:1] + [f"{first + i}. {task}" for i, task in enumerate(tasks) if i])


def run(
    generator: Generator, model: Any, seeds: Sequence[Record] = SEEDS, notes: list[str] | None = None
) -> list[Record | Drop]:
    items, error = run_to_error(generator, model, seeds, notes)
    if error:
        raise error
    return items


def run_to_error(
    generator: Generator, model: Any, seeds: Sequence[Record] = SEEDS, notes: list[str] | None = None
) -> tuple[list[Record | Drop], FilialError | None]:
    """What came out, and what ended it if anything did."""
    items: list[Record | Drop] = []
    ctx = Context(model, key=(0, "generate"), note=[].append if notes is None else notes.append)

    async def work() -> None:
        async for item in generator.generate(seeds, ctx):
            items.append(item)

    try:
        asyncio.run(asyncio.wait_for(work(), 30))
    except FilialError as error:
        return items, error
    return items, None


def records(items: list[Record | Drop]) -> list[Record]:
    return [item for item in items if isinstance(item, Record)]


def reasons(items: list[Record | Drop]) -> Counter[str]:
    return Counter(item.reason for item in items if isinstance(item, Drop))


# self-instruct ----------------------------------------------------------------------------------------------


def tasks_and_examples(request: Request) -> str:
    if "new tasks" in request.messages[0].content:
        return "Name three colours that a painter would never mix, and say why."
    return EXAMPLE.format(n=2)


class TestContract(GeneratorContract):
    component = SelfInstruct(count=3, patience=1)
    reply = tasks_and_examples


@pytest.mark.parametrize("count", [1, 7, 8, 30, 200])
def test_count_is_the_number_of_records(count):
    items = run(SelfInstruct(count=count), Model())
    assert len({record.instruction for record in records(items)}) == count
    assert len(records(items)) == count
    assert reasons(items).keys() <= {"surplus"}


def every(nth: int, fault: str) -> Callable[[str], str]:
    """Examples, of which about one in ``nth`` is ``fault`` instead; which ones depends on the task alone."""
    return lambda task: fault if crc32(task.encode()) % nth == 0 else EXAMPLE.format(n=len(task))


@pytest.mark.parametrize(("nth", "count"), [(2, 100), (5, 100), (5, 7), (20, 300)])
def test_faulty_examples_are_made_up_for_and_little_is_paid_for_nothing(nth, count):
    model = Model(example=every(nth, "Two apples."))
    items = run(SelfInstruct(count=count), model)
    assert len(records(items)) == count
    unusable = sum(crc32(task.encode()) % nth == 0 for task in model.tasks)
    assert reasons(items)["unreadable-examples"] == unusable > 0
    thrown_away = [i for i in items if isinstance(i, Drop) and i.reason == "surplus" and i.record.output]
    assert len(thrown_away) == len(model.tasks) - unusable - count
    assert len(thrown_away) <= 0.03 * count


def test_one_more_task_is_proposed_when_an_example_fails():
    failing = Model(lambda n, first, request: Model.novel(1, first, request))
    failing.example = lambda task: "Two apples." if len(failing.tasks) == 3 else EXAMPLE.format(n=len(task))
    items = run(SelfInstruct(count=5, per_request=1), failing)
    assert len(records(items)) == 5
    assert len(failing.proposals) == len(failing.tasks) == 6


def many(task: str) -> str:
    """Six examples, one of them empty."""
    return "\n\n".join(f"Example {i}\nInput: {i}\nOutput: {task[i:] if i != 3 else ''}" for i in range(6))


def test_several_examples_of_a_task_count_each_and_what_is_too_much_is_surplus():
    model = Model(example=many)
    items = run(SelfInstruct(count=101, instances=6), model)
    assert len(records(items)) == 101
    assert len(model.tasks) == 21  # of five good examples each
    assert len({record.instruction for record in records(items)}) == 21
    surplus = [i.record for i in items if isinstance(i, Drop) and i.reason == "surplus" and i.record.output]
    assert len(surplus) == 4
    assert reasons(items)["empty-output"] == 21
    assert surplus[0].instruction == records(items)[-1].instruction


def test_a_spare_task_is_used_before_another_is_proposed_and_else_is_surplus():
    failing = Model()
    failing.example = lambda task: "Two apples." if len(failing.tasks) <= 2 else EXAMPLE.format(n=len(task))
    items = run(SelfInstruct(count=6, per_request=10), failing)
    assert len(failing.proposals) == 1
    assert len(records(items)) == 6
    assert reasons(items) == {"unreadable-examples": 2, "surplus": 2}


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


def test_a_record_names_its_seeds_and_all_answers():
    model = Model()
    (record,) = records(run(SelfInstruct(count=1), model))
    shown = model.proposals[0].messages[0].content
    assert set(record.origin.parents) == {seed.id for seed in SEEDS if seed.instruction in shown}
    assert len(record.origin.answers) == 3  # the task, whether it is classification, the example
    assert (record.output.endswith("pears"), record.task, record.origin.round) == (True, "", 0)


def test_records_come_out_the_same_whatever_answers_first():
    quick = run(SelfInstruct(count=25, round_size=4), Model())
    assert quick == run(SelfInstruct(count=25, round_size=4), Model(delay=True))
    assert len(records(quick)) == 25


class Crowded:
    """A teacher behind a door that lets in so many at once, each for a random time."""

    def __init__(self, model: Model, places: int) -> None:
        self.model, self.places, self.random = model, asyncio.Semaphore(places), random.Random()
        self.inside = self.most = 0

    async def __call__(self, request: Request) -> Reply:
        async with self.places:
            self.inside += 1
            self.most = max(self.most, self.inside)
            await asyncio.sleep(self.random.random() / 300)
            self.inside -= 1
            return await self.model(request)


def test_the_same_comes_out_at_any_concurrency_with_faults_and_surplus():
    generator = SelfInstruct(count=120, instances=2, round_size=8)
    outcomes = []
    for places in (1, 5, 64):
        notes: list[str] = []
        model = Model(example=every(4, EXAMPLE.format(n=1) + "\n\nExample 2\nOutput:"))
        crowd = Crowded(model, places)
        outcomes.append((run(generator, crowd, notes=notes), notes, Counter(model.tasks)))
    assert crowd.most > 30  # examples are asked for in large batches
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert len(records(outcomes[0][0])) == 120


def test_the_yield_is_told_after_the_first_round_and_then_seldom():
    notes: list[str] = []
    model = Model(lambda n, first, request: f"{Model.novel(n, first, request)}\n{first + n}. Too short here")
    items = run(SelfInstruct(count=900), model, notes=notes)
    assert len(records(items)) == 900
    assert 2 <= len(notes) <= 4
    told = re.fullmatch(
        r"self-instruct: 16 of 900 records after 34 requests; 16 of 18 proposed tasks accepted \(89 %\), "
        r"examples of 16 asked for; dropped: too-short 2; at this yield, about ([\d,]+) requests in all",
        notes[0],
    )
    assert abs(int(told[1].replace(",", "")) - model.requests) < 0.05 * model.requests


def test_a_run_that_is_done_at_once_tells_no_yield():
    notes: list[str] = []
    run(SelfInstruct(count=8), Model(), notes=notes)
    assert notes == []


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
    notes: list[str] = []
    same = Model(lambda n, first, request: f"{first}. Sing about old lamps.")
    items = run(SelfInstruct(count=50, patience=3), same, notes=notes)
    assert [record.instruction for record in records(items)] == ["Sing about old lamps."]
    last = items[-1]
    assert isinstance(last, Drop)
    assert last.reason == "yield-collapsed"
    sent = len(same.proposals)
    assert re.search(
        rf"since 3 rounds in a row brought no new task, at 1 of 50 records after {sent + 2} requests; "
        rf"1 of {sent} proposed .* dropped: too-similar {sent - 1}; give it more varied seeds",
        last.detail,
    )
    assert notes[-1] == last.detail


def test_nothing_at_all_is_an_error_that_says_what_to_do():
    with pytest.raises(FilialError, match=r"0 of 5 records .* refused \d+; give it more varied seeds.*Sorry, I can't"):
        run(SelfInstruct(count=5, patience=2), Model(lambda n, first, request: "Sorry, I can't propose tasks."))


def test_a_teacher_that_writes_no_examples_is_given_up_before_much_is_paid():
    model = Model(example=lambda task: "Two apples.")
    items, error = run_to_error(SelfInstruct(count=5000), model)
    assert "the examples of 64 tasks in a row brought no record, at 0 of 5,000" in str(error)
    assert "could not use was 'Two apples.'" in str(error)
    assert reasons(items) == {"unreadable-examples": 64}
    assert len(model.tasks) == 64
    assert len(model.proposals) < 20


def test_a_teacher_that_stops_writing_examples_leaves_what_there_was():
    model = Model()
    model.example = lambda task: EXAMPLE.format(n=2) if len(model.tasks) <= 40 else "Two apples."
    items = run(SelfInstruct(count=200), model)
    assert len(records(items)) == 40
    assert items[-1].reason == "yield-collapsed"
    assert "tasks in a row brought no record, at 40 of 200" in items[-1].detail


class Down(Model):
    """Fails every request from the ``last``-th on."""

    def __init__(self, last: int) -> None:
        super().__init__()
        self.last, self.calls = last, 0

    async def __call__(self, request: Request) -> Reply:
        self.calls += 1
        if self.calls >= self.last:
            raise TeacherError("http-500", "overloaded")
        return await super().__call__(request)


def test_a_teacher_that_fails_at_everything_ends_it_with_its_reason():
    items, error = run_to_error(SelfInstruct(count=30), Down(1))
    assert re.search(r"since 4 rounds .* at 0 of 30 records .* teacher-http-500 \d+; see to the teacher", str(error))
    assert reasons(items).keys() == {"teacher-http-500"}


def test_a_teacher_that_fails_from_some_point_on_leaves_what_there_was():
    items = run(SelfInstruct(count=100), Down(60))
    made = len(records(items))
    assert 0 < made < 60
    assert f"at {made} of 100 records" in items[-1].detail
    assert "see to the teacher" in items[-1].detail
    assert reasons(items)["yield-collapsed"] == 1


def test_a_run_of_bad_luck_at_the_end_is_no_collapse():
    """One proposal in six is new: the last tasks are found all the same, with rounds that grow while none is."""
    for base in range(60):

        def seldom(n: int, first: int, request: Request, base: int = base) -> str:
            fresh = crc32(f"{base}{request.messages[0].content}{request.draw}".encode()) % 6 == 0
            return Model.novel(1, first, request) if fresh else SEEDS[0].instruction

        items = run(SelfInstruct(count=6, per_request=1, patience=3), Model(seldom))
        assert len(records(items)) == 6


def test_a_failed_request_costs_only_itself():
    class Faulty(Model):
        calls = 0

        async def __call__(self, request: Request) -> Reply:
            self.calls += 1
            if self.calls in (2, 6):  # a request for tasks, a request for examples
                raise TeacherError("http-500", "overloaded", answer="half")
            return await super().__call__(request)

    items = run(SelfInstruct(count=6, per_request=2), Faulty())
    assert len(records(items)) == 6
    failed = [item for item in items if isinstance(item, Drop) and item.reason == "teacher-http-500"]
    assert [(drop.detail, drop.answer, drop.record is None) for drop in failed] == [
        ("overloaded", "half", True),
        ("overloaded", "half", False),
    ]


def test_other_errors_stop_the_run_and_leave_no_request_behind():
    class Broken(Model):
        async def __call__(self, request: Request) -> Reply:
            if len(self.proposals) == 9:
                raise FilialError("the budget is used up")
            return await super().__call__(request)

    notes: list[str] = []
    _, error = run_to_error(SelfInstruct(count=500), Broken(), notes=notes)
    assert str(error) == "the budget is used up"
    assert re.search(r"16 of 500 records after \d+ requests; .* about 1,0\d\d requests in all$", notes[-1])


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
    items, _ = run_to_error(
        SelfInstruct(count=1),
        context(lambda r: "Count the apples in it." if "new tasks" in r.messages[0].content else said)._ask,
    )
    drop = next(i for i in items if i.reason != "too-similar")
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


SEED_FILE = "pkg:filial_plugins/procedural/seeds.jsonl"


def test_the_command_makes_exactly_count_records_from_a_noisy_teacher(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    words = ["generate", "self-instruct", SEED_FILE, "-o", "o.jsonl", "--count", "50", "--teacher", "procedural"]
    assert invoke([*words, "-T", "noise=0.5"]) == 0
    assert len((tmp_path / "o.jsonl").read_text().splitlines()) == 50
    assert "self-instruct: " in capfd.readouterr().err


def test_the_command_that_falls_short_of_count_says_so_and_ends_with_5(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    words = ["generate", "self-instruct", SEED_FILE, "-o", "o.jsonl", "--count", "500", "--teacher", "procedural"]
    assert invoke([*words, "--threshold", "0.3"]) == 5
    made = len((tmp_path / "o.jsonl").read_text().splitlines())
    assert 0 < made < 500
    assert f"at {made} of 500 records" in capfd.readouterr().err
    last = json.loads((tmp_path / "o.drops.jsonl").read_text().splitlines()[-1])
    assert last["reason"] == "yield-collapsed"


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
