"""The columns of a source: which are mapped to fields, which are kept as extra, which must not be ignored."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from filial.contracts.errors import ColumnsError, UsageError, hint
from filial.contracts.records import Record
from filial.contracts.texts import printable
from filial.formats.base import Fault
from filial.formats.jsontext import Row

SHOWN = 10
"""Maximum number of columns that a sentence lists."""
EMPTY: tuple[Any, ...] = (None, "", [], {})
_MISSING = object()
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_MEANING = {
    "system", "systemprompt", "systemmessage", "systemtext", "sys", "sysprompt", "developer", "developerprompt",
    "history", "chathistory", "conversationhistory", "dialoghistory", "dialoguehistory", "pastmessages", "pastturns",
    "reasoning", "reasoningcontent", "reasoningtext", "rationale", "rationales", "thinking", "thinkingcontent",
    "thought", "thoughts", "think", "cot", "chainofthought", "scratchpad", "chosen", "rejected", "preferred",
    "dispreferred", "preferredoutput", "nonpreferredoutput", "tools", "functions", "functioncall", "functioncalls",
    "toolcalls", "choices", "options", "passage", "paragraph", "article", "opa", "opb", "opc", "opd", "cop", "optiona",
    "optionb", "optionc", "optiond", "choicea", "choiceb", "choicec", "choiced", "systeminstruction",
    "systeminstructions", "complexcot", "deepseekreasoning", "thinkingtrajectory", "deepseekthinkingtrajectory",
    "geminithinkingtrajectory", "responsea", "responseb", "solutions", "accepted", "loser", "endings", "distractors",
    "documents", "contexts", "passages",
}  # fmt: skip
"""Names of columns that change the meaning of a row, in lower case and without punctuation."""
_PARTS = {
    "system", "history", "reasoning", "rationale", "thinking", "thought", "cot", "trajectory", "chosen", "rejected",
    "tools",
}  # fmt: skip
"""First or last words of such names."""
_THINKING = {"reasoning", "thinking", "think"}
_MODES = {"on", "off", "enabled", "disabled", "true", "false", "yes", "no", "auto", "none", "low", "medium", "high"}
"""How a model was to think; columns of such names that hold one are no thoughts."""
_LABELS = {"label", "ktolabel", "ktotag", "desirable", "isdesirable"}
_WEIGHTS = {"weight", "sampleweight", "lossweight"}
_SWITCHES = {
    *_LABELS, *_WEIGHTS, "loss", "lossmask", "train", "trainable", "masked", "maskhistory", "trainonlast",
    "trainlastonly", "lossonlast", "onlylastturnloss", "lastturnonly", "trainonlastturn", "trainmask", "trainingmask",
    "lossmasks", "assistantmask", "assistantmasks", "turnmask", "weights", "lossweights", "turnweights", "labelmask",
}  # fmt: skip
"""Names of columns that change the meaning of a row if they hold a switch; others hold classes or figures. A weight may
be any number."""
_ON = {"true", "1", "1.0", "yes"}
_OFF = {"false", "0", "0.0", "no", "-1", "-1.0"}
_SWITCH_VALUES = {*_ON, *_OFF, "positive", "negative"}
_MEDIA = {"image", "images", "img", "picture", "pictures", "pixel", "audio", "audios", "speech", "video", "videos"}
_SWITCH_KINDS = ("label", "weight", "switch")


@lru_cache(4096)
def _kind(name: str) -> str:
    if name in ("A", "B", "C", "D", "E"):  # the choices of a question
        return "whole"
    words = [word.lower() for word in _WORDS.findall(name.replace("CoT", "Cot"))]
    whole = "".join(words)
    if whole in ("option", "choice", "ending", "sol", "distractor") and name[-1].isdigit():
        return "whole"
    if whole in _MEANING or whole in _SWITCHES:
        switch = "label" if whole in _LABELS else "weight" if whole in _WEIGHTS else "switch"
        return switch if whole in _SWITCHES else "whole"
    if not _MEDIA.isdisjoint(words):
        return "media"
    return "part" if words and not _PARTS.isdisjoint((words[0], words[-1])) else ""


def weigh_column(name: str, value: Any) -> str:
    """Classify a cell: "meaning" if it changes the meaning of its row, "media" if it is not text, else "".

    A label or a weight counts if it is a switch. A column whose name only contains such a word (``chosen_rating``)
    counts if its cell has more than one word.
    """
    if not (kind := _kind(name)) or value in EMPTY:
        return ""
    number = isinstance(value, bool | int | float)
    if kind == "whole" and str(value).strip().lower() in _MODES and name.lower() in _THINKING:
        return ""
    if kind == "media":
        return "" if number else "media"
    if kind in _SWITCH_KINDS:
        marks = value if isinstance(value, list) else [value]
        switches = all(str(mark).strip().lower() in _SWITCH_VALUES for mark in marks)
        return "meaning" if switches or (kind == "weight" and _is_number(value)) else ""
    return "meaning" if kind == "whole" or (not number and (isinstance(value, dict | list) or " " in value)) else ""


def _is_number(value: Any) -> bool:
    return (
        not isinstance(value, list | dict)
        and re.fullmatch(r"\s*[+-]?\d*\.?\d+(e[+-]?\d+)?\s*", str(value), re.I) is not None
    )


@lru_cache(4096)
def list_unread(columns: tuple[str, ...], read: frozenset[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the columns of a row that are not read, and those of them that must not be ignored, judged by name.

    Rows of one file have the same columns, so the result is cached.
    """
    others = tuple(name for name in columns if name not in read)
    return others, tuple(filter(_kind, others))


def _read_label(target: str, value: Any) -> Any:
    """Return the value of a column that is mapped to a label: true or false, or the word itself for the format."""
    said = str(value).strip().lower()
    if said in _ON or said in _OFF:
        return said in _ON
    if value in EMPTY or value is _MISSING or isinstance(value, str):
        return value
    raise Fault(f"/{target}", f"must be true or false, yes or no, 1 or 0, not {said[:40]}")


class Columns:
    """The user's settings for the columns of a source.

    Args:
        columns: target -> source. A dot in the source leads into an object, a number into a list.
        keep: the other columns to keep; None: all.
        ignore: the columns to leave out.
    """

    def __init__(
        self, columns: Mapping[str, str] | None, keep: Collection[str] | None, ignore: Collection[str]
    ) -> None:
        for name, value in {"columns": columns or {}, "keep": keep or (), "ignore": ignore}.items():
            fits = isinstance(value, Mapping if name == "columns" else Collection) and not isinstance(value, str)
            if not fits or not all(isinstance(text, str) for text in [*value, *getattr(value, "values", list)()]):
                what = "mapping, field -> column" if name == "columns" else "list of columns"
                raise UsageError(f"{name} must be a {what}, not {value!r:.60}")
        self.targets, self.keep, self.ignore = dict(columns or {}), keep, tuple(ignore)
        self._kept = tuple(keep or ())
        self.left_out: dict[str, None] = {}
        """Columns that were not kept, though they held something."""
        self._gone = dict.fromkeys([*self.targets.values(), *ignore])
        if twice := [name for name in self._gone if [*self.targets.values()].count(name) > 1]:
            raise UsageError(f"the column {twice[0]!r} is mapped to several fields; map it to one")
        if both := {*self.targets.values(), *self._kept}.intersection(ignore):
            raise UsageError(f"the column {min(both)!r} is mapped and ignored; remove one of the two")

    def __bool__(self) -> bool:
        return bool(self._gone) or self.keep is not None

    def check(self, rows: Sequence[Row], file: str) -> None:
        """Check that the first rows have the columns that the user names.

        Raises:
            UsageError: a column is missing.
            ColumnsError: a target is the name of another column, which would be lost.
        """
        there = dict.fromkeys(name for row in rows for name in row)
        for name in (*self._gone, *self._kept) if rows else ():
            if name not in there and (name in self._kept or all(find(row, name) is _MISSING for row in rows)):
                end = hint(name, there) or f"; there are {list_columns(there)}"
                raise UsageError(f"{file}: there is no column {name!r}{end}")
        held = {name for row in rows for name, value in row.items() if value not in EMPTY}
        for target in sorted(self.targets.keys() & held - self._gone.keys()):
            why = f"{file}: {self.targets[target]!r} is mapped to {target!r}, but there is also a column {target!r}"
            raise ColumnsError(why, {"leave that one out with": ("ignore", [*self.ignore, target])})

    def rename(self, row: Row) -> Row:
        """Return the row with its columns renamed to their targets, without those to leave out.

        Numbers and booleans become text unless the target takes them as they are. In a label, yes and no, 1 and 0 mean
        true and false.

        Raises:
            Fault: a target is the name of another column, or the value of a label is not one.
        """
        if not self._gone:
            return row
        rest = {name: value for name, value in row.items() if name not in self._gone}
        for path in self._gone:
            if "." in path and path not in row:
                rest = remove(rest, path.split("."))
        for target, source in self.targets.items():
            value = find(row, source)
            if (kind := _kind(target)) == "label":
                value = _read_label(target, value)
            elif isinstance(value, int | float) and kind not in _SWITCH_KINDS:
                value = msgspec.json.encode(value).decode()
            if value is not None and value is not _MISSING:
                if rest.get(target) not in EMPTY:
                    raise Fault(f"/{target}", f"{source!r} is mapped to {target!r}, but there is also such a column")
                rest[target] = value
        return rest

    def select(self, row: Row, read: Collection[str], form: str) -> tuple[Row, tuple[str, ...]]:
        """Return the row as a format that reads these columns gets it, and its other columns; both without columns that
        are not kept.

        Raises:
            Fault: a column changes the meaning of the row, and the format does not read it.
        """
        others, weighty = list_unread(tuple(row), frozenset(read))
        for name in weighty:
            if (kind := weigh_column(name, row[name])) and name not in self._kept:
                raise Fault(f"/{name}", explain_unread(kind, form))
        for target in self.targets:
            if target in row and target not in read:
                raise Fault(f"/{target}", f"{form} cannot read what is mapped to it")
        if self.keep is None:
            return row, others
        kept = tuple(name for name in others if name in self._kept)
        self.left_out |= {name: None for name in others if name not in self._kept and row[name] not in EMPTY}
        return {name: row[name] for name in row if name in read or name in kept}, kept

    def describe(
        self, rows: Mapping[str, Row], reads: Callable[[Row], Collection[str]], form: str,
        make: Callable[[str, Row], Sequence[Record]],
    ) -> str:  # fmt: skip
        """Describe in a sentence how the first rows are read, what is kept as extra and what is ignored; "" if all
        columns are fields of filial's own format.

        Args:
            rows: place -> row, with renamed columns.
            reads: returns the columns that the format reads of a row.
            make: returns the records of a row.

        Raises:
            ColumnsError: a column changes the meaning of a row, and the format does not read it.
            UsageError: the format does not read the target of a column.
        """
        read, other, unknown = dict[str, None](), dict[str, None](), dict[str, tuple[str, list[str]]]()
        made: list[tuple[Row, Sequence[Record]]] = []
        for place, row in rows.items():
            known = reads(row)
            read |= dict.fromkeys(name for name in row if name in known)
            unread = [name for name in row if name not in known and row[name] not in EMPTY]
            weights = {name: "" if name in self._kept else weigh_column(name, row[name]) for name in unread}
            for name in unread:
                if weights[name] == "meaning":
                    there = {n: None for r in rows.values() for n in r if n not in known and r[n] not in EMPTY}
                    kept = [*there] if self.keep is None else [*self.keep, name]
                    ways: dict[str, tuple[str, Any]] = {"map it with": ("columns", {**self.targets, "FIELD": name})}
                    ways |= {"keep it with": ("keep", kept), "leave it out with": ("ignore", [*self.ignore, name])}
                    raise ColumnsError(f"{place}: the column {name!r} {explain_unread('meaning', form)}", ways)
            if records := make(place, row):  # else it is a bad line
                made.append((row, records))
                other |= dict.fromkeys(unread)
            missing = [target for target in self.targets if target in row and target not in known]
            unknown |= {target: (place, [name for name in known if name]) for target in missing}
        for target, (place, names) in unknown.items():
            if target not in read:
                end = hint(target, names) or f"; it reads {list_columns(names)}"
                raise UsageError(f"{place}: {form} has no field {target!r} to map a column to{end}")
        extra = [name for name in other if self.keep is None or name in self.keep]
        left = [*self.ignore, *(name for name in other if name not in extra)]
        if form == "filial" and not (self or extra):
            return ""
        said = [f"{name} from {self.targets[name]}" if self.targets.get(name, name) != name else name for name in read]
        said = [name + _name_marks(rows.values(), name) for name in said]
        beside = ", ".join(filter(None, (list_columns(extra), *_name_inner(made))))
        parts = {"read as": f"{form} ({list_columns(said)})", "kept as extra:": beside}
        return "; ".join(f"{key} {value}" for key, value in (parts | {"ignored:": list_columns(left)}).items() if value)


def _name_inner(made: Iterable[tuple[Row, Sequence[Record]]]) -> list[str]:
    """Return what records keep from inside of columns, such as the rest of turns, with the keys in it."""
    keys = defaultdict[str, dict[str, None]](dict)
    for row, records in made:
        for name, value in (item for record in records for item in record.extra.items()):
            if name not in row or (value != row[name] and isinstance(value, list)):
                parts = value if isinstance(value, list) else [value]
                keys[name] |= dict.fromkeys(key for part in parts if isinstance(part, dict) for key in part)
    return [f"{name} ({list_columns(known)})" if known else name for name, known in keys.items()]


def _name_marks(rows: Iterable[Row], name: str) -> str:
    """Return the training marks in the turns of a column, as an addition to its name."""
    turns = [turn for row in rows if isinstance(found := row.get(name), list) for turn in found]
    keys = dict.fromkeys(key for turn in turns if isinstance(turn, dict) for key in turn)
    marks = [key for key in keys if _kind(key) in ("weight", "switch")]
    return f" with {' and '.join(marks)} of turns" if marks else ""


def find(row: Row, path: str) -> Any:
    """Return the value of a column, or of a path with dots; `_MISSING` if there is none."""
    if path in row:
        return row[path]
    value: Any = row
    for step in path.split("."):
        if isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        elif isinstance(value, dict) and step in value:
            value = value[step]
        else:
            return _MISSING
    return value


def remove(row: Row, path: Sequence[str]) -> Row:
    """Return a copy of an object without the value at a path and without objects that become empty.

    Lists stay whole.
    """
    step, *steps = path
    rest = {key: value for key, value in row.items() if key != step}
    if steps and step in row:
        within = remove(row[step], steps) if isinstance(row[step], dict) else row[step]
        rest |= {step: within} if within not in EMPTY else {}
    return rest


def explain_unread(kind: str, form: str) -> str:
    """Say why a column must not be ignored, as the end of a sentence."""
    if kind == "media":
        return "images, audio and video have no place in a record; leave such rows out"
    return f"changes what a row means, and {form} does not read it"


def list_columns(names: Iterable[str]) -> str:
    """List columns for a sentence, each once."""
    every = [printable(name[:60]) for name in dict.fromkeys(names)]
    return ", ".join(every[:SHOWN]) + (f" and {len(every) - SHOWN} more" if len(every) > SHOWN else "")
