"""What people see while a run goes on: live bars on a terminal, a plain line now and then on a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import click

from filial.run import Reporter
from filial.stages.stage import Books

EVERY = 10.0
"""Seconds between two plain lines."""


def printable(text: str) -> str:
    """Text from data, safe on a terminal: control characters and bidirectional marks show as escapes."""
    return "".join(c if c.isprintable() or c == " " else c.encode("unicode_escape").decode() for c in text)


def counts(books: Books) -> str:
    """``1,204 kept, 96 dropped (too-similar 80, harm 16)``, the three largest reasons."""
    dropped = books.dropped.total()
    parts = [f"{books.out:,} kept"] if books.out or not dropped else []
    if dropped:
        top = ", ".join(f"{printable(r)} {n:,}" for r, n in books.dropped.most_common(3))
        parts.append(f"{dropped:,} dropped ({top})")
    return ", ".join(parts)


def reporter() -> Reporter:
    """The reporter that fits where stderr goes."""
    return LiveReporter() if sys.stderr.isatty() else PlainReporter()


class PlainReporter(Reporter):
    """One line per stage, and one every ten seconds while it works."""

    def stage(self, name: str) -> AbstractContextManager[Callable[[Books], None]]:
        return self._stage(name)

    @contextmanager
    def _stage(self, name: str) -> Iterator[Callable[[Books], None]]:
        start = last = time.monotonic()
        final: list[Books] = []

        def told(books: Books) -> None:
            nonlocal last
            final[:] = [books]
            if (now := time.monotonic()) - last >= EVERY:
                last = now
                self.note(f"{name}: {counts(books)}, {now - start:.0f} s")

        yield told
        done = counts(final[0]) if final else "nothing to do"
        self.note(f"{name}: {done} in {time.monotonic() - start:.1f} s")

    def training(self) -> AbstractContextManager[Callable[[float, float, str], None]]:
        return self._training()

    @contextmanager
    def _training(self) -> Iterator[Callable[[float, float, str], None]]:
        start = last = time.monotonic()

        def told(done: float, total: float, text: str) -> None:
            nonlocal last
            if (now := time.monotonic()) - last >= EVERY:
                last = now
                self.note(f"train: {100 * done / total if total else 0:.0f} %, {text}")

        yield told
        self.note(f"train: done in {time.monotonic() - start:.1f} s")

    def note(self, text: str) -> None:
        click.echo(text, err=True)


class LiveReporter(PlainReporter):
    """A live line per stage, drawn by rich."""

    @contextmanager
    def _stage(self, name: str) -> Iterator[Callable[[Books], None]]:
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.text import Text

        start, final = time.monotonic(), list[Books]()
        columns = (SpinnerColumn(), TextColumn("{task.description}"), _field(), TimeElapsedColumn())
        with Progress(*columns, console=_console(), transient=True) as bar:
            task = bar.add_task(name, total=None, text=Text(""))
            last = 0.0

            def told(books: Books) -> None:
                nonlocal last
                final[:] = [books]
                if (now := time.monotonic()) - last >= 0.1:
                    last = now
                    bar.update(task, text=Text(counts(books)))

            yield told
        done = counts(final[0]) if final else "nothing to do"
        self.note(f"✓ {name}: {done} in {time.monotonic() - start:.1f} s")

    @contextmanager
    def _training(self) -> Iterator[Callable[[float, float, str], None]]:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.text import Text

        start = time.monotonic()
        columns = (
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), _field(), TimeRemainingColumn(),
        )  # fmt: skip
        with Progress(*columns, console=_console(), transient=True) as bar:
            task = bar.add_task("train", total=1.0, text=Text(""))

            def told(done: float, total: float, text: str) -> None:
                bar.update(task, completed=done, total=total or None, text=Text(text))

            yield told
        self.note(f"✓ train: done in {time.monotonic() - start:.1f} s")


def _console() -> Any:
    from rich.console import Console

    return Console(stderr=True)


def _field() -> Any:
    """A progress column with the task's own text, never read as markup."""
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class FieldColumn(ProgressColumn):
        def render(self, task: Task) -> Text:
            text: Text = task.fields["text"]
            return text

    return FieldColumn()
