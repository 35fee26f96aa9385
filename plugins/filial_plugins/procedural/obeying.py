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
from filial_plugins.constraints.catalogue import split_off

from . import obeying_content as content
from .obeying_content import Orders
from .obeying_edges import begun, cased, ended, wrapped
from .obeying_shapes import arranged

__all__ = ["Written", "answered", "split_off", "written"]


@dataclass(frozen=True)
class Written:
    """An answer, and the type of the constraint it was written to break ("" if none)."""

    text: str
    broken: str


def answered(right: str, demands: Sequence[Constraint], slips: bool, rng: random.Random) -> Written:
    """The right answer, written as the demands want it; with ``slips`` one of them, drawn evenly, is broken."""
    broken = rng.choice([demand.type for demand in demands]) if slips else ""
    return Written(written(right, demands, broken), broken)


def written(right: str, demands: Sequence[Constraint], broken: str = "") -> str:
    """The right answer as the demands want it, all but the one of the type ``broken``.

    How it keeps and breaks them varies from task to task, and is the same for the same.
    """
    style = random.Random(repr([right, broken, [(demand.type, demand.args) for demand in demands]]))
    orders = Orders({demand.type: demand.args for demand in demands}, broken, style)
    sentences = content.sentences(content.mended(right, orders), orders)
    text = arranged(content.padded(sentences, orders), right, orders)
    return cased(wrapped(begun(ended(text, orders), orders), orders), orders)
