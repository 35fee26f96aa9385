"""Words and facts of the closed world.

Everything the embedded teacher knows is in this file: six families of things, a few facts about words, countries
and the calendar, and the numbers from 1 to 30.  The lists were written by hand for this package; the facts are
common knowledge (capitals, English plurals and past forms, the calendar).
"""

from __future__ import annotations

from dataclasses import dataclass

CATEGORIES: dict[str, tuple[str, ...]] = {
    "animals": ("tiger", "horse", "rabbit", "eagle", "shark", "zebra", "goose", "monkey", "camel", "otter"),
    "fruits": ("apple", "mango", "cherry", "banana", "lemon", "peach", "grape", "melon", "plum", "kiwi"),
    "colors": ("red", "blue", "green", "yellow", "purple", "orange", "pink", "brown", "white", "black"),
    "tools": ("hammer", "drill", "saw", "wrench", "shovel", "ladder", "chisel", "knife", "brush", "rake"),
    "vehicles": ("car", "truck", "train", "bicycle", "boat", "plane", "tractor", "bus", "scooter", "canoe"),
    "garments": ("shirt", "jacket", "scarf", "glove", "hat", "sock", "dress", "belt", "coat", "boot"),
}
"""The six families of things; each word belongs to exactly one."""

CATEGORY_OF: dict[str, str] = {word: name for name, words in CATEGORIES.items() for word in words}
NOUNS: tuple[str, ...] = tuple(CATEGORY_OF)

_IRREGULAR_PLURALS = {
    "cherry": "cherries",
    "goose": "geese",
    "wrench": "wrenches",
    "knife": "knives",
    "brush": "brushes",
    "bus": "buses",
    "scarf": "scarves",
    "dress": "dresses",
    "peach": "peaches",
}
PLURALS: dict[str, str] = {
    word: _IRREGULAR_PLURALS.get(word, word + "s") for word in NOUNS if CATEGORY_OF[word] != "colors"
}

_OPPOSITE_PAIRS = (
    ("hot", "cold"),
    ("big", "small"),
    ("fast", "slow"),
    ("early", "late"),
    ("high", "low"),
    ("open", "closed"),
    ("full", "empty"),
    ("hard", "soft"),
    ("happy", "sad"),
    ("old", "young"),
    ("light", "dark"),
    ("wet", "dry"),
    ("strong", "weak"),
    ("clean", "dirty"),
    ("rich", "poor"),
    ("thick", "thin"),
)
OPPOSITES: dict[str, str] = dict(_OPPOSITE_PAIRS) | {b: a for a, b in _OPPOSITE_PAIRS}

PAST_FORMS: dict[str, str] = {
    "go": "went",
    "eat": "ate",
    "see": "saw",
    "run": "ran",
    "write": "wrote",
    "walk": "walked",
    "jump": "jumped",
    "take": "took",
    "give": "gave",
    "sing": "sang",
    "buy": "bought",
    "find": "found",
    "swim": "swam",
    "think": "thought",
    "play": "played",
    "speak": "spoke",
}

CAPITALS: dict[str, str] = {
    "France": "Paris",
    "Italy": "Rome",
    "Spain": "Madrid",
    "Japan": "Tokyo",
    "Egypt": "Cairo",
    "Peru": "Lima",
    "Kenya": "Nairobi",
    "Norway": "Oslo",
    "Greece": "Athens",
    "Cuba": "Havana",
    "Chile": "Santiago",
    "Austria": "Vienna",
    "Poland": "Warsaw",
    "Portugal": "Lisbon",
}

DAYS: tuple[str, ...] = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS: tuple[str, ...] = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)

LARGEST_NUMBER = 30
"""Numbers in inputs run from 1 to this; doubles and sums may reach twice as far."""

PEOPLE: tuple[str, ...] = ("Tom", "Anna", "Ben", "Mia", "Sam", "Lucy", "Omar", "Nina")
POSSESSIONS: tuple[str, ...] = ("books", "coins", "pens", "cards", "stamps")


@dataclass(frozen=True)
class Topic:
    """What the data of a task are about.

    ``letter`` is the type of one element in lower case; a list of such elements has the letter in upper case
    (see `filial_plugins.procedural.task`).
    """

    plural: str
    singular: str
    letter: str
    words: tuple[str, ...]


def _make_topics() -> dict[str, Topic]:
    numbers = tuple(str(n) for n in range(1, LARGEST_NUMBER + 1))
    topics = [Topic("words", "word", "n", NOUNS), Topic("numbers", "number", "i", numbers)]
    topics += [Topic(name, name[:-1], "n", words) for name, words in CATEGORIES.items()]
    topics += [
        Topic("days", "day", "d", DAYS),
        Topic("months", "month", "m", MONTHS),
        Topic("countries", "country", "c", tuple(CAPITALS)),
        Topic("adjectives", "adjective", "a", tuple(OPPOSITES)),
        Topic("verbs", "verb", "v", tuple(PAST_FORMS)),
    ]
    return {topic.plural: topic for topic in topics}


TOPICS: dict[str, Topic] = _make_topics()
"""All topics by their plural name.  ``words`` (things of every family) is what an unnamed list is taken to hold."""


def add_article(noun: str) -> str:
    """Return ``noun`` with its indefinite article: "an animal", "a tool"."""
    return ("an " if noun[0] in "aeiou" else "a ") + noun
