"""Which answers of the ledger a stage used."""

from __future__ import annotations

from collections.abc import Iterator

KEY = 16
"""Bytes of a ledger key."""


class Answers:
    """The ledger keys of the answers that were given, noted as they come: 16 bytes for each answer."""

    def __init__(self) -> None:
        self._by_first = [bytearray() for _ in range(256)]  # sorting one after the other takes little memory

    def note(self, key: str) -> None:
        """An answer was given. One that is from no ledger (an `ask` hook may answer by itself) does not count."""
        try:
            raw = bytes.fromhex(key)
        except ValueError:
            return
        if len(raw) == KEY:
            self._by_first[raw[0]] += raw

    def lines(self) -> Iterator[bytes]:
        """Every key once, in hex, sorted."""
        for some in self._by_first:
            for raw in sorted({bytes(some[i : i + KEY]) for i in range(0, len(some), KEY)}):
                yield raw.hex().encode()
