"""Mix by given weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Self

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from filial import Field, Mixer, UsageError, hookimpl

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Weights(Mixer):
    """Draw each task in proportion to its weight, independent of its number of records.

    With weights 3 and 1, three of four examples in the mix are of the first task.
    """

    weights: dict[str, Weight] = Field(default_factory=dict, description="Weight by task name.")
    default: Weight = Field(1.0, description="Weight of all other tasks; 0 excludes them.")

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        if not self.default and not any(self.weights.values()):
            raise PydanticCustomError("no_weight", "every weight is 0; give at least one task, or default, a weight")
        return self

    def rates(self, sizes: dict[str, int]) -> dict[str, float]:
        """Return the weights themselves; 0 for a task without records.

        Raises:
            UsageError: a weight names a task that does not exist, or no task is left.
        """
        unknown = sorted(set(self.weights) - set(sizes))
        if unknown:
            raise UsageError(
                f"weights names {', '.join(map(repr, unknown))}, but no record has that task; "
                f"the tasks are {', '.join(map(repr, sorted(sizes))) or 'none'}"
            )
        rates = {task: self.weights.get(task, self.default) if size else 0.0 for task, size in sizes.items()}
        if not any(rates.values()):
            raise UsageError("every task has weight 0 or no record; give at least one task with records a weight")
        return rates


@hookimpl
def register_mixers(register: Callable[[str, type[Mixer]], None]) -> None:
    register("weights", Weights)
