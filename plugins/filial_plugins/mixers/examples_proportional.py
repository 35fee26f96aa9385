"""Mix by the number of records of each task, up to a maximum, as FLAN does."""

from __future__ import annotations

from collections.abc import Callable

from filial import Field, Mixer, hookimpl
from filial_plugins.mixers.sizes import Maximum, check_rates, scale_sizes


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
        return check_rates(scale_sizes(sizes, 1.0, self.maximum, 1.0))


@hookimpl
def register_mixers(register: Callable[[str, type[Mixer]], None]) -> None:
    register("examples-proportional", ExamplesProportional)
