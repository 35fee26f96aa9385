"""A small grammar notation; both the writer and the reader of the world's English are built from it.

A *pattern* such as ``"[sort|arrange] {o} [upwards|from low to high]"`` stands for all texts obtained by choosing
one alternative in each pair of brackets.  ``{o}`` is a slot that is filled later.  Because sentences are sampled
from the same strings from which the regular expressions are built, writer and reader cannot drift apart.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

_SLOT = re.compile(r"\{(\w+)\}")


def expand(pattern: str) -> list[str]:
    """Return all texts of a pattern, in the order in which the alternatives are written; slots stay open."""
    # re.split with a group alternates: plain text at even places, the inside of brackets at odd ones.
    pieces = re.split(r"\[([^\]]*)\]", pattern)
    choices = [piece.split("|") if i % 2 else [piece] for i, piece in enumerate(pieces)]
    return [re.sub(r" +", " ", "".join(choice)).strip() for choice in itertools.product(*choices)]


def expand_all(patterns: Iterable[str]) -> tuple[str, ...]:
    """Return the texts of several patterns, one after the other."""
    return tuple(text for pattern in patterns for text in expand(pattern))


def find_slots(text: str) -> list[str]:
    """Return names of the slots in ``text`` from left to right."""
    return _SLOT.findall(text)


def fill(text: str, values: Mapping[str, str] | Callable[[str], str]) -> str:
    """Replace every slot of ``text`` by its value.

    ``values`` is a mapping by slot name, or a function that is called once per slot.
    """
    get = values.__getitem__ if isinstance(values, Mapping) else values
    return _SLOT.sub(lambda match: get(match[1]), text)


def make_regex(text: str, slot_source: Callable[[str], str]) -> str:
    """Return the source of a regular expression that matches ``text``, each slot by ``slot_source(name)``."""
    pieces = _SLOT.split(text)  # as in expand: slot names at odd places
    return "".join(slot_source(piece) if i % 2 else re.escape(piece) for i, piece in enumerate(pieces))


def any_of(options: Iterable[str]) -> str:
    """Return the source of a regular expression that matches any of ``options``, longest first."""
    # A regular expression takes the first alternative that fits, so a phrase must stand before its own beginning.
    return "(?:" + "|".join(re.escape(option) for option in sorted(set(options), key=len, reverse=True)) + ")"


def capitalize_first(text: str) -> str:
    """Return ``text`` with its first letter in upper case; unlike ``str.capitalize``, the rest is unchanged."""
    return text[:1].upper() + text[1:]


@dataclass(frozen=True)
class Phrasebook:
    """A set of phrases: patterns plus, for each of their slots, the words that may stand there."""

    patterns: tuple[str, ...]
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The phrases with their slots still open."""
        return expand_all(self.patterns)

    @cached_property
    def source(self) -> str:
        """The source of a regular expression that matches every phrase."""
        alternatives = (make_regex(text, lambda name: any_of(self.words[name])) for text in self.texts)
        return "(?:" + "|".join(sorted(alternatives, key=len, reverse=True)) + ")"

    @cached_property
    def regex(self) -> re.Pattern[str]:
        """Matches a whole phrase, in any case."""
        return re.compile(self.source + r"\Z", re.IGNORECASE)

    def sample(self, rng: random.Random) -> str:
        """Return one phrase: a pattern drawn evenly, then its alternatives and slot words drawn evenly."""
        text = rng.choice(expand(rng.choice(self.patterns)))
        return fill(text, lambda name: rng.choice(self.words[name]))

    def matches(self, text: str) -> bool:
        """Return whether ``text`` is one of the phrases."""
        return self.regex.match(text) is not None
