"""Question and answer under the many names that data sets give them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from filial import Format, Record, hookimpl
from filial.formats import Fault, Row, RowFormat
from filial_plugins.formats import fields
from filial_plugins.formats.openai_chat import turns

ASKED = ("prompt", "question", "query", "instruction")
GIVEN = ("input", "context")
ANSWERED = ("completion", "response", "answer", "output")


def _first(row: Iterable[str], keys: tuple[str, ...]) -> str:
    return next((key for key in keys if key in row), "")


class Pairs(RowFormat):
    """A question and its answer under other names: prompt and completion, question and answer and their likes.

    ``input`` or ``context`` is the record's input. A prompt and completion that are lists of chat messages make one
    conversation, as TRL reads them. Only read; other keys are passed over.
    """

    priority = -3

    def detect(self, sample: Sequence[Row]) -> int:
        """How many hold something asked and something answered."""
        return sum(bool(_first(row, ASKED) and _first(row, ANSWERED)) for row in sample)

    def from_row(self, row: Row) -> list[Record]:
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
            return [
                Record(id=name, messages=turns(row, asked) + turns(row, answered), task=task, label=fields.label(row))
            ]
        return [
            Record(
                id=name,
                instruction=fields.filled(row, asked),
                input=fields.text(row, given, default="") if given else "",
                output=fields.text(row, answered),
                task=task,
                label=fields.label(row),
            )
        ]


@hookimpl
def register_formats(register: Callable[[str, type[Format]], None]) -> None:
    register("pairs", Pairs)
