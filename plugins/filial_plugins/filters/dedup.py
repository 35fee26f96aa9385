"""Remove copies of earlier records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from filial import Context, Drop, Field, Filter, Keep, Record, hookimpl
from filial_plugins.filters.copies import digest_question, digest_record


class Dedup(Filter):
    """Drop records that are copies of an earlier one; the first is kept.

    Texts are equal if they differ only in white space or encoding: composed and decomposed accents, full-width and
    half-width forms, ligatures, and invisible characters such as zero-width spaces. Upper and lower case and
    punctuation count. A single-turn record and a conversation of the same turns are copies; ``id``, ``origin``,
    ``scores``, ``tags`` and ``extra`` do not count.

    ``by: question`` also drops a record whose question was asked before with another answer. For similar questions use
    `novelty`. Each kept record takes about 160 bytes of memory.
    """

    remembers = True
    by: Literal["record", "question"] = Field(
        "record", description="What must be equal: the whole record, or only its question."
    )

    def check(self, record: Record, ctx: Context) -> Keep | Drop:
        digest = digest_record(record) if self.by == "record" else digest_question(record)
        names: dict[int, str] = ctx.memory.setdefault(f"dedup {self.by}", {})
        if digest in names:
            return Drop("duplicate", f"the same {self.by} as {names[digest] or 'an earlier one'}")
        names[digest] = record.id
        return Keep()


@hookimpl
def register_filters(register: Callable[[str, type[Filter]], None]) -> None:
    register("dedup", Dedup)
