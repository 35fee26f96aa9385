"""Broken: the hook's name is misspelled."""

from filial import Strategy, hookimpl


class Typo(Strategy):
    """Registered by a hook that does not exist."""

    async def evolve(self, record, ctx):
        return record.evolved(instruction=record.instruction + "!")


@hookimpl
def register_strategy(register):
    register("typo", Typo)
