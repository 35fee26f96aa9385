"""Keep records of a reasonable length."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import model_validator

from filial import Context, Drop, Field, Filter, Keep, Record, hookimpl
from filial_plugins.texts import count_words, get_answer, get_question


class Length(Filter):
    """Drop records whose instruction, input or output is too short or too long.

    Lengths are numbers of words, in scripts without blanks (Chinese, Japanese, Thai, …) of characters. In a
    conversation, the first user turn is the instruction and the last assistant turn the output.
    """

    min_instruction: int = Field(2, ge=0, description="Minimum words of the instruction.")
    max_instruction: int = Field(500, ge=1, description="Maximum words of the instruction.")
    min_input: int = Field(0, ge=0, description="Minimum words of the input.")
    max_input: int = Field(2000, ge=0, description="Maximum words of the input.")
    min_output: int = Field(1, ge=0, description="Minimum words of the output.")
    max_output: int = Field(2000, ge=1, description="Maximum words of the output.")

    @model_validator(mode="after")
    def _check_order(self) -> Length:
        for name in ("instruction", "input", "output"):
            low, high = getattr(self, f"min_{name}"), getattr(self, f"max_{name}")
            if low > high:
                raise ValueError(f"min_{name} is {low} and max_{name} is {high}; nothing can be kept")
        return self

    def check(self, record: Record, ctx: Context) -> Keep | Drop:
        fields = (
            ("instruction", get_question(record), self.min_instruction, self.max_instruction),
            ("input", record.input, self.min_input, self.max_input),
            ("output", get_answer(record), self.min_output, self.max_output),
        )
        for name, text, low, high in fields:
            words = count_words(text)
            if words < low:
                return Drop(f"{name}-too-short", f"{words} words, at least {low} wanted")
            if words > high:
                return Drop(f"{name}-too-long", f"{words} words, at most {high} wanted")
        return Keep()

    def question_rules(self) -> Length:
        return self.model_copy(update={"min_output": 0})


@hookimpl
def register_filters(register: Callable[[str, type[Filter]], None]) -> None:
    register("length", Length)
