"""All types of constraints: the table, drawing one more for an instruction, and finding those an instruction states."""

from __future__ import annotations

import difflib
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from filial import Constraint
from filial_plugins.constraints.constraint_type import ConstraintType, are_compatible
from filial_plugins.constraints.form_checkers import Args
from filial_plugins.constraints.kinds.edges import EDGES
from filial_plugins.constraints.kinds.shapes import SHAPES
from filial_plugins.constraints.kinds.sizes import SIZES
from filial_plugins.constraints.kinds.words import WORDS
from filial_plugins.constraints.measures import compute_script_share, count_word

CONSTRAINT_TYPES: dict[str, ConstraintType] = {kind.name: kind for kind in (*SIZES, *WORDS, *SHAPES, *EDGES)}
"""Every type by its name."""

_COUNTED = r"(?:\d+|one|two|three|four|five|six|seven|eight|nine|ten|single|short|long|brief\w*)"
_SAID = {
    r"\b(?:json|csv|tsv|xml|html|yaml|tables?|bullet\w*|numbered|markdown|poem|haiku|list of)\b": ("layout",),
    rf"\b{_COUNTED}[- ](?:\w+[- ])?(?:words?|sentences?|paragraphs?|characters?|lines?)\b": ("length", "layout"),
    r"\b(?:upper|lower)[- ]?case\b|\bcapital(?:s|i[sz]e\w*|ised)?\b(?! of)": ("case", "capitals"),
    r"\b(?:start|begin|end|finish|conclude)\w* (?:your|the|each|every|it|with)\b": ("start", "end"),
    r"\b(?:translat\w+|in (?:korean|chinese|japanese|russian|greek|arabic|hindi|spanish|french|german))\b": ("latin",),
    r"\b(?:commas?|separated)\b": ("commas",),
    r"\b(?:code|program|function|script|sql|regex|python|shell|formula)\b": (
        "layout", "length", "start", "end", "case", "capitals", "commas", "marks", "digits", "latin", "bold",
        "brackets", "questions",
    ),
}  # fmt: skip
"""Words by which an instruction settles traits of the answer itself."""
_SAID_PATTERNS = [(re.compile(source, re.IGNORECASE), traits) for source, traits in _SAID.items()]
LONGEST = 400
"""Characters; no sentence of the catalogue is longer."""


def find_stated_traits(instruction: str) -> set[str]:
    """Return the traits of the answer that the instruction itself speaks about, judged by single words."""
    traits = {trait for pattern, named in _SAID_PATTERNS if pattern.search(instruction) for trait in named}
    if compute_script_share(instruction, ("LATIN",)) < 0.5:
        traits |= {"latin", "case", "capitals", "letters"}
    return traits


def draw_constraint(
    instruction: str, present: Sequence[Constraint], rng: random.Random, types: Iterable[str] = ()
) -> Constraint | None:
    """Draw one more constraint of the given types (default: all) that fits the present ones; None if there is none.

    It contradicts neither the present ones nor, as far as single words tell, what the instruction itself asks for.
    """
    bare = instruction
    for constraint in present:
        bare = bare.replace(constraint.text, " ")
    taken = find_stated_traits(bare)
    held = [CONSTRAINT_TYPES[constraint.type] for constraint in present if constraint.type in CONSTRAINT_TYPES]
    free = [
        kind
        for kind in (CONSTRAINT_TYPES[name] for name in types or CONSTRAINT_TYPES)
        if not taken & {*kind.claims, *kind.needs} and all(are_compatible(kind, other) for other in held)
    ]
    rng.shuffle(free)
    for kind in free:
        args = kind.draw(rng)
        if kind.name != "exclude-words" or not any(count_word(bare, word) for word in args["words"]):
            return Constraint(type=kind.name, args=args, text=kind.write_sentence(args, rng))
    return None


def append_sentence(instruction: str, sentence: str) -> str:
    """Append a sentence to an instruction: after its last sentence, or on a new line if it ends otherwise."""
    instruction = instruction.rstrip()
    one_line = "\n" not in instruction and instruction.endswith((".", "!", "?", '."', "。", "？", "！"))
    return (
        f"{instruction} {sentence}" if one_line or ends_with_constraint(instruction) else f"{instruction}\n{sentence}"
    )


def ends_with_constraint(instruction: str) -> bool:
    """Return whether the instruction ends with a sentence of the catalogue."""
    return next(_read_last_sentence(instruction), None) is not None


@lru_cache(maxsize=4096)
def split_constraints(instruction: str) -> tuple[str, tuple[Constraint, ...]]:
    """Split an instruction into its text and the constraints that the catalogue's sentences at its end state, in
    order.
    """
    found: list[Constraint] = []
    while (last := next(_read_last_sentence(instruction), None)) is not None:
        instruction = instruction[: -len(last.text)].rstrip()
        found.insert(0, last)
    return instruction, tuple(found)


def _read_last_sentence(instruction: str) -> Iterator[Constraint]:
    """Yield the readings of the sentence of the catalogue that the instruction ends with (no or one)."""
    instruction = instruction.rstrip()
    end = instruction[-LONGEST:]
    for kind in CONSTRAINT_TYPES.values():
        for head, pattern in kind.readers:
            place = end.rfind(head)
            match = pattern.fullmatch(end, place) if place >= 0 else None
            if match and (place == 0 or end[place - 1].isspace()):
                args = kind.arguments(match)
                if kind.fits(args):
                    yield Constraint(type=kind.name, args=args, text=match[0])


def check_types(types: Iterable[str]) -> str:
    """Say what is wrong with a choice of types; "" if nothing is."""
    for name in types:
        if name not in CONSTRAINT_TYPES:
            near = difflib.get_close_matches(name, CONSTRAINT_TYPES, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(CONSTRAINT_TYPES)}"
            return f"there is no type of constraint {name!r}; {hint}"
    return ""


def check_constraint(name: str, args: Args) -> str:
    """Say what is wrong with a constraint that somebody wrote; "" if it can be checked."""
    if wrong := check_types([name]):
        return wrong
    if CONSTRAINT_TYPES[name].fits(args):
        return ""
    sorts = "; ".join(slot.what.replace("`", "") for slot in CONSTRAINT_TYPES[name].slots) or "none"
    return f"the constraint {name} has the arguments {args}; it takes {sorts}"
