"""What a run has spent, kept on disk: a journal that survives any kill.

One JSON array per line, each with a CRC-32 of itself: ``["open", number, tokens, picodollars, crc]`` before a request
is sent, ``["close", number, requests, prompt, completion, picodollars, unsure, crc]`` when it is settled, and
``["total", requests, prompt, completion, picodollars, unsure, crc]`` for all before. A request that was opened and
never closed was in flight when the process died; it counts with the most it could have cost.
"""

from __future__ import annotations

import errno
import os
import zlib
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import msgspec

from filial.errors import UsageError
from filial.store import write_bytes, write_errors


@dataclass(slots=True)
class Totals:
    """Requests, tokens of prompts and completions, picodollars, and picodollars that may have been charged for answers
    which were lost."""

    requests: int = 0
    prompt: int = 0
    completion: int = 0
    pico: int = 0
    unsure: int = 0

    @property
    def tokens(self) -> int:
        return self.prompt + self.completion

    def add(self, other: Totals) -> None:
        self.requests += other.requests
        self.prompt += other.prompt
        self.completion += other.completion
        self.pico += other.pico
        self.unsure += other.unsure


class Journal:
    """The file of one run. Lines are appended with one write each, so a kill leaves at most the last one torn."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1
        self._fault: OSError | None = None

    def read(self) -> Totals:
        """All that was spent so far.

        Raises:
            UsageError: a line that is not the last one is damaged.
        """
        totals, open_ = Totals(), dict[int, tuple[int, int]]()
        lines = self.path.read_bytes().split(b"\n") if self.path.exists() else []
        for place, line in enumerate(lines):
            if not line:
                continue
            entry = _checked(line)
            if entry is None and place == len(lines) - 1:
                break  # torn by a kill: what it opened was not sent, what it closed counts as open
            if entry is None:
                raise UsageError(
                    f"{self.path}:{place + 1}: this line is damaged, so what the run has spent is not known; "
                    "delete the file to count from zero again"
                )
            kind, *numbers = entry
            if kind == "open":
                open_[numbers[0]] = (numbers[1], numbers[2])
            elif kind == "close":
                open_.pop(numbers[0], None)
                totals.add(Totals(*numbers[1:]))
            else:
                totals, open_ = Totals(*numbers), {}
        for tokens, pico in open_.values():
            totals.add(Totals(requests=1, prompt=tokens, unsure=pico))
        return totals

    def opened(self, number: int, tokens: int, pico: int) -> None:
        """Note a request that is about to be sent."""
        self._write("open", number, tokens, pico)

    def closed(self, number: int, cost: Totals) -> None:
        """Note what a request has cost."""
        self._write("close", number, *astuple(cost))

    def close(self, totals: Totals) -> None:
        """Replace all lines by one."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            write_bytes(self.path, _line("total", *astuple(totals)))

    def _write(self, *entry: Any) -> None:
        if self._fd < 0:
            self._begin()
        line = _line(*entry)
        with write_errors(self.path):
            if self._fault is not None:  # after half a line, a whole one would stand in its midst
                raise self._fault
            try:
                if os.write(self._fd, line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError as err:
                self._fault = err
                raise

    def _begin(self) -> None:
        """Open the file. What an earlier process left becomes one line first: request numbers start again."""
        if self.path.exists():
            write_bytes(self.path, _line("total", *astuple(self.read())))
        with write_errors(self.path):
            self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o644)


def _line(*entry: Any) -> bytes:
    return msgspec.json.encode([*entry, zlib.crc32(msgspec.json.encode(entry))]) + b"\n"


def _checked(line: bytes) -> list[Any] | None:
    """The entry of a line without its checksum; None if the line is damaged."""
    try:
        *entry, crc = msgspec.json.decode(line, type=list[Any])
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
        return None
    known = {"open": 4, "close": 7, "total": 6}
    sound = crc == zlib.crc32(msgspec.json.encode(entry)) and bool(entry)
    return entry if sound and len(entry) == known.get(entry[0]) else None
