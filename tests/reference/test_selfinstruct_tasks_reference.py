"""How new tasks are asked for, read and screened: the styles ``paper`` and ``alpaca`` do as the two programs did."""

from __future__ import annotations

import random
from typing import Any

import pytest
from selfinstruct_reference_kit import ALPACA, PAPER, RECORDED, case, cases, seeds_of, taken

from filial import Context, Record
from filial_plugins.generators.self_instruct import SelfInstruct
from filial_plugins.generators.self_instruct.blocks import format_blocks
from filial_plugins.generators.self_instruct.proposals import ProposalWriter

pytestmark = RECORDED


def prompt_of(generator: SelfInstruct, tasks: list[Record]) -> str:
    """The prompt that shows these tasks in this order."""

    class InOrder(random.Random):
        def sample(self, population: Any, k: int, **_: Any) -> list[Any]:
            return list(population)[:k]

        def shuffle(self, x: Any) -> None:
            pass

    ctx = Context(None)
    ctx.rng = InOrder()
    return ProposalWriter(generator.chosen, generator.prompt_texts.propose, tasks).draw([], ctx).prompt


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
        assert f"{format_blocks(tasks)}\n###\n4. Instruction:" == blocks
        assert prompt_of(ALPACA, tasks).endswith(f"20 tasks:\n{blocks}")


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
