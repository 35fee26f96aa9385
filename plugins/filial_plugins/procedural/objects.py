"""How a clause names the thing it is about: "the given fruits", "this verb", "the result", "the first entry"."""

from __future__ import annotations

from functools import cache

from .grammar import any_of
from .lexicon import CATEGORIES, PLURALS, TOPICS, Topic, add_article
from .list_operations import AMOUNTS, ORDINALS

_SECOND_NAMES = {"words": ("things", "thing"), "numbers": ("values", "value")}
"""A second (plural, singular) name of a topic."""

GENERAL_LISTS = ("the list", "the items", "these items", "the given list", "the entries", "this list")
LATER_LISTS = ("the result", "the new list", "what you get", "what is left")
LATER_VALUES = ("it", "the result", "what you get")
GENERAL_UNITS = ("item", "entry")


def _list_names(topic: Topic) -> list[tuple[str, str]]:
    second = _SECOND_NAMES.get(topic.plural)
    return [(topic.plural, topic.singular), *([second] if second else [])]


def _write_plural_phrases(plural: str) -> list[str]:
    shapes = ("the {}", "these {}", "the given {}", "the list of {}", "the {} below", "all the {}", "my {}")
    return [shape.format(plural) for shape in shapes]


def _write_singular_phrases(singular: str) -> list[str]:
    shapes = ("the {}", "this {}", "the given {}", "the {} below", "my {}")
    return [shape.format(singular) for shape in shapes]


def list_objects(topic: str) -> tuple[str, ...]:
    """Return phrases for the whole list in the first clause."""
    named = [phrase for plural, _ in _list_names(TOPICS[topic]) for phrase in _write_plural_phrases(plural)]
    return (*named, *GENERAL_LISTS)


def value_objects(topic: str) -> tuple[str, ...]:
    """Return phrases for a single word or number in the first clause."""
    return tuple(phrase for _, singular in _list_names(TOPICS[topic]) for phrase in _write_singular_phrases(singular))


def units(topic: str) -> tuple[str, ...]:
    """Return singular names for one element of a list."""
    return (*(singular for _, singular in _list_names(TOPICS[topic])), *GENERAL_UNITS)


def pluralize_unit(unit: str) -> str:
    """Return the plural of one of the unit names."""
    return unit[:-1] + "ies" if unit.endswith("y") and unit not in ("day",) else unit + "s"


@cache
def topics_by_phrase() -> dict[str, str]:
    """Return the topic that an object phrase or unit names; general phrases are left out."""
    found: dict[str, str] = {}
    for topic in TOPICS.values():
        for plural, singular in _list_names(topic):
            for phrase in (*_write_plural_phrases(plural), *_write_singular_phrases(singular), plural, singular):
                found[phrase] = topic.plural
    return found


@cache
def slot_sources() -> dict[str, str]:
    """Return, for each slot of a clause, the source of the regular expression (with a named group) that reads it."""
    phrases = [*GENERAL_LISTS, *LATER_LISTS, *LATER_VALUES]
    for topic in TOPICS:
        phrases += [*list_objects(topic), *value_objects(topic)]
    all_units = {unit for topic in TOPICS for unit in units(topic)}
    options = {
        "o": phrases,
        "u": sorted(all_units),
        "us": sorted(pluralize_unit(unit) for unit in all_units),
        "n": ORDINALS,
        "m": AMOUNTS,
        "c": tuple(CATEGORIES),
        "xs": tuple(PLURALS.values()),
        "an": tuple(add_article(name[:-1]) for name in CATEGORIES),
    }
    sources = {name: f"(?P<{name}>{any_of(texts)})" for name, texts in options.items()}
    return sources | {"k": r"(?P<k>\d{1,2})", "x": r"(?P<x>[a-z]+)"}
