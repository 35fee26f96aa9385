"""How the embedded teacher answers an instruction that ends with checkable constraints.

It knows their sentences by the catalogue's wordings and writes the answer so that all of them hold, or, where noise
wants it, so that exactly one does not. It never asks a checker: what it meant to do is the known truth by which the
filter `constraints` is measured.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from filial import Constraint
from filial_plugins.constraints.catalogue import split_constraints

from . import answer_sentences as content
from .answer_edges import add_beginning, add_ending, change_case, wrap
from .answer_layouts import arrange
from .answer_sentences import Orders

__all__ = ["ConstrainedAnswer", "answer_with_constraints", "split_constraints", "write_answer"]


@dataclass(frozen=True)
class ConstrainedAnswer:
    """An answer, and the type of the constraint it was written to break ("" if none)."""

    text: str
    broken: str


def answer_with_constraints(
    right: str, demands: Sequence[Constraint], slips: bool, rng: random.Random
) -> ConstrainedAnswer:
    """Write the right answer so that it obeys all demands; with ``slips``, break one of them, drawn evenly."""
    broken = rng.choice([demand.type for demand in demands]) if slips else ""
    return ConstrainedAnswer(write_answer(right, demands, broken), broken)


def write_answer(right: str, demands: Sequence[Constraint], broken: str = "") -> str:
    """Write the right answer so that it obeys all demands except the one of the type ``broken``.

    Among several ways to obey or break a demand, the choice is drawn from a hash of the arguments, so equal arguments
    give equal text.
    """
    style = random.Random(repr([right, broken, [(demand.type, demand.args) for demand in demands]]))
    orders = Orders({demand.type: demand.args for demand in demands}, broken, style)
    sentences = content.write_sentences(content.remove_forbidden(right, orders), orders)
    text = arrange(content.pad(sentences, orders), right, orders)
    return change_case(wrap(add_beginning(add_ending(text, orders), orders), orders), orders)
