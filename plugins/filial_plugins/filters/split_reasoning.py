"""Separate the reasoning in an answer from the answer it leads to."""

from __future__ import annotations

from collections.abc import Callable

from filial import Context, Drop, Field, Filter, Keep, Record, hookimpl
from filial_plugins.formats.cot import TAG


class SplitReasoning(Filter):
    """Separate the reasoning in an answer from the answer that begins at a marker, such as "Therefore,".

    The text before the last marker becomes the record's ``reasoning``, the rest its answer. The record gets the tag
    ``cot``, also if its reasoning is already separate. An answer without the marker, or with nothing before or after
    it, is dropped as ``no-reasoning``.
    """

    marker: str = Field(min_length=1, description="Text at which the answer begins, such as 'Therefore,' or '####'.")
    cut: bool = Field(False, description="Leave the marker out of the answer.")

    def check(self, record: Record, ctx: Context) -> Keep | Drop:
        if record.turns()[-1].reasoning:
            return Keep(tags=(TAG,))
        before, marker, after = record.answer().rpartition(self.marker)
        reasoning, answer = before.strip(), after.strip()
        if not (reasoning and answer):
            why = "has nothing before or after it" if marker else "is not in the answer"
            return Drop("no-reasoning", f"the marker {self.marker!r} {why}")
        split = record.with_answer(answer if self.cut else f"{marker}{after}".strip(), reasoning)
        return Keep(record=split.replaced(label=record.label, rejected=record.rejected), tags=(TAG,))


@hookimpl
def register_filters(register: Callable[[str, type[Filter]], None]) -> None:
    register("split-reasoning", SplitReasoning)
