"""Find out which records can be trained on, and what a template omits from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from filial import Record, Span

DROP_REASONS = {"no-answer": "it has no answer", "unwanted-answer": "its label marks the answer as bad"}


def find_drop_reason(record: Record) -> str:
    """Return why nothing of a record can be trained, one of `DROP_REASONS`; empty if something can."""
    if not any(turn.role == "assistant" and turn.content for turn in record.turns()):
        return "no-answer"
    return "unwanted-answer" if record.label is False else ""


def find_omissions(record: Record, spans: Sequence[Span]) -> Iterator[str]:
    """Yield what a record has and its rendered text does not.

    These are ``system-left-out``, ``reasoning-left-out`` and ``rejected-left-out``.
    """
    turns = record.turns()
    held = {
        "system": [turn.content for turn in turns if turn.role == "system"],
        "reasoning": [turn.reasoning for turn in turns if turn.reasoning],
        "rejected": [turn.content for turn in record.rejected],
    }
    if any(held.values()):
        written = "".join(span.text for span in spans)
        yield from (f"{name}-left-out" for name, texts in held.items() if any(t.strip() not in written for t in texts))
