"""Remove requests for harm, by word patterns."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

from pydantic import field_validator

from filial import Context, Drop, Field, Filter, Keep, Record, hookimpl
from filial_plugins.filters.harm_patterns import LEVELS, PATTERNS, Level
from filial_plugins.texts import collapse_whitespace, excerpt

_INVISIBLE = re.compile("[\u200b-\u200f\u2060\ufeff\u00ad]")


class Harm(Filter):
    """Drop records that ask for or give help with harm; the reason names the category (``harm-weapons``).

    A coarse first filter. It knows English phrases only, not meaning. It misses what is paraphrased, hinted at,
    misspelt or written in another language, and it drops harmless texts that use such phrases (a history question about
    a bomb; a helpline's leaflet at level strict). If this matters, add a classifier or a judge after it, and read what
    it dropped. ``lenient`` has the most serious categories, ``normal`` adds instructions for violence, drugs, malware,
    fraud and incitement, ``strict`` also drops texts that only mention many of these, and sexual content.
    """

    level: Literal["lenient", "normal", "strict"] = Field("normal", description="How much to drop.")
    patterns: tuple[str, ...] = Field(
        (),
        description="Regular expressions of your own, matched as whole words in any case (harm-own).",
    )

    @field_validator("patterns")
    @classmethod
    def _compile(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                _compile_own(pattern)
            except re.error as error:
                raise ValueError(
                    f"{pattern!r} is not a regular expression: {error}; correct it, or escape its special characters"
                ) from None
        return patterns

    def check(self, record: Record, ctx: Context) -> Keep | Drop:
        text = _normalize("\n".join(record.content()))
        for category, pattern in _compile_patterns(self.level, self.patterns):
            found = pattern.search(text)
            if found:
                return Drop(f"harm-{category}", f"holds {excerpt(found[0])!r}")
        return Keep()


def _normalize(text: str) -> str:
    """Return the text in lower case, with compatibility forms resolved, invisible characters removed and single
    blanks.
    """
    return collapse_whitespace(_INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).casefold().replace("’", "'"))


@lru_cache(maxsize=16)
def _compile_patterns(level: Level, own: tuple[str, ...]) -> list[tuple[str, re.Pattern[str]]]:
    wanted = LEVELS[: LEVELS.index(level) + 1]
    found = [("own", _compile_own(pattern)) for pattern in own]
    for category, by_level in PATTERNS.items():
        if patterns := [pattern for one in wanted for pattern in by_level.get(one, ())]:
            found.append((category, re.compile(rf"(?<!\w)(?:{'|'.join(patterns)})(?!\w)", re.IGNORECASE)))
    return found


def _compile_own(pattern: str) -> re.Pattern[str]:
    """Compile a pattern of the user. Compiled alone, it may have groups and references, and flags at its beginning."""
    re.compile(pattern)  # an error should show the pattern as the user wrote it
    flags = re.match(r"(?:\(\?[aimsux]+\))*", pattern)
    assert flags is not None
    end = "\n" if "x" in flags[0] else ""  # a comment ends with its line
    return re.compile(rf"{flags[0]}(?<!\w)(?:{pattern[flags.end() :]}{end})(?!\w)", re.IGNORECASE)


@hookimpl
def register_filters(register: Callable[[str, type[Filter]], None]) -> None:
    register("harm", Harm)
