"""Mix by the number of records of each task, flattened by a temperature, as seqio does."""

from __future__ import annotations

from collections.abc import Callable

from filial import Field, Mixer, hookimpl
from filial_plugins.mixers.sizes import Maximum, check_rates, scale_sizes


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
        return check_rates(scale_sizes(sizes, self.scale, self.maximum, self.temperature))


@hookimpl
def register_mixers(register: Callable[[str, type[Mixer]], None]) -> None:
    register("temperature", Temperature)
