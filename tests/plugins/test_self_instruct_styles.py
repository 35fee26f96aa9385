"""The three styles of `self-instruct` side by side: each mend by its option, on a case of our own."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import filial_plugins.generators.self_instruct as package
from filial import Context, Drop, FilialError, Record, Reply, Request, TeacherError, UsageError
from filial.cli import invoke
from filial_plugins.generators.self_instruct import SelfInstruct, blocks, lists, reading
from filial_plugins.generators.self_instruct.styles import BLOCKED, NAMES, TABLE

SEEDS = [
    Record(id=f"s{i}", instruction=f"{verb} the {thing} of a small town.", output="done", tags=tags)
    for i, (verb, thing, tags) in enumerate(
        [("Describe", "market", ()), ("Rate", "harbour", ("classification",)), ("Rename", "bridge", ()),
         ("Judge", "library", ("classification",)), ("List", "gardens", ()), ("Sketch out", "history", ()),
         ("Count", "lamps", ()), ("Praise", "bakers", ())]
    )
]  # fmt: skip


class Teacher:
    """Says one thing when it is asked for tasks, and from then on nothing; keeps to stop strings and to the limit."""

    def __init__(
        self, tasks: str, examples: str = "Output: done well", yes: str | None = "No", finish: str = "stop"
    ) -> None:
        self.tasks, self.examples, self.yes, self.finish = tasks, examples, yes, finish
        self.asked: dict[str, list[Request]] = {"tasks": [], "question": [], "examples": []}

    async def __call__(self, request: Request) -> Reply:
        text = request.messages[-1].content
        if text.endswith("Is it classification?"):
            self.asked["question"].append(request)
            if self.yes is None:
                raise TeacherError("http-500", "overloaded")
            return Reply(text=self.yes)
        if re.search(r"\nTask: .*\n\Z", text):
            self.asked["examples"].append(request)
            return Reply(text=self.examples)
        self.asked["tasks"].append(request)
        said = self.tasks if len(self.asked["tasks"]) == 1 else ""
        for mark in request.stop:
            said = said.partition(mark)[0]
        return Reply(text=said, finish_reason=self.finish)


def run(generator: SelfInstruct, teacher: Any, seeds: list[Record] = SEEDS) -> list[Any]:
    async def work() -> list[Any]:
        ctx, items = Context(teacher, key=(0, "generate")), []
        try:
            async for item in generator.generate(seeds, ctx):
                items.append(item)
        except FilialError as error:
            items.append(error)
        return items

    return asyncio.run(asyncio.wait_for(work(), 60))


def records(items: list[Any]) -> list[Record]:
    return [item for item in items if isinstance(item, Record)]


def reasons(items: list[Any]) -> Counter[str]:
    return Counter(item.reason for item in items if isinstance(item, Drop))


def options(style: str = "filial", **given: Any) -> SelfInstruct:
    """A short run: what the first reply brings, and no more."""
    return SelfInstruct(style=style, **{"count": 50, "patience": 1, "round_size": 1, **given})


JOINT = {"joint": True, "seed_examples": 3, "machine_examples": 0}
"""Blocks that go on at number 4, as Alpaca's do."""


def instructions(teacher: Teacher, style: str = "filial", **given: Any) -> list[str]:
    return [record.instruction for record in records(run(options(style, **given), teacher))]


# the table ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", NAMES)
def test_a_style_settles_every_option_that_is_not_given(style):
    chosen = asdict(SelfInstruct(style=style).chosen)
    assert {name: chosen[name] for name in TABLE} == {name: row[NAMES.index(style)] for name, row in TABLE.items()}


def fits(name: str, style: str, value: Any) -> bool:
    return not (name in ("joint", "classification") and (style == "alpaca" or value is True))


CASES = [
    (name, style, value)
    for name, row in TABLE.items()
    for i, style in enumerate(NAMES)
    for value in row
    if value is not None and value != row[i] and fits(name, style, value)
]


@pytest.mark.parametrize(("name", "style", "value"), CASES)
def test_each_option_can_be_set_beside_any_style_and_changes_nothing_else(name, style, value):
    changed = asdict(SelfInstruct(style=style, **{name: value}).chosen)
    assert changed.pop(name) == value
    assert changed == {key: was for key, was in asdict(SelfInstruct(style=style).chosen).items() if key != name}


def test_every_row_of_the_table_is_an_option_that_says_what_each_style_has():
    for name, row in TABLE.items():
        said = SelfInstruct.model_fields[name].description
        assert all(f"{style} " in said.partition("By style: ")[2] for style in NAMES), name
        assert SelfInstruct.model_fields[name].default is None
        if isinstance(row[0], int) and not isinstance(row[0], bool):
            assert f"filial {row[0]}" in said


def test_each_option_has_its_line_in_the_docs():
    text = (Path(package.__file__).parents[4] / "docs" / "methods.md").read_text(encoding="utf-8")
    assert [name for name in TABLE if f"`{name}" not in text] == []


# requests for tasks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("style", "opening", "ending"),
    [
        ("filial", "Below is a list of tasks", "\n9."),
        ("paper", "Come up with a series of tasks:\n1. ", "\n9."),
        ("alpaca", "Write a numbered list of 20 tasks", "\n###\n4. Instruction:"),
    ],
)
def test_what_a_request_shows(style, opening, ending):
    teacher = Teacher("")
    run(options(style), teacher)
    text = teacher.asked["tasks"][0].messages[-1].content
    assert text.startswith(opening)
    assert text.endswith(ending)


def test_rounds_are_whole_where_the_program_has_it_so():
    for given_options, sent in (({}, 1), ({"full_rounds": True}, 16), ({"style": "paper"}, 5)):
        teacher = Teacher(" Name the oldest tree of the town.")
        assert len(records(run(SelfInstruct(count=1, **given_options), teacher))) == 1
        assert len(teacher.asked["tasks"]) == sent


def test_only_classification_shows_only_such_seeds_and_asks_for_such_tasks():
    for style in ("filial", "paper"):
        teacher = Teacher("")
        run(options(style, only_classification=True), teacher)
        text = teacher.asked["tasks"][0].messages[-1].content
        assert "classification tasks" in text
        assert re.findall(r"^\d\. (\w+)", text, re.MULTILINE) in (["Rate", "Judge"], ["Judge", "Rate"])
    untagged = [seed for seed in SEEDS if not seed.tags]
    (error,) = run(options(only_classification=True), Teacher(""), untagged)
    assert isinstance(error, UsageError)
    assert "no seed tagged classification" in str(error)


def test_a_year_in_a_task_does_not_end_the_reply():
    said = " Sum up what changed in 2016. Use two lines.\n10. Name one good tree."
    assert instructions(Teacher(said)) == ["Sum up what changed in 2016. Use two lines.", "Name one good tree."]
    assert instructions(Teacher(said), stop=("16.",)) == ["Sum up what changed in 20"]
    assert instructions(Teacher(said), "paper") == ["Sum up what changed in 20"]
    price = BLOCK.format(4, "Say what it costs.", "a ticket", "$20. No more.")
    assert [r.output for r in records(run(options("alpaca"), Teacher(price)))] == ["$"]
    assert [r.output for r in records(run(options(**JOINT), Teacher(price)))] == ["$20. No more."]


# reading tasks ------------------------------------------------------------------------------------------------------

BLOCK = " {1}\n{0}. Input:\n{2}\n{0}. Output:\n{3}"


def in_blocks(*tasks: tuple[str, str, str]) -> str:
    said = [f"{i}. Instruction:{BLOCK.format(i, *task)}" for i, task in enumerate(tasks, 4)]
    return "\n###\n".join(said).removeprefix("4. Instruction:")


def test_letter_case():
    said = " Translate NASA's memo for Ms. Öz.\n10. name one tree near Rome"
    kept = ["Translate NASA's memo for Ms. Öz.", "name one tree near Rome"]
    lowered = ["Translate nasa's memo for ms. öz.", "Name one tree near rome"]
    assert instructions(Teacher(said)) == kept
    assert instructions(Teacher(said), letter_case="capitalize") == lowered
    assert instructions(Teacher(said), "paper") == lowered
    assert instructions(Teacher(said), "paper", letter_case="keep") == kept


def test_a_numbered_list_inside_a_task():
    said = " Put these steps in order:\n1. peel the old potatoes\n2. boil some salted water\n10. Name one good tree."
    whole = ["Put these steps in order: 1. peel the old potatoes 2. boil some salted water", "Name one good tree."]
    cut = ["Put these steps in order:", "Peel the old potatoes", "Boil some salted water", "Name one good tree."]
    assert instructions(Teacher(said)) == whole
    assert [text.capitalize() for text in instructions(Teacher(said), cut_at="any")] == cut
    assert instructions(Teacher(said), "paper") == cut


def test_a_reply_that_says_the_number_again():
    said = "9. Name one good tree.\n10. Praise an old bridge warmly."
    assert instructions(Teacher(said)) == ["Name one good tree.", "Praise an old bridge warmly."]
    assert instructions(Teacher(said), "paper") == ["9. name one good tree.", "Praise an old bridge warmly."]


def test_hash_signs_inside_an_answer():
    heading = "### Result\nIt was ### good."
    said = in_blocks(("Write a short report on it.", "facts", heading), ("Name one good tree.", "<noinput>", "oak"))
    mended = records(run(options(**JOINT), Teacher(said)))
    assert [(r.instruction, r.input, r.output) for r in mended] == [
        ("Write a short report on it.", "facts", heading),
        ("Name one good tree.", "", "oak"),
    ]
    for generator, kept in (
        (options("alpaca"), [("Write a short report on it.", "")]),
        (options(**JOINT, cut_at="any"), []),
    ):
        items = run(generator, Teacher(said))
        assert [(r.instruction, r.output) for r in records(items)] == kept
        (first, *_) = [d for d in items if isinstance(d, Drop) and d.reason == "unreadable-task"]
        assert first.answer == said  # the rest of it and the next one, in one drop with the reply


def test_blocks_as_chat_models_write_them():
    said = (
        "Sure, here they are:\n\n### 1. Instruction: Name one good tree.\n1. Input: <noinput>\n1. Output: oak\n\n"
        "**3. Instruction:** Put it in capitals now.\n**3. Input:** 3. Input: x\n**3. Output:**\n3. INPUT: X\n"
        "3. Output: again\n###\n4. Instruction: Has no answer at all"
    )
    items = run(options(**JOINT), Teacher(said))
    assert [(r.instruction, r.input, r.output) for r in records(items)] == [
        ("Name one good tree.", "", "oak"),
        ("Put it in capitals now.", "3. Input: x", "3. INPUT: X\n3. Output: again"),
    ]
    assert reasons(items)["unreadable-task"] == 1


text_line = st.from_regex(r"\A[a-z#][a-z0-9 .,#]{0,15}[a-z0-9]\Z")
text_block = st.lists(text_line, min_size=1, max_size=3).map("\n".join)


@given(st.lists(st.tuples(text_line, text_block, text_block), min_size=1, max_size=5))
def test_written_blocks_are_read_back(tasks):
    found = blocks.cut_at_next(in_blocks(*tasks), 4, cut_off=False, no_input=())
    assert [(b.instruction, b.input, b.output) for b in found] == tasks


def test_a_reply_cut_at_the_token_limit():
    said = " Name one good tree.\n10. Praise an old bridge warmly.\n11. Tell me how the"
    for given_options, kept in (
        ({}, ["Name one good tree.", "Praise an old bridge warmly."]),
        ({"cut_reply": "drop"}, []),
        ({"style": "paper"}, []),
        ({"style": "paper", "cut_reply": "drop-last"}, ["Name one good tree.", "Praise an old bridge warmly."]),
    ):
        items = run(options(**given_options), Teacher(said, finish="length"))
        assert [r.instruction for r in records(items)] == kept
        assert reasons(items)["cut-off"] >= 1
    said = in_blocks(("Name one good tree.", "<noinput>", "oak"), ("Say how to get there.", "a map of", "Turn le"))
    for generator in (options("alpaca"), options(**JOINT)):
        assert [r.output for r in records(run(generator, Teacher(said, finish="length")))] == ["oak"]


def test_a_refusal():
    said = "I cannot help with that request, sorry."
    assert reasons(run(options(), Teacher(said)))["refused"] == 1
    assert instructions(Teacher(said), "paper") == [said.capitalize()]
    assert instructions(Teacher(said), refusals="read") == [said]


# which tasks are taken ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "option", "value"),
    [
        ("Write a programmer's diary entry.", "match_openings", "prefix"),
        ("Événement: say what it was.", "first_character", "ascii"),
        ("¿Qué hora es en Madrid ahora?", "first_character", "ascii"),
    ],
)
def test_tasks_that_the_programs_lose(task, option, value):
    assert instructions(Teacher(f" {task}")) == [task]
    given_options = {option: value}
    if option == "match_openings":
        given_options["blocked_openings"] = ("Write a program",)
    assert instructions(Teacher(f" {task}"), **given_options) == []
    assert instructions(Teacher(f" {task}"), "paper") == []


def test_words_of_scripts_without_blanks():
    task = "把下面的句子翻译成英文。"
    assert instructions(Teacher(f" {task}")) == [task]
    items = run(options(count_words="by-blanks"), Teacher(f" {task}"))
    assert reasons(items)["too-short"] == 1
    assert reasons(run(options("paper"), Teacher(f" {task}")))["too-short"] == 1


def test_copies_in_other_scripts():
    said = " 写 一首 关于 春天 的诗\n10. 写 一首 关于 春天 的诗"
    assert len(instructions(Teacher(said))) == 1
    assert len(instructions(Teacher(said), scripts="latin")) == 2
    assert len(instructions(Teacher(said), "paper", first_character="any")) == 2


def test_blocked_words_of_each_style():
    task = "Describe the music you like."
    assert instructions(Teacher(f" {task}")) == instructions(Teacher(f" {task}"), "paper") == [task]
    assert instructions(Teacher(f" {task}"), blocked=(*BLOCKED, "music")) == []
    assert reasons(run(options("alpaca"), Teacher(in_blocks((task, "<noinput>", "jazz")))))["blocked-word"] == 1


# examples -----------------------------------------------------------------------------------------------------------

ONE = " Name one good tree."


@pytest.mark.parametrize(
    ("said", "lenient", "exact"),
    [
        ("Yes", True, True), (" yes\n", True, True), ("YES", True, True), ("Yes.", True, False),
        ("**Yes**", True, False), ("Yes, with two labels", True, False), ("No", False, False), ("", False, False),
        ("Yesterday", False, False), ("It is not", False, False),
    ],
)  # fmt: skip
def test_which_answers_say_yes(said, lenient, exact):
    for given_options, yes in (
        ({}, lenient), ({"accept_yes": "exact"}, exact), ({"style": "paper"}, exact),
        ({"style": "paper", "accept_yes": "lenient"}, lenient),
    ):  # fmt: skip
        teacher = Teacher(ONE, "Class label: oak\nInput: leaf\nOutput: done", yes=said)
        (record,) = records(run(options(**given_options), teacher))
        assert (record.tags == ("classification",), record.output == "oak") == (yes, yes)
        assert ("Class label:" in teacher.asked["examples"][0].messages[-1].content) == yes


def test_a_question_that_fails_for_good():
    items = run(options(), Teacher(ONE, yes=None))
    assert (records(items), reasons(items)["teacher-http-500"]) == ([], 1)
    for given_options in ({"failed_question": "pass"}, {"style": "paper"}):
        (record,) = records(run(options(**given_options), Teacher(ONE, yes=None)))
        assert record.tags == ()


def test_without_the_question_nothing_is_asked():
    teacher = Teacher(ONE)
    (record,) = records(run(options(classification="skip"), teacher))
    assert (teacher.asked["question"], record.tags, len(teacher.asked["examples"])) == ([], (), 1)


def pairs(said: str, yes: str = "No", style: str = "filial", **given: Any) -> list[tuple[str, str]]:
    items = run(options(style, **{"instances": 5, **given}), Teacher(ONE, said, yes=yes))
    return [(record.input, record.output) for record in records(items)]


def test_labels_inside_answers():
    said = "Example 1\nInput: letters\nOutput: See Example 7 of the book. Input: is a label there."
    assert pairs(said) == [("letters", "See Example 7 of the book. Input: is a label there.")]
    assert pairs(said, labels="anywhere") == [("letters", "See"), ("", "of the book.")]
    assert pairs(said, style="paper") == [("letters", "See"), ("", "of the book.")]
    said = "Class label: rude\nInput: Do not write Class label: here!\nClass label: kind\nInput: Hello."
    assert pairs(said, "Yes") == [("Do not write Class label: here!", "rude"), ("Hello.", "kind")]
    assert pairs(said, "Yes", labels="anywhere") == [
        ("Input: Do not write", "rude"), ("", "here!"), ("Input: Hello.", "kind"),
    ]  # fmt: skip


def test_labels_first_as_chat_models_write_them():
    said = "Example 1\n**Class label:** rude\n**Input:** Go.\nNow.\n\nExample 2:\nClass label: kind\nInput: none\n"
    assert pairs(said, "Yes") == [("Go.\nNow.", "rude"), ("", "kind")]


def test_several_examples_without_headers():
    said = "Input: a1\nOutput: b1\nInput: a2\nOutput: b2"
    assert pairs(said) == [("a1", "b1"), ("a2", "b2")]
    assert pairs(said, style="paper") == [("a1", "b1")]


def test_words_for_no_input():
    said = "Input: None\nOutput: b1"
    assert pairs(said) == [("", "b1")]
    assert pairs(said, style="paper") == pairs(said, no_input=()) == [("None", "b1")]


def test_faulty_examples_of_joint_tasks():
    said = in_blocks(("Say it once more.", "word", "word"), ("Name one good tree.", "<noinput>", ""))
    assert reasons(run(options(**JOINT), Teacher(said))) >= Counter({"output-is-input": 1, "empty-output": 1})
    kept = records(run(options("alpaca"), Teacher(said)))
    assert [(r.input, r.output) for r in kept] == [("word", "word"), ("", "")]
    assert records(run(options("alpaca", check_examples=True), Teacher(said))) == []


def test_which_of_many_examples():
    said = "".join(f"Example {i}\nInput: {i}\nOutput: {i if i == 1 else f'out {i}'}\n" for i in range(1, 9))
    assert [given for given, _ in pairs(said, instances=3)] == ["2", "3"]  # the first three, of which one is an echo
    drawn = pairs(said, instances=3, choose="sample")
    assert len(drawn) == 3
    assert pairs(said, style="paper") == pairs(said, instances=5, choose="sample")
    assert len({tuple(pairs(said, instances=3, choose="sample")) for _ in range(3)}) == 1


def test_a_cut_answer_costs_its_last_example():
    class Cut(Teacher):
        async def __call__(self, request: Request) -> Reply:
            reply = await super().__call__(request)
            return Reply(text=reply.text, finish_reason="length") if reply.text == self.examples else reply

    for style in ("filial", "paper"):
        items = run(options(style, instances=5), Cut(ONE, "Example 1\nInput: a\nOutput: b\nExample 2\nInput: c\nOutp"))
        assert [(r.input, r.output) for r in records(items)] == ([("a", "b")] if style == "paper" else [])
        assert reasons(items)["cut-off"] == 1


# counts, prompts, hostile replies -----------------------------------------------------------------------------------

SEED_FILE = "pkg:filial_plugins/procedural/seeds.jsonl"


@pytest.mark.parametrize("more", [["--style", "paper"], ["--style", "alpaca"], ["--joint"], ["--instances", "3"]])
def test_the_command_makes_exactly_count_records_in_every_style(more, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["generate", "self-instruct", SEED_FILE, "-o", "o.jsonl", "--count", "60", "--teacher", "procedural"]
    assert invoke([*words, "-T", "noise=0.2", *more]) == 0
    assert len((tmp_path / "o.jsonl").read_text().splitlines()) == 60


def test_an_own_prompt_takes_the_place_of_one_and_must_show_what_is_needed():
    teacher = Teacher(ONE)
    own = {"propose_prompt": "{{go on}}\n{examples}\n{next}.", "input_first_prompt": "Do it.\n\nTask: {instruction}\n"}
    run(options(**own), teacher)
    assert teacher.asked["tasks"][0].messages[-1].content.startswith("{go on}\n1. ")
    assert teacher.asked["examples"][0].messages[-1].content == "Do it.\n\nTask: Name one good tree.\n"
    for wrong, why in (
        ({"propose_prompt": "{examples}"}, r"propose_prompt lacks \{next\}"),
        ({"classification_prompt": "{instruction} {x}"}, "classification_prompt cannot be filled in"),
        ({"output_first_prompt": "{instruction} {"}, "write a brace twice"),
        ({"joint": True, "classification": "ask"}, "goes with joint: false"),
        ({"style": "alpaca", "only_classification": True}, "goes with joint: false"),
    ):
        with pytest.raises(ValueError, match=why):
            SelfInstruct(**wrong)


HOSTILE = (
    *("", "\x00", "\ud800 a b c d e", "9.", "### ### ###", "4. Instruction:", "#Rewritten Prompt#: do it now please"),
    *("Ὀδυσσεύς κατὰ πόντον ἔπλει", "\n10. " * 50, "Class label:", "Example", "1. \n2. \n3. "),
)
LARGE = ("9" * 1_000_000, " " * 1_000_000, "\n" * 1_000_000, "###" * 330_000, "a " * 500_000, "Example " * 125_000,
         "Output" + " " * 1_000_000, "Output 1 " * 110_000, "Input" + "\t" * 1_000_000, "**" * 500_000,
         "4. Instruction: x\n" * 55_000, "\n9. " * 250_000, "Class label:\n" * 77_000, "\ud800" * 300_000,
         "Yes " * 250_000, "#" * 1_000_000, "\n" + "1" * 999_999)  # fmt: skip


@pytest.mark.parametrize("style", [{}, {"style": "paper"}, {"style": "alpaca"}, JOINT])
@pytest.mark.parametrize("i", range(len(HOSTILE)))
def test_hostile_replies_never_raise(style, i):
    async def say(request: Request) -> Reply:
        return Reply(text=HOSTILE[i])

    items = run(options(**style), say)
    assert items
    assert all(isinstance(item, Record | Drop) or type(item) is FilialError for item in items)


READERS: list[Callable[[str], Any]] = [
    lists.cut_at_any,
    lambda text: lists.cut_at_next(text, 9),
    lambda text: blocks.cut_at_any(text, 4, False, ()),
    lambda text: blocks.cut_at_next(text, 4, False, ()),
    reading.examples_anywhere,
    reading.labelled_anywhere,
    lambda text: reading.examples(text, ()),
    lambda text: reading.labelled(text, ()),
]


@pytest.mark.parametrize("i", range(len(LARGE)))
def test_a_megabyte_is_read_within_a_second(i):
    for read in READERS:
        began = time.process_time()
        read(LARGE[i])
        assert time.process_time() - began < 1, read
