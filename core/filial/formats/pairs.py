"""Question and answer under other names: prompt/completion, prompt/response, question/answer,
instruction/response.

``input`` or ``context`` is the record's input. A prompt and completion that are lists of chat messages make
one conversation, as TRL reads them. Only read; other keys are ignored.
"""

from __future__ import annotations

from collections.abc import Iterable

from filial.contracts.records import Record
from filial.formats import fields
from filial.formats.base import Format
from filial.formats.jsontext import Fault, Row
from filial.formats.openai_chat import turns

ASKED = ("prompt", "question", "query", "instruction")
GIVEN = ("input", "context")
ANSWERED = ("completion", "response", "answer", "output")


def from_row(row: Row) -> list[Record]:
    """One record.

    Raises:
        Fault: a key is missing or of the wrong type.
    """
    asked, given, answered = (_first(row, keys) for keys in (ASKED, GIVEN, ANSWERED))
    if not asked or not answered:
        names = ASKED if not asked else ANSWERED
        raise Fault("", f"lacks one of {', '.join(names)}")
    name, task = fields.ident(row), fields.task(row)
    if isinstance(row[asked], list):
        return [Record(id=name, messages=turns(row, asked) + turns(row, answered), task=task)]
    return [
        Record(
            id=name,
            instruction=fields.filled(row, asked),
            input=fields.text(row, given, default="") if given else "",
            output=fields.text(row, answered),
            task=task,
        )
    ]


def _first(row: Iterable[str], keys: tuple[str, ...]) -> str:
    return next((key for key in keys if key in row), "")


def recognises(keys: frozenset[str]) -> bool:
    """Whether there is something asked and something answered."""
    return bool(_first(keys, ASKED) and _first(keys, ANSWERED))


FORMAT = Format("pairs", from_row, None)
