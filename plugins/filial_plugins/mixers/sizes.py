"""Rates by the number of records of each task, shared by mixers."""

from __future__ import annotations

from typing import Annotated

from filial import Field, UsageError

LEAST, MOST = 1e-100, 1e100
"""Bounds of a rate that is not 0, as the mix stage has them."""
Maximum = Annotated[int, Field(ge=0)]


def scale_sizes(sizes: dict[str, int], scale: float, maximum: int | None, temperature: float) -> dict[str, float]:
    """Scale, limit and flatten numbers of records, in this order (seqio 0.0.19, ``mixing_rate_num_examples``)."""
    rates = {}
    for task, size in sizes.items():
        rate = size * scale
        if maximum:
            rate = min(rate, maximum)
        try:
            rates[task] = float(rate ** (1.0 / temperature)) if temperature != 1.0 else float(rate)
        except OverflowError:
            rates[task] = MOST * 10
    return rates


def check_rates(rates: dict[str, float]) -> dict[str, float]:
    """Check rates, and return them.

    Raises:
        UsageError: all are 0, or one is too large or too small to be computed with.
    """
    if not any(rates.values()):
        raise UsageError(f"no task has a record; the tasks are {', '.join(map(repr, sorted(rates))) or 'none'}")
    for task, rate in rates.items():
        if rate and not LEAST <= rate <= MOST:
            raise UsageError(f"the rate of task {task!r} is {rate:g}; choose a temperature or a scale nearer to 1")
    return rates
