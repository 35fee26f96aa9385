"""Reading what teachers write: lists of new tasks, examples of one; and what is wrong with them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filial import Drop, Reply
from filial_plugins.generators.self_instruct import example_parser
from filial_plugins.generators.self_instruct.example_parser import Example, find_faults, find_placeholders
from filial_plugins.generators.self_instruct.instruction_screen import Screen
from filial_plugins.generators.self_instruct.proposals import parse_reply
from filial_plugins.generators.self_instruct.replied_lists import split_at_next
from filial_plugins.generators.self_instruct.styles import BLOCKED, NO_INPUT, TABLE, make_settings

OPENINGS = TABLE["blocked_openings"][0]


def split(text: str, first: int = 9, asked: int = 8) -> list[str]:
    tasks = split_at_next(text, first, asked)
    assert all(task.complete for task in tasks), tasks
    return [task.instruction for task in tasks]


task = st.from_regex(r"\A[A-Za-z][a-zA-Z ,]{0,20}[a-z.?]\Z")


@given(st.lists(task, min_size=1, max_size=10), st.integers(2, 12), st.sampled_from(["bare", "repeat", "restart"]))
def test_a_written_list_is_read_back(tasks, first, style):
    number = 1 if style == "restart" else first
    lines = [f"{number + i}. {text}" for i, text in enumerate(tasks)]
    if style == "bare":
        lines[0] = f" {tasks[0]}"
    assert split("\n".join(lines), first) == [" ".join(text.split()) for text in tasks]


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (" Do this.\n10. Do that.", ["Do this.", "Do that."]),
        ("Here are new tasks:\n\n9. Do this.\n\n10. Do that.\n\nEnjoy!", ["Do this.", "Do that."]),
        ("Sure!\n1. Do this.\n2. Do that.", ["Do this.", "Do that."]),
        (" Order these:\n1. ham\n2. egg\n10. Do that.", ["Order these: 1. ham 2. egg", "Do that."]),
        ("9) Do this.\n10) Do that.", ["Do this.", "Do that."]),
        (" What was new in 2016.\n10. Add 3.5 to 4.", ["What was new in 2016.", "Add 3.5 to 4."]),
        (" Do this.\n11. Do that.\n12. Rest.", ["Do this.", "Do that.", "Rest."]),
        (
            " Say what came\n12. and what came after it.\n10. Do that.",
            ["Say what came 12. and what came after it.", "Do that."],
        ),
        (" Do this.\n10. Do that.\n13. and\n12. Rest.", ["Do this.", "Do that. 13. and", "Rest."]),
        (" Do this\nand that.", ["Do this and that."]),
        ("", [""]),
    ],
)
def test_lists_as_models_write_them(said, wanted):
    assert split(said) == wanted


EIGHT = [
    "Write a short poem about the sea at dawn.", "List five herbs that grow in shade.",
    "Explain how a bicycle stays upright.", "Suggest a name for a bakery near a school.",
    "Describe the taste of an unripe pear.", "Plan a quiet weekend for two readers.",
    "Compare trams with buses in 3.5 lines.", "Draft a note to a noisy neighbour.",
]  # fmt: skip
CHINESE = ["写一首关于大海的短诗", "列出五种香草", "解释自行车为什么不会倒下", "给面包店起一个名字", "描述梨的味道",
           "安排一个安静的周末", "比较电车和公交车", "写一封礼貌的短信"]  # fmt: skip
KOREAN = ["바다에 대한 짧은 시를 써 줘.", "그늘에서 자라는 허브를 말해 줘.", "자전거가 서 있는 까닭을 설명해 줘."]


def numbered(form: str, tasks: list[str], first: int = 9) -> str:
    return "\n".join(form.format(n=number, task=task) for number, task in enumerate(tasks, first))


@pytest.mark.parametrize("tasks", [EIGHT, CHINESE])
@pytest.mark.parametrize("before", ["", "Here are eight more tasks:\n\n", "Sure!\n"])
@pytest.mark.parametrize("first", [9, 1])
@pytest.mark.parametrize(
    "form",
    [
        "{n}. {task}", "{n}) {task}", "{n}.{task}", "{n}){task}", "{n}、{task}", "{n}：{task}", "{n}．{task}",
        "{n}）{task}", "{n}: {task}", "{n}:{task}", "({n}) {task}", "（{n}）{task}", "[{n}] {task}", "{n}\\. {task}",
        "#{n}: {task}", "{n} - {task}", "{n} – {task}", "**{n}.** {task}", "**{n}**. {task}", "**{n}. {task}**",
        "__{n}.__ {task}", "## {n}. {task}", "### Task {n}: {task}", "Task {n}: {task}", "**Task {n}:** {task}",
        "Q{n}. {task}", "TASK #{n}. {task}", "任务{n}：{task}", "第{n}个任务：{task}", "문제 {n}. {task}",
        "Aufgabe {n}: {task}", "Tâche {n} : {task}", "{n}. Task: {task}", "- {n}. {task}", "> {n}. {task}",
        "  {n}. {task}", "{n}\ufe0f\u20e3 {task}", "{n}\t{task}", "{n} {task}", '{n}. "{task}"', "{n}. “{task}”",
        "{n}. 「{task}」", "{n}. `{task}`", "{n}. *{task}*", "{n}. **{task}**", "{n}. {task}\n",
    ],
)  # fmt: skip
def test_numbers_in_any_form_separate_tasks(form, first, before, tasks):
    assert split(before + numbered(form, tasks, first)) == tasks


@pytest.mark.parametrize("tasks", [EIGHT, CHINESE])
@pytest.mark.parametrize(
    "form",
    [
        lambda tasks: json.dumps(tasks, ensure_ascii=False, indent=1),
        lambda tasks: json.dumps([{"instruction": task} for task in tasks], ensure_ascii=False),
        lambda tasks: json.dumps({"tasks": [{"id": 1, "task": task} for task in tasks]}),
        lambda tasks: json.dumps({str(number): task for number, task in enumerate(tasks, 9)}),
        lambda tasks: "\n".join(json.dumps({"prompt": task}) for task in tasks),
        lambda tasks: "".join(f"<task>{task}</task>\n" for task in tasks),
        lambda tasks: "\n".join(f'<task id="{n}">\n{task}\n</task>' for n, task in enumerate(tasks, 9)),
        lambda tasks: "| # | Task |\n|---|:---|\n" + numbered("| {n} | {task} |", tasks),
        lambda tasks: numbered("| {n} | {task} |", tasks),
        *(
            lambda tasks, mark=mark: "\n".join(mark + task for task in tasks)
            for mark in ("- ", "* ", "• ", "  + ", "- [ ] ", "- **Task:** ")
        ),
        lambda tasks: "\n\n".join(f"- {task}" for task in tasks),
        lambda tasks: "\n".join(f"{letter}) {task}" for letter, task in zip("abcdefgh", tasks, strict=True)),
        lambda tasks: "\n".join(f"{number}{task}" for number, task in zip("①②③④⑤⑥⑦⑧", tasks, strict=True)),
        lambda tasks: "\n".join(f"1. {task}" for task in tasks),
        "\n".join,
        "\n\n".join,
    ],
)  # fmt: skip
@pytest.mark.parametrize("fence", [False, True])
def test_lists_without_numbers_are_read(form, tasks, fence):
    said = form(tasks)
    assert split(f"Here they are:\n\n```\n{said}\n```\nEnjoy!" if fence else said) == tasks


def test_lists_of_other_languages_are_read():
    assert split(numbered("{n}. {task}", KOREAN)) == KOREAN
    assert split(numbered("과제 {n}: {task}", KOREAN, 1)) == KOREAN


@pytest.mark.parametrize(
    "said",
    [
        "9. Do this now.\n13. Do that then.\n17. Do more later.",
        "0. Do this now.\n2. Do that then.\n4. Do more later.",
        "- Do this now.\n- Do that then.",
        '["Do this now.", "Do that then.",',
        "Correct these:\nHe go home.\nShe like cats.\nThey is here.\nWe was there.",
    ],
)
def test_a_list_that_cannot_be_cut_is_no_task(said):
    (task,) = split_at_next(said, 9, 8)
    assert not task.complete


@pytest.mark.parametrize(
    "said",
    ["Add 3.5 to 4.", "Name two rivers:\none long\none short", "What was new in\n2016?", "Fill in: [a] and [b].",
     "Say what <task> means in HTML.", "Is it true?\n- yes\n- no",
     "Choose one.\nOptions:\n- the cat is on the mat\n- the mat is on the cat", "9. Use these:\n- ham\n- egg\n- tea"],
)  # fmt: skip
def test_one_task_stays_one(said):
    assert split(said) == [" ".join(said.removeprefix("9. ").split())]


def test_the_list_that_was_not_cut_is_dropped_and_named():
    said = "9. Do this now.\n13. Do that then.\n17. Do more later."
    (drop,) = parse_reply(Reply(text=said), 9, make_settings("filial", {}))
    assert isinstance(drop, Drop)
    assert (drop.reason, drop.answer) == ("unreadable-list", said)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Translate NASA's report to French.", None),
        ("Write a programmer's biography in verse.", None),
        ("Write a program to sort a list.", "blocked-word"),
        ("Let us GO TO the zoo today.", "blocked-word"),
        ("Explain what a subplot is for.", None),
        ("Plot the figures of last year.", "blocked-word"),
        ("¿Qué hora es en Madrid ahora?", None),
        ("把下面的句子翻译成英文。", None),
        ("«Quote» this line for me please.", "starts-with-punctuation"),
        ("Only three words", "too-short"),
    ],
)
def test_screening(text, reason):
    fault = Screen(4, 150, BLOCKED, OPENINGS).find_fault(text)
    assert (fault and fault[0]) == reason


def examples(text: str) -> list[Example]:
    return example_parser.parse_examples(text, NO_INPUT)


def test_screening_without_lists_blocks_no_word():
    assert Screen(1, 9, (), ()).find_fault("Draw a map.") is None


# reading examples -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("Example 1\nInput: a\nOutput: b\n\nExample 2\nInput: c\nOutput: d", [("a", "b"), ("c", "d")]),
        ("Example 1\nInput:\nl1\n\nl2\nOutput:\no1\n\no2\n", [("l1\n\nl2", "o1\n\no2")]),
        ("Example 1\nOutput: free text", [("", "free text")]),
        ("Output: free text", [("", "free text")]),
        ("Input: a\nOutput: b\nInput: c\nOutput: d", [("a", "b"), ("c", "d")]),
        ("**Example 1**\n**Input:** a\n**Output:** b", [("a", "b")]),
        ("### Example 1:\nInput 1: a\nOutput 1: b", [("a", "b")]),
        ("Sure:\n\nExample 1\nInput: <noinput>\nOutput: b", [("", "b")]),
        ("Example 1\nText: x\nOutput: see Example 3 and Output: too", [("Text: x", "see Example 3 and Output: too")]),
        ("Example 1\nInput: a", []),
        ("no form at all", []),
    ],
)
def test_examples_as_models_write_them(said, wanted):
    assert examples(said) == wanted


line = st.from_regex(r"\A[a-z0-9][a-z0-9 .,#]{0,15}[a-z0-9]\Z")
block = st.lists(line, min_size=1, max_size=3).map("\n".join)


@given(st.lists(st.tuples(st.one_of(st.just(""), block), block), min_size=1, max_size=5))
def test_written_examples_are_read_back(pairs):
    said = "\n\n".join(
        f"Example {i}\n" + (f"Input: {given}\n" if given else "") + f"Output: {output}"
        for i, (given, output) in enumerate(pairs, 1)
    )
    assert examples(said) == pairs


@pytest.mark.parametrize(
    ("pairs", "faults"),
    [
        ([("q", "x"), ("q", "y"), ("r", "z")], ["contradictory-examples"] * 3),
        ([("", "x"), ("", "y")], ["", ""]),
        ([("q", "x"), ("q", "x")], ["", "repeated-example"]),
        (
            [("q:", "x"), ("r", "y: "), ("s", "s"), ("t", " ")],
            ["unfinished-example"] * 2 + ["output-is-input", "empty-output"],
        ),
        ([("q", "x"), ("q", "q")], ["", "output-is-input"]),
    ],
)
def test_faulty_examples(pairs, faults):
    assert find_faults(pairs) == faults


def test_what_only_repeats_the_form_of_the_prompt_is_no_example():
    """A model of 135 million parameters did so in half of its examples."""
    marks = find_placeholders("Example 1\nInput: (the input)\nOutput: (the output)\n\nTask: (The sun) (the input)")
    assert marks == ("(the input)", "(the output)")
    pairs = [
        ("(the input)", "(the output)"),
        ("q", "(The output) 5 words"),
        ("(the input) q", "x"),
        ("q", "say (the output)"),
    ]
    assert find_faults(pairs, marks) == ["copied-placeholder"] * 3 + [""]
