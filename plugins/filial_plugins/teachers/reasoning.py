"""Separate the reasoning that a model writes into its answer from the answer."""

from __future__ import annotations

import re
from typing import NamedTuple

_OPEN, _CLOSE = r"<think(?:ing)?>|\[THINK\]", r"</think(?:ing)?>|\[/THINK\]"
_FIRST = re.compile(rf"\s*(?:(?P<open>{_OPEN})|{_CLOSE})", re.IGNORECASE)
_CLOSING = re.compile(_CLOSE, re.IGNORECASE)
_ALONE = re.compile(rf"""(?<![`"'])(?:{_CLOSE})(?=[ \t]*(?:[\r\n]|\Z))""", re.IGNORECASE)
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})", re.MULTILINE)
_ANY = re.compile(rf"{_OPEN}|{_CLOSE}", re.IGNORECASE)


class SplitAnswer(NamedTuple):
    """An answer without its reasoning, and the reasoning.

    Attributes:
        removed: whether reasoning tags were removed.
        remaining: whether reasoning tags remain in the text.
    """

    text: str
    reasoning: str
    removed: bool
    remaining: bool


def split_reasoning(answer: str) -> SplitAnswer:
    """Separate reasoning at the beginning of an answer from the rest.

    It is between tags, sometimes in several blocks; a block that is never closed extends to the end. A closing tag
    alone ends reasoning whose opening tag was in the prompt, if it ends a line outside fenced code, as models write it.
    Other tags further in may be the subject of the answer and stay. An answer without reasoning is unchanged.
    """
    if "<" not in answer and "[" not in answer:  # most answers hold no tag of any kind
        return SplitAnswer(answer, "", False, False)
    thoughts, place = list[str](), 0
    while tag := _FIRST.match(answer, place):
        place = tag.end()
        if tag["open"]:
            end = _CLOSING.search(answer, place)
            thoughts.append(answer[place : end.start() if end else len(answer)])
            place = end.end() if end else len(answer)
    if (
        not place
        and (end := _ALONE.search(_blank_code(answer)))
        and not re.search(_OPEN, answer[: end.start()], re.IGNORECASE)
    ):
        thoughts.append(answer[: end.start()])
        place = end.end()
        while (tag := _FIRST.match(answer, place)) and not tag["open"]:
            place = tag.end()
    text = answer[place:].lstrip() if place else answer
    return SplitAnswer(text, join_reasoning(thoughts), bool(place), _ANY.search(text) is not None)


def _blank_code(text: str) -> str:
    """Return the text with spaces in place of fenced code, so that positions stay; an unclosed fence is not code."""
    kept, place = list[str](), 0
    opening: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if opening is None:
            opening = fence
        elif fence[1].startswith(opening[1]):
            kept += text[place : opening.start()], " " * (fence.end() - opening.start())
            place, opening = fence.end(), None
    return "".join((*kept, text[place:]))


def join_reasoning(thoughts: list[str]) -> str:
    """Join blocks of reasoning to one text, without repetitions."""
    return "\n\n".join(dict.fromkeys(filter(None, map(str.strip, thoughts))))
