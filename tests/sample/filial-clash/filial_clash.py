"""Not broken in itself: it claims a name that filial claims too."""

from filial import Strategy, hookimpl


class Deepen(Strategy):
    """Another deepen."""

    async def evolve(self, record, ctx):
        return record.evolved(instruction=record.instruction + "!")


@hookimpl
def register_strategies(register):
    register("deepen", Deepen)
