"""Check whether an answer satisfies a constraint, strictly or loosely, as defined by IFEval.

IFEval is Zhou et al., 2023, "Instruction-Following Evaluation for Large Language Models" (arXiv 2311.07911). Only the
standard library is used here: `filial rewards` copies this file into reward files.
"""

from __future__ import annotations

from collections.abc import Iterator

from filial_plugins.constraints.checkers import CHECKERS
from filial_plugins.constraints.form_checkers import Args

_PAIRS = ('""', "''", "\u201c\u201d", "\u2018\u2019", "\u00ab\u00bb", "\u300c\u300d")


def find_violation(text: str, kind: str, args: Args) -> str:
    """Say how a text breaks a constraint, checked strictly; "" if the constraint holds.

    Raises:
        KeyError: there is no such type of constraint.
    """
    return CHECKERS[kind](text, args)


def holds(text: str, kind: str, args: Args, loosely: bool = False) -> bool:
    """Return whether a constraint holds.

    Strictly, or with ``loosely`` in any variant of the text (`make_variants`).

    As in IFEval, no constraint holds for an empty text; otherwise an empty answer would win.
    """
    if not text.strip():
        return False
    if not find_violation(text, kind, args):
        return True
    return loosely and any(not find_violation(variant, kind, args) for variant in make_variants(text))


def make_variants(text: str) -> Iterator[str]:
    """Yield the texts that a lenient reader accepts as the answer, besides the text itself.

    As in IFEval: without its first line, its last, or both, and each of the four without asterisks. Beyond that, each
    of the eight without quotation marks around it. Empty ones are left out.
    """
    rows = text.strip().split("\n")
    cut = ("\n".join(part).strip() for part in (rows, rows[1:], rows[:-1], rows[1:-1]))
    seen = {text}
    for whole in cut:
        for plain in (whole, whole.replace("*", "").strip()):
            for variant in (plain, _remove_quotes(plain)):
                if variant and variant not in seen:
                    seen.add(variant)
                    yield variant


def _remove_quotes(text: str) -> str:
    inside = len(text) > 2 and text[0] + text[-1] in _PAIRS
    return text[1:-1].strip() if inside else text
