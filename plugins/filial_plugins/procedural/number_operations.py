"""Operations on numbers: order, extremes, filters, small arithmetic, and word problems."""

from __future__ import annotations

import re

from .lexicon import LARGEST_NUMBER
from .operations import InputError, Operation, require_nonempty

THRESHOLDS = ("5", "10", "15", "20")
LARGEST_RESULT = 2 * LARGEST_NUMBER

_PROBLEM = re.compile(
    r"(\w+) has (\d+) (\w+)\.((?: \w+ (?:buys|finds|gives away|loses) \d+(?: more)?\.)+) How many \w+ does \w+ have\?"
)
_CHANGE = re.compile(r"(buys|finds|gives away|loses) (\d+)")


def _sum(values: list[int]) -> int:
    total = sum(values)
    if total > LARGEST_RESULT or not 2 <= len(values) <= 3:
        raise InputError("the sum is too large")
    return total


def _double(value: int) -> int:
    if not 0 <= value <= LARGEST_NUMBER:
        raise InputError("the number is too large")
    return 2 * value


def _solve(problem: str) -> int:
    match = _PROBLEM.fullmatch(problem)
    if not match:
        raise InputError("not a word problem")
    amount = int(match[2])
    for verb, number in _CHANGE.findall(match[4]):
        amount += int(number) if verb in ("buys", "finds") else -int(number)
        if amount < 0:
            raise InputError("a negative amount")
    return amount


_LARGEST = "[largest|biggest|highest|greatest]"
_SMALLEST = "[smallest|lowest]"

OPERATIONS = (
    Operation(
        "sort_up", "I", "=", sorted, "order",
        orders=("[sort|arrange|order|put] {o} [in ascending order|from smallest to largest|from low to high|upwards]",),
        questions=("what is the ascending order of {o}",),
        notes=("in ascending order", "from low to high", "from smallest to largest"),
    ),
    Operation(
        "sort_down", "I", "=", lambda v: sorted(v, reverse=True), "order", core=False, rarity=2,
        orders=("[sort|arrange|order|put] {o} "
                "[in descending order|from largest to smallest|from high to low|downwards]",),
        questions=("what is the descending order of {o}",),
        notes=("in descending order", "from high to low"),
    ),
    Operation(
        "keep_even", "I", "=", lambda v: require_nonempty([x for x in v if x % 2 == 0]), "filter", wants="parity",
        orders=("[keep|list|select|return|write] only the even {us}",
                "[remove|drop|delete|take out] [all |]the odd {us}"),
        questions=("which {us} are [even|not odd]", "which of the {us} are even"),
        notes=("even ones", "no odd ones"),
    ),
    Operation(
        "keep_odd", "I", "=", lambda v: require_nonempty([x for x in v if x % 2]), "filter", rarity=2, wants="parity",
        orders=("[keep|list|select|return|write] only the odd {us}",
                "[remove|drop|delete|take out] [all |]the even {us}"),
        questions=("which {us} are [odd|not even]", "which of the {us} are odd"),
        notes=("odd ones", "no even ones"),
    ),
    Operation(
        "keep_above", "I", "=", lambda v, k: require_nonempty([x for x in v if x > int(k)]), "filter",
        parameters=("k",), rarity=2,
        orders=("[keep|list|select|return|write] only the {us} [above|over|greater than|larger than] {k}",
                "[remove|drop|delete] [all |]the {us} up to {k}"),
        questions=("which {us} are [above|over|greater than|larger than] {k}",),
        notes=("above {k}", "over {k}", "greater than {k}"),
    ),
    Operation(
        "largest", "I", "i", max, "pick",
        orders=(f"[find|give|return|name|pick] the {_LARGEST} {{u}}",),
        questions=(f"[what|which] is the {_LARGEST} {{u}}", f"which {{u}} is the {_LARGEST}"),
        notes=(f"the {_LARGEST}",),
    ),
    Operation(
        "smallest", "I", "i", min, "pick",
        orders=(f"[find|give|return|name|pick] the {_SMALLEST} {{u}}",),
        questions=(f"[what|which] is the {_SMALLEST} {{u}}", f"which {{u}} is the {_SMALLEST}"),
        notes=(f"the {_SMALLEST}",),
    ),
    Operation(
        "sum", "I", "i", _sum, "count", core=False, rarity=2, wants="few",
        orders=("add [up |]{o}", "[find|give|return] the [sum|total] of {o}"),
        questions=("what is the [sum|total] of {o}",),
        notes=("added up", "the sum"),
    ),
    Operation(
        "double", "i", "i", _double, "arithmetic", rarity=2,
        orders=("double {o}", "multiply {o} by two", "[give|find|write] twice {o}", "add {o} to itself"),
        questions=("what is twice {o}", "what is {o} [doubled|times two]", "how much is {o} doubled"),
        notes=("doubled", "times two"),
    ),
    Operation(
        "parity", "i", "t", lambda v: "odd" if v % 2 else "even", "check", rarity=2,
        orders=("[say|tell me|state|check] whether {o} is [even or odd|odd or even]",),
        questions=("is {o} [even or odd|odd or even]",),
        notes=("even or odd", "odd or even"),
    ),
    Operation(
        "solve", "P", "i", _solve, "arithmetic", core=False, rarity=2,
        orders=("solve [the|this] [word problem|problem]",
                "[work out|find|give] the answer to [the|this] [problem|story]"),
        questions=("what is the answer to [the|this] [problem|story]",),
        notes=("solution", "the answer"),
    ),
)  # fmt: skip
