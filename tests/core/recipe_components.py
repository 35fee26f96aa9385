"""Small components for recipe tests, loaded like any third party's ``--plugin`` file."""

from typing import ClassVar, Literal

from pydantic import model_validator

from filial import (
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


class Plain(Template):
    """No frame at all."""

    def render(self, record):
        return [Span("x")]


class Sft(Trainer):
    """Trains nothing."""

    epochs: float = Field(3, gt=0)

    def train(self, data, model, template, out, ctx):
        return {}


class Exact(Judge):
    """Compares."""

    async def judge(self, record, answers, ctx):
        return Verdict(1.0)


class Clash(Judge):
    """Has an option that a recipe needs for itself."""

    limit: int = 3

    async def judge(self, record, answers, ctx):
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


@hookimpl
def register_templates(register):
    register("alpaca", Plain)


@hookimpl
def register_trainers(register):
    register("sft", Sft)


@hookimpl
def register_judges(register):
    register("exact", Exact)
    register("clash", Clash)
