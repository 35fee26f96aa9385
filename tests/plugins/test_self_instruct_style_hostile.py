"""Replies that break every format or are very long: no style of `self-instruct` fails at them, no reader is slow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cpu_kit import bounded
from self_instruct_styles_kit import JOINT, options, run

from filial import Drop, FilialError, Record, Reply, Request
from filial_plugins.generators.self_instruct import blocks, example_parser, lists, replied_lists

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
    lists.split_at_any,
    lambda text: replied_lists.split_at_next(text, 9, 8),
    lambda text: blocks.split_at_any(text, 4, False, ()),
    lambda text: blocks.split_at_next(text, 4, False, ()),
    example_parser.parse_examples_anywhere,
    example_parser.parse_labelled_anywhere,
    lambda text: example_parser.parse_examples(text, ()),
    lambda text: example_parser.parse_labelled(text, ()),
]


@pytest.mark.parametrize("i", range(len(LARGE)))
def test_a_megabyte_is_read_in_no_time_that_matters(i):
    """Below a second for all readers together; one whose time goes with the square takes minutes."""
    with bounded():
        for read in READERS:
            read(LARGE[i])
