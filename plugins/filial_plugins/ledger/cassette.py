"""Cassettes: answers of the ledger as lines of JSON, to replay a run anywhere with no endpoint.

A cassette is a header, ``{"filial_cassette": 1, "answers": N, "teachers": {…}}``, and a line per answer:
``{"key", "identity", "request", "reply", "checksum"}``. ``identity`` names one of the header's teachers; the checksum
is over the canonical JSON of everything else in the line. A reply with a ``failure`` stands for a request that failed
for good: a replay loses the same rows. A header may come again, so files can
be put one behind the other; ``answers`` is null while a cassette is being recorded. Every key can be worked out again
from who was asked what.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from filial import Reply, Request, UsageError
from filial.formats import Fault, compress, lines, open_file, parse_object
from filial.gateway import Entry, TeacherKeys, encode_request, make_entry
from filial.storage import canonical_json, digest, replace_file, write_errors

if TYPE_CHECKING:
    from filial import Teacher

__all__ = ["CassetteWriter"]

FORMAT = 1
MARK = "filial_cassette"


class _TeacherHeader(msgspec.Struct, forbid_unknown_fields=True):
    use: str
    options: dict[str, Any]


class _Header(msgspec.Struct, forbid_unknown_fields=True):
    filial_cassette: int
    answers: int | None
    teachers: dict[str, _TeacherHeader]


class _Answer(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    identity: str
    request: dict[str, Any]
    reply: Reply


def write_cassette(path: Path, teachers: Iterable[TeacherKeys], entries: Iterable[Entry], count: int) -> int:
    """Write a cassette, whole or not at all; it is packed if its name ends in ``.gz`` or ``.zst``.

    Equal answers in equal order give equal bytes. ``count`` is the number of entries.

    Returns:
        How many of them are requests that failed for good.

    Raises:
        UsageError: the file cannot be written.
        FilialError: the disk is full.
    """
    with write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(path) as sink, compress(sink, path.suffix) as file:
        file.write(_encode_header(teachers, count))
        failed = 0
        for entry in entries:
            request, reply = entry.decode()
            file.write(_encode_line(entry.key, entry.identity, request, reply))
            failed += bool(reply.failure)
    return failed


def _encode_header(teachers: Iterable[TeacherKeys], count: int | None) -> bytes:
    known = {t.identity: {"use": t.use, "options": msgspec.Raw(t.options.encode())} for t in teachers}
    return msgspec.json.encode({MARK: FORMAT, "answers": count, "teachers": dict(sorted(known.items()))}) + b"\n"


def _encode_line(key: str, identity: str, request: bytes, reply: Reply) -> bytes:
    answer = {
        "key": key,
        "identity": identity,
        "request": msgspec.Raw(request),
        "reply": msgspec.Raw(canonical_json(reply)),
    }
    return msgspec.json.encode({**answer, "checksum": digest(answer)}) + b"\n"


class CassetteReader:
    """Reads the answers of a cassette as ledger entries and checks each.

    ``teachers`` and ``count`` are those of what has been read so far. An answer of a teacher that no header names comes
    from an old ledger; its key cannot be computed again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.teachers: dict[str, TeacherKeys] = {}
        self.count = 0
        self._expected: int | None = None
        self._found = 0

    def entries(self) -> Iterator[Entry]:
        """Yield all answers.

        Raises:
            UsageError: ``file:line: what`` is wrong, or the file is incomplete.
        """
        number = 0
        with open_file(self.path) as stream:
            for number, line in lines(stream, self._raise_too_long):
                try:
                    row = parse_object(line)
                    if MARK in row:
                        self._check_count()
                        self._read_header(row)
                    elif number == 1:
                        raise Fault("", "this is not a cassette; 'filial ledger export' makes one")
                    else:
                        yield self._read_entry(row)
                        self._found += 1
                        self.count += 1
                except Fault as fault:
                    raise self._make_error(number, str(fault)) from None
            self._check_count()
        if not number:
            raise UsageError(f"{self.path}: the cassette is empty; make it again")

    def _read_header(self, row: dict[str, Any]) -> None:
        if row[MARK] != FORMAT:
            raise Fault("", f"this filial reads cassettes of format {FORMAT}, not {row[MARK]!r}; update filial")
        header = _convert(row, _Header)
        for identity, known in header.teachers.items():
            teacher = TeacherKeys(known.use, known.options)
            if teacher.identity != identity:
                raise Fault("", f"the identity of the teacher {known.use!r} does not match its options")
            self.teachers[identity] = teacher
        self._expected, self._found = header.answers, 0

    def _check_count(self) -> None:
        if self._expected not in (None, self._found):
            raise UsageError(
                f"{self.path}: contains {self._found:,} answers, but its header says {self._expected:,}; make it again"
            )

    def _read_entry(self, row: dict[str, Any]) -> Entry:
        checksum = row.pop("checksum", None)
        if checksum != digest(row):
            raise Fault("", "the line was changed: its checksum does not match")
        answer = _convert(row, _Answer)
        _convert(answer.request, Request)
        request = canonical_json(answer.request)
        teacher = self.teachers.get(answer.identity)
        if teacher is not None and teacher.key(request) != answer.key:
            raise Fault("", f"the key {answer.key!r} is not that of this question to {teacher.use!r}")
        return make_entry(answer.key, answer.identity, request, answer.reply)

    def _raise_too_long(self, number: int, fault: Fault, line: bytes | str) -> None:
        raise self._make_error(number, fault.message)

    def _make_error(self, number: int, what: str) -> UsageError:
        return UsageError(f"{self.path}:{number}: {what}; get the cassette again")


def _convert(value: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as err:
        raise Fault("", str(err)) from None


class CassetteWriter:
    """Records a cassette while a run goes on, and appends to what an earlier run left in the file.

    A last line that a killed run left unfinished is cut off. An answer that is in the file already is not recorded
    again.

    Args:
        names: who answers, as ``dist:name``, and the words under which filial 0.1 may have kept its answers.

    Raises:
        UsageError: the file exists and is no cassette, is damaged, or cannot be written.
    """

    def __init__(self, path: Path, *names: str) -> None:
        self._path, self._names = path, dict.fromkeys(names)
        self._recorded: dict[str, bool] = {}  # key -> whether it is an answer
        self._teacher: Teacher | None = None
        self._keys: list[TeacherKeys] = []
        self._current_identity = ""
        with write_errors(path):
            self._file = open(path, "ab", buffering=0)  # noqa: SIM115 - closed by close
        try:
            self._cut_unfinished_line()
            if path.stat().st_size:
                for entry in CassetteReader(path).entries():
                    self._recorded[entry.key] = self._recorded.get(entry.key, False) or not entry.failed
        except BaseException:
            self._file.close()
            raise

    def record(self, teacher: Teacher, request: Request, reply: Reply) -> None:
        """Record an answer or a final failure of the ledger. An answer may follow a failure.

        An answer that another plugin gave, or whose question another plugin changed, is not the ledger's and is not
        recorded.

        Raises:
            FilialError: the disk is full.
        """
        if reply.key in self._recorded and (reply.failure or self._recorded[reply.key]):
            return
        asked = encode_request(request)
        whose = next((keys for keys in self._list_keys(teacher) if keys.key(asked) == reply.key), None)
        if whose is None:
            return
        self._recorded[reply.key] = not reply.failure
        if whose.identity != self._current_identity:
            self._current_identity = whose.identity
            self._write(_encode_header([whose], None))
        self._write(_encode_line(reply.key, whose.identity, asked, msgspec.structs.replace(reply, key="")))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _list_keys(self, teacher: Teacher) -> list[TeacherKeys]:
        if teacher is not self._teacher:
            self._teacher = teacher
            self._keys = [TeacherKeys(name, teacher.identity()) for name in self._names]
        return self._keys

    def _write(self, line: bytes) -> None:
        with write_errors(self._path):
            rest = memoryview(line)
            while rest:
                rest = rest[self._file.write(rest) :]

    def _cut_unfinished_line(self) -> None:
        """Cut off what follows the last line break."""
        with write_errors(self._path), open(self._path, "r+b") as file:
            end = file.seek(0, os.SEEK_END)
            while end:
                start = max(0, end - (1 << 16))
                file.seek(start)
                at = file.read(end - start).rfind(b"\n")
                if at >= 0:
                    end = start + at + 1
                    break
                end = start
            file.truncate(end)
