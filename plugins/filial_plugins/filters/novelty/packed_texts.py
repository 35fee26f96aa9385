"""Many texts in little memory."""

from __future__ import annotations

from array import array
from codecs import getdecoder, getencoder
from collections.abc import Iterable
from typing import Literal


class PackedTexts:
    """A growing list of texts in little memory: all texts encoded in one buffer, and 8 bytes per text for its end.

    A Python string takes 49 to 76 bytes besides its characters. Lone surrogates come out as they went in.
    """

    def __init__(self, encoding: Literal["utf-8", "utf-16-le"] = "utf-8") -> None:
        self._encode, self._decode = getencoder(encoding), getdecoder(encoding)
        self._bytes, self._ends = bytearray(), array("Q", [0])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, place: int) -> str:
        return self.get_many([place])[0]

    def get_many(self, places: Iterable[int]) -> list[str]:
        """Return the texts at some places."""
        packed, ends, decode = self._bytes, self._ends, self._decode
        return [decode(packed[ends[place] : ends[place + 1]], "surrogatepass")[0] for place in places]

    def append(self, text: str) -> None:
        self._bytes += self._encode(text, "surrogatepass")[0]
        self._ends.append(len(self._bytes))
