"""The rules on the text of a new instruction. They are checked before novelty, which costs more."""

from __future__ import annotations

import re
import string
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from filial_plugins.texts import count_words


@dataclass(frozen=True)
class Screen:
    """The instruction filters of Self-Instruct (bootstrap_instructions.py, post_process_gpt3_response), and of Alpaca.

    Fields are options of `self-instruct`; the defaults are those of the style ``filial``.
    """

    min_words: int
    max_words: int
    blocked: tuple[str, ...]
    openings: tuple[str, ...]
    match_openings: Literal["words", "prefix"] = "words"
    count_words: Literal["by-script", "by-blanks"] = "by-script"
    first_character: Literal["any", "ascii"] = "any"

    def find_fault(self, instruction: str) -> tuple[str, str] | None:
        """Return reason and detail of the first rule that an instruction breaks; None if it breaks none."""
        words = count_words(instruction) if self.count_words == "by-script" else len(instruction.split())
        if words < self.min_words:
            return "too-short", f"{words} words, at least {self.min_words} wanted"
        if words > self.max_words:
            return "too-long", f"{words} words, at most {self.max_words} wanted"
        if found := self._find_blocked(instruction):
            return "blocked-word", f"holds {found!r}"
        return self._check_first_character(instruction[0])

    def _find_blocked(self, instruction: str) -> str:
        """Return a blocked word or opening in the instruction; empty if there is none."""
        found = self._blocked_pattern and self._blocked_pattern.search(instruction)
        if self.match_openings == "prefix":
            opening = next((phrase for phrase in self.openings if instruction.startswith(phrase)), "")
            return found[0] if found else opening
        found = found or (self._opening_pattern and self._opening_pattern.match(instruction))
        return found[0] if found else ""

    def _check_first_character(self, first: str) -> tuple[str, str] | None:
        """Return the fault of the first character; None if there is none."""
        if self.first_character == "ascii" and not first.isascii():
            return "starts-with-other-script", f"starts with {first!r}, which is not ASCII"
        marks = first in string.punctuation
        if self.first_character == "any":
            marks = first not in "¿¡" and unicodedata.category(first)[0] in "PS"
        return ("starts-with-punctuation", f"starts with {first!r}") if marks else None

    @cached_property
    def _blocked_pattern(self) -> re.Pattern[str] | None:
        return _compile_phrases(self.blocked)

    @cached_property
    def _opening_pattern(self) -> re.Pattern[str] | None:
        return _compile_phrases(self.openings)


def _compile_phrases(phrases: tuple[str, ...]) -> re.Pattern[str] | None:
    if not phrases:
        return None
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, phrases))})(?!\w)", re.IGNORECASE)
