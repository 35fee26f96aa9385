"""Decisions recorded from the programs of Self-Instruct and Stanford Alpaca: the styles ``paper`` and ``alpaca`` decide
the same. Below stands where the default decides otherwise, case by case, and what comes out instead.

Not compared: `encode_instance` and the last part of prepare_for_finetuning.py, which write prompts and completions for
training with one of thirteen templates drawn by lot. Rendering is the part of the templates here, and of none of these
(there is a skipped test for it). The few-shot texts of the original's requests are not ours either: their heads differ,
so their sha256 cannot match; what goes before and after the task in them is compared.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from filial import Context, Drop, Record, Reply, Request, TeacherError
from filial_plugins.filters.novelty.index import RougeIndex, f_measure, tokens
from filial_plugins.generators.self_instruct import SelfInstruct
from filial_plugins.generators.self_instruct.blocks import Block, shown
from filial_plugins.generators.self_instruct.examples import Asking, says_yes
from filial_plugins.generators.self_instruct.proposing import Proposing, read
from filial_plugins.generators.self_instruct.reading import faulty, input_output
from filial_plugins.generators.self_instruct.styles import settings, texts

FOLDER = Path(__file__).parents[2].parent / "shared" / "reference" / "selfinstruct"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the recorded cases of the originals are not here")
PAPER, ALPACA = SelfInstruct(style="paper"), SelfInstruct(style="alpaca")


def cases(name: str) -> list[dict[str, Any]]:
    text = (FOLDER / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line]


def case(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


# novelty ------------------------------------------------------------------------------------------------------------


def test_scores_of_pairs():
    from rapidfuzz.distance import LCSseq

    for pair in cases("rouge_pairs.jsonl"):
        a, b = tokens(pair["a"], "latin"), tokens(pair["b"], "latin")
        common = LCSseq.similarity(a, b)
        ours = f_measure(common, len(a), len(b)) if a and b else 0.0
        assert ours == pytest.approx(pair["fmeasure"], abs=1e-12), pair
        index = RougeIndex(scripts="latin")
        index.add(pair["b"])
        assert (index.nearest(pair["a"]) is not None) == (pair["fmeasure"] > 0.7), pair


def decide(rows: list[dict[str, Any]], index: RougeIndex, places: list[int]) -> int:
    for row in rows:
        found = index.nearest(row["instruction"])
        assert (found is None) == row["accept"], row
        if found is None:
            index.add(row["instruction"])
            places.append(row["i"])
        else:
            assert found.score == pytest.approx(row["max_rougeL"], abs=1e-12), row
            assert places[found.place] == row["most_similar"], row
    return len(index)


@pytest.mark.parametrize("scripts", ["latin", "all"])
def test_sequential_decisions_from_an_empty_pool(scripts):
    assert decide(cases("sequential_from_empty.jsonl"), RougeIndex(scripts=scripts), []) == 623


@pytest.mark.parametrize("scripts", ["latin", "all"])
def test_sequential_decisions_with_the_seeds_preloaded(scripts):
    index, places = RougeIndex(scripts=scripts), []
    for row in cases("sequential_from_empty.jsonl")[:175]:
        index.add(row["instruction"])
        places.append(row["i"])
    assert decide(cases("sequential_seeds_preloaded.jsonl"), index, places) == 175 + 450


# new tasks: what is shown, and what is read -------------------------------------------------------------------------


def seeds_of(instructions: list[str], **fields: Any) -> list[Record]:
    return [Record(instruction=text, **fields) for text in instructions]


def prompt_of(generator: SelfInstruct, tasks: list[Record]) -> str:
    """The prompt that shows these tasks in this order."""

    class InOrder(random.Random):
        def sample(self, population: Any, k: int, **_: Any) -> list[Any]:
            return list(population)[:k]

        def shuffle(self, x: Any) -> None:
            pass

    ctx = Context(None)
    ctx._rng = InOrder()
    return Proposing(generator.chosen, generator.wordings.propose, tasks).drawn([], ctx).prompt


@pytest.mark.parametrize("only", [False, True])
def test_the_list_of_tasks_that_the_prompt_shows(only):
    recorded = case("prompts.json")["bootstrap_encode_prompt_clf" if only else "bootstrap_encode_prompt"]
    generator = SelfInstruct(style="paper", only_classification=only)
    for row in recorded:
        assert prompt_of(generator, seeds_of(row["instructions"])) == row["prompt"]


def test_a_blank_that_a_colon_leaves_at_the_end_stays():
    assert prompt_of(PAPER, seeds_of(["d  :"])) == "Come up with a series of tasks:\n1. d \n2."


def test_the_blocks_that_alpacas_prompt_shows():
    for row in case("prompts.json")["alpaca_encode_prompt"]:
        tasks = [Record(**task) for task in row["tasks"]]
        blocks = row["prompt"].partition("List of 20 tasks:\n")[2]  # what stands before is in its words, not in ours
        assert f"{shown(tasks)}\n###\n4. Instruction:" == blocks
        assert prompt_of(ALPACA, tasks).endswith(f"20 tasks:\n{blocks}")


def taken(text: str, first: int, generator: SelfInstruct, finish: str = "stop") -> list[Block]:
    """The tasks of a reply that pass the screen."""
    from filial_plugins.generators.self_instruct.pool import pool_of

    pool = pool_of(generator, seeds_of(["x"]))
    found = read(Reply(text=text, finish_reason=finish), first, generator.chosen)
    return [b for b in found if isinstance(b, Block) and pool.screen.fault(b.instruction) is None]


def test_instruction_filters_of_self_instruct():
    for row in cases("instruction_filter.jsonl"):
        got = [block.instruction for block in taken(row["text"], 9, PAPER)]
        assert got == row["self_instruct"], row
        assert bool(got) == row["self_instruct_kept"]


def test_instruction_filters_of_alpaca():
    for row in cases("instruction_filter.jsonl"):
        said = f" {row['text']}\n4. Input:\n<noinput>\n4. Output:\nx"
        got = [block.instruction for block in taken(said, 4, ALPACA)]
        assert got == row["alpaca"], row
        assert bool(got) == row["alpaca_kept"]


def test_lists_of_tasks():
    for row in cases("parse_bootstrap.jsonl"):
        got = [block.instruction for block in taken(row["text"], 9, PAPER, row["finish_reason"])]
        assert got == row["instructions"], row


def test_blocks_of_tasks():
    for row in cases("alpaca_parse.jsonl"):
        got = taken(row["text"], row["num_prompt_instructions"] + 1, ALPACA, row["finish_reason"])
        assert [{"instruction": b.instruction, "input": b.input, "output": b.output} for b in got] == row["parsed"], row


# examples -----------------------------------------------------------------------------------------------------------


def test_input_and_output_of_an_example():
    for row in cases("parse_input_output.jsonl"):
        assert input_output(row["text"]) == (row["input"], row["output"]), row


def test_instance_filters():
    for row in cases("instance_filters.jsonl"):
        pairs = [(given, output) for _, given, output in row["instances"]]
        faults = faulty(pairs)
        kept = sorted(pair for pair, fault in zip(pairs, faults, strict=True) if not fault)
        invalid = {"empty-output", "output-is-input", "unfinished-example"}
        valid = [pair for pair, fault in zip(pairs, faults, strict=True) if fault not in invalid]
        assert valid == [(g, o) for _, g, o in row["after_invalid"]], row
        after_both = {(g, o) for _, g, o in row["after_duplicate_sorted"]} & set(valid)
        assert kept == sorted(after_both), row


class Scripted:
    """A model that says, of each task, whether it is one of classification, and gives the answer scripted for it."""

    def __init__(self, questions: dict[str, Any], answers: dict[str, Any]) -> None:
        self.questions, self.answers = questions, answers
        self.asked: dict[str, list[Request]] = {"questions": [], "examples": []}

    async def __call__(self, request: Request) -> Reply:
        text = request.messages[-1].content
        task, _, rest = text.rpartition("\n\nTask: ")[2].partition("\n")
        kind, script = ("questions", self.questions) if rest else ("examples", self.answers)
        self.asked[kind].append(request)
        answer = script[task]
        if answer is None:
            raise TeacherError("http-500", "no answer")
        return Reply(text=answer[0], finish_reason=answer[1])


def examples_of(generator: SelfInstruct, tasks: list[Record], model: Scripted) -> list[list[Record | Drop]]:
    """The examples of tasks, asked for in batches as the generator does it."""
    asking, size = Asking(generator.chosen, generator.wordings), generator.chosen.batch

    async def work() -> list[list[Record | Drop]]:
        ctx, found = Context(model), []
        for start in range(0, len(tasks), size):
            found += await asking.of(tasks[start : start + size], ctx)
        return found

    return asyncio.run(work())


def instances(found: list[Record | Drop]) -> list[list[str]]:
    return sorted([r.instruction.strip(), r.input, r.output] for r in found if isinstance(r, Record))


def test_examples_of_a_task():
    for row in cases("parse_instances.jsonl"):
        task = row["instruction"].strip()
        yes = "Yes" if row["kind"] == "classification" else "No"
        model = Scripted({task: (yes, "stop")}, {task: (row["raw"], row["finish_reason"])})
        (found,) = examples_of(PAPER, seeds_of([row["instruction"]]), model)
        assert instances(found) == row["instances_sorted"], row


def test_what_counts_as_yes():
    assert all(says_yes(word, exact=True) for word in case("prompts.json")["clf_answer_true_values"])
    run = case("identify_clf_main.json")
    said = [answer[0] if answer else "" for answer in run["model_answers"]]
    assert [says_yes(text, exact=True) for text in said] == run["treated_as_classification"]


def test_the_ends_of_the_few_shot_prompts():
    recorded, ours = case("prompts.json"), texts(settings("paper", {}))
    question = ours.classification.format(instruction="Tell me if this is spam.")
    end = "\n\nTask: Tell me if this is spam.\nIs it classification?"
    assert question.endswith(end)
    assert recorded["clf_prompt"].endswith(end)
    for ours_too, key, task in (
        (ours.output_first, "output_first_prompt_tail", "Tell me if this is spam."),
        (ours.input_first, "input_first_prompt_tail", "Sort it."),
    ):
        assert ours_too.format(instruction=task).endswith(f"\n\nTask: {task}\n")
        assert recorded[key].endswith(f"\n\nTask: {task}\n")


def test_the_programs_for_classification_instances_and_preparation_one_after_the_other():
    """identify_clf_or_not.py, generate_instances.py and prepare_for_finetuning.py on 15 tasks in three batches."""
    first, second, third = (case(f"{name}_main.json") for name in ("identify_clf", "generate_instances", "prepare"))
    tasks = seeds_of(first["instructions"])
    model = Scripted(
        dict(zip(first["instructions"], first["model_answers"], strict=True)),
        dict(zip(first["instructions"], second["model_answers"], strict=True)),
    )
    found = examples_of(PAPER, tasks, model)
    for request, tail in zip(model.asked["questions"], first["prompt_tails"], strict=False):
        at = tail.rfind("\n\nTask: ")
        assert request.messages[-1].content.endswith(tail[max(at, 0) :])
    args = [first["api_kwargs"]] * 15 + [kwargs for kwargs in second["api_kwargs_per_batch"] for _ in range(5)]
    for request, kwargs in zip(model.asked["questions"] + model.asked["examples"], args, strict=True):
        assert (request.max_tokens, request.temperature, request.top_p, list(request.stop)) == (
            kwargs["max_tokens"], kwargs["temperature"], kwargs["top_p"], kwargs["stop_sequences"],
        )  # fmt: skip
    label_first = ["Class label:" in request.messages[-1].content for request in model.asked["examples"]]
    assert label_first == second["is_classification"] == first["treated_as_classification"]
    kept = [r for results in found for r in results if isinstance(r, Record)]
    assert instances(kept) == third["all_generated_instances_sorted"]
    assert {r.instruction for r in kept if "classification" in r.tags} <= {
        text for text, yes in zip(first["instructions"], first["treated_as_classification"], strict=True) if yes
    }
    lost = [
        results for task, results in zip(tasks, found, strict=True) if task.instruction.startswith("Write a social")
    ]
    assert [drop.reason for drop in lost[0]] == ["teacher-http-500"]


def test_at_most_five_examples_of_a_task_are_drawn_among_the_good_ones():
    said = "".join(f"Example {i}\nInput: {i}\nOutput: out {i % 7}\n" for i in range(1, 11))
    model = Scripted({"T": ("No", "stop")}, {"T": (said + "Example 11\nInput: x\nOutput:\n", "stop")})
    (found,) = examples_of(PAPER, seeds_of(["T"]), model)
    assert len(instances(found)) == 5
    assert sorted(d.reason for d in found if isinstance(d, Drop)) == ["empty-output", *["surplus"] * 5]


@pytest.mark.skip(reason="not ours: prompts and completions for training are rendered by templates, of which these 13 "
                         "are none, and not by this generator")  # fmt: skip
def test_encode_instance():
    assert cases("encode_instance.jsonl")


# whole runs ---------------------------------------------------------------------------------------------------------


class OneRandom(Context):
    """A context whose requests for tasks all draw from one generator, in order, as a program from the global one."""

    def derive(self, *parts: object, parent: Record | None = None) -> Context:
        if parts[0] in ("round", "request"):
            return self
        return super().derive(*parts, parent=parent)


def run(generator: SelfInstruct, seeds: list[Record], seed: int, model: Callable[[Request], Any]) -> list[Any]:
    ctx = OneRandom(model)
    ctx._rng = random.Random(seed)

    async def work() -> list[Any]:
        return [item async for item in generator.generate(seeds, ctx)]

    return asyncio.run(work())


def closest(index: RougeIndex, text: str) -> float:
    found = index.nearest(text)
    return found.score if found else 0.0


def original_seeds() -> list[Record]:
    return seeds_of([row["instruction"] for row in cases("sequential_from_empty.jsonl")[:175]])


def test_bootstrap_from_end_to_end():
    recorded = case("bootstrap_end_to_end.json")
    script, asked = iter(recorded["completions"]), []

    async def model(request: Request) -> Reply:
        text = request.messages[-1].content
        if text.endswith("Is it classification?"):
            return Reply(text=" No")
        if "Come up with a series" not in text:
            return Reply(text="Output: done")
        asked.append(request)
        completion = next(script)
        return Reply(text=completion["text"], finish_reason=completion["finish_reason"])

    accepted = recorded["accepted"]
    items = run(
        SelfInstruct(style="paper", count=len(accepted)), original_seeds(), recorded["python_random_seed"], model
    )
    made = [item for item in items if isinstance(item, Record)]
    assert [record.instruction for record in made] == [row["instruction"] for row in accepted]
    assert len(asked) == 15
    for request, row in zip(asked, recorded["first_prompts"], strict=False):
        assert request.messages[-1].content == row["prompt"]
    kwargs = recorded["api_kwargs_first_call"]
    assert (asked[0].max_tokens, asked[0].temperature, asked[0].top_p, list(asked[0].stop)) == (
        kwargs["max_tokens"], kwargs["temperature"], kwargs["top_p"], kwargs["stop_sequences"],
    )  # fmt: skip
    pool = RougeIndex(0.02, scripts="latin")
    for seed in original_seeds():
        pool.add(seed.instruction, seed.instruction)
    for row in accepted:
        best = max(row["most_similar"].values())
        found = pool.nearest(row["instruction"])
        assert (found.score if found else 0.0) == pytest.approx(best, abs=1e-12)
        assert found is None or row["most_similar"][found.name] == pytest.approx(best, abs=1e-12)
        pool.add(row["instruction"], row["instruction"])


def test_alpaca_from_end_to_end():
    recorded = case("alpaca_generate_main.json")
    script, asked = iter(recorded["completions"]), []

    async def model(request: Request) -> Reply:
        asked.append(request)
        completion = next(script)
        return Reply(text=completion["text"], finish_reason=completion["finish_reason"])

    blocks = recorded["request"]["first_prompt"].partition("List of 20 tasks:\n")[2]
    seeds = {seed.instruction.rstrip(":"): seed for seed in original_seeds()}
    for block in read(Reply(text="1. Instruction:" + blocks.partition("1. Instruction:")[2].rpartition("###")[0]), 1,
                      settings("filial", {"joint": True})):  # fmt: skip
        assert isinstance(block, Block)  # only the instructions of the seeds are recorded; of these three, all
        seeds[block.instruction] = seeds[block.instruction].replaced(input=block.input, output=block.output)
    accepted = recorded["accepted"]
    generator = SelfInstruct(style="alpaca", count=len(accepted))
    items = run(generator, list(seeds.values()), recorded["python_random_seed"], model)
    made = [item for item in items if isinstance(item, Record)]
    assert [(r.instruction, r.input, r.output) for r in made] == [
        (row["instruction"], row["input"], row["output"]) for row in accepted
    ]
    assert len(asked) == 5
    assert asked[0].messages[-1].content.endswith(f"20 tasks:\n{blocks}")
    kwargs = recorded["request"]["decoding_args"]
    assert (asked[0].max_tokens, asked[0].temperature, asked[0].top_p, list(asked[0].stop)) == (
        kwargs["max_tokens"], kwargs["temperature"], kwargs["top_p"], kwargs["stop"],
    )  # fmt: skip
    pool = RougeIndex(0.02, scripts="latin")
    for seed in original_seeds():
        pool.add(seed.instruction)
    for row in accepted:
        assert closest(pool, row["instruction"]) == pytest.approx(row["max_similarity"], abs=1e-12)
        pool.add(row["instruction"])


# where the default decides otherwise --------------------------------------------------------------------------------
#
# The rows of a recorded file (from 0) whose decision differs, and what comes out instead; every other row is decided as
# recorded. Which option makes the difference, and a case of our own for each, stand in
# tests/plugins/test_self_instruct_styles.py.

LISTS, BLOCKS = SelfInstruct(), SelfInstruct(joint=True)

KEPT = {
    21: "begins with an accented letter",
    22: "is Japanese",
    42: "begins with 'Write a programmer'",
    46: "begins with a ligature",
    47: "begins with a dotted capital I",
}


def test_default_screening_of_lists():
    """In the program all tasks also lose their capitals; the default keeps them."""
    for i, row in enumerate(cases("instruction_filter.jsonl")):
        got = [block.instruction for block in taken(row["text"], 9, LISTS)]
        if i in KEPT:
            assert (got, row["self_instruct"]) == ([row["text"]], []), row
        elif i == 54:  # a blank line ends the list: chat models say more after it
            assert got == [row["text"].split("\n\n")[0]], row
        else:
            assert [text.capitalize() for text in got] == row["self_instruct"], row


def test_default_screening_of_blocks():
    """Beside `KEPT`: an opening counts in any case of letters (1, 43), and Alpaca's five more words are not blocked."""
    for i, row in enumerate(cases("instruction_filter.jsonl")):
        got = [b.instruction for b in taken(f" {row['text']}\n4. Input:\n<noinput>\n4. Output:\nx", 4, BLOCKS)]
        if i in KEPT or i in (27, 28):
            assert (got, row["alpaca"]) == ([row["text"]], []), row
        elif i in (1, 43):
            assert (got, row["alpaca"]) == ([], [row["text"]]), row
        else:
            assert got == row["alpaca"], row


def test_default_lists_of_tasks():
    """Of a reply cut at the token limit only the last task is lost (rows 1, 3, 5, 11, 13); capitals stay (4, 10)."""
    for i, row in enumerate(cases("parse_bootstrap.jsonl")):
        got = [block.instruction for block in taken(row["text"], 9, LISTS, row["finish_reason"])]
        if row["finish_reason"] == "length":
            whole = [block.instruction for block in taken(row["text"], 9, LISTS)]
            assert got == whole[:-1], row
            assert row["instructions"] == []
        else:
            assert [text.capitalize() for text in got] == row["instructions"], row
            assert (got != row["instructions"]) == (i in (4, 10))


def test_default_blocks_of_tasks():
    for i, row in enumerate(cases("alpaca_parse.jsonl")):
        got = taken(row["text"], 4, BLOCKS, row["finish_reason"])
        parsed = [{"instruction": b.instruction, "input": b.input, "output": b.output} for b in got]
        if i in (6, 10):  # hash signs inside the texts; an accented first letter
            instruction, _, output = row["text"].replace("4. Input:\n<noinput>\n4. Output:", "|").strip().partition("|")
            assert parsed == [{"instruction": instruction.strip(), "input": "", "output": output.strip()}], row
            assert row["parsed"] == []
        else:
            assert parsed == row["parsed"], row


def test_default_examples_of_a_task():
    for i, row in enumerate(cases("parse_instances.jsonl")):
        yes = "Yes" if row["kind"] == "classification" else "No"
        model = Scripted({row["instruction"].strip(): (yes, "stop")},
                         {row["instruction"].strip(): (row["raw"], row["finish_reason"])})  # fmt: skip
        (found,) = examples_of(SelfInstruct(instances=5), seeds_of([row["instruction"]]), model)
        if i == 5:  # "Example 3" inside an answer is part of it
            assert [r.output for r in found] == [row["raw"].partition("Output: ")[2]]
            assert len(row["instances_sorted"]) == 2
        elif i == 10:  # "Examples" is no header, and its last letter no input
            assert [(r.input, r.output) for r in found] == [("a", "b")]
        else:
            assert instances(found) == row["instances_sorted"], row


def test_default_examples_of_tasks_that_were_asked_about_first():
    first, second, third = (case(f"{name}_main.json") for name in ("identify_clf", "generate_instances", "prepare"))
    model = Scripted(
        dict(zip(first["instructions"], first["model_answers"], strict=True)),
        dict(zip(first["instructions"], second["model_answers"], strict=True)),
    )
    found = examples_of(SelfInstruct(instances=5), seeds_of(first["instructions"]), model)
    recorded: dict[str, list[tuple[str, str]]] = {}
    for instruction, given, output in third["all_generated_instances_sorted"]:
        recorded.setdefault(instruction, []).append((given, output))
    for i, (instruction, results) in enumerate(zip(first["instructions"], found, strict=True)):
        got = sorted((r.input, r.output) for r in results if isinstance(r, Record))
        dropped = [drop.reason for drop in results if isinstance(drop, Drop)]
        if i in (4, 5):  # "Yes." and "Yes, it is" are yes; the scripted answers are of the other form
            assert dropped == ["unreadable-examples"]
            assert "Class label:" in model.asked["examples"][i].messages[-1].content
        elif i == 6:  # the question failed for good: the task is a drop, not taken for no
            assert dropped == ["teacher-http-500"]
        elif i == 13:  # each Input: begins an example
            assert len(got) == 2
        elif i == 14:  # as in row 5 above
            assert len(got) == 1
        else:
            assert got == sorted(recorded.get(instruction.strip(), [])), instruction


def test_default_a_copy_in_another_script_is_no_new_text():
    others = [pair for pair in cases("rouge_pairs.jsonl") if pair["a"] == pair["b"] and not pair["a"].isascii()]
    assert others
    for pair in others:
        index = RougeIndex()
        index.add(pair["b"])
        assert (pair["fmeasure"], index.nearest(pair["a"]).score) == (0, 1)
