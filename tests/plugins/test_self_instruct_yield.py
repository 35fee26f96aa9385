"""What `self-instruct` tells of its yield, and how it ends where a teacher brings nothing new or fails."""

from __future__ import annotations

import json
import re
from zlib import crc32

import pytest
from self_instruct_kit import EXAMPLE, SEED_FILE, SEEDS, Model, reasons, records, run, run_to_error

from filial import Drop, FilialError, Reply, Request, TeacherError
from filial.cli import invoke
from filial_plugins.generators.self_instruct import SelfInstruct
from filial_plugins.generators.self_instruct.yield_stats import YieldStats


def test_the_yield_is_told_after_the_first_round_and_then_seldom():
    notes: list[str] = []
    model = Model(lambda n, first, request: f"{Model.novel(n, first, request)}\n{first + n}. Too short here")
    items = run(SelfInstruct(count=900), model, notes=notes)
    assert len(records(items)) == 900
    assert 2 <= len(notes) <= 4
    told = re.fullmatch(
        r"self-instruct: 16 of 900 records after 34 requests; 18 tasks proposed, 16 accepted \(89 %\), "
        r"examples of 16 requested; dropped: too-short 2; about ([\d,]+) requests are needed in all",
        notes[0],
    )
    assert abs(int(told[1].replace(",", "")) - model.requests) < 0.05 * model.requests


@pytest.mark.parametrize("kinds", [1, 4, 5, 6, 20])
def test_the_reasons_told_add_up_to_what_was_dropped(kinds):
    stats = YieldStats(count=10, instances=1, per_request=8, per_task=1)
    for i in range(kinds):
        for _ in range(i + 1):
            stats.count_drop(Drop(f"reason-{i}"))
    told = stats.summarize().partition("; dropped: ")[2].split(", ")
    assert sum(int(part.rpartition(" ")[2]) for part in told) == kinds * (kinds + 1) // 2
    assert len(told) == min(kinds, 5)


def test_a_run_that_is_done_at_once_tells_no_yield():
    notes: list[str] = []
    run(SelfInstruct(count=8), Model(), notes=notes)
    assert notes == []


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
        rf"{sent} tasks proposed, 1 accepted .* dropped: too-similar {sent - 1}; give it more varied seeds",
        last.detail,
    )
    assert notes[-1] == last.detail


def test_a_run_of_bad_luck_at_the_end_is_no_collapse():
    """One proposal in six is new: the last tasks are found all the same, with rounds that grow while none is."""
    for base in range(60):

        def seldom(n: int, first: int, request: Request, base: int = base) -> str:
            fresh = crc32(f"{base}{request.messages[0].content}{request.draw}".encode()) % 6 == 0
            return Model.novel(1, first, request) if fresh else SEEDS[0].instruction

        items = run(SelfInstruct(count=6, per_request=1, patience=3), Model(seldom))
        assert len(records(items)) == 6


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
    assert re.search(r"since 4 rounds .* at 0 of 30 records .* teacher-http-500 \d+; check the teacher", str(error))
    assert reasons(items).keys() == {"teacher-http-500"}


def test_a_teacher_that_fails_from_some_point_on_leaves_what_there_was():
    items = run(SelfInstruct(count=100), Down(60))
    made = len(records(items))
    assert 0 < made < 60
    assert f"at {made} of 100 records" in items[-1].detail
    assert "check the teacher" in items[-1].detail
    assert reasons(items)["yield-collapsed"] == 1


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
    assert re.search(r"16 of 500 records after \d+ requests; .* about 1,0\d\d requests are needed in all$", notes[-1])


@pytest.mark.slow
def test_the_command_that_falls_short_of_count_says_so_and_ends_with_5(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    words = ["generate", "self-instruct", SEED_FILE, "-o", "o.jsonl", "--count", "500", "--teacher", "procedural"]
    assert invoke([*words, "--threshold", "0.3"]) == 5
    made = len((tmp_path / "o.jsonl").read_text().splitlines())
    assert 0 < made < 500
    assert f"at {made} of 500 records" in capfd.readouterr().err
    last = json.loads((tmp_path / "o.drops.jsonl").read_text().splitlines()[-1])
    assert last["reason"] == "yield-collapsed"
