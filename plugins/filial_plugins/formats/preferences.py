"""Preferences: a better and a worse answer to one question."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import ClassVar

from filial import Format, Record, hookimpl
from filial.formats import Fault, Row, RowFormat
from filial_plugins.formats import fields, names
from filial_plugins.formats.cells import BESIDE, Cells, Said, as_turns, find, leave_prompt, order
from filial_plugins.formats.fields import EMPTY, fold
from filial_plugins.formats.pairs import find_asked, find_given, read_question
from filial_plugins.formats.turns import is_dialogue, is_talk, split_dialogue

_TALKS = (*names.MESSAGES, *names.CONVERSATIONS, *names.DIALOGUE)


class Preferences(RowFormat):
    """A question with a better answer (``chosen``) and a worse one (``rejected``).

    Both may be texts or turns, with the question in them or in a column of its own: a text, or a conversation. A
    record's answer is the better one; the worse one stands in ``rejected``. Two dialogues of HH-RLHF (``Human:``,
    ``Assistant:``) are turns. Only read; other columns go into ``extra``.
    """

    talks: ClassVar[tuple[str, ...]] = _TALKS
    optional = (*names.CHOSEN, *names.REJECTED, *names.QUESTION, *names.GIVEN, *_TALKS, *BESIDE)
    priority = -1

    def detect(self, sample: Sequence[Row]) -> int:
        """Return how many have both answers."""
        return sum(bool(find(row, names.CHOSEN) and find(row, names.REJECTED)) for row in sample)

    def columns(self, row: Row) -> Collection[str]:
        """Return the columns of both answers and of the question, and what stands beside them."""
        own = self.find_parts(row)
        return {
            *own,
            *Cells(row, "".join(own[:1]), (*own, *names.REJECTED, *names.RATIONALES)).names,
            *self.keep_remarks(row, own),
        }

    def from_row(self, row: Row) -> list[Record]:
        """Return one record.

        Raises:
            Fault: an answer is missing, nothing is asked, or a column is of the wrong type.
        """
        own = self.find_parts(row)
        better, worse, *question = own
        if not better or not worse:
            raise Fault("", f"lacks {names.CHOSEN[0] if not better else names.REJECTED[0]}")
        record = self._read(Cells(row, better, (*own, *names.REJECTED, *names.RATIONALES)), better, worse, question)
        remarks = self.keep_remarks(row, own)
        return [record.replaced(extra={**record.extra, **remarks}) if remarks else record]

    def _read(self, cells: Cells, better: str, worse: str, question: Sequence[str]) -> Record:
        chosen, rejected = (_read_answer(cells, name) for name in (better, worse))
        if isinstance(chosen, tuple) and chosen[0].role != "assistant":
            talk = chosen  # the question stands in front of the answer
        elif not question:
            raise Fault("", f"lacks one of {', '.join(names.QUESTION)}")
        elif _is_request(cells.row[question[0]]):
            talk = (*cells.request(question[0]), *as_turns("assistant", chosen))
        elif question[0] in self.talks:
            talk = (*cells.talk(question[0]), *as_turns("assistant", chosen))
        else:
            asked, given = read_question(cells, question[0], question[1] if len(question) > 1 else "")
            return cells.record(asked, given, chosen, rejected=rejected)
        answer = leave_prompt(as_turns("assistant", rejected), talk)
        if answer and answer[0].role not in fields.ANSWERING:
            raise Fault(f"/{worse}", f"has another question than {better}")
        return cells.conversation(talk, rejected=answer)

    def find_parts(self, row: Row) -> tuple[str, ...]:
        """Return the columns of the better answer, the worse one, and, where they do not hold it, the question."""
        better, worse = find(row, names.CHOSEN), find(row, names.REJECTED)
        if holds_question(row.get(better)):
            return better, worse
        return (better, worse, *self.find_question(row)) if better and worse else (better, worse)

    def find_question(self, row: Row) -> tuple[str, ...]:
        """Return the column of the question, and of what it is about."""
        talk = next((name for name in self.talks if is_talk(row.get(name))), "")
        asked = talk or find_asked(row)
        given = "" if talk or not asked else find_given(row, asked)
        return tuple(filter(None, (asked, given)))

    def keep_remarks(self, row: Row, own: tuple[str, ...]) -> Row:
        """Return what is said of the answers, such as ``chosen_model`` and ``score_rejected``; it is kept as it is."""
        words = {"chosen", "rejected", *names.RATIONALES}
        about = [name for name in row if name not in own and words & {*fold(name).split("_")}]
        answers = order(tuple(about), (*names.CHOSEN, *names.REJECTED))
        return {name: fields.to_json(row[name]) for name in about if name not in answers and row[name] not in EMPTY}


def _is_request(question: object) -> bool:
    return isinstance(question, dict) and "messages" in question


def holds_question(answer: object) -> bool:
    """Return whether an answer has its question in front of it."""
    if isinstance(answer, str):
        return is_dialogue(answer)
    if not isinstance(answer, list) or len(answer) < 2 or not isinstance(answer[0], dict):
        return False
    speaker = next((answer[0][name] for name in names.SPEAKER if isinstance(answer[0].get(name), str)), "")
    return names.ROLES.get(speaker.lower()) != "assistant"


def _read_answer(cells: Cells, name: str) -> Said:
    said = cells.said(name, "assistant")
    return split_dialogue(said) if isinstance(said, str) and is_dialogue(said) else said


@hookimpl
def register_formats(register: Callable[[str, type[Format]], None]) -> None:
    register("preferences", Preferences)
