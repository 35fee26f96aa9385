from typing import Literal

from filial import Drop, Field
from filial.stages import Stage


class Dedupe(Stage):
    """Drop records that ask what an earlier one asks."""

    by: Literal["prompt", "instruction"] = Field("prompt", description="What has to be the same.")

    async def run(self, stage, records, base, manager, env):
        env.counters.entered = env.counters.total = len(records)
        first = {}
        for record in records:
            env.counters.done += 1
            asked = record.instruction if self.by == "instruction" else tuple(turn.content for turn in record.prompt())
            if asked in first:
                env.drop(Drop("duplicate", f"asks what {first[asked]} asks"), stage.plugin(manager), record)
            else:
                first[asked] = record.id
                env.keep(record)
        return {"distinct": len(first)}
