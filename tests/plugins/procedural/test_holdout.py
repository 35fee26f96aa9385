"""What is kept for the exams never reaches a pupil, and the exams are the same for ever."""

from __future__ import annotations

import json
import random

import pytest

from filial_plugins.procedural import exam
from filial_plugins.procedural.evolution import STRATEGIES
from filial_plugins.procedural.holdout import (
    has_held_pair,
    is_held_pair,
    is_held_text,
    is_held_wording,
)
from filial_plugins.procedural.operations import list_names, operations
from filial_plugins.procedural.parser import read_instruction
from filial_plugins.procedural.prompts import Evolve, Propose
from filial_plugins.procedural.teacher import Oracle
from filial_plugins.procedural.truth import truth
from filial_plugins.procedural.world import World


def uttered(oracle: Oracle, count: int) -> list[str]:
    """Instructions that a teacher proposes and evolves."""
    rng = random.Random(11)
    texts = []
    for _ in range(count):
        listed = oracle._propose(Propose(("Reverse the list.",), 1, 1), rng)
        text = listed.removeprefix("1. ")
        texts.append(text)
        for _ in range(2):
            request = Evolve(rng.choice(tuple(STRATEGIES)), text, text, "")
            new = oracle._evolve(request, rng).split("\n\n")[0]
            if new == text:
                break
            text = new
            texts.append(text)
    return texts


def instructions(name: str) -> list[str]:
    """The instructions of a shipped exam."""
    lines = (exam.FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["instruction"] for line in lines]


def test_the_teacher_never_uses_what_is_held_out() -> None:
    for text in uttered(Oracle(), 250):
        reading = read_instruction(text)
        assert reading is not None, text
        assert not any(is_held_wording(*pair) for pair in reading.wordings), text
        assert not has_held_pair(reading.task), text
        assert not is_held_text(text), text


def test_without_holdout_the_teacher_uses_everything() -> None:
    readings = [read_instruction(text) for text in uttered(Oracle(World("core", holdout=False)), 150)]
    found = [reading for reading in readings if reading]
    assert any(is_held_wording(*pair) for reading in found for pair in reading.wordings)
    assert any(has_held_pair(reading.task) for reading in found)


def test_about_a_fifth_of_the_wordings_and_15_percent_of_the_pairs_are_held() -> None:
    wordings = [(op.name, w) for op in operations().values() for asked in (False, True) for w in op.wordings(asked)]
    assert 0.1 < sum(is_held_wording(*pair) for pair in wordings) / len(wordings) < 0.25
    core = list_names("core")
    assert 0.1 < sum(is_held_pair(a, b) for a in core for b in core) / len(core) ** 2 < 0.2


def test_a_held_wording_has_no_word_of_its_own() -> None:
    for op in operations().values():
        wordings = [w for asked in (False, True) for w in op.wordings(asked)]
        taught = {word for w in wordings if not is_held_wording(op.name, w) for word in w.split()}
        held = {word for w in wordings if is_held_wording(op.name, w) for word in w.split()}
        assert held <= taught, op.name


@pytest.mark.slow
@pytest.mark.parametrize("name", exam.NAMES)
def test_shipped_exams_are_made_again_byte_for_byte(name: str) -> None:
    shipped = (exam.FOLDER / f"{name}.jsonl").read_text(encoding="utf-8")
    assert exam.to_json_lines(exam.make_exam(name)) == shipped


@pytest.mark.parametrize("name", exam.NAMES)
def test_exam_records_are_right_and_different(name: str) -> None:
    lines = (exam.FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert len(records) == exam.SIZE
    assert len({record["instruction"] for record in records}) == exam.SIZE
    for record in records:
        assert set(record) == {"instruction", "input", "output", "tags"}
        assert truth(record["instruction"], record["input"]) == record["output"]


def test_each_exam_asks_for_what_is_held_out() -> None:
    for text in instructions("paraphrase"):
        reading = read_instruction(text)
        assert reading is not None
        assert all(is_held_wording(*pair) for pair in reading.wordings)
    for text in instructions("composition"):
        reading = read_instruction(text)
        assert reading is not None
        assert has_held_pair(reading.task)
    assert all(is_held_text(text) for text in instructions("evolved"))
