"""The embedded teacher keeps what the catalogue's sentences ask for, and breaks exactly what noise wants broken."""

from __future__ import annotations

import asyncio
import random
from itertools import combinations

import pytest

from filial import Constraint, Message, Request
from filial_plugins.constraints.catalogue import CONSTRAINT_TYPES, append_sentence, draw_constraint
from filial_plugins.constraints.constraint_type import are_compatible
from filial_plugins.constraints.kinds import edges, shapes, words
from filial_plugins.constraints.measures import count_word
from filial_plugins.constraints.verdicts import find_violation
from filial_plugins.procedural.answer_sentences import FILLERS
from filial_plugins.procedural.constrained_answers import answer_with_constraints, write_answer
from filial_plugins.procedural.teacher import ProceduralTeacher

ANSWERS = ("42", "apple blue pink truck", "yes", "12 16 2 24", "Paris", "zebra, glove and saw", "7 Tuesday; (May)")
TASK = "Put the items in reverse order."
INPUT = "shirt boat green bus glove"


def broken_in(text, constraints):
    return [one.type for one in constraints if find_violation(text, one.type, one.args)]


def assert_kept_and_broken(kinds, rng):
    constraints = [Constraint(type=kind.name, args=kind.draw(rng), text="") for kind in kinds]
    right = rng.choice(ANSWERS)
    assert broken_in(write_answer(right, constraints), constraints) == []
    for one in constraints:
        assert broken_in(write_answer(right, constraints, one.type), constraints) == [one.type]


@pytest.mark.parametrize("kind", CONSTRAINT_TYPES.values(), ids=lambda kind: kind.name)
def test_each_type_is_kept_and_broken_at_will(kind):
    rng = random.Random(kind.name)
    for _ in range(40):
        assert_kept_and_broken([kind], rng)


def test_every_two_types_that_are_said_to_go_together_do():
    """The catalogue's word on what contradicts what, shown by an answer that keeps both."""
    rng = random.Random(2)
    pairs = [pair for pair in combinations(CONSTRAINT_TYPES.values(), 2) if are_compatible(*pair)]
    assert len(pairs) > 300
    for pair in pairs:
        assert_kept_and_broken(pair, rng)


def test_so_do_whole_chains():
    for seed in range(150):
        rng, text, there = random.Random(seed), TASK, []
        while len(there) < 5 and (new := draw_constraint(text, there, rng)) is not None:
            text, there = append_sentence(text, new.text), [*there, new]
        for broken in ("", *(one.type for one in there)):
            found = broken_in(write_answer("apple blue", there, broken), there)
            assert found == ([broken] if broken else []), (found, [(one.type, one.args) for one in there])


def asked(instruction, given=INPUT, draw=0):
    return Request(messages=(Message(role="user", content=f"{instruction}\n\n{given}"),), draw=draw)


def reply(teacher, request):
    return asyncio.run(teacher.reply(request)).text


def test_the_teacher_reads_the_sentences_and_still_gives_the_right_answer():
    text = reply(ProceduralTeacher(), asked(f"{TASK} Use no commas. Write exactly 4 bullets, one to a line."))
    assert "glove bus green boat shirt" in text
    assert text.count("\n- ") == 3


def test_noise_breaks_at_its_rate_and_the_teacher_knows_what():
    teacher = ProceduralTeacher(noise=0.2)
    constraint = Constraint(type="bullet-count", args={"at_least": 4, "at_most": 4}, text="")
    broken = 0
    for draw in range(400):
        request = asked(f"{TASK} Write exactly 4 bullets, one to a line.", draw=draw)
        faults = teacher.faults(request)
        assert faults in ([], ["broken:bullet-count"])
        assert broken_in(reply(teacher, request), [constraint]) == [fault.split(":")[1] for fault in faults]
        broken += bool(faults)
    assert 55 <= broken <= 105  # 80 expected, three standard deviations


def test_what_is_broken_is_drawn_evenly():
    rng = random.Random(4)
    two = [Constraint(type=name, args={}, text="") for name in ("no-commas", "title")]
    drawn = [answer_with_constraints("yes", two, True, rng).broken for _ in range(400)]
    assert 150 <= drawn.count("title") <= 250
    assert answer_with_constraints("yes", two, False, rng).broken == ""


def test_outside_its_world_the_teacher_refuses_as_ever():
    assert reply(ProceduralTeacher(), asked("Write a poem. Use no commas.")).startswith("Sorry")


def test_a_rewritten_prompt_keeps_its_constraints():
    """Evolving on from a checkable constraint: its sentence still ends the new prompt."""
    prompt = (
        "Rewrite it: increase the depth and breadth of the inquiry.\n\n#Given Prompt#:\n"
        f"{TASK} Use no commas.\n\nInput:\n{INPUT}\n\n#Rewritten Prompt#:"
    )
    text = reply(ProceduralTeacher(), Request(messages=(Message(role="user", content=prompt),)))
    instruction = text.split("\n\nInput:")[0]
    assert instruction.endswith(" Use no commas.")
    assert not instruction.startswith(TASK)


def test_the_words_it_fills_up_with_are_in_no_list_of_the_catalogue():
    lists = (*words.INCLUDED, *words.EXCLUDED, *words.REPEATED, *words.IN_PASSING, *shapes.OPENERS)
    assert not [word for word in lists if any(count_word(text, word) for text in FILLERS)]
    assert not set("".join(FILLERS)) & set(",;!?()0123456789" + words.RARE)


def test_no_list_of_the_catalogue_holds_a_word_of_another():
    """Else a phrase that one constraint asks for could hold a word that another forbids or counts."""
    phrases = (*words.IN_PASSING, *edges.FIRST_SENTENCES, *edges.LAST_SENTENCES, *words.INCLUDED)
    for word in (*words.EXCLUDED, *words.REPEATED):
        assert not [phrase for phrase in phrases if count_word(phrase, word)]
