from filial import Drop, Field, Strategy, hookimpl


class Pirate(Strategy):
    """Retell the instruction the way a pirate would."""

    accent: str = Field("cornish", description="Which coast the pirate is from.")

    async def evolve(self, record, ctx):
        reply = await ctx.ask(f"Retell this task as a {self.accent} pirate would:\n\n{record.question()}")
        text = reply.text.strip()
        return record.evolved(instruction=text, input="") if text else Drop("empty-reply")


@hookimpl
def register_strategies(register):
    register("pirate", Pirate)
