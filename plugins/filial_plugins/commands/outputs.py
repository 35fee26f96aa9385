"""What holds for every command that writes files: none is one that it reads, none is another that it writes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from filial import FilialError, UsageError, resolve

SUFFIX = ".jsonl"


@dataclass(frozen=True, slots=True)
class Place:
    """A file of a command: what it is, where it is, and how a user gives another one to be written."""

    what: str
    path: str | Path
    way: str = ""


def drops_beside(out: str) -> Path | None:
    """Return ``data.drops.jsonl`` for ``data.jsonl``, ``data.jsonl.gz.drops.jsonl`` for ``data.jsonl.gz``, so that no
    two outputs share a file; None for standard output or a device."""
    path = Path(out)
    if out == "-" or (path.exists() and not path.is_file()):
        return None
    return path.with_name(f"{path.name.removesuffix(SUFFIX)}.drops{SUFFIX}")


def name_partial(path: str | Path) -> Path:
    """Return where the rows go that a command has when it is stopped: ``data.partial.jsonl`` for ``data.jsonl``."""
    return Path(path).with_name(f"{Path(path).name.removesuffix(SUFFIX)}.partial{SUFFIX}")


def choose_drops(out: str, drops: str | None) -> Path | None:
    """Return where the drops of a command go, if anywhere.

    Raises:
        UsageError: they are to go to standard output.
    """
    if drops == "-":
        raise UsageError("--drops -: standard output takes records only; give --drops a file")
    return Path(drops) if drops else drops_beside(out)


def written_places(out: str | None, drops: str | None = None, beside: Path | None = None) -> list[Place]:
    """Return the files that ``-o OUT`` and ``--drops FILE`` write; ``beside``: where the drops go."""
    places = [Place("-o", out, "give -o another file")] if out is not None else []
    if beside is not None:
        named = Place("--drops", beside, "give --drops another file")
        places.append(named if drops else Place("the drops of OUT,", beside, "--drops FILE puts them elsewhere"))
    return places


def read_places(ctx: click.Context, inputs: Iterable[str], *components: Any) -> list[Place]:
    """Return the files that a command reads: inputs, ``--plugin`` files, those that options of ``components`` name."""
    from filial.commands import change_files

    def note(name: str) -> str:
        places.append(Place("a file of an option,", name))
        return name

    places = [Place("the input", name) for name in inputs]
    places += [Place("--plugin", file) for file in ctx.find_root().params.get("files", ())]
    for component in components:
        if component is not None:
            change_files(component, note)
    return places


def ledger_place(home: Path) -> Place:
    """Return the ledger of a folder."""
    return Place("the ledger", home / ".filial" / "ledger.sqlite", "the ledger is no place for other files")


def check_places(reads: Iterable[Place], writes: Iterable[Place]) -> None:
    """See that nothing that is read would be replaced, and that nothing is written twice, before any work.

    A device or a pipe may stand anywhere. A link is where it leads to.

    Raises:
        UsageError: names both places and the way out.
    """
    others = list(reads)
    for place in writes:
        if is_file(place.path):
            for other in others:
                if how := _meet(Path(place.path), other.path):
                    raise UsageError(
                        f"{place.what} {place.path}: {how} {other.what} {other.path}, which it would change; nothing "
                        f"is written: {place.way or other.way}"
                    )
            others.append(place)


def check_folder(out: str | Path, reads: Iterable[Place], way: str) -> None:
    """Check that a folder that will be written does not contain a file that is read.

    Raises:
        UsageError: it does; names both and the way out.
    """
    for place in reads:
        if _meet(Path(place.path), out) == "that lies in":
            raise UsageError(f"{place.what} {place.path} lies in {out}, which would be replaced; {way}")


def is_file(path: str | Path) -> bool:
    """Return whether a path is a regular file, or would be one: not standard output, a device or a folder."""
    return str(path) != "-" and (Path(path).is_file() or not Path(path).exists())


def _meet(written: Path, name: str | Path) -> str:
    """Say how a file that is written and another place are one; empty if they are not."""
    try:
        other = resolve(str(name))
        if str(name) == "-" or (other.exists() and not (other.is_file() or other.is_dir())):
            return ""
        there, here = os.path.realpath(other), os.path.realpath(written)
        if there == here or (other.exists() and written.exists() and os.path.samefile(other, written)):
            return "that is also"
        return "that lies in" if other.is_dir() and Path(here).is_relative_to(there) else ""
    except (OSError, UsageError, ValueError):  # no path of the disk: an address, or what reading will report
        return ""


@contextmanager
def output_errors(out: str) -> Iterator[None]:
    """Turn an error of the system at standard output into one sentence, where ``out`` is that.

    Raises:
        FilialError: standard output takes no more.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as err:
        if out != "-":
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still held would fail again at the end
        raise FilialError(f"standard output cannot be written: {err.strerror}; what was written is cut off") from err


@contextmanager
def explain_interrupt(what: str) -> Iterator[None]:
    """Have an interrupt of this block say what is kept and what is not."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(what) from stop


def describe_kept(home: Path | None) -> str:
    """Say what an interrupted command leaves that writes its files at the end; ``home``: where the answers of its
    teacher are stored, if it has one."""
    if home is None:
        return "nothing was written, and what was there is unchanged"
    return f"nothing was written; the teacher's answers are kept in {home / '.filial'} and are not asked again"
