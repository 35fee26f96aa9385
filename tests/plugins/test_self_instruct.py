"""The generator `self-instruct` against scripted teachers: as many records as wanted, and what each comes from."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Callable
from zlib import crc32

import pytest
from self_instruct_kit import EXAMPLE, SEED_FILE, SEEDS, Model, reasons, records, run, run_to_error

from filial import Drop, FilialError, Message, Record, Reply, Request, UsageError
from filial.cli import invoke
from filial.testing import GeneratorContract, context
from filial_plugins.generators.self_instruct import SelfInstruct


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


def test_no_more_is_asked_than_is_missing():
    model = Model()
    run(SelfInstruct(count=10, per_request=5), model)
    assert len(model.proposals) == 2


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


def test_no_seed_is_told():
    with pytest.raises(UsageError, match="seed"):
        run(SelfInstruct(), Model(), [Record(messages=(Message(role="user", content="Hi"),))])


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


def test_the_command_makes_exactly_count_records_from_a_noisy_teacher(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    words = ["generate", "self-instruct", SEED_FILE, "-o", "o.jsonl", "--count", "50", "--teacher", "procedural"]
    assert invoke([*words, "-T", "noise=0.5"]) == 0
    assert len((tmp_path / "o.jsonl").read_text().splitlines()) == 50
    assert "self-instruct: " in capfd.readouterr().err
