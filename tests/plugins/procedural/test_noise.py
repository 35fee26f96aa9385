"""Faults on purpose: each kind, at about its rate, known afterwards, and in many forms."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from filial import Message, Request
from filial_plugins.procedural import ProceduralTeacher, noise, weak_answers, weak_rewrites
from filial_plugins.procedural.parser import parse
from filial_plugins.procedural.prompts import STRATEGY_CUES
from filial_plugins.procedural.truth import is_right

GIVEN = "Name the last fruit.\n\nInput:\napple mango plum"
TASK = "Reverse the fruits.\n\napple mango plum"


def request(text: str, draw: int = 0) -> Request:
    return Request(messages=(Message(role="user", content=text),), draw=draw)


def reply(teacher: ProceduralTeacher, asked: Request) -> str:
    return asyncio.run(teacher.reply(asked)).text


def rewriting(draw: int) -> Request:
    return request(f"You should {STRATEGY_CUES['deepen']}.\n\n#Given Prompt#:\n{GIVEN}\n\n#Rewritten Prompt#:", draw)


@pytest.mark.parametrize(
    ("table", "asked"),
    [(noise.ANSWER_FAULTS, lambda draw: request(TASK, draw)), (noise.REWRITE_FAULTS, rewriting)],
    ids=["answers", "rewrites"],
)
def test_every_kind_comes_at_about_its_rate(table, asked):
    teacher, n = ProceduralTeacher(noise=0.2), 1200
    found = Counter(kind for draw in range(n) for kind in teacher.faults(asked(draw)))
    assert set(found) == set(table)
    for kind, share in table.items():
        expected = 0.2 * share * n
        assert abs(found[kind] - expected) < 5 * expected**0.5, kind


def test_a_teacher_without_noise_makes_no_fault():
    assert not any(ProceduralTeacher().faults(rewriting(draw)) for draw in range(50))


def test_what_the_teacher_says_of_its_faults_is_true():
    teacher = ProceduralTeacher(noise=0.5)
    for draw in range(300):
        answer, kinds = reply(teacher, request(TASK, draw)), teacher.faults(request(TASK, draw))
        assert is_right("Reverse the fruits.", "apple mango plum", answer) == (not kinds)
        rewritten, kinds = reply(teacher, rewriting(draw)), teacher.faults(rewriting(draw))
        instruction = rewritten.partition("\n\nInput:\n")[0]
        same = parse(instruction) == parse("Name the last fruit.")
        assert (rewritten == GIVEN) == (kinds == ["unchanged"])
        if kinds == ["reworded"]:
            assert same
            assert rewritten.endswith("apple mango plum")
        elif not kinds:
            assert parse(instruction)
            assert not same


def test_faults_come_in_many_forms():
    for forms in (weak_rewrites.LEAKS, weak_answers.APOLOGIES, weak_answers.EMPTY, weak_answers.NON_ANSWERS):
        assert len(set(forms)) >= 25
    rng = random.Random(0)
    texts = {noise.make_faulty_answer("plum", rng) for _ in range(3000)}
    kinds = Counter(slip.kind for slip in texts)
    assert all(kinds[kind] >= 100 for kind in ("apology", "empty", "non-answer"))


def test_apologies_are_short_and_long_answers_that_say_sorry_are_not():
    rng, lengths = random.Random(1), {"apology": set(), "chatter": set()}
    for _ in range(5000):
        slip = noise.make_faulty_answer("plum kiwi", rng)
        if slip.kind in lengths:
            lengths[slip.kind].add(len(slip.text.split()))
            assert slip.kind == "apology" or ("sorry" in slip.text and slip.text.endswith("plum kiwi"))
    assert max(lengths["apology"]) in range(70, 80)
    assert min(lengths["chatter"]) > 80


def test_the_judge_is_right_in_whatever_words_it_says_so():
    teacher = ProceduralTeacher(noise=0.5)
    asked = "Compare.\n\n#First Prompt#:\n{}\n\n#Second Prompt#:\n{}\n\nAnswer with one of: Equal, Not Equal."
    for second, same in (("Tell me: which number is the largest?", True), ("Find the smallest number.", False)):
        texts = {reply(teacher, request(asked.format("Find the largest number.", second), draw)) for draw in range(60)}
        assert len(texts) > 4
        assert all(("not" in text.lower() or "un" in text.lower()) != same for text in texts)
