"""Question and answer under the many names that data sets give them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from filial import Format, Record, hookimpl
from filial.formats import Fault, Row, RowFormat
from filial_plugins.formats import fields
from filial_plugins.formats.openai_chat import read_turns

QUESTION_KEYS = ("prompt", "question", "query", "instruction")
INPUT_KEYS = ("input", "context")
ANSWER_KEYS = ("completion", "response", "answer", "output")


def _find_key(row: Iterable[str], keys: tuple[str, ...]) -> str:
    return next((key for key in keys if key in row), "")


class Pairs(RowFormat):
    """A question and its answer under other names: prompt and completion, question and answer, and similar.

    ``input`` or ``context`` is the record's input. A prompt and completion that are lists of chat messages make one
    conversation, as TRL reads them. Only read; other columns go into ``extra``.
    """

    priority = -3

    def columns(self, row: Row) -> Collection[str]:
        """Return the marks and, of each kind, the column that is read."""
        return {*fields.MARKS, *(_find_key(row, keys) for keys in (QUESTION_KEYS, INPUT_KEYS, ANSWER_KEYS))}

    def detect(self, sample: Sequence[Row]) -> int:
        """Return how many hold something asked and something answered."""
        return sum(bool(_find_key(row, QUESTION_KEYS) and _find_key(row, ANSWER_KEYS)) for row in sample)

    def from_row(self, row: Row) -> list[Record]:
        """Return one record.

        Raises:
            Fault: a key is missing or of the wrong type.
        """
        asked, given, answered = (_find_key(row, keys) for keys in (QUESTION_KEYS, INPUT_KEYS, ANSWER_KEYS))
        if not asked or not answered:
            names = QUESTION_KEYS if not asked else ANSWER_KEYS
            raise Fault("", f"lacks one of {', '.join(names)}")
        name, task = fields.read_id(row), fields.read_task(row)
        if isinstance(row[asked], list):
            return [
                Record(
                    id=name,
                    messages=read_turns(row, asked) + read_turns(row, answered),
                    task=task,
                    label=fields.read_label(row),
                )
            ]
        return [
            Record(
                id=name,
                instruction=fields.read_nonempty(row, asked),
                input=fields.read_text(row, given, default="") if given else "",
                output=fields.read_text(row, answered),
                task=task,
                label=fields.read_label(row),
            )
        ]


@hookimpl
def register_formats(register: Callable[[str, type[Format]], None]) -> None:
    register("pairs", Pairs)
