"""The catalogue: arguments that can be drawn, sentences that say them, and what never stands side by side."""

from __future__ import annotations

import json
import random
from itertools import combinations

import pytest

from filial import Constraint
from filial_plugins.constraints.catalogue import (
    CONSTRAINT_TYPES,
    append_sentence,
    check_constraint,
    draw_constraint,
    find_stated_traits,
    split_constraints,
)
from filial_plugins.constraints.constraint_type import are_compatible
from filial_plugins.constraints.verdicts import find_violation

EACH = pytest.mark.parametrize("kind", CONSTRAINT_TYPES.values(), ids=lambda kind: kind.name)
TASK = "Say what a river is."


def drawn(kind, count=40):
    """Many constraints of a type, as the strategy draws them."""
    rng = random.Random(kind.name)
    for _ in range(count):
        args = kind.draw(rng)
        yield Constraint(type=kind.name, args=args, text=kind.write_sentence(args, rng))


@EACH
def test_drawn_arguments_are_valid_and_survive_a_file(kind):
    for one in drawn(kind):
        assert check_constraint(kind.name, one.args) == ""
        assert json.loads(json.dumps(one.args)) == one.args
        assert isinstance(find_violation("Some text.", kind.name, one.args), str)


@EACH
def test_there_are_several_wordings_and_each_is_one_line(kind):
    assert len(set(kind.wordings)) >= 4
    for one in drawn(kind, 100):
        assert "\n" not in one.text
        assert "{" not in one.text
        assert one.text[0].isupper()
        assert one.text.endswith((".", '."'))


@EACH
def test_a_sentence_names_every_argument(kind):
    for one in drawn(kind):
        for value in one.args.values():
            for part in value if isinstance(value, list) else [value]:
                assert str(part) in one.text


@EACH
def test_a_sentence_is_read_back_as_what_it_was_written_from(kind):
    for one in drawn(kind, 100):
        assert split_constraints(f"{TASK} {one.text}") == (TASK, (one,))


def test_a_sentence_of_somebody_else_is_none_of_the_catalogues():
    for text in ("Use at least some words.", "Answer in words.", "Avoid trouble altogether.", TASK, "", "."):
        assert split_constraints(text) == (text, ())


@pytest.mark.parametrize(
    "pair",
    [
        ("upper-case", "lower-case"), ("json", "bullet-count"), ("json", "no-commas"), ("csv", "table"),
        ("start-with", "quoted"), ("start-with", "lower-case"), ("end-with", "postscript"), ("script", "start-with"),
        ("no-digits", "numbered-list"), ("no-digits", "number-count"), ("exclude-marks", "question-count"),
        ("word-count", "sentence-count"), ("line-start", "bullet-count"), ("acrostic", "title"), ("json", "upper-case"),
        ("code-fence", "tagged"), ("capital-words", "upper-case"), ("paragraph-count", "title"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_never_drawn_together(pair):
    one, other = (CONSTRAINT_TYPES[name] for name in pair)
    assert not are_compatible(one, other)
    assert not are_compatible(other, one)
    rng = random.Random(1)
    for _ in range(50):
        there = next(drawn(one, 1))
        assert draw_constraint(append_sentence(TASK, there.text), [there], rng, [other.name]) is None


def test_compatible_is_the_same_both_ways_and_never_with_itself():
    for one, other in combinations(CONSTRAINT_TYPES.values(), 2):
        assert are_compatible(one, other) == are_compatible(other, one)
    assert not any(are_compatible(kind, kind) for kind in CONSTRAINT_TYPES.values())


def test_every_type_has_company():
    """A type that goes with hardly anything would end every chain."""
    for kind in CONSTRAINT_TYPES.values():
        assert sum(are_compatible(kind, other) for other in CONSTRAINT_TYPES.values()) >= 5, kind.name


def test_chains_grow_until_nothing_fits_and_all_types_come_up():
    seen = set()
    for seed in range(200):
        rng, text, there = random.Random(seed), TASK, []
        while (new := draw_constraint(text, there, rng)) is not None:
            assert all(are_compatible(CONSTRAINT_TYPES[new.type], CONSTRAINT_TYPES[old.type]) for old in there)
            text, there = append_sentence(text, new.text), [*there, new]
        assert 2 <= len(there) <= 20
        assert split_constraints(text) == (TASK, tuple(there))
        seen |= {one.type for one in there}
    assert seen == set(CONSTRAINT_TYPES)


def test_the_same_seed_draws_the_same():
    assert draw_constraint(TASK, [], random.Random(7)) == draw_constraint(TASK, [], random.Random(7))
    assert len({draw_constraint(TASK, [], random.Random(seed)).type for seed in range(100)}) > 20


@pytest.mark.parametrize(
    ("instruction", "never"),
    [
        ("Return the result as JSON.", {"bullet-count", "csv", "table", "parts"}),
        ("Write a Python function that adds.", {"upper-case", "json", "no-commas", "script", "start-with"}),
        ("Explain it in 50 words.", {"word-count", "character-count"}),
        ("Write the name in upper case.", {"lower-case", "capital-words"}),
        ("Translate this into German: good day.", {"script", "include-words", "start-with"}),
        ("세 가지 색을 말해 주세요.", {"upper-case", "include-words", "letter-frequency", "script"}),
        ("Start your answer with the date.", {"start-with", "title", "json"}),
    ],
)
def test_what_the_instruction_asks_for_itself_is_not_contradicted(instruction, never):
    assert find_stated_traits(instruction)
    drawn_types = {draw_constraint(instruction, [], random.Random(seed)).type for seed in range(300)}
    assert not drawn_types & never
    assert drawn_types


def test_words_of_the_task_are_not_forbidden():
    task = "Say what is very or really a thing, actually, and simply, however many, is not."
    for seed in range(300):
        new = draw_constraint(task, [], random.Random(seed), ["exclude-words"])
        assert new is None or not {"very", "really", "thing", "actually", "simply", "however", "many"} & set(
            new.args["words"]
        )


@pytest.mark.parametrize(
    ("instruction", "whole"),
    [
        ("Name a river.", "Name a river. Use no commas."),
        ("Name a river", "Name a river\nUse no commas."),
        ("Sum this up:\nA river. It flows.", "Sum this up:\nA river. It flows.\nUse no commas."),
        ("x\nUse no digits: write numbers as words.", "x\nUse no digits: write numbers as words. Use no commas."),
    ],
)
def test_a_sentence_is_put_where_a_reader_expects_it(instruction, whole):
    assert append_sentence(instruction, "Use no commas.") == whole


@pytest.mark.parametrize(
    ("name", "args", "said"),
    [
        ("word-cuont", {}, "did you mean word-count?"),
        ("rhyme", {}, "there are: word-count, "),
        ("word-count", {}, "it takes at_least, at_most (or both): integers"),
        ("word-count", {"at_least": 9, "at_most": 3}, "takes"),
        ("word-count", {"at_least": "3"}, "takes"),
        ("word-count", {"at_least": 3, "most": 4}, "takes"),
        ("include-words", {"words": "because"}, "takes words: list of texts"),
        ("script", {"script": "Klingon"}, "takes script: Latin, "),
        ("no-commas", {"n": 1}, "takes none"),
        ("json", {"keys": [1]}, "takes"),
        ("json", {"keys": []}, "takes"),
        ("table", {"columns": 0}, "takes"),
        ("table", None, "takes"),
    ],
)
def test_arguments_that_no_checker_can_use_are_named(name, args, said):
    assert said in check_constraint(name, args)
