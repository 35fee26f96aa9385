"""Checks of a whole conversation: repeats, script, faulty lists, long runs of a digit."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Literal, get_args

from filial import Drop, Message

Script = Literal["arabic", "cyrillic", "devanagari", "greek", "han", "hangul", "hebrew", "kana", "latin", "thai"]
_RANGES: dict[str, str] = {
    "arabic": "\u0600-\u06ff\u0750-\u077f\u08a0-\u08ff\ufb50-\ufdff\ufe70-\ufefc",
    "cyrillic": "\u0400-\u052f",
    "devanagari": "\u0900-\u097f",
    "greek": "\u0370-\u03ff\u1f00-\u1fff",
    "han": "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff",
    "hangul": "\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3",
    "hebrew": "\u0590-\u05ff",
    "kana": "\u3040-\u30ff",
    "latin": "A-Za-z\u00aa\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff",
    "thai": "\u0e00-\u0e7f",
}
SCRIPTS: tuple[Script, ...] = get_args(Script)

_LIST_BEGINS_AGAIN = re.compile(r"(?m)^1\. .*\n+1\. ")
_FASTCHATS_LIST = re.compile(r"\n1\. [^2]*\n1\. ")


@cache
def _letter_pattern(script: str) -> re.Pattern[str]:
    return re.compile(f"[{_RANGES[script]}]+")


_ANY_LETTERS = re.compile(r"[^\W\d_]+")


def find_script(texts: Sequence[str], scripts: Sequence[str]) -> str:
    """Return the first of ``scripts`` to which more than half of all letters belong; "" if there is none."""
    letters = sum(len(run) for text in texts for run in _ANY_LETTERS.findall(text))
    for script in scripts:
        own = sum(len(run) for text in texts for run in _letter_pattern(script).findall(text))
        if 2 * own > letters:
            return script
    return ""


def list_restarts(text: str) -> bool:
    """Return whether two neighbouring lines, blank lines aside, both are number 1 of a list."""
    return _LIST_BEGINS_AGAIN.search(text) is not None


def has_fastchat_list_fault(text: str) -> bool:
    """Apply FastChat's rule (fastchat/data/filter_wrong_format.py).

    The rule finds two lines that begin with "1. ", the first after a line break, without any digit 2 between them.
    """
    return _FASTCHATS_LIST.search(text) is not None


@cache
def repeated_digit_pattern(times: int) -> re.Pattern[str]:
    """Return a pattern that finds one digit ``times`` times in a row."""
    return re.compile(rf"(\d)\1{{{times - 1}}}")


@dataclass(slots=True)
class SeenConversations:
    """The conversations kept so far: their ids, and digests of their texts with the id of the first that had each."""

    ids: set[str] = field(default_factory=set)
    texts: dict[bytes, str] = field(default_factory=dict)

    def repeats(self, digests: Sequence[bytes], which: bytes, name: str, detail: str) -> Drop | None:
        """Return the drop of a conversation whose digest ``which`` is known; otherwise remember all its digests."""
        first = self.texts.get(which)
        if first is not None:
            return Drop("repeated-conversation", f"{detail} conversation {first}")
        for digest in digests:
            self.texts.setdefault(digest, name)
        return None


def compute_digests(turns: Sequence[Message]) -> list[bytes]:
    """Return one digest per answer, over all turns up to it, so that the beginning of a conversation can be
    recognized.
    """
    running, out = hashlib.blake2b(digest_size=12), list[bytes]()
    for turn in turns:
        for part in (turn.role, turn.content):
            data = part.encode("utf-8", "surrogatepass")
            running.update(len(data).to_bytes(8, "little") + data)
        if turn.role in ("assistant", "tool_call"):
            out.append(running.copy().digest())
    return out
