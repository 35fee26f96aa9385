"""What people see while a run goes on: live bars on a terminal or in a notebook, else a plain line now and then."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import copy_context
from html import escape
from typing import TYPE_CHECKING, Any

from filial.contracts.errors import UsageError
from filial.contracts.texts import list_counts, printable_lines
from filial.engine.progress import Reporter
from filial.engine.stage import BAD_LINE
from filial.gateway.budget import format_dollars

if TYPE_CHECKING:
    from filial.engine.stage import Counters
    from filial.gateway.gateway import GatewayStatus

EVERY = 10.0
"""Seconds between two plain lines."""
LIVE = 0.25
"""Seconds between two looks in a notebook."""
RECENT = 15.0
"""Seconds over which a rate is taken."""


def format_stage_counts(counters: Counters) -> str:
    """Format counts with the three most frequent reasons: ``1,204 kept, 96 dropped (too-similar 80, harm 16)``.

    Of a stage that makes records from others also their numbers: ``300 records (200 in, 110 made), 10 dropped (…)``.
    """
    reasons = dict(counters.dropped)  # a copy made at once: another thread may be adding to it
    dropped = sum(reasons.values())
    made = counters.made - reasons.get(BAD_LINE, 0)  # such a line was never a record
    kept = f"records ({counters.entered:,} in, {made:,} made)" if counters.entered and made > 0 else "kept"
    parts = [f"{counters.out:,} {kept}"] if counters.out or not dropped else []
    if dropped:
        parts.append(f"{dropped:,} dropped ({list_counts(reasons, 3)})")
    return ", ".join(parts)


class Watch:
    """One stage as it goes on: its counters, its gateway's figures, and the line they make."""

    def __init__(self, status: Callable[[], GatewayStatus] | None) -> None:
        self.counters: Counters | None = None
        self.start = self._begun = time.monotonic()
        self._status, self._entered = status, 0
        self._before = status() if status else None  # what other stages asked
        self._samples: deque[tuple[float, int]] = deque()

    def update(self, counters: Counters) -> None:
        """Note the counters after a record."""
        if counters.entered > self._entered:  # still reading
            self._begun, self._entered = time.monotonic() if self._entered else self.start, counters.entered
        self.counters = counters

    def __str__(self) -> str:
        """Done of how many, dropped and why, in flight, requests/s, tokens, money against its cap, time left."""
        return " · ".join([self.format_done(), *self._flow(), *self._left()])

    def seconds(self) -> float:
        return time.monotonic() - self.start

    def format_done(self) -> str:
        """Format the share that is done."""
        if self.counters is None:
            return "starting"
        if self.counters.total:
            return f"{self.counters.done:,} of {self.counters.total:,}, {format_stage_counts(self.counters)}"
        if self.counters.entered and not self.counters.out:
            dropped = f", {format_stage_counts(self.counters)}" if self.counters.dropped else ""
            return f"{self.counters.entered:,} read{dropped}"
        return format_stage_counts(self.counters)

    def _flow(self) -> Iterator[str]:
        if self._status is None or self._before is None:
            return
        now, before = self._status(), self._before
        if now.pause > 1:
            yield f"endpoint asked to wait {now.pause:.0f} s"
        if now.requests > before.requests:
            yield f"{now.in_flight:,} in flight, {self._rate(now.requests - now.in_flight - before.requests)}"
            yield f"{format_number(now.tokens - before.tokens)} tokens"
        else:
            self._samples = deque([(time.monotonic(), 0)])  # nothing was asked up to now
            if known := now.from_ledger - before.from_ledger:
                yield f"{known:,} answers from the ledger"
        if now.usd or now.cap:
            yield format_dollars(now.usd) + (f" of {format_dollars(now.cap)}" if now.cap else "")
        if now.held_back:
            yield f"{now.held_back:,} waiting for budget"

    def _rate(self, ended: int) -> str:
        """Format the requests that ended per second, over `RECENT` seconds or since the stage began to ask."""
        now = time.monotonic()
        self._samples.append((now, ended))
        if len(self._samples) == 1:
            self._samples.appendleft((self._begun, 0))
        while len(self._samples) > 2 and now - self._samples[1][0] >= RECENT:
            self._samples.popleft()
        since, before = self._samples[0]
        rate = max(0, ended - before) / max(now - since, 1e-9)
        return f"{rate:,.0f} requests/s" if rate >= 9.95 else f"{rate:.2g} requests/s"

    def _left(self) -> Iterator[str]:
        spent = time.monotonic() - self._begun
        if self.counters and self.counters.total and self.counters.done and spent > 2:
            left = spent * (self.counters.total / self.counters.done - 1)
            yield f"{format_seconds(left)} left"


def format_number(number: int) -> str:
    """1,234 as it is, 120 k from 100,000 on, 1.2 M from a million on."""
    if number < 1e5:
        return f"{number:,}"
    if number < 1e6:
        return f"{number / 1e3:.0f} k"
    return f"{number / 1e6:,.1f} M" if number < 1e9 else f"{number / 1e9:,.1f} G"


def format_seconds(seconds: float) -> str:
    """Format seconds: ``0:42``, ``12:05``, ``3:20:00``."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def reporter() -> Reporter:
    """Return the reporter that fits where this process is seen; one that says nothing where several train as one and
    another speaks (``torchrun``)."""
    if os.environ.get("RANK", "0") != "0":
        return Reporter()
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if getattr(shell, "kernel", None) is not None:
        return NotebookReporter()
    return LiveReporter() if sys.stderr.isatty() else PlainReporter()


@contextmanager
def call_regularly(call: Callable[[], None], every: float = EVERY) -> Iterator[None]:
    """Call a function every ten seconds, also while nothing happens that could be told."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(every):
            call()

    # In the caller's context, by which a notebook knows the cell that a display belongs to.
    thread = threading.Thread(target=copy_context().run, args=(work,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class PlainReporter(Reporter):
    """One line per stage, and one every ten seconds while it works."""

    mark = ""

    def note(self, text: str) -> None:
        print(printable_lines(text), file=sys.stderr, flush=True)

    @contextmanager
    def stage(
        self, name: str, status: Callable[[], GatewayStatus] | None = None
    ) -> Iterator[Callable[[Counters], None]]:
        watch = Watch(status)
        try:
            with self._show(name, watch):
                yield watch.update
        except BaseException as error:
            if watch.counters is not None and not isinstance(error, UsageError):
                self.note(f"{name}: stopped after {watch.seconds():.1f} s at {watch.format_done()}")
            raise
        done = format_stage_counts(watch.counters) if watch.counters else "nothing to do"
        self.note(f"{self.mark}{name}: {done} in {watch.seconds():.1f} s")

    def _show(self, name: str, watch: Watch) -> AbstractContextManager[None]:
        """Show a stage during its work."""
        return call_regularly(lambda: self.note(f"{name}: {watch}"))

    @contextmanager
    def training(self) -> Iterator[Callable[[float, float, str], None]]:
        start = time.monotonic()
        with self._show_training() as report:
            yield report
        self.note(f"{self.mark}train: done in {time.monotonic() - start:.1f} s")

    @contextmanager
    def _show_training(self) -> Iterator[Callable[[float, float, str], None]]:
        """Show the progress of a training."""
        last = time.monotonic()

        def report(done: float, total: float, text: str) -> None:
            nonlocal last
            if (now := time.monotonic()) - last >= EVERY:
                last = now
                self.note(f"train: {100 * done / total if total else 0:.0f} %, {text}")

        yield report


class LiveReporter(PlainReporter):
    """A live line per stage, drawn by rich."""

    mark = "✓ "

    def __init__(self) -> None:
        self._console: Any = None

    def note(self, text: str) -> None:
        """Print a line above the live line, if there is one."""
        if self._console is None:
            super().note(text)
        else:
            from rich.text import Text

            self._console.print(Text(printable_lines(text)))

    @contextmanager
    def _live(self, *columns: Any) -> Iterator[Any]:
        from rich.console import Console
        from rich.progress import Progress

        self._console = Console(file=getattr(sys.stderr, "styled", sys.stderr))
        try:
            with Progress(*columns, console=self._console, transient=True, refresh_per_second=4) as bar:
                yield bar
        finally:
            self._console = None

    @contextmanager
    def _show(self, name: str, watch: Watch) -> Iterator[None]:
        from rich.progress import SpinnerColumn, TextColumn

        with self._live(SpinnerColumn(), TextColumn("{task.description}"), _text_column()) as bar:
            bar.add_task(name, total=None, text=watch)
            yield

    @contextmanager
    def _show_training(self) -> Iterator[Callable[[float, float, str], None]]:
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

        columns = (BarColumn(), TaskProgressColumn(), _text_column(), TimeRemainingColumn())
        with self._live(TextColumn("{task.description}"), *columns) as bar:
            task = bar.add_task("train", total=1.0, text="")

            def report(done: float, total: float, text: str) -> None:
                bar.update(task, completed=done, total=total or None, text=text)

            yield report


class NotebookReporter(PlainReporter):
    """A bar with a live line per stage, below the cell that works."""

    mark = "✓ "

    def note(self, text: str) -> None:
        print(text, flush=True)

    @contextmanager
    def _show(self, name: str, watch: Watch) -> Iterator[None]:
        def bar() -> str:
            counters = watch.counters
            share = counters.done / counters.total if counters and counters.total else None
            return _bar(name, share, str(watch))

        with _display(bar):
            yield

    @contextmanager
    def _show_training(self) -> Iterator[Callable[[float, float, str], None]]:
        now: tuple[float | None, str] = (None, "starting")

        def report(done: float, total: float, text: str) -> None:
            nonlocal now
            now = (done / total if total else None, text)

        with _display(lambda: _bar("train", *now)):
            yield report


def _bar(name: str, share: float | None, text: str) -> str:
    """Return a line of HTML; ``share`` is None if the total is unknown."""
    value = "" if share is None else f' value="{share:.4f}"'
    return f'<div>{escape(name)} <progress max="1"{value}></progress> {escape(text)}</div>'


@contextmanager
def _display(html: Callable[[], str]) -> Iterator[None]:
    """Show HTML below the cell, anew all the time and once more at the end."""
    from IPython.display import HTML, display

    handle = display(HTML(html()), display_id=True)
    try:
        with call_regularly(lambda: handle.update(HTML(html())), LIVE):
            yield
    finally:
        handle.update(HTML(html()))


def _text_column() -> Any:
    """Return a column with a task's field ``text``, wrapped if it is long, never read as markup."""
    from rich.progress import TextColumn
    from rich.table import Column

    return TextColumn("{task.fields[text]}", markup=False, table_column=Column())
