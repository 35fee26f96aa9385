"""The teacher as a plugin: it recognises each request by its text alone and answers it."""

from __future__ import annotations

import asyncio
import json
import random
import re
import threading

import pytest

from filial import Message, Record, Request
from filial_plugins.generators.self_instruct import SelfInstruct
from filial_plugins.generators.self_instruct.blocks import format_blocks, split_at_next
from filial_plugins.generators.self_instruct.styles import Prompts
from filial_plugins.procedural import ProceduralTeacher, exam, parser
from filial_plugins.procedural.parser import parse, read_instruction
from filial_plugins.procedural.prompts import STRATEGY_CUES, split_prompt
from filial_plugins.procedural.truth import is_right, truth


def ask(text: str, teacher: ProceduralTeacher | None = None, **options: object) -> str:
    request = Request(messages=(Message(role="user", content=text),), **options)  # type: ignore[arg-type]
    return asyncio.run((teacher or ProceduralTeacher()).reply(request)).text


def propose_prompt(*examples: str, count: int = 8) -> str:
    listed = "\n".join(f"{i}. {text}" for i, text in enumerate(examples, 1))
    return f"Below is a list of tasks. Write {count} new tasks that go on with it.\n\n{listed}\n{len(examples) + 1}."


def evolve_prompt(strategy: str, given: str) -> str:
    created = strategy in ("mutate", "extend-topic", "vary-method")
    return (
        f"Rewrite the prompt. You should {STRATEGY_CUES[strategy].capitalize()}, in few words.\n\n"
        f"#Given Prompt#:\n{given}\n\n#{'Created' if created else 'Rewritten'} Prompt#:"
    )


EXAMPLES_PROMPT = """Write {n} different examples for this task. If the task needs no input, leave the Input line out.

Example 1
Input: (the input)
Output: (the output)

Task: {task}
"""


def test_it_goes_on_with_a_list_of_tasks() -> None:
    reply = ask(propose_prompt("Reverse the list.", "What is the largest number?", count=5))
    lines = reply.split("\n")
    assert [line.split(". ")[0] for line in lines] == ["3", "4", "5", "6", "7"]
    assert all(parse(line.split(". ", 1)[1]) for line in lines)


def test_it_proposes_nothing_if_no_example_is_of_its_world() -> None:
    assert ask(propose_prompt("Write a poem about love.", "Explain inflation.")).startswith("Sorry, ")


def test_it_writes_examples_with_right_outputs() -> None:
    task = "Reverse the items. You are given a bullet list."
    blocks = ask(EXAMPLES_PROMPT.format(n=4, task=task)).split("\n\n")
    assert len(blocks) == 4
    inputs = set()
    for number, block in enumerate(blocks, 1):
        match = re.fullmatch(rf"Example {number}\nInput: (.*)\nOutput: (.*)", block, re.DOTALL)
        assert match
        assert match[1].startswith("- ")
        assert is_right(task, match[1], match[2])
        inputs.add(match[1])
    assert len(inputs) == 4


def test_a_task_with_its_data_inside_has_one_example_without_input() -> None:
    task = "Reverse the items. Use this list: apple kiwi plum"
    assert ask(EXAMPLES_PROMPT.format(n=4, task=task)) == "Example 1\nOutput: plum kiwi apple"


def test_it_writes_no_examples_for_a_task_outside_its_world() -> None:
    assert ask(EXAMPLES_PROMPT.format(n=2, task="Write a poem.")).startswith("Sorry, ")


@pytest.mark.parametrize("strategy", STRATEGY_CUES)
@pytest.mark.parametrize("form", ["{}\n\nInput:\n{}", "{}\n\n{}"])
def test_it_evolves_a_prompt_by_each_strategy(strategy: str, form: str) -> None:
    given = form.format("Name the last fruit.", "apple mango plum")
    reply = ask(evolve_prompt(strategy, given))
    assert reply != given
    instruction, data = split_prompt(reply)
    task = parse(instruction)
    assert task is not None
    assert bool(data) != bool(task.inline)
    assert "\n\nInput:\n" in reply or task.inline
    assert truth(instruction, data) is not None


@pytest.mark.parametrize("strategy", STRATEGY_CUES)
def test_the_strategy_is_read_from_the_prompt(strategy: str) -> None:
    """Each cue has its own effect, also when the prompt breaks its lines inside the cue."""
    prompt = evolve_prompt(strategy, "What is the opposite of the given adjective?\n\nInput:\nhot")
    cue = STRATEGY_CUES[strategy].capitalize()
    reply = ask(prompt.replace(cue, cue.replace(" ", "\n", 2)))
    reading = read_instruction(split_prompt(reply)[0])
    assert reading is not None
    task = reading.task
    effect = {
        "add-constraints": len(task.constraints) == 1,
        "deepen": len(task.steps) == 2,
        "concretize": bool(task.inline),
        "increase-reasoning": len(task.steps) >= 2,
        "complicate-input": task.shape != "plain",
        "mutate": task.names != ("opposite",) and task.topic == "adjectives",
        "extend-topic": task.topic != "adjectives",
        "vary-method": not reading.asked,
    }
    assert effect[strategy], reply


def test_data_given_with_a_prompt_are_kept_where_they_still_serve() -> None:
    given = "Name the last fruit.\n\nInput:\napple mango plum"
    assert ask(evolve_prompt("add-constraints", given)).endswith("\n\nInput:\napple mango plum")
    assert "apple mango plum" in ask(evolve_prompt("concretize", given))
    shaped = split_prompt(ask(evolve_prompt("complicate-input", given)))[1]
    assert [word for word in re.findall("[a-z]+", shaped) if word not in ("item", "count")] == [
        "apple",
        "mango",
        "plum",
    ]


def test_a_prompt_that_cannot_be_evolved_comes_back_unchanged() -> None:
    given = "Reverse the items. Use this list: apple kiwi plum"
    assert ask(evolve_prompt("complicate-input", given)) == given


def test_it_does_not_rewrite_what_lies_outside_its_world() -> None:
    assert ask(evolve_prompt("deepen", "Write a poem about love.")).startswith("Sorry, ")


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("Reverse the fruits.\n\napple kiwi plum", "plum kiwi apple"),
        ("Reverse the fruits. Take this list: apple kiwi plum", "plum kiwi apple"),
        ("Below is a task.\n\n### Instruction:\nDouble the number.\n\n### Input:\n12\n\n### Response:", "24"),
        ("### Instruction:\nDouble the number. Use this: 12\n\n### Response:\n", "24"),
        ("How many saws are listed?\n\n| item | count |\n| saws | 18 |\n| hats | 2 |", "18"),
        ("How do I boil an egg?", "Sorry, I can only answer tasks of my small world."),
        ("Double the number.\n\napple", "Sorry, this input does not fit the task."),
        ("", "Sorry, I can only answer tasks of my small world."),
    ],
)
def test_it_answers_exactly_or_says_that_it_cannot(text: str, reply: str) -> None:
    assert ask(text) == reply


def wordings(style: str = "filial") -> Prompts:
    return SelfInstruct(style=style).prompt_texts


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("Is the number even or odd?", "Yes"),
        ("Does the list have a garment?", "Yes"),
        ("From the input below, name the category of this thing.", "Yes"),
        ("Reverse the list.", "No"),
        ("Write a poem about love.", "No"),
    ],
)
def test_it_tells_which_tasks_are_answered_with_one_of_a_few_labels(task: str, said: str) -> None:
    assert ask(wordings().classification.format(instruction=task)) == said


def test_it_writes_labels_first_and_each_as_often() -> None:
    task = "Is the number even or odd?"
    blocks = ask(wordings().output_first.format(n=6, instruction=task)).split("\n\n")
    labels = []
    for number, block in enumerate(blocks, 1):
        match = re.fullmatch(rf"Example {number}\nClass label: (\w+)\nInput: (\d+)", block)
        assert match
        assert is_right(task, match[2], match[1])
        labels.append(match[1])
    assert sorted(labels) == ["even"] * 3 + ["odd"] * 3


def test_it_writes_examples_as_a_few_shot_prompt_does() -> None:
    said = ask(wordings("paper").input_first.format(instruction="Double the number."))
    assert re.fullmatch(r"Example 1\nInput: \d+\nOutput: \d+(\n\nExample [2-5]\nInput: \d+\nOutput: \d+){4}", said)
    said = ask(wordings("paper").output_first.format(instruction="Is the number even or odd?"))
    assert re.fullmatch(r"(Class label: (even|odd)\n\d+\n?){5}", said)


def test_it_completes_a_series_of_tasks_where_the_prompt_ends() -> None:
    said = ask(wordings("paper").propose.format(examples="1. Reverse the list.\n2. Double the number.", next=3))
    tasks = re.split(r"\n\d\. ", said)
    assert said.startswith(" ")
    assert len(tasks) == 7
    assert all(parse(task.strip()) for task in tasks)


def test_it_completes_blocks_of_tasks_with_input_and_output() -> None:
    seeds = [Record(instruction="Double the number.", input="4", output="8"), Record(instruction="Name a fruit.")]
    said = ask(wordings("alpaca").propose.format(examples=format_blocks(seeds), next=3, total=12))
    found = split_at_next(said, 3, False, ("<noinput>",))
    assert 5 <= len(found) <= 10
    assert all(is_right(block.instruction, block.input, block.output) for block in found)


def test_it_tells_whether_two_prompts_ask_the_same() -> None:
    prompt = "Compare.\n\n#First Prompt#:\n{}\n\n#Second Prompt#:\n{}\n\nAnswer with one of: Equal, Not Equal."
    assert ask(prompt.format("Find the largest number.", "Tell me: which number is the largest?")) == "Equal"
    assert ask(prompt.format("Find the largest number.", "Find the smallest number.")) == "Not Equal"
    assert ask(prompt.format("Write a poem.", "Write a song.")) == "Not Equal"


def test_it_grades_answers() -> None:
    prompt = "Rate it from 1 to 10.\n\n[Question]\n{}\n\n[Assistant's Answer]\n{}\n\n[End]\n\nRating:"
    assert "[[10]]" in ask(prompt.format("Double the number.\n\n12", "24"))
    assert "[[1]]" in ask(prompt.format("Double the number.\n\n12", "25"))
    assert ask(prompt.format("Write a poem.", "Roses are red")).startswith("Sorry, ")


def test_the_same_request_has_the_same_reply_and_another_draw_another() -> None:
    prompt = propose_prompt("Reverse the list.")
    assert ask(prompt) == ask(prompt)
    different = [
        ask(prompt),
        ask(prompt, draw=1),
        ask(prompt, seed=1),
        ask(prompt, ProceduralTeacher(seed=1)),
        ask(prompt + " "),
    ]
    assert len(set(different)) == len(different)


def test_limits_of_the_request_are_kept() -> None:
    text = "Reverse the fruits.\n\napple kiwi plum"
    assert ask(text, stop=(" kiwi",)) == "plum"
    request = Request(messages=(Message(role="user", content=text),), max_tokens=2)
    reply = asyncio.run(ProceduralTeacher().reply(request))
    assert (reply.text, reply.finish_reason, reply.completion_tokens) == ("plum kiwi", "length", 2)


def test_the_full_world_is_larger() -> None:
    core, full = ProceduralTeacher(), ProceduralTeacher(world="full")
    prompt = propose_prompt("Reverse the list.", count=300)

    def used(teacher: ProceduralTeacher) -> set[str]:
        tasks = [parse(line.split(". ", 1)[1]) for line in ask(prompt, teacher).split("\n")]
        return {task.names[0] for task in tasks if task}

    assert "sort_az" in used(full)
    assert "sort_az" not in used(core)


def test_noise_makes_faults_at_about_the_rate_asked_and_truth_tells_them() -> None:
    teacher, rng, faults = ProceduralTeacher(noise=0.2), random.Random(0), 0
    for _ in range(500):
        numbers = " ".join(str(rng.randint(1, 30)) for _ in range(4))
        answer = ask(f"Reverse the numbers.\n\n{numbers}", teacher)
        faults += not is_right("Reverse the numbers.", numbers, answer)
    assert 70 <= faults <= 130


def test_noise_spoils_rewrites_in_the_known_ways() -> None:
    teacher, given = ProceduralTeacher(noise=1.0), "Name the last fruit."
    replies = [ask(evolve_prompt("deepen", given), teacher, draw=i) for i in range(60)]
    assert any(reply == given for reply in replies)
    assert any("rewritten prompt" in reply.lower() for reply in replies)
    assert any("sorry" in reply.lower() for reply in replies)


def test_noise_repeats_examples_in_proposals() -> None:
    prompt = propose_prompt("Reverse the list.", count=8)
    replies = [ask(prompt, ProceduralTeacher(noise=0.5), draw=i) for i in range(10)]
    assert any("Reverse the list." in reply for reply in replies)


def test_without_noise_every_answer_is_right() -> None:
    prompt = propose_prompt("Reverse the list.", count=60)
    for line in ask(prompt).split("\n"):
        task = line.split(". ", 1)[1]
        for block in ask(EXAMPLES_PROMPT.format(n=2, task=task)).split("\n\n"):
            match = re.search(r"Input: (.*)\nOutput: (.*)", block, re.DOTALL)
            assert match
            assert is_right(task, match[1], match[2])


def test_truth_knows_nothing_outside_the_world() -> None:
    assert truth("Write a poem.") is None
    assert is_right("Write a poem.", "", "Roses are red") is None
    assert truth("Double the number.", "apple") is None


def test_the_seed_tasks_are_of_the_world_and_right() -> None:
    lines = (exam.FOLDER.parent / "seeds.jsonl").read_text(encoding="utf-8").splitlines()
    tasks = [json.loads(line) for line in lines]
    assert 25 <= len(tasks) <= 40
    assert [task["id"] for task in tasks] == [f"seed_task_{i}" for i in range(len(tasks))]
    for task in tasks:
        assert set(task) == {"id", "name", "instruction", "instances", "is_classification"}
        for instance in task["instances"]:
            assert is_right(task["instruction"], instance["input"], instance["output"])


def test_the_table_of_wordings_is_made_once_and_not_on_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    sources, made = parser.slot_sources, []

    def noted() -> dict[str, str]:
        made.append(threading.current_thread())
        return sources()

    async def asked() -> list[str]:
        teacher, request = (
            ProceduralTeacher(),
            Request(messages=(Message("user", "Reverse the list.\n\nInput:\n3, 1"),)),
        )
        return [reply.text for reply in await asyncio.gather(*(teacher.reply(request) for _ in range(3)))]

    before = asyncio.run(asked())
    monkeypatch.setattr(parser, "slot_sources", noted)
    parser._build_clause_table.cache_clear()
    assert asyncio.run(asked()) == before
    assert len(made) == 1
    assert made[0] is not threading.main_thread()
