"""What a type of constraint is: its arguments, how they are drawn, and the sentences that ask for it.

A sentence is written from a wording such as ``"Answer in {amount} words."``; its slots say how the arguments are
written there, and the regular expression that reads it is made of the same wording, so the two cannot drift apart.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from filial_plugins.constraints.form_checkers import Args

Draw = Callable[[random.Random], Args]
_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Slot:
    """A gap in a wording.

    ``forms`` gives every way to write the arguments there, ``source`` is a regular expression without groups for all
    of them, ``read`` takes one back, and ``fits`` says whether arguments are of the right sort.
    """

    name: str
    what: str
    forms: Callable[[Args], Sequence[str]]
    source: str
    read: Callable[[str], Args]
    fits: Callable[[Args], bool]
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class ConstraintType:
    """One type of constraint.

    ``claims`` are the traits of an answer that this type settles, ``needs`` those that nobody else may settle beside
    it; several types may need the same. `are_compatible` goes by them.
    """

    name: str
    slots: tuple[Slot, ...]
    draw: Draw
    wordings: tuple[str, ...]
    claims: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()

    def write_sentence(self, args: Args, rng: random.Random) -> str:
        """Return a sentence that asks for it."""
        forms = {slot.name: rng.choice(slot.forms(args)) for slot in self.slots}
        return _SLOT.sub(lambda gap: forms[gap[1]], rng.choice(self.wordings))

    def fits(self, args: Args) -> bool:
        """Return whether arguments are those of this type: the right names, the right sorts of values."""
        known = {name for slot in self.slots for name in slot.arguments}
        return isinstance(args, dict) and set(args) <= known and all(slot.fits(args) for slot in self.slots)

    @cached_property
    def readers(self) -> tuple[tuple[str, re.Pattern[str]], ...]:
        """For each wording how it begins, up to the first slot, and a pattern for the whole sentence."""
        sources = {slot.name: f"(?P<{slot.name}>{slot.source})" for slot in self.slots}
        found = []
        for wording in self.wordings:
            pieces = _SLOT.split(wording)
            source = "".join(sources[piece] if i % 2 else re.escape(piece) for i, piece in enumerate(pieces))
            found.append((pieces[0], re.compile(source)))
        return tuple(found)

    def arguments(self, match: re.Match[str]) -> Args:
        """Return the arguments that a sentence read by one of the `readers` states."""
        return {name: value for slot in self.slots for name, value in slot.read(match[slot.name]).items()}


def are_compatible(one: ConstraintType, other: ConstraintType) -> bool:
    """Return whether one answer can keep both: two types, and neither settles what the other settles or needs."""
    claims = set(one.claims) & {*other.claims, *other.needs} or set(other.claims) & set(one.needs)
    return one.name != other.name and not claims


_AMOUNTS = {
    (True, False): ("at least {a}", "no fewer than {a}", "{a} or more"),
    (False, True): ("at most {b}", "no more than {b}", "up to {b}"),
    (True, True): ("between {a} and {b}", "{a} to {b}"),
}
_EXACTLY = ("exactly {a}", "precisely {a}")


def _format_amount(args: Args) -> list[str]:
    least, most = args.get("at_least"), args.get("at_most")
    forms = _EXACTLY if least == most else _AMOUNTS[least is not None, most is not None]
    return [form.format(a=least, b=most) for form in forms]


def _read_amount(text: str) -> Args:
    found = [int(number) for number in re.findall(r"\d+", text)]
    if len(found) == 2:
        return {"at_least": found[0], "at_most": found[1]}
    if text.startswith(("exactly", "precisely")):
        return {"at_least": found[0], "at_most": found[0]}
    return {"at_most" if text.startswith(("at most", "no more", "up to")) else "at_least": found[0]}


def _is_amount(args: Args) -> bool:
    given = [args[name] for name in ("at_least", "at_most") if name in args]
    return bool(given) and all(type(bound) is int and bound >= 0 for bound in given) and given == sorted(given)


_TEMPLATES = [*(form for forms in _AMOUNTS.values() for form in forms), *_EXACTLY]
AMOUNT = Slot(
    "amount",
    "`at_least`, `at_most` (or both): integers",
    _format_amount,
    "|".join(form.format(a=r"\d+", b=r"\d+") for form in _TEMPLATES),
    _read_amount,
    _is_amount,
    ("at_least", "at_most"),
)
"""How many: at least, at most, both, or exactly where both are the same."""


def number(name: str) -> Slot:
    """Return one positive integer."""
    return Slot(
        name,
        f"`{name}`: integer",
        lambda args: [str(args[name])],
        r"\d+",
        lambda text: {name: int(text)},
        lambda args: type(args.get(name)) is int and args[name] > 0,
        (name,),
    )


def phrase(name: str) -> Slot:
    """Return a text in double quotation marks."""
    return Slot(
        name,
        f"`{name}`: text",
        lambda args: [f'"{args[name]}"'],
        r'"[^"\n]+"',
        lambda text: {name: text[1:-1]},
        lambda args: isinstance(args.get(name), str) and args[name].strip() != "",
        (name,),
    )


def phrases(name: str) -> Slot:
    """Return several texts in double quotation marks: "a", "b" and "c"."""

    def form(args: Args) -> list[str]:
        *first, last = [f'"{text}"' for text in args[name]]
        return [f"{', '.join(first)} and {last}" if first else last]

    return Slot(
        name,
        f"`{name}`: list of texts",
        form,
        r'"[^"\n]+"(?:(?:, "[^"\n]+")* and "[^"\n]+")?',
        lambda text: {name: re.findall(r'"([^"]+)"', text)},
        lambda args: _are_texts(args.get(name)),
        (name,),
    )


def _are_texts(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and all(isinstance(text, str) and text for text in value)


def option(name: str, choices: Sequence[str]) -> Slot:
    """Return one of a few texts, as it is."""
    return Slot(
        name,
        f"`{name}`: {', '.join(f'`{choice}`' for choice in choices)}",
        lambda args: [args[name]],
        "|".join(re.escape(choice) for choice in choices),
        lambda text: {name: text},
        lambda args: args.get(name) in choices,
        (name,),
    )


def amounts(least: Sequence[int] = (), most: Sequence[int] = (), exact: Sequence[int] = (), span: int = 0) -> Draw:
    """Make a draw of an amount, evenly among the forms given; ``span`` adds "between low and low + span"."""

    def draw(rng: random.Random) -> Args:
        ways: list[Callable[[], Args]] = []
        if least:
            ways.append(lambda: {"at_least": rng.choice(least)})
        if most:
            ways.append(lambda: {"at_most": rng.choice(most)})
        if exact:
            ways.append(lambda: dict.fromkeys(("at_least", "at_most"), rng.choice(exact)))
        if span:
            ways.append(lambda: dict(zip(("at_least", "at_most"), _make_span(rng.choice(least), span), strict=True)))
        return rng.choice(ways)()

    return draw


def _make_span(low: int, span: int) -> tuple[int, int]:
    return low, low + span


def one_of(name: str, choices: Sequence[object]) -> Draw:
    """Make a draw of one argument, evenly among the choices."""
    return lambda rng: {name: rng.choice(choices)}


def some_of(name: str, choices: Sequence[str], fewest: int, most: int) -> Draw:
    """Make a draw of a list of different texts, in random order."""
    return lambda rng: {name: rng.sample(list(choices), rng.randint(fewest, most))}


def nothing(rng: random.Random) -> Args:
    """Draw no argument."""
    return {}


def both(*draws: Draw) -> Draw:
    """Join several draws into one that draws all their arguments."""
    return lambda rng: {name: value for draw in draws for name, value in draw(rng).items()}
