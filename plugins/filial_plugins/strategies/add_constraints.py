"""Evolve by a constraint."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

from pydantic import model_validator

from filial import Context, Drop, Field, PromptStrategy, Record, Strategy, hookimpl
from filial_plugins.constraints.catalogue import append_sentence, check_types, draw_constraint
from filial_plugins.prompt_files import read_prompt


class AddConstraints(PromptStrategy):
    """Add a constraint or requirement to the task (Evol-Instruct, in depth: add constraints).

    With ``checkable: true`` no teacher is asked for it: a constraint that a function can verify is drawn from the
    catalogue (docs/constraints.md), such that it contradicts none of those already there; its sentence is put at the
    end of the instruction, its type and arguments into the record. The answer is the teacher's as ever, and the filter
    `constraints` tells whether it keeps them.
    """

    family: ClassVar[Literal["in-depth", "in-breadth"]] = "in-depth"
    wording: ClassVar[str] = read_prompt(__file__, "add_constraints.txt")
    checkable: bool = Field(False, description="Draw a constraint that a function can verify, without a teacher.")
    types: tuple[str, ...] = Field((), description="With checkable, the types to draw from; all if none is named.")
    per_record: int = Field(3, ge=1, description="With checkable, the most constraints one record may carry.")

    @model_validator(mode="after")
    def _one_way(self) -> AddConstraints:
        if self.checkable and (self.text or self.file):
            raise ValueError("with checkable no teacher is asked, so text and file say nothing; leave one out")
        if self.types and not self.checkable:
            raise ValueError("types are those to draw checkable constraints from; add checkable: true")
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
            return Drop("no-constraint-left", f"nothing more can be asked beside {len(there)} constraints")
        return record.evolved(instruction=append_sentence(record.instruction, new.text), constraints=(*there, new))


@hookimpl
def register_strategies(register: Callable[[str, type[Strategy]], None]) -> None:
    register("add-constraints", AddConstraints)
