"""Operations on lists of things: order, trimming, picking, families of things."""

from __future__ import annotations

from .lexicon import CATEGORIES, CATEGORY_OF
from .operations import ANY_LIST, InputError, Operation, Value, get_element, require_nonempty

ORDINALS = ("second", "third", "fourth")
AMOUNTS = ("two", "three")


def _swap_ends(values: list[Value]) -> list[Value]:
    if len(values) < 2:
        raise InputError("the list is too short")
    return [values[-1], *values[1:-1], values[0]]


def _get_family(word: Value) -> str:
    if word not in CATEGORY_OF:
        raise InputError(f"{word} is unknown")
    return CATEGORY_OF[word]


def _take_first(values: list[Value], m: str) -> list[Value]:
    amount = AMOUNTS.index(m) + 2
    if len(values) <= amount:
        raise InputError("the list is too short")
    return values[:amount]


def _find_odd_one(values: list[Value]) -> Value:
    families = [_get_family(word) for word in values]
    single = [word for word, family in zip(values, families, strict=True) if families.count(family) == 1]
    if len(single) != 1 or len(values) < 3 or len(set(families)) != 2:
        raise InputError("no odd one out")
    return single[0]


def _has_family(values: list[Value], an: str) -> str:
    wanted = an.split()[1] + "s"
    return "yes" if wanted in [_get_family(word) for word in values] else "no"


OPERATIONS = (
    Operation(
        "reverse", ANY_LIST, "=", lambda v: v[::-1], "order",
        orders=("[reverse|flip|turn around] {o}", "[reverse|flip] the order of {o}",
                "[write|list|put] {o} [backwards|in reverse order|from last to first]"),
        questions=("what is the reverse order of {o}", "how do you write {o} backwards"),
        notes=("backwards", "in reverse order", "from last to first"),
    ),
    Operation(
        "swap_ends", ANY_LIST, "=", _swap_ends, "order", rarity=3,
        orders=("[swap|exchange|switch|trade] the first and [the |]last {us}",
                "let the first and last {us} [change|trade] places"),
        questions=("what do you get with the first and last {us} swapped",),
        notes=("first and last swapped", "with its ends swapped"),
    ),
    Operation(
        "sort_az", ANY_LIST.replace("I", ""), "=", sorted, "order", core=False, rarity=2,
        orders=("[sort|arrange|order|put] {o} [alphabetically|in alphabetical order|from A to Z]",),
        notes=("from A to Z", "alphabetical"),
    ),
    Operation(
        "copy", ANY_LIST, "=", list, "order", core=False,
        orders=("[repeat|copy|write out] {o}", "[say|write] {o} again"),
        notes=("again", "once more"),
    ),
    Operation(
        "drop_first", ANY_LIST, "=", lambda v: require_nonempty(v[1:]), "trim",
        orders=("[remove|drop|delete|leave out|skip] the first {u}",
                "[remove|drop|delete] the {u} at the [start|front]",
                "[list|write|keep] everything [after|except] the first {u}"),
        questions=("what is left without the first {u}", "what follows the first {u}"),
        notes=("without the first", "short of its start"),
    ),
    Operation(
        "drop_last", ANY_LIST, "=", lambda v: require_nonempty(v[:-1]), "trim",
        orders=("[remove|drop|delete|leave out|skip] the last {u}",
                "[remove|drop|delete] the {u} at the [end|back]",
                "[list|write|keep] everything [before|except] the last {u}"),
        questions=("what is left without the last {u}", "what stands before the last {u}"),
        notes=("without the last", "short of its end"),
    ),
    Operation(
        "first_n", ANY_LIST, "=", _take_first, "trim", parameters=("m",), core=False, rarity=2,
        orders=("[keep|take|return|list] [only |]the first {m} {us}",),
        questions=("what are the first {m} {us}",),
        notes=("the first {m}", "its top {m}"),
    ),
    Operation(
        "append", "N", "=", lambda v, x: [*v, x], "extend", parameters=("x",), rarity=2, mixed=True,
        orders=("[add|append|attach] the word {x} [at|to] the end", "put the word {x} at the end",
                "[add|put|write] {x} [after|behind] the last {u}", "[add|use] {x} as the last {u}"),
        questions=("what do you get with {x} added at the end",),
        notes=("with {x} at the end", "with {x} behind"),
    ),
    Operation(
        "prepend", "N", "=", lambda v, x: [x, *v], "extend", parameters=("x",), core=False, rarity=3, mixed=True,
        orders=("[add|attach] the word {x} [at|to] the [start|front]", "put the word {x} at the [start|front]",
                "[add|put|write] {x} before the first {u}"),
        questions=("what do you get with {x} added at the start",),
        notes=("with {x} at the start", "with {x} in front"),
    ),
    Operation(
        "dedupe", ANY_LIST, "=", lambda v: list(dict.fromkeys(v)), "filter", core=False, rarity=3, wants="repeats",
        orders=("remove [the |all |]duplicates from {o}", "[keep|list] each {u} only once"),
        notes=("each only once", "no duplicates"),
    ),
    Operation(
        "first", ANY_LIST, "element", lambda v: get_element(v, 0), "pick",
        orders=("[give|return|write|name|pick|find] the first {u}", "[give|name|find] the {u} at the [start|front]"),
        questions=("[what|which] is the first {u}", "which {u} [comes|stands] first",
                   "which {u} is at the [start|front]"),
        notes=("the first", "at the start"),
    ),
    Operation(
        "last", ANY_LIST, "element", lambda v: get_element(v, len(v) - 1), "pick",
        orders=("[give|return|write|name|pick|find] the last {u}", "[give|name|find] the {u} at the [end|back]"),
        questions=("[what|which] is the last {u}", "which {u} [comes|stands] last", "which {u} is at the [end|back]"),
        notes=("the last", "at the end"),
    ),
    Operation(
        "nth", ANY_LIST, "element", lambda v, n: get_element(v, ORDINALS.index(n) + 1), "pick",
        parameters=("n",), rarity=2,
        orders=("[give|return|write|name|pick|find] the {n} {u}", "[give|name|find] the {u} in {n} place"),
        questions=("[what|which] is the {n} {u}", "which {u} [comes|stands] {n}", "which {u} is in {n} place"),
        notes=("the {n}", "in {n} place"),
    ),
    Operation(
        "odd_one", "N", "element", _find_odd_one, "pick", core=False, rarity=2, wants="odd one", mixed=True,
        orders=("[find|name|pick] the odd one out", "[find|name|pick] the {u} that does not belong"),
        questions=("which {u} does not belong", "which {u} is the odd one out"),
        notes=("the odd one out", "not one of them"),
    ),
    Operation(
        "count", ANY_LIST, "i", len, "count",
        orders=("count {o}", "[say|tell me|state|find out] how many {us} there are",
                "[give|find|write] the number of {us}"),
        questions=("how many {us} are there", "how many {us} are in the list", "how many {us} do you see",
                   "what is the number of {us}", "how long is the list of {us}"),
        notes=("in all", "how many in all", "total"),
    ),
    Operation(
        "keep_family", "N", "=", lambda v, c: require_nonempty([w for w in v if _get_family(w) == c]), "filter",
        parameters=("c",), wants="family", mixed=True,
        orders=("[keep|list|select|return|write] only the {c}", "[pick out|find|extract|collect] [all |]the {c}",
                "leave only the {c}"),
        questions=("which {us} are {c}", "which of the {us} are {c}"),
        notes=("only {c}", "{c} here"),
    ),
    Operation(
        "drop_family", "N", "=", lambda v, c: require_nonempty([w for w in v if _get_family(w) != c]), "filter",
        parameters=("c",), rarity=2, wants="family", mixed=True,
        orders=("[remove|drop|delete|leave out|take out] [all |]the {c}",
                "[keep|list|write] everything [except|but] the {c}"),
        questions=("which {us} are not {c}", "which of the {us} are not {c}"),
        notes=("no {c}", "without the {c}"),
    ),
    Operation(
        "count_family", "N", "i", lambda v, c: [_get_family(w) for w in v].count(c), "count",
        parameters=("c",), core=False, rarity=3, wants="family", mixed=True,
        orders=("count only the {c}", "[say|tell me|state] how many of the {us} are {c}"),
        questions=("how many of the {us} are {c}",),
        notes=("how many {c}", "{c} in all"),
    ),
    Operation(
        "has_family", "N", "y", _has_family, "check", parameters=("an",), rarity=2, wants="maybe family", mixed=True,
        orders=("[say|tell me|state|check] whether there is {an}", "[say|tell me|check] if the list has {an}",
                "[say|find out] whether {an} is in the list"),
        questions=("is there {an}", "is there {an} in [the list|it]", "do you see {an}",
                   "does the list [have|contain] {an}", "can you find {an} in the list"),
        notes=("{an} in it", "there is {an}"),
    ),
)  # fmt: skip

FAMILY_NAMES = tuple(CATEGORIES)
