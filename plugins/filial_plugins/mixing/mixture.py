"""Mixtures of mixtures: a mixer with its members, each a task or another mixture."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass

from filial import Mixer

RatesOf = Callable[["Mixture", dict[str, int]], Awaitable[dict[str, float]]]
"""Asks the mixer of a mixture for the rates of its members by their sizes."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """A mixer and what it mixes: by name, another mixture, or None for a task of that name.

    ``plugin`` is what errors call the mixer, ``where`` its place in the recipe.
    """

    mixer: Mixer
    members: Mapping[str, Mixture | None]
    plugin: str = ""
    where: str = ""

    def tasks(self) -> Iterator[str]:
        """Return the tasks that it reaches; one that two mixtures share comes twice."""
        for name, member in self.members.items():
            yield from (name,) if member is None else member.tasks()

    async def rates(self, sizes: Mapping[str, int], rates_of: RatesOf) -> dict[str, float]:
        """Return the rate of each task, from the number of records of each.

        A mixture within this one is mixed by itself; its tasks share its rate. The rates of a task that is reached on
        several ways add up (seqio's ``Mixture.get_rate``). The size of a mixture is the number of its records.
        """
        return (await self._rates(sizes, rates_of))[0]

    async def _rates(self, sizes: Mapping[str, int], rates_of: RatesOf) -> tuple[dict[str, float], float]:
        """Return the rate of each task, and the sum of the rates of the members, which is seqio's ``total_rate``."""
        reached = {name: {name} if member is None else set(member.tasks()) for name, member in self.members.items()}
        own = await rates_of(self, {name: sum(sizes[task] for task in tasks) for name, tasks in reached.items()})
        found = dict.fromkeys(self.tasks(), 0.0)
        for name, member in self.members.items():
            if member is None:
                found[name] += own[name]
            elif own[name]:
                inner, whole = await member._rates(sizes, rates_of)
                for task, rate in inner.items():
                    found[task] += own[name] * rate / whole
        return found, sum(own.values())
