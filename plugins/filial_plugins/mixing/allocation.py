"""How many records of each task a mix gets: whole numbers that follow the rates and sum to the total."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from filial import UsageError

Counts = dict[str, int]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many records of a task there are: with a chain of thought, and without."""

    plain: int = 0
    cot: int = 0

    @property
    def all(self) -> int:
        """Both together."""
        return self.plain + self.cot


@dataclass(frozen=True, slots=True)
class Allotment:
    """What one task gets of a mix, with or without chain of thought.

    ``asked`` is its share of the total, ``available`` how many records it has, ``given`` how many the mix gets.
    """

    task: str
    cot: bool
    asked: int
    available: int
    given: int

    @property
    def repeated(self) -> int:
        """How many of the given ones come again."""
        return max(0, self.given - self.available)


def allocate(
    rates: Mapping[str, float], sizes: Mapping[str, Sizes], total: int | None = None, *,
    repeat: bool = False, stop: bool = False, cot_share: float | None = None,
) -> list[Allotment]:  # fmt: skip
    """Return what each task gets, in the order of ``sizes``; a task with both kinds of records has two entries if there
    is a share of chain of thought.

    Without ``total`` a mix is as large as it can be without repeating a record or leaving the rates. A task with fewer
    records than its share gives what it has; with ``repeat`` its records come again; with ``stop`` the whole mix gets
    smaller, so that the rates hold. ``cot_share`` holds in every case, to the nearest whole number of what is given.

    Raises:
        UsageError: all rates are 0, or one side of the share of chain of thought has no record.
    """
    if cot_share is None:
        sides = [_Side(False, rates, {task: size.all for task, size in sizes.items()}, Fraction(1))]
    else:
        sides = _split(rates, sizes, _exact(cot_share))
    if total is None:
        total = wanted = _largest(sides, None)
    else:
        wanted = min(total, _largest(sides, total)) if stop else total
    asked = _divide(sides, total)
    if repeat:
        given = asked
    elif stop or wanted == 0:
        given = _divide(sides, wanted)
    else:
        given = _give_what_there_is(sides, asked, total)
    found = {
        (task, side.cot): Allotment(task, side.cot, ask.get(task, 0), side.sizes[task], give.get(task, 0))
        for side, ask, give in zip(sides, asked, given, strict=True)
        for task in side.sizes
    }
    return [found[task, cot] for task in sizes for cot in (False, True) if (task, cot) in found]


def divide(rates: Mapping[str, Fraction], total: int) -> Counts:
    """Return whole numbers that sum to ``total`` and follow the rates, by largest remainder (ties by name).

    Raises:
        UsageError: all rates are zero.
    """
    if not (whole := sum(rates.values())):
        raise UsageError("all mixing rates are 0; nothing would be mixed")
    quotas = {name: rate * total / whole for name, rate in rates.items()}
    counts = {name: int(quota) for name, quota in quotas.items()}
    left = total - sum(counts.values())
    for name in sorted(quotas, key=lambda n: (counts[n] - quotas[n], n))[:left]:
        counts[name] += 1
    return counts


class _Side:
    """The tasks on one side of the share of chain of thought: exact rates, sizes, and the share of this side."""

    def __init__(self, cot: bool, rates: Mapping[str, float | Fraction], sizes: Counts, share: Fraction) -> None:
        self.cot, self.sizes, self.share = cot, sizes, share
        self.rates = {task: _exact(rates[task]) for task in sizes}

    def divide(self, total: int) -> Counts:
        """Return what each task gets of ``total`` records of this side."""
        return divide(self.rates, total) if total else {}

    def fits(self) -> Fraction:
        """Return how large the whole mix can be before a task of this side runs out."""
        whole = sum(self.rates.values()) / self.share
        return min(self.sizes[task] * whole / rate for task, rate in self.rates.items() if rate)

    def fill(self, most: Counts, total: int) -> Counts:
        """Return numbers that sum to ``total`` and follow the rates as far as ``most`` of each task allows."""
        fixed: Counts = {}
        while True:
            free = {task: rate for task, rate in self.rates.items() if task not in fixed and rate}
            left = total - sum(fixed.values())
            counts = divide(free, left) if free and left else {}
            over = {task: most.get(task, 0) for task, count in counts.items() if count > most.get(task, 0)}
            if not over:
                return fixed | counts
            fixed |= over


def _split(rates: Mapping[str, float], sizes: Mapping[str, Sizes], share: Fraction) -> list[_Side]:
    """Return the two sides; a task with records on both has its rate split in proportion to their number.

    Raises:
        UsageError: a side that has a share has no record that would be drawn.
    """
    sides = []
    for cot, part in ((False, 1 - share), (True, share)):
        there = {task: size.cot if cot else size.plain for task, size in sizes.items()}
        there = {task: count for task, count in there.items() if count}
        portions = {task: _exact(rates[task]) * count / sizes[task].all for task, count in there.items()}
        if part and not any(portions.values()):
            kind = "is marked as chain of thought" if cot else "is without chain of thought"
            what = f"cot_share is {float(share):g}" if cot else f"cot_share leaves {float(part):g} for others"
            raise UsageError(f"{what}, but no record with a rate above 0 {kind}")
        sides.append(_Side(cot, portions if part else dict.fromkeys(there, Fraction()), there, part))
    return sides


def _parts(sides: list[_Side], total: int) -> list[int]:
    """Return how many of ``total`` records each side gets; the nearest whole numbers."""
    if len(sides) == 1:
        return [total]
    cot = round(sides[1].share * total)
    return [total - cot, cot]


def _divide(sides: list[_Side], total: int) -> list[Counts]:
    return [side.divide(part) for side, part in zip(sides, _parts(sides, total), strict=True)]


def _largest(sides: list[_Side], most: int | None) -> int:
    """Return the largest total, up to ``most``, for which no task runs out."""
    total = int(min(side.fits() for side in sides if side.share))
    total = total if most is None else min(total, most)
    while total and any(
        count > side.sizes[task]
        for side, counts in zip(sides, _divide(sides, total), strict=True)
        for task, count in counts.items()
    ):
        total -= 1
    return total


def _give_what_there_is(sides: list[_Side], asked: list[Counts], total: int) -> list[Counts]:
    """Return what tasks can give of what they are asked for; both sides shrink together where one falls short."""
    there = [
        {task: min(count, side.sizes[task]) for task, count in counts.items()}
        for side, counts in zip(sides, asked, strict=True)
    ]
    sums = [sum(counts.values()) for counts in there]
    if len(sides) == 1 or sums == _parts(sides, total):
        return there
    low, high = 0, total
    while low < high:  # the parts of a smaller total are not larger
        middle = (low + high + 1) // 2
        fits = all(part <= have for part, have in zip(_parts(sides, middle), sums, strict=True))
        low, high = (middle, high) if fits else (low, middle - 1)
    return [side.fill(most, part) for side, most, part in zip(sides, there, _parts(sides, low), strict=True)]


def _exact(rate: float | Fraction) -> Fraction:
    """Return a rate as the decimal number that a user would write for it: 0.1 is a tenth, which no float is."""
    return rate if isinstance(rate, Fraction) else Fraction(str(rate))
