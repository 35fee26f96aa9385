"""Small components for recipe tests, loaded like any third party's ``--plugin`` file."""

from typing import ClassVar, Literal

from pydantic import model_validator

from filial import (
    FREE,
    Field,
    Filter,
    Generator,
    Judge,
    Keep,
    Mixer,
    Reply,
    Span,
    Strategy,
    Teacher,
    Template,
    Trainer,
    Verdict,
    hookimpl,
)  # fmt: skip


class Invent(Generator):
    """Invent tasks."""

    count: int = Field(100, ge=1, description="How many.")

    async def generate(self, seeds, ctx):
        yield seeds[0]


class Reverse(Strategy):
    """Turn a task round."""

    max_words: int | None = Field(None, ge=1)
    keep_input: bool = False

    async def evolve(self, record, ctx):
        return record


class Shout(Strategy):
    """Needs no teacher."""

    asks: ClassVar[bool] = False

    async def evolve(self, record, ctx):
        return record


class Harm(Filter):
    """Has a choice, a range and a rule across options."""

    level: Literal["strict", "normal"] = "normal"
    low: int = 0
    high: int | Literal["open"] = 10

    @model_validator(mode="after")
    def _ordered(self):
        if isinstance(self.high, int) and self.low > self.high:
            raise ValueError("low is above high")
        return self

    def check(self, record, ctx):
        return Keep()


class Evolved(Filter):
    """Takes no options."""

    def check(self, record, ctx):
        return Keep()


class Greedy(Filter):
    """Its options fail in a way that its author did not foresee."""

    size: int = 1

    @model_validator(mode="after")
    def _broken(self):
        raise KeyError("oops")

    def check(self, record, ctx):
        return Keep()


class Weights(Mixer):
    """Rates by task."""

    weights: dict[str, float] = {}

    def rates(self, sizes):
        return self.weights


class Remote(Teacher):
    """An endpoint."""

    model: str = Field(description="Name of the model.")
    temperature: float = Field(0.7, ge=0, le=2)
    base_url: str = "https://example.org/v1"
    api_key_env: str = "OPENAI_API_KEY"

    async def reply(self, request):
        return Reply(text="")


class Copying(Teacher):
    """Costs nothing."""

    async def reply(self, request):
        return Reply(text="")

    def price(self):
        return FREE


class Plain(Template):
    """No frame at all."""

    def render(self, record):
        return [Span("x")]


class Sft(Trainer):
    """Trains nothing."""

    epochs: float = Field(3, gt=0)

    def train(self, data, model, template, out, ctx):
        return {}

    def teacher(self, out):
        return Copying()


class Mute(Sft):
    """Does not say how its models are asked."""

    teacher = Trainer.teacher


class Exact(Judge):
    """Compares."""

    async def judge(self, record, candidates, ctx):
        return Verdict(1.0)


class Pairs(Exact):
    """Compares two."""

    compares = 2


class Crowd(Exact):
    """Compares three."""

    compares = 3


class Clash(Judge):
    """Has an option that a recipe needs for itself."""

    limit: int = 3

    async def judge(self, record, candidates, ctx):
        return Verdict(1.0)


@hookimpl
def register_generators(register):
    register("invent", Invent)


@hookimpl
def register_strategies(register):
    register("deepen", Reverse)
    register("reverse", Reverse)
    register("shout", Shout)


@hookimpl
def register_filters(register):
    register("harm", Harm)
    register("evolved", Evolved)
    register("greedy", Greedy)


@hookimpl
def register_mixers(register):
    register("weights", Weights)


@hookimpl
def register_teachers(register):
    register("remote", Remote)
    register("nearest", Copying)


@hookimpl
def register_templates(register):
    register("alpaca", Plain)


@hookimpl
def register_trainers(register):
    register("sft", Sft)
    register("mute", Mute)


@hookimpl
def register_judges(register):
    register("exact", Exact)
    register("pairs", Pairs)
    register("crowd", Crowd)
    register("clash", Clash)
