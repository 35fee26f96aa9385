"""Mix by the number of records of each task, as seqio and FLAN do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from filial import Field, Mixer, UsageError, hookimpl

LEAST, MOST = 1e-100, 1e100
"""Bounds of a rate that is not 0, as the mix stage has them."""
Maximum = Annotated[int, Field(ge=0)]


class Proportional(Mixer):
    """Draw the same number of examples from every task, independent of its number of records.

    This is task-proportional mixing. For rates that follow the number of records, use ``examples-proportional``.
    """

    def rates(self, sizes: dict[str, int]) -> dict[str, float]:
        """Return 1 for a task with records, else 0.

        Raises:
            UsageError: no task has a record.
        """
        return _checked({task: float(size > 0) for task, size in sizes.items()})


class ExamplesProportional(Mixer):
    """Draw each task in proportion to its number of records, or to ``maximum`` if it has more.

    This is examples-proportional mixing (T5, section 3.5.2). FLAN 2021 counts at most 3,000 records of a task.
    """

    maximum: Maximum | None = Field(None, description="Maximum records of a task to count. Default, and 0: all.")

    def rates(self, sizes: dict[str, int]) -> dict[str, float]:
        """Return the number of records of each task, or ``maximum`` where it has more.

        Raises:
            UsageError: no task has a record.
        """
        return _checked(_scale(sizes, 1.0, self.maximum, 1.0))


class Temperature(Mixer):
    """Draw each task at the rate size^(1/T): T = 1 follows the sizes, a large T treats all tasks nearly alike.

    The steps have seqio's order (``mixing_rate_num_examples``): the size is scaled, limited to ``maximum``, and then
    raised to the power 1/T.
    """

    temperature: float = Field(3.0, description="The temperature T.", gt=0, allow_inf_nan=False)
    maximum: Maximum | None = Field(
        None, description="Maximum records of a task to count, after scaling. Default, and 0: all."
    )
    scale: float = Field(1.0, description="Factor of each number of records.", gt=0, allow_inf_nan=False)

    def rates(self, sizes: dict[str, int]) -> dict[str, float]:
        """Return (min(size * scale, maximum))^(1/T) for each task.

        Raises:
            UsageError: no task has a record, or a rate is too large or too small to be computed with.
        """
        return _checked(_scale(sizes, self.scale, self.maximum, self.temperature))


def _scale(sizes: dict[str, int], scale: float, maximum: int | None, temperature: float) -> dict[str, float]:
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


def _checked(rates: dict[str, float]) -> dict[str, float]:
    """Return these rates.

    Raises:
        UsageError: all are 0, or one is too large or too small to be computed with.
    """
    if not any(rates.values()):
        raise UsageError(f"no task has a record; the tasks are {', '.join(map(repr, sorted(rates))) or 'none'}")
    for task, rate in rates.items():
        if rate and not LEAST <= rate <= MOST:
            raise UsageError(f"the rate of task {task!r} is {rate:g}; choose a temperature or a scale nearer to 1")
    return rates


@hookimpl
def register_mixers(register: Callable[[str, type[Mixer]], None]) -> None:
    register("proportional", Proportional)
    register("examples-proportional", ExamplesProportional)
    register("temperature", Temperature)
