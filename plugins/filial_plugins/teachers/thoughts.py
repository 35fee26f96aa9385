"""The thoughts that a model writes into its answer, parted from the answer."""

from __future__ import annotations

import re
from typing import NamedTuple

_OPEN, _CLOSE = r"<think(?:ing)?>|\[THINK\]", r"</think(?:ing)?>|\[/THINK\]"
_FIRST = re.compile(rf"\s*(?:(?P<open>{_OPEN})|{_CLOSE})", re.IGNORECASE)
_CLOSING = re.compile(_CLOSE, re.IGNORECASE)
_ALONE = re.compile(rf"""(?<![`"'])(?:{_CLOSE})(?=[ \t]*(?:[\r\n]|\Z))""", re.IGNORECASE)
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})", re.MULTILINE)
_ANY = re.compile(rf"{_OPEN}|{_CLOSE}", re.IGNORECASE)


class Parted(NamedTuple):
    """An answer without its thoughts, and those. ``cut``: tags of thoughts were taken out; ``left``: some stand in the
    text still."""

    text: str
    thoughts: str
    cut: bool
    left: bool


def parted(answer: str) -> Parted:
    """Part the thoughts at the beginning of an answer from the rest of it.

    They stand between tags, at times several in a row; what is never closed is a thought to its end. A closing tag
    alone ends thoughts whose opening tag was in the prompt, where it ends a line outside fenced code, as models write
    it. Other tags further in may be what the answer is about, and stay. An answer without thoughts stays as it is.
    """
    if "<" not in answer and "[" not in answer:  # most answers hold no tag of any kind
        return Parted(answer, "", False, False)
    thoughts, place = list[str](), 0
    while tag := _FIRST.match(answer, place):
        place = tag.end()
        if tag["open"]:
            end = _CLOSING.search(answer, place)
            thoughts.append(answer[place : end.start() if end else len(answer)])
            place = end.end() if end else len(answer)
    if (
        not place
        and (end := _ALONE.search(_without_code(answer)))
        and not re.search(_OPEN, answer[: end.start()], re.IGNORECASE)
    ):
        thoughts.append(answer[: end.start()])
        place = end.end()
        while (tag := _FIRST.match(answer, place)) and not tag["open"]:
            place = tag.end()
    text = answer[place:].lstrip() if place else answer
    return Parted(text, joined(thoughts), bool(place), _ANY.search(text) is not None)


def _without_code(text: str) -> str:
    """The text with blanks in place of fenced code, so that places in it stay; a fence that is never closed is none."""
    kept, place = list[str](), 0
    opening: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if opening is None:
            opening = fence
        elif fence[1].startswith(opening[1]):
            kept += text[place : opening.start()], " " * (fence.end() - opening.start())
            place, opening = fence.end(), None
    return "".join((*kept, text[place:]))


def joined(thoughts: list[str]) -> str:
    """Several thoughts as one text; what is said twice stands there once."""
    return "\n\n".join(dict.fromkeys(filter(None, map(str.strip, thoughts))))
