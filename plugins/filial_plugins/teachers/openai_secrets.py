"""Remove keys from everything that an endpoint says, however it writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = "[key]"


class Secrets:
    """Removes some texts from answers and errors.

    An endpoint that repeats a key may escape its characters: as JSON (``\\u002B``, ``\\/``), percent-encoded or as
    HTML. Letters and digits are never escaped, so an answer without the longest run of them holds no form of the key,
    and is searched no further.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        longest_first = sorted(filter(None, set(secrets)), key=len, reverse=True)
        self._forms = [(_find_run(key).encode(), _match_forms(key)) for key in longest_first]

    def clean(self, raw: bytes) -> bytes:
        """Replace every form of every key by ``[key]``."""
        for run, forms in self._forms:
            if run in raw:
                raw = forms.sub(MASK.encode(), raw)
        return raw

    def clean_text(self, text: str) -> str:
        """Do the same with a text; lone surrogates become question marks."""
        return self.clean(text.encode("utf-8", "replace")).decode()


def _find_run(key: str) -> str:
    return max(re.findall(r"[A-Za-z0-9]+", key), key=len, default="")


def _match_forms(key: str) -> re.Pattern[bytes]:
    return re.compile("".join(map(_match_character, key)).encode())


def _match_character(character: str) -> str:
    """Return an expression for a character as it is, and as JSON, addresses and HTML write it."""
    plain = re.escape(character)
    if character.isalnum():
        return plain
    code = ord(character)
    forms = (plain, rf"\\+(?:(?i:u00{code:02x})|{plain})", rf"(?i:%{code:02x})", rf"&#(?:0*{code}|(?i:x0*{code:x}));")
    named = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"}
    return f"(?:{'|'.join([named[character], *forms] if character in named else forms)})"
