"""Operations that look something up: facts about words, countries and the calendar, and tables."""

from __future__ import annotations

from collections.abc import Callable

from .lexicon import CAPITALS, CATEGORY_OF, DAYS, MONTHS, OPPOSITES, PAST_FORMS, PLURALS
from .operations import InputError, Operation, make_lookup, make_shift

Rows = list[tuple[str, int]]


def _look_up_row(rows: Rows, xs: str) -> int:
    for name, count in rows:
        if name == xs:
            return count
    raise InputError(f"{xs} is not in the table")


def _pick_extreme(choose: Callable[..., int]) -> Callable[[Rows], str]:
    def pick(rows: Rows) -> str:
        best = choose(count for _, count in rows)
        found = [name for name, count in rows if count == best]
        if len(found) != 1:
            raise InputError("a tie")
        return found[0]

    return pick


def _make_calendar_operation(name: str, unit: str, cycle: tuple[str, ...], by: int, core: bool) -> Operation:
    """Return the operation that names the day or month after (``by`` 1) or before (``by`` -1) a given one."""
    near, joins = ("after", "follows") if by > 0 else ("before", "precedes")
    return Operation(
        name, unit[0], "=", make_shift(cycle, by), "calendar", core=core, rarity=1 if core else 2,
        orders=(f"[give|name|write] the {unit} [{near}|that {joins}] {{o}}",
                f"[say|tell me|find out] which {unit} [comes {near}|{joins}] {{o}}"),
        questions=(f"which {unit} [comes {near}|{joins}|is right {near}] {{o}}", f"what {unit} comes {near} {{o}}"),
        notes=(f"the {unit} {near}", f"one {unit} {'later' if by > 0 else 'earlier'}"),
    )  # fmt: skip


OPERATIONS = (
    Operation(
        "opposite", "a", "=", make_lookup(OPPOSITES), "words",
        orders=("[give|write|name|find] the opposite of {o}", "[give|write|find] an antonym [of|for] {o}",
                "[turn|change] {o} into its opposite"),
        questions=("what is the opposite of {o}", "which word means the opposite of {o}",
                   "what is an antonym [of|for] {o}"),
        notes=("the opposite", "its opposite"),
    ),
    Operation(
        "plural", "n", "t", make_lookup(PLURALS), "words",
        orders=("[give|write|find] the plural [form |]of {o}", "make {o} plural",
                "[turn|change] {o} into [a|its] plural"),
        questions=("what is the plural [form |]of {o}", "how do you write {o} in the plural"),
        notes=("the plural", "more than one"),
    ),
    Operation(
        "past", "v", "t", make_lookup(PAST_FORMS), "words", rarity=2,
        orders=("[give|write|find] the past [tense|form] of {o}", "[put|change|turn] {o} into the past [tense|form]"),
        questions=("what is the past [tense|form] of {o}", "how do you write {o} in the past [tense|form]"),
        notes=("the past form", "in the past"),
    ),
    Operation(
        "family", "n", "t", make_lookup({word: name[:-1] for word, name in CATEGORY_OF.items()}), "words",
        mixed=True,
        orders=("[say|tell me|state] what kind of thing {o} is", "[classify|categorize] {o}",
                "[give|name|find] the category of {o}"),
        questions=("what [category|group] does {o} belong to", "what kind of thing is {o}",
                   "what is the category of {o}"),
        notes=("the category", "kind of thing"),
    ),
    Operation(
        "capital", "c", "t", make_lookup(CAPITALS), "places",
        orders=("[give|name|find|write] the capital [city |]of {o}",
                "[say|tell me] which city is the capital of {o}"),
        questions=("what is the capital [city |]of {o}", "which city is the capital of {o}"),
        notes=("the capital", "its capital city"),
    ),
    _make_calendar_operation("next_day", "day", DAYS, 1, core=True),
    _make_calendar_operation("next_month", "month", MONTHS, 1, core=True),
    _make_calendar_operation("previous_day", "day", DAYS, -1, core=False),
    _make_calendar_operation("previous_month", "month", MONTHS, -1, core=False),
    Operation(
        "look_up", "T", "i", _look_up_row, "table", parameters=("xs",), rarity=2,
        orders=("[give|return|look up|find] the count [for|of] {xs}",
                "[find out|say|tell me] how many {xs} [are listed|the table lists|are in stock]"),
        questions=("how many {xs} [are listed|does the table list|are in the table|are in stock]",
                   "what is the count [for|of] {xs}"),
        notes=("{xs}", "the count of {xs}"),
    ),
    Operation(
        "table_most", "T", "t", _pick_extreme(max), "table", core=False, rarity=3,
        orders=("[find|name] the item with the [highest|largest] count",),
        questions=("which item has the [highest|largest] count",),
        notes=("the highest count", "the most"),
    ),
    Operation(
        "table_least", "T", "t", _pick_extreme(min), "table", core=False, rarity=3,
        orders=("[find|name] the item with the [lowest|smallest] count",),
        questions=("which item has the [lowest|smallest] count",),
        notes=("the lowest count", "the least"),
    ),
)  # fmt: skip
