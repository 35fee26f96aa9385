"""The cells of a foreign row: question and answer, and what rows of any format may say beside them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from msgspec.structs import replace

from filial import Message, Record, Role
from filial.formats import Fault, Row
from filial_plugins.formats import fields, names, turns
from filial_plugins.formats.fields import EMPTY, fold
from filial_plugins.formats.flags import is_flag_of_row

Said = str | tuple[Message, ...]
"""A question or an answer: a text, or turns."""


@lru_cache(8192)
def order(columns: tuple[str, ...], wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of a row's columns that are wanted, in the order of the names; exact names stand first.

    Rows of one file have the same columns, so the answer is remembered.
    """
    other = {fold(name): name for name in reversed(columns) if fold(name) != name}
    return (*(n for n in wanted if n in columns), *(other[n] for n in wanted if n in other))


def find(row: Row, wanted: tuple[str, ...], *, but: str = "") -> str:
    """Return the first of these columns that says something, as the row calls it; "" where there is none."""
    for name in order(tuple(row), wanted):
        if name != but and row[name] not in EMPTY:
            return name
    return ""


def _read_id(name: str, value: object) -> str | None:
    if type(value) is str:
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # tables turn whole numbers into floats where a cell is empty
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _read_task(name: str, value: object) -> str | None:
    return value if isinstance(value, str) else None


def _read_label(name: str, value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    wanted = names.WANTED.get(str(value).strip().lower())
    number = fold(name) != "label" and isinstance(value, int | float | str)  # there 0 and 1 may be classes
    return {1: True, 0: False, -1: False, "1": True, "0": False}.get(value) if number and wanted is None else wanted


def _read_verdict(name: str, value: object) -> bool | None:
    return (
        value
        if isinstance(value, bool)
        else names.WANTED.get(value.strip().lower())
        if isinstance(value, str)
        else None
    )


def _read_denial(name: str, value: object) -> bool | None:
    said = value if isinstance(value, bool) else {"true": True, "false": False}.get(str(value).strip().lower())
    return None if said is None else not said


def _read_weight(name: str, value: object) -> bool | None:
    try:
        return turns.read_flag(name, value)
    except Fault:
        return None


_MARKS: tuple[tuple[str, tuple[str, ...], Callable[[str, Any], Any]], ...] = (
    ("id", ("id",), _read_id),
    ("task", ("task",), _read_task),
    ("label", names.LABEL, _read_label),
    ("label", names.VERDICT, _read_verdict),
    ("label", names.DENIED, _read_denial),
    ("weight", names.WEIGHT, _read_weight),
)
"""What a record is marked with: the mark, columns that may hold it, and what reads one; None: this cell holds another
thing of that name, and is left to ``extra``."""
_JUDGED = (*names.GRADE, *names.GRADES, *names.REJECTED)
"""Columns beside which a rationale is a judge's."""
_MODES = {"on", "off", "enabled", "disabled", "true", "false", "yes", "no", "auto", "none", "low", "medium", "high"}


def _is_mode(part: str, name: str, value: object) -> bool:
    """Return whether a cell says how a model was to reason, or that the answer is wanted, and is no text."""
    if fold(name) in ("reasoning", "thinking", "think"):
        return str(value).strip().lower() in _MODES
    return part == "rejected" and str(value).strip().lower() in ("true", "false")


_PARTS = {
    "system": names.SYSTEM, "reasoning": names.REASONING, "history": names.HISTORY, "tools": names.TOOLS,
    "rejected": names.REJECTED,
}  # fmt: skip
"""What a row says beside question and answer, and the columns that may hold it."""
Reader = Callable[[str, Any], Any]


BESIDE = (*(name for _, known, _ in _MARKS for name in known), *(name for known in _PARTS.values() for name in known))
"""Every column that may be read beside a format's own."""


class _Layout(NamedTuple):
    """Where the columns of a row stand: those that may hold marks, and parts, and those that would hold media;
    ``alone`` where there are none, ``plain`` where there are none but for an id."""

    marks: tuple[tuple[str, Reader, tuple[str, ...]], ...]
    parts: tuple[tuple[str, tuple[str, ...]], ...]
    media: tuple[str, ...]
    alone: bool
    plain: bool


@lru_cache(8192)
def _sort_columns(columns: tuple[str, ...], answer: str, own: tuple[str, ...]) -> _Layout:
    """Return the layout of rows with these columns; see `Cells` for the others."""
    judged = bool(order(columns, _JUDGED))  # then a judge explains its grade
    columns = tuple(name for name in columns if name not in own and fold(name) not in own)
    after = tuple(answer + ending for ending in names.BESIDE_AN_ANSWER) if answer else ()
    wanted = {**_PARTS, "reasoning": (*names.REASONING, *after)}
    if judged:
        wanted["reasoning"] = tuple(name for name in wanted["reasoning"] if name not in names.RATIONALES)
    flags = tuple(name for name in columns if is_flag_of_row(name) and not order((name,), names.WEIGHT))
    known_marks = (*_MARKS, ("weight", flags, _read_weight))
    if "_task_hash" in columns:  # Prodigy: the word of the annotator
        known_marks = (*known_marks, ("label", ("answer",), _read_verdict))
    marks = tuple((mark, read, there) for mark, known, read in known_marks if (there := order(columns, known)))
    parts = tuple((part, there) for part, known in wanted.items() if (there := order(columns, known)))
    media = order(columns, names.MEDIA)
    plain = not (parts or media or any(mark != "id" for mark, _, _ in marks))
    return _Layout(marks, parts, media, plain and not marks, plain)


def stands_alone(row: Row, own: tuple[str, ...], answer: str = "") -> bool:
    """Return whether a row has nothing beside a format's own columns that a record would have a place for."""
    return _sort_columns(tuple(row), answer, own).alone


def read_id_alone(row: Row, own: tuple[str, ...]) -> str | None:
    """Return the id of a row that says nothing else beside a format's own columns, empty if it has none; None: it does
    say more."""
    layout = _sort_columns(tuple(row), "", own)
    if not layout.plain:
        return None
    for _, read, columns in layout.marks:
        for name in columns:
            if (value := read(name, row[name])) is not None:
                return str(value)
    return ""


def name_columns(row: Row, own: tuple[str, ...], answer: str = "") -> Collection[str]:
    """Return the columns that are read of a row: a format's own, and those beside them (`Cells`)."""
    usual, texts = _name_usual_columns(tuple(row), answer, own)
    for name in texts:
        if type(row[name]) is not str or row[name].lower() in _MODES:
            return {*own, *Cells(row, answer, own).names}
    return {*own, *Cells(row, answer, own).names} if usual is None else usual


@lru_cache(8192)
def _name_usual_columns(
    columns: tuple[str, ...], answer: str, own: tuple[str, ...]
) -> tuple[frozenset[str] | None, tuple[str, ...]]:
    """Return the columns that are read of rows in which certain ones hold texts, and those; None: it depends on what
    stands in the others, since several may hold the same thing, or a mark may be none."""
    layout = _sort_columns(columns, answer, own)
    known = (*(marked[2] for marked in layout.marks), *(part[1] for part in layout.parts))
    several = any(len(those) > 1 for those in known)
    if several or any(mark not in ("id", "task") for mark, _, _ in layout.marks):
        return None, ()
    modes = (part for part in layout.parts if part[0] in ("reasoning", "rejected"))
    texts = (*(known[0] for _, _, known in layout.marks), *(known[0] for _, known in modes))
    return frozenset((*own, *texts, *(known[0] for _, known in layout.parts))), texts


class Cells:
    """A row that is being read. ``names`` are the columns that are read beside the format's own.

    Args:
        answer: the column of the answer, where there is one; that of its reasoning may be called after it.
        own: columns that the format reads itself, or that it leaves to ``extra``.
    """

    __slots__ = ("_extra", "_layout", "_marks", "_parts", "_tools", "_trained", "names", "row")

    def __init__(self, row: Row, answer: str = "", own: tuple[str, ...] = ()) -> None:
        self.row = row
        self.names: list[str] = []
        self._marks: dict[str, Any] = {}
        self._trained = True
        self._parts: dict[str, str] = {}
        self._extra: dict[str, Any] = {}
        self._tools: list[dict[str, Any]] = []
        self._layout = _sort_columns(tuple(row), answer, own)
        for mark, read, columns in self._layout.marks:
            for name in columns if mark == "weight" or mark not in self._marks else ():
                if (value := read(name, row[name])) is not None:
                    self.names.append(name)
                    if mark == "weight":
                        self._trained = self._trained and value
                    else:
                        self._marks[mark] = value
                    break
        for part, columns in self._layout.parts:
            for name in columns:
                if row[name] not in EMPTY and not _is_mode(part, name, row[name]):
                    self._parts[part] = name
                    self.names.append(name)
                    break

    @property
    def rejects(self) -> bool:
        """Whether a worse answer stands beside the format's own columns."""
        return "rejected" in self._parts

    def request(self, name: str) -> list[Message]:
        """Return the turns of an object with ``messages``, as OpenAI has the question of a preference, and perhaps
        ``tools``; what else it says is kept.

        Raises:
            Fault: no turns, or one that a record cannot hold.
        """
        value = self.row[name]
        self._tools += turns.read_tools("tools", value.get("tools"))
        if rest := {key: cell for key, cell in value.items() if key not in ("messages", "tools") and cell not in EMPTY}:
            self._extra[f"{name}_extra"] = fields.to_json(rest)
        return self.talk(name, value["messages"])

    def said(self, name: str, role: Role) -> Said:
        """Return what a column says: its text, or the turns in it.

        Raises:
            Fault: it holds neither.
        """
        value = self.row.get(name)
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
            value = value[0]
        if isinstance(value, str) and value[:1] != "[":
            return value
        several = isinstance(value, list) and value and isinstance(value[0], dict)
        if isinstance(value, dict) or several or _is_talk_text(value):
            return tuple(self.talk(name, [value] if isinstance(value, dict) else value))
        return value if isinstance(value, str) else fields.read_text(self.row, name)

    def talk(self, name: str, value: object = None) -> list[Message]:
        """Return the turns in a column, or of what stands there.

        Raises:
            Fault: none, or one that a record cannot hold.
        """
        value = self.row[name] if value is None else value
        if plain := turns.read_plain_talk(value):
            return plain
        talk = turns.read_talk(value, name)
        self._tools += talk.tools
        if any(talk.others):
            self._keep_others(f"{name}_extra", fields.to_json(talk.others))
        return talk.turns

    def _keep_others(self, name: str, others: list[dict[str, Any]]) -> None:
        """Keep what turns say beyond what a record holds; an earlier reader may have kept some already."""
        known = self.row.get(name, [{}] * len(others))
        if not isinstance(known, list) or len(known) != len(others) or not all(isinstance(k, dict) for k in known):
            raise Fault(f"/{name}", "is the name under which the rest of the turns is kept; rename the column")
        self._extra[name] = [{**before, **now} for before, now in zip(known, others, strict=True)]

    def record(self, asked: Said, given: str, answer: Said, *, rejected: Said = (), number: int = 0) -> Record:
        """Return the record of a question and its answer; ``number`` tells records of one row apart.

        Raises:
            Fault: what stands beside them does not fit them.
        """
        if self._is_plain(rejected, number) and isinstance(asked, str) and isinstance(answer, str):
            return Record(id=self._marks.get("id", ""), instruction=asked, input=given, output=answer)
        in_turns = "history" in self._parts or not self._trained
        if in_turns or not isinstance(asked, str) or not isinstance(answer, str):
            talk = (*as_turns("user", asked, given), *as_turns("assistant", answer))
            return self.conversation(talk, rejected=rejected, number=number)
        self._refuse_media()
        asks = as_turns("user", asked, given)
        return Record(
            instruction=asked, input=given, output=answer, system=self._text("system"),
            reasoning=self._text("reasoning"), **self._beside(asks, rejected, number),
        )  # fmt: skip

    def conversation(self, said: Sequence[Message], *, rejected: Said = (), number: int = 0) -> Record:
        """Return the record of a conversation.

        Raises:
            Fault: what stands beside it does not fit it.
        """
        if self._is_plain(rejected, number):
            return Record(id=self._marks.get("id", ""), messages=tuple(said))
        self._refuse_media()
        talk = list(said)
        if name := self._parts.get("history"):
            start = int(talk[0].role == "system")
            talk[start:start] = self.talk(name)
        self._add_system(talk)
        self._add_reasoning(talk)
        if not self._trained:
            talk = [replace(turn, train=False) if turn.role == "assistant" else turn for turn in talk]
        return Record(messages=tuple(talk), **self._beside(talk, rejected, number))

    def _is_plain(self, rejected: Said, number: int) -> bool:
        """Return whether nothing goes with a record but its id."""
        return self._layout.plain and not (rejected or number or self._tools or self._extra)

    def _beside(self, talk: Sequence[Message], rejected: Said, number: int) -> dict[str, Any]:
        """Return the fields that go with a record of either form."""
        if not (self._parts or self._tools or rejected or number):
            return {**self._marks, "extra": self._extra} if self._extra else self._marks
        if not rejected and (name := self._parts.get("rejected")):
            rejected = self.said(name, "assistant")
        tools = list(self._tools)
        if name := self._parts.get("tools"):
            tools += [tool for tool in turns.read_tools(name, self.row[name]) if tool not in tools]
        mark = self._marks.get("id", "")
        return {
            **self._marks,
            "id": f"{mark}#{number}" if mark and number else mark,
            "tools": tuple(tools),
            "rejected": leave_prompt(as_turns("assistant", rejected), talk),
            "extra": self._extra,
        }

    def _text(self, part: str) -> str:
        return turns.read_parts(self.row[self._parts[part]], self._parts[part]) if part in self._parts else ""

    def _add_system(self, talk: list[Message]) -> None:
        if not (text := self._text("system")):
            return
        if talk[0].role != "system":
            talk.insert(0, Message("system", text))
        elif talk[0].content != text:
            raise Fault(f"/{self._parts['system']}", "differs from the system text of the conversation itself")

    def _add_reasoning(self, talk: list[Message]) -> None:
        if not (text := self._text("reasoning")):
            return
        if talk[-1].role != "assistant" or talk[-1].reasoning not in ("", text):
            why = "the conversation does not end with an answer that it could belong to"
            raise Fault(f"/{self._parts['reasoning']}", why)
        talk[-1] = replace(talk[-1], reasoning=text)

    def _refuse_media(self) -> None:
        for name in self._layout.media:
            if turns.is_media(self.row[name]):
                raise Fault(f"/{name}", "images, audio and video have no place in a record; leave such rows out")


def holds_questions(row: Row) -> bool:
    """Return whether a row holds the questions of a benchmark: texts, or objects without a speaker."""
    asked = next((row[name] for name in names.QUESTIONS if row.get(name) not in EMPTY), None)
    if not isinstance(asked, list):
        return False
    return all(isinstance(turn, str) or (isinstance(turn, dict) and turn.keys() == {"content"}) for turn in asked)


def _is_talk_text(value: object) -> bool:
    """Return whether a text is a list of turns, as tables hold them."""
    if not isinstance(value, str) or not value.lstrip().startswith(("[{", "[ {")):
        return False
    try:
        items = fields.parse_json(value)
    except Fault:
        return False
    return all(isinstance(item, dict) and ({"role", "content"} <= item.keys() or {"from", "value"} <= item.keys())
               for item in items)  # fmt: skip


def as_turns(role: Role, said: Said, given: str = "") -> tuple[Message, ...]:
    """Return what is said as turns; an empty text gives none."""
    if isinstance(said, str):
        text = f"{said}\n\n{given}" if given else said
        return (Message(role, text),) if text else ()
    return (*said, Message(role, given)) if given else said


def leave_prompt(answer: tuple[Message, ...], talk: Sequence[Message]) -> tuple[Message, ...]:
    """Return an answer without the turns in front of it that the conversation has, too."""
    start = 0
    while start < min(len(answer) - 1, len(talk)) and answer[start] == talk[start]:
        start += 1
    return answer[start:]
