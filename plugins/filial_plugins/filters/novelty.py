"""Keep what is new: the ROUGE-L rule of Self-Instruct."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from filial import Context, Drop, Field, Filter, Keep, Record, hookimpl
from filial_plugins.filters.rouge_index import RougeIndex
from filial_plugins.texts import asked, excerpt


@dataclass(slots=True)
class _Accepted:
    """What a stage has accepted so far."""

    index: RougeIndex
    texts: set[str] = field(default_factory=set)


class Novelty(Filter):
    """Drop records whose instruction is too similar to one accepted earlier in the stage.

    The decision is the one of Self-Instruct (Wang et al., 2023, section 2.2; bootstrap_instructions.py): a
    text is kept if its ROUGE-L F with every accepted text is at most the threshold, computed as
    ``rouge_score`` does without stemmer, ties included. Self-Instruct judges instructions, not examples: a
    record whose instruction is word for word an accepted one is a further example of that task, and stays.

    Mended: a text without any of a-z and 0-9 (Chinese, say) has no token for ``rouge_score``, so the
    original takes every copy of it for new; here such texts are compared character by character.
    """

    remembers = True
    threshold: float = Field(0.7, gt=0, le=1, description="ROUGE-L F above which a text is too similar.")
    rule: Literal["<=", "<"] = Field(
        "<=",
        description="Keep up to and including the threshold (Self-Instruct's code), or below it (its paper).",
    )
    compare: Literal["instruction", "question"] = Field(
        "instruction", description="What must be new: the instruction, or the instruction with its input."
    )
    instances: Literal["keep", "drop"] = Field(
        "keep",
        description="What becomes of further examples of an accepted instruction (compare: instruction).",
    )

    def check(self, record: Record, ctx: Context) -> Keep | Drop:
        accepted = self._accepted(ctx)
        text = self._text(record)
        if self.compare == "instruction" and self.instances == "keep" and text in accepted.texts:
            return Keep()
        found = accepted.index.nearest(text)
        if found is not None:
            return Drop("too-similar", f"ROUGE-L {found.score:.3f} with {found.name}")
        accepted.index.add(text, f"{record.id}: {excerpt(text)}" if record.id else excerpt(text))
        accepted.texts.add(text)
        return Keep()

    def _accepted(self, ctx: Context) -> _Accepted:
        name = f"novelty {self!r}"  # two novelty filters of one stage have a pool each
        if name not in ctx.memory:
            ctx.memory[name] = _Accepted(RougeIndex(self.threshold, self.rule))
        memory: _Accepted = ctx.memory[name]
        return memory

    def _text(self, record: Record) -> str:
        return record.question() if self.compare == "question" and not record.messages else asked(record)


@hookimpl
def register_filters(register: Callable[[str, type[Filter]], None]) -> None:
    register("novelty", Novelty)
