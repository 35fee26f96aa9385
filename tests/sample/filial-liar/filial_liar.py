"""Broken: it promises one name and registers another."""

from filial import Strategy, hookimpl


class Liar(Strategy):
    """Registered under a name nobody was promised."""

    async def evolve(self, record, ctx):
        return record.evolved(instruction=record.instruction + "!")


@hookimpl
def register_strategies(register):
    register("lier", Liar)
