"""Telling equal ones apart by their order, without keeping them."""

from __future__ import annotations

import hashlib
from collections import Counter


class Ranks:
    """How many of the same name came before. Of each name eight bytes are kept.

    Should two names share their eight bytes, the later one gets a rank it need not have, the same in every run.
    """

    def __init__(self) -> None:
        self._seen: set[bytes] = set()
        self._again: Counter[bytes] = Counter()

    def next(self, name: str) -> int:
        """The rank of this one: 0 for the first of its name."""
        short = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        if short not in self._seen:
            self._seen.add(short)
            return 0
        self._again[short] += 1
        return self._again[short]
