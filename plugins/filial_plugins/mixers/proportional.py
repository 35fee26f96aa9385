"""Mix all tasks alike."""

from __future__ import annotations

from collections.abc import Callable

from filial import Mixer, hookimpl
from filial_plugins.mixers.sizes import check_rates


class Proportional(Mixer):
    """Draw the same number of examples from every task, independent of its number of records.

    This is task-proportional mixing. For rates that follow the number of records, use ``examples-proportional``.
    """

    def rates(self, sizes: dict[str, int]) -> dict[str, float]:
        """Return 1 for a task with records, else 0.

        Raises:
            UsageError: no task has a record.
        """
        return check_rates({task: float(size > 0) for task, size in sizes.items()})


@hookimpl
def register_mixers(register: Callable[[str, type[Mixer]], None]) -> None:
    register("proportional", Proportional)
