"""A row in full: where it comes from, every text, and what is different from its parent."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby, zip_longest
from typing import Any

import click
from rich.cells import cell_len

from filial import Message, Record
from filial_plugins.show.difference import Change, Part, compare
from filial_plugins.show.listing import LEAST_WIDTH, Style, format_scores
from filial_plugins.show.rows import Row, plain_value, short_name
from filial_plugins.show.texts import fit, lines_of, one_line, readable

MARKS = {Change.SAME: ("", ""), Change.GONE: ("[-", "-]"), Change.NEW: ("{+", "+}")}
COLOURS: dict[Change, dict[str, Any]] = {Change.GONE: {"fg": "red"}, Change.NEW: {"fg": "green", "bold": True}}
_LEGEND = {Change.GONE: "gone", Change.NEW: "new"}
MOST_PARENTS = 8


class Page:
    """Writes rows in full. ``style(text, **colours)`` paints. ``wrapped``: long lines are broken at blanks to fit the
    terminal; else they stay as they are."""

    def __init__(self, style: Style, find_answers: Callable[[Sequence[str]], list[str]], *, wrapped: bool) -> None:
        self._style, self._find_answers, self._is_wrapped = style, find_answers, wrapped
        self._width = min(100, max(LEAST_WIDTH, shutil.get_terminal_size().columns))

    def lines(self, row: Row, parents: Mapping[str, Record]) -> Iterator[str]:
        """Yield the lines of one row; ``parents`` are those that were found, by id."""
        yield self._head(row)
        yield from self._facts(row)
        found = [parents[name] for name in row.parents if name in parents]
        parent = found[0] if len(row.parents) == 1 and found else None
        yield from self._parents(row, parents)
        if row.record is not None:
            yield from self._record(row.record, parent)
        if row.drop is not None:
            yield from self._answer(row)
        yield ""

    def _head(self, row: Row) -> str:
        title = f"── {one_line(row.id) or f'no. {row.number:,}'} "
        title = fit(title, self._width)
        return self._style(title + "─" * (self._width - cell_len(title)), bold=True)

    def _facts(self, row: Row) -> Iterator[str]:
        record, drop = row.record, row.drop
        if drop is not None:
            why = f"dropped in {drop.stage} by {short_name(drop.plugin)}: {drop.reason}"
            yield from self._wrap(one_line(why), fg="yellow")
            yield from self._text(drop.detail)
        if record is None:
            return
        origin = record.origin
        maker = f"made by {short_name(origin.plugin)}" if origin.plugin else ""
        made = [maker, f"in {origin.stage}" if origin.stage else ""]
        turn = f"round {origin.round}" if origin.round else ""
        asked, answered = row.sizes
        sizes = f"{asked:,} words asked, {answered:,} answered"
        tags = f"tags {', '.join(record.tags)}" if record.tags else ""
        label = "" if record.label is None else f"label {'wanted' if record.label else 'not wanted'}"
        facts = [" ".join(filter(None, made)), turn, f"task {record.task}" if record.task else "", sizes, tags, label]
        yield from self._wrap(one_line(" · ".join(filter(None, facts))))
        if record.scores:
            yield from self._wrap(f"scores: {format_scores(row)}")

    def _wrap(self, line: str, **colours: Any) -> Iterator[str]:
        """Yield a line, on a terminal broken at blanks."""
        start = 0
        for end in _find_breaks(line, self._width) if self._is_wrapped else [len(line)]:
            yield self._style(line[start:end].rstrip(), **colours)
            start = end

    def _parents(self, row: Row, parents: Mapping[str, Record]) -> Iterator[str]:
        names = row.parents
        if len(names) == 1:
            if names[0] in parents:
                gone, new = (self._paint(kind, word.join(MARKS[kind])) for kind, word in _LEGEND.items())
                told = f"parent {one_line(names[0])}; differences:"
                fits = cell_len(click.unstyle(f"{told} {gone} {new}")) <= self._width
                yield from [f"{told} {gone} {new}"] if fits else [*self._wrap(told), f"  {gone} {new}"]
            else:
                yield from self._wrap(
                    f"parent {one_line(names[0])}: not found here; --parents FILE names the file it is in"
                )
        elif names:
            yield f"made from {len(names):,} records:"
            for name in names[:MOST_PARENTS]:
                text = one_line(parents[name].question() or parents[name].turns()[0].content) if name in parents else ""
                yield fit(f"  {one_line(name)}  {text}".rstrip(), self._width)
            if len(names) > MOST_PARENTS:
                yield f"  and {len(names) - MOST_PARENTS:,} more"

    def _record(self, record: Record, parent: Record | None) -> Iterator[str]:
        old = parent.turns() if parent and (parent.messages or record.messages) else ()
        if not record.messages and not old:
            yield from self._single(record, parent)
        else:
            yield from self._conversation(record.turns(), old)
        if record.rejected:
            yield from self._section("rejected answer")
            for turn in record.rejected:
                yield from self._turn(turn, None)
        for constraint in record.constraints:
            yield from self._section(f"constraint {constraint.type}", constraint.text)
        yield from self._values("tools", {str(n): tool for n, tool in enumerate(record.tools, 1)})
        yield from self._values("extra", record.extra)

    def _single(self, record: Record, parent: Record | None) -> Iterator[str]:
        asked = ("system", "instruction", "input")
        same = parent is not None and all(getattr(parent, name) == getattr(record, name) for name in asked)
        for name in (*asked, "reasoning", "output"):
            after, before = getattr(record, name), getattr(parent, name, None)
            compared = before if parent is not None and (name in asked or same) else None
            if after or compared:
                yield from self._section(name, after, compared)
        if not record.output:
            yield self._style("no output", dim=True)

    def _conversation(self, turns: Sequence[Message], old: Sequence[Message]) -> Iterator[str]:
        """Turns; those asked are compared with the parent's, the answer only where the questions are the same."""
        pairs = list(zip_longest(turns, old))
        questions = [(new, was) for new, was in pairs[:-1]]
        same = bool(old) and all(new and was and new.content == was.content for new, was in questions)
        for place, (new, was) in enumerate(pairs):
            last = place == len(pairs) - 1
            comparable = was is not None and (same or not last or new is None or new.role != "assistant")
            if new is not None:
                alike = comparable and was is not None and was.role == new.role
                yield from self._turn(new, was.content if alike and was else None)
            elif was is not None:
                yield from self._section(f"{was.role} (the parent's alone)", "", was.content)

    def _turn(self, turn: Message, before: str | None) -> Iterator[str]:
        marks = {True: " (trained)", False: " (not trained)", None: ""}[turn.train]
        name = f" {turn.name}" if turn.name else ""
        if turn.reasoning:
            yield from self._section(f"{turn.role}: reasoning", turn.reasoning)
        yield from self._section(f"{turn.role}{name}{marks}", turn.content, before)
        for call in turn.tool_calls:
            yield from self._text(f"calls {call.name}({call.arguments}) {call.id}".rstrip())

    def _answer(self, row: Row) -> Iterator[str]:
        """The raw answer behind a drop: kept with it, or in the ledger."""
        drop = row.drop
        if drop is None:
            return
        if drop.answer is not None:
            yield from self._section("raw answer", drop.answer)
        else:
            for text in self._find_answers(drop.answers):
                yield from self._section("raw answer, from the ledger", text)

    def _section(self, title: str, text: str = "", before: str | None = None) -> Iterator[str]:
        """A title, and below it a text, with what is different from another one marked."""
        parts = compare(before, text) if before is not None else [(Change.SAME, text)]
        if parts is None:
            yield self._style(f"{one_line(title)} (new)", bold=True)
            yield from self._text(text)
            yield self._style(f"{one_line(title)} of the parent", bold=True)
            yield from self._text(before or "")
            return
        yield self._style(one_line(title), bold=True)
        yield from self._body(parts)

    def _body(self, parts: Sequence[Part]) -> Iterator[str]:
        """Yield the lines of a text, indented, safe to print, its changes marked."""
        line: list[Part] = []
        for kind, text in parts:
            for place, piece in enumerate(lines_of(MARKS[kind][0] + text + MARKS[kind][1])):
                if place:
                    yield from self._broken(line)
                    line = []
                line.append((kind, piece))
        yield from self._broken(line) if any(text for _, text in parts) else ()

    def _broken(self, line: Sequence[Part]) -> Iterator[str]:
        """Yield a line, on a terminal broken at blanks, its changes marked."""
        text = "".join(piece for _, piece in line)
        kinds = [kind for kind, piece in line for _ in piece]
        start = 0
        for end in _find_breaks(text, self._width - 2) if self._is_wrapped else [len(text)]:
            runs = groupby(range(start, end), key=kinds.__getitem__)
            painted = "".join(self._paint(kind, "".join(text[i] for i in places)) for kind, places in runs)
            yield f"  {painted}".rstrip()
            start = end

    def _paint(self, change: Change, text: str) -> str:
        return self._style(text, **COLOURS[change]) if change in COLOURS else text

    def _text(self, text: str) -> Iterator[str]:
        return self._body([(Change.SAME, text)])

    def _values(self, title: str, values: Mapping[str, Any]) -> Iterator[str]:
        if values:
            yield from self._section(title)
            for name, value in values.items():
                text = value if isinstance(value, str) else json.dumps(plain_value(value), ensure_ascii=False)
                first, *others = lines_of(text)
                yield from self._broken([(Change.SAME, f"{readable(name)}: {first}")])
                for line in others:
                    yield from self._broken([(Change.SAME, f"  {line}")])


def _find_breaks(text: str, width: int) -> Iterator[int]:
    """Yield where the lines of a text end that are at most so wide: behind blanks, or inside what is wider."""

    def is_wider(start: int, end: int) -> bool:
        return cell_len(text[start : min(end, start + 4 * width)].rstrip()) > width

    start = 0
    for found in re.finditer(r"\S+\s*|\s+", text):
        if found.start() > start and is_wider(start, found.end()):
            yield (start := found.start())
        while is_wider(start, found.end()):
            end = start + 1
            while cell_len(text[start : end + 1]) <= width:
                end += 1
            yield (start := end)
    yield len(text)
