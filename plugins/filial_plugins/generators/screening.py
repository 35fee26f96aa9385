"""What an instruction must look like before its novelty is worth asking about."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property

from filial_plugins.texts import count_words

# Self-Instruct's own list: what asks for something a text model cannot see, draw or open.
BLOCKED = (
    *("image", "images", "graph", "graphs", "picture", "pictures", "file", "files", "map", "maps"),
    *("draw", "plot", "go to"),
)
OPENINGS = ("write a program",)  # these make up too much of what a model proposes, says Self-Instruct


@dataclass(frozen=True)
class Screen:
    """The instruction filters of Self-Instruct (bootstrap_instructions.py, post_process_gpt3_response).

    Mended: an opening counts as whole words ("Write a programmer's biography" stays), the first character may be
    any letter, not only an ASCII one, and scripts without blanks are counted by characters.
    """

    min_words: int
    max_words: int
    blocked: tuple[str, ...]
    openings: tuple[str, ...]

    def fault(self, instruction: str) -> tuple[str, str] | None:
        """Reason and detail of what is wrong with an instruction; None if nothing."""
        words = count_words(instruction)
        if words < self.min_words:
            return "too-short", f"{words} words, at least {self.min_words} wanted"
        if words > self.max_words:
            return "too-long", f"{words} words, at most {self.max_words} wanted"
        found = self._blocked and self._blocked.search(instruction)
        found = found or (self._openings and self._openings.match(instruction))
        if found:
            return "blocked-word", f"holds {found[0]!r}"
        if instruction[0] not in "¿¡" and unicodedata.category(instruction[0])[0] in "PS":
            return "starts-with-punctuation", f"starts with {instruction[0]!r}"
        return None

    @cached_property
    def _blocked(self) -> re.Pattern[str] | None:
        return _words(self.blocked)

    @cached_property
    def _openings(self) -> re.Pattern[str] | None:
        return _words(self.openings)


def _words(phrases: tuple[str, ...]) -> re.Pattern[str] | None:
    if not phrases:
        return None
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, phrases))})(?!\w)", re.IGNORECASE)
