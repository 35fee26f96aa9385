"""Add a constraint to the task."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

from pydantic import model_validator

from filial import Context, Drop, Field, PromptStrategy, Record, Strategy, hookimpl
from filial_plugins.constraints.catalogue import append_sentence, check_types, draw_constraint
from filial_plugins.prompt_files import read_prompt


class AddConstraints(PromptStrategy):
    """Add a constraint or requirement to the task (Evol-Instruct, in depth: add constraints).

    With ``checkable: true`` no teacher is asked for it: a constraint that a function can verify, and that does not
    contradict the present ones, is drawn from the catalogue (docs/constraints.md). Its sentence is appended to the
    instruction, its type and arguments are stored in the record. The teacher writes the answer as usual, and the filter
    `constraints` checks it.
    """

    family: ClassVar[Literal["in-depth", "in-breadth"]] = "in-depth"
    wording: ClassVar[str] = read_prompt(__file__, "add_constraints.txt")
    checkable: bool = Field(False, description="Draw a constraint that a function can verify, without a teacher.")
    types: tuple[str, ...] = Field((), description="With checkable: types to draw from. Default: all.")
    per_record: int = Field(3, ge=1, description="With checkable: maximum constraints per record.")

    @model_validator(mode="after")
    def _one_way(self) -> AddConstraints:
        if self.checkable and (self.text or self.file):
            raise ValueError("checkable: true asks no teacher, so text and file have no effect; remove one of them")
        if self.types and not self.checkable:
            raise ValueError("types has an effect only with checkable: true; add it, or remove types")
        if wrong := check_types(self.types):
            raise ValueError(wrong)
        return self

    def calls(self, records: int) -> float:
        return 0 if self.checkable else super().calls(records)

    async def evolve(self, record: Record, ctx: Context) -> Record | Drop:
        if not self.checkable or record.messages:
            return await super().evolve(record, ctx)
        there = record.constraints
        new = draw_constraint(record.instruction, there, ctx.rng, self.types) if len(there) < self.per_record else None
        if new is None:
            return Drop("no-constraint-left", f"no further constraint is compatible with the present {len(there)}")
        return record.evolved(instruction=append_sentence(record.instruction, new.text), constraints=(*there, new))


@hookimpl
def register_strategies(register: Callable[[str, type[Strategy]], None]) -> None:
    register("add-constraints", AddConstraints)
