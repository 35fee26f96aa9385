"""Drop copies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from filial import Context, Drop, Field, Filter, Keep, Record, hookimpl
from filial_plugins.filters.copies import digest_question, digest_record


class Dedup(Filter):
    """Drop records that say the same as an earlier one; of copies the first is kept.

    Texts are the same if they differ in white space or encoding alone: composed and decomposed accents, full-width and
    half-width forms, ligatures, and characters that nobody sees, such as zero-width spaces, hide no copy. Upper and
    lower case and punctuation count. A single-turn record and a conversation of the same turns are copies; ``id``,
    ``origin``, ``scores``, ``tags`` and ``extra`` do not count.

    ``by: question`` also drops a question that was asked before when its answer is another one. For questions that are
    nearly the same there is `novelty`. Each record that is kept takes about 160 bytes of memory.
    """

    remembers = True
    by: Literal["record", "question"] = Field(
        "record", description="What makes a copy: all that a record says, or its question, whatever the answer."
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
