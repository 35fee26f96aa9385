"""How examples of a task are asked for, read and filtered: the style ``paper`` decides as the program did.

Not compared: `encode_instance` and the last part of prepare_for_finetuning.py, which write prompts and completions for
training with one of thirteen templates drawn by lot. Rendering is the part of the templates here, and of none of these
(there is a skipped test for it). The few-shot texts of the original's requests are not ours either: their heads differ,
so their sha256 cannot match; what goes before and after the task in them is compared.
"""

from __future__ import annotations

import pytest
from selfinstruct_reference_kit import PAPER, RECORDED, Scripted, case, cases, examples_of, instances, seeds_of

from filial import Drop, Record
from filial_plugins.generators.self_instruct.example_parser import find_faults, parse_input_output
from filial_plugins.generators.self_instruct.examples import says_yes
from filial_plugins.generators.self_instruct.styles import load_prompts, make_settings

pytestmark = RECORDED


def test_input_and_output_of_an_example():
    for row in cases("parse_input_output.jsonl"):
        assert parse_input_output(row["text"]) == (row["input"], row["output"]), row


def test_instance_filters():
    for row in cases("instance_filters.jsonl"):
        pairs = [(given, output) for _, given, output in row["instances"]]
        faults = find_faults(pairs)
        kept = sorted(pair for pair, fault in zip(pairs, faults, strict=True) if not fault)
        invalid = {"empty-output", "output-is-input", "unfinished-example"}
        valid = [pair for pair, fault in zip(pairs, faults, strict=True) if fault not in invalid]
        assert valid == [(g, o) for _, g, o in row["after_invalid"]], row
        after_both = {(g, o) for _, g, o in row["after_duplicate_sorted"]} & set(valid)
        assert kept == sorted(after_both), row


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
    recorded, ours = case("prompts.json"), load_prompts(make_settings("paper", {}))
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
