"""Fields of records by name, as ``--where`` and ``--sort`` name them: ``words``, ``scores.agreement``, ``extra.lang``.

A field gives any number of values: none where the record has nothing there, several where a list is on its path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from filial import Constraint, Message, Origin, Record, UsageError, words
from filial_plugins.show.rows import Row, short_name

Getter = Callable[[Row], Any]
NUMBER, TEXT, ANY = "a number", "a text", "any"

_MADE: dict[str, tuple[str, Getter]] = {
    "number": (NUMBER, lambda row: row.number),
    "words": (NUMBER, lambda row: sum(row.sizes)),
    "question": (TEXT, lambda row: row.question),
    "answer": (TEXT, lambda row: row.record.answer() if row.record else None),
    "text": (TEXT, lambda row: list(row.texts())),
    "strategy": (TEXT, lambda row: short_name(row.record.origin.plugin) if row.record else None),
    "round": (NUMBER, lambda row: row.record.origin.round if row.record else None),
    "parents": (TEXT, lambda row: row.parents),
    "stage": (TEXT, lambda row: row.drop.stage if row.drop else row.record.origin.stage if row.record else None),
    "plugin": (TEXT, lambda row: row.drop.plugin if row.drop else row.record.origin.plugin if row.record else None),
}
"""Fields that are no fields of a record."""
_OF_DROPS: dict[str, tuple[str, Getter]] = {
    "reason": (TEXT, lambda row: row.drop and row.drop.reason),
    "detail": (TEXT, lambda row: row.drop and row.drop.detail),
    "raw": (TEXT, lambda row: row.drop and row.drop.answer),
    "parent": (TEXT, lambda row: row.drop and row.drop.parent),
}
_INSIDE: dict[str, tuple[str, ...]] = {
    "messages": Message.__struct_fields__, "rejected": Message.__struct_fields__,
    "constraints": Constraint.__struct_fields__, "origin": Origin.__struct_fields__,
}  # fmt: skip
"""What can stand behind these fields."""
_FREE = ("scores", "extra")
"""Fields whose keys are the data's own."""
_TEXTS = ("id", "instruction", "input", "output", "system", "reasoning", "task")
_SIZES = ("words", "length")
"""Measures that can stand behind a text, ``length`` also behind a list."""
PART = r'[^\W\d][\w-]*|\d+|"[^"]*"'
FIELD = re.compile(rf"(?:{PART})(?:\.(?:{PART}))*")
NAMES = (*Record.__struct_fields__, *_MADE)


@dataclass
class Field:
    """A field by its path; ``kind`` says what its values are, where that is known.

    ``met`` says whether any row had it, ``others`` which keys stood beside it, so that a misspelled key can be told.
    """

    name: str
    kind: str
    root: Getter
    steps: tuple[str, ...] = ()
    met: bool = False
    others: dict[str, None] = field(default_factory=dict)

    def values(self, row: Row) -> Sequence[Any]:
        """Return what a row has there."""
        found: list[Any] = [self.root(row)]
        for place, step in enumerate(self.steps):
            if not place and isinstance(found[0], Mapping) and not self.met:
                self.met = step in found[0]
                self.others |= dict.fromkeys(list(found[0])[:100] if len(self.others) < 100 else ())
            found = [value for parent in found for value in _enter(parent, step)]
        return list(_flatten(found))

    def unmet(self) -> str:
        """Say that no row had this field, and what there is; empty if one had it, or none can be missing."""
        root, _, key = self.name.partition(".")
        if self.met or root not in _FREE or not key:
            return ""
        there = ", ".join(f"{root}.{spell(other)}" for other in self.others)
        return f"no record has {self.name}; there is {there}" if there else f"no record has any {root}"


def _enter(parent: Any, step: str) -> Iterable[Any]:
    """Yield the values behind a step of a path."""
    if isinstance(parent, Mapping) and step in parent:
        yield parent[step]
    elif isinstance(parent, list | tuple) and step.isdecimal():
        yield from parent[int(step[:9]) : int(step[:9]) + 1]
    elif step == "length" and isinstance(parent, str | list | tuple | Mapping):
        yield len(parent)
    elif step == "words" and isinstance(parent, str):
        yield len(words(parent))
    elif isinstance(parent, list | tuple):
        for item in parent:
            yield from _enter(item, step)
    elif step in getattr(parent, "__struct_fields__", ()):
        yield getattr(parent, step)


def _flatten(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from _flatten(value)
        elif value is not None:
            yield value


def find_field(text: str, dropped: bool = False) -> Field:
    """Return the field of a name.

    Raises:
        UsageError: there is none; the message says which ones there are.
    """
    if not FIELD.fullmatch(text):
        raise UsageError(f'{text!r} is no name of a field; write words, scores.agreement or extra."a name"')
    root, *steps = (part.strip('"') for part in re.findall(PART, text))
    kind, getter = _find_root(root, dropped)
    if steps and (inside := _INSIDE.get(root)):
        first = next((step for step in steps if not step.isdecimal()), None)
        if first is not None and first not in (*inside, *_SIZES):
            raise UsageError(f"{root} has no {first!r}{_hint(first, inside)}; it has {', '.join(inside)}")
    if steps:
        is_size = steps[-1] in _SIZES and (root != "extra" or len(steps) > 1)
        kind = NUMBER if is_size or root == "scores" else ANY
    return Field(text, kind, getter, tuple(steps))


def _find_root(name: str, dropped: bool) -> tuple[str, Getter]:
    fields = {**_MADE, **(_OF_DROPS if dropped else {})}
    if name in fields:
        return fields[name]
    if name in Record.__struct_fields__:
        return TEXT if name in _TEXTS else ANY, lambda row: getattr(row.record, name, None)
    if name in _OF_DROPS:
        raise UsageError(f"{name!r} is a field of drops; add --dropped")
    known = (*Record.__struct_fields__, *fields)
    if hint := _hint(name, known):
        raise UsageError(f"there is no field {name!r}{hint}")
    raise UsageError(
        f"there is no field {name!r}; a column of your data is extra.{spell(name)}, a score scores.{spell(name)}; "
        f"other fields are {', '.join(known)}"
    )


def _hint(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, 1, 0.7)
    return f" (did you mean {near[0]!r}?)" if near else ""


def spell(key: str) -> str:
    return key if re.fullmatch(PART, key) else f'"{key}"'
