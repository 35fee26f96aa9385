"""Which records can be trained on, and what of them a template leaves out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from filial import Record, Span

UNTRAINABLE = {"no-answer": "nobody answers in it", "unwanted-answer": "its label says that the answer is not wanted"}


def untrainable(record: Record) -> str:
    """Return why nothing of a record can be trained, one of `UNTRAINABLE`; empty if something can."""
    if not any(turn.role == "assistant" and turn.content for turn in record.turns()):
        return "no-answer"
    return "unwanted-answer" if record.label is False else ""


def left_out(record: Record, spans: Sequence[Span]) -> Iterator[str]:
    """Yield what a record holds and its rendered text does not: ``system-left-out``, ``reasoning-left-out``,
    ``rejected-left-out``."""
    turns = record.turns()
    held = {
        "system": [turn.content for turn in turns if turn.role == "system"],
        "reasoning": [turn.reasoning for turn in turns if turn.reasoning],
        "rejected": [turn.content for turn in record.rejected],
    }
    if any(held.values()):
        written = "".join(span.text for span in spans)
        yield from (f"{name}-left-out" for name, texts in held.items() if any(t.strip() not in written for t in texts))
