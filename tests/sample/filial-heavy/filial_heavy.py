"""Not broken in itself: it takes three seconds to import."""

import time

from filial import Strategy, hookimpl

time.sleep(3)  # stands for `import torch` at the top of a module


class Heavy(Strategy):
    """Slow to import."""

    async def evolve(self, record, ctx):
        return record.evolved(instruction=record.instruction + "!")


@hookimpl
def register_strategies(register):
    register("heavy", Heavy)
