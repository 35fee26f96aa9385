"""Look at records and drops of files and runs."""

from __future__ import annotations

import heapq
import os
import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from filial import FilialError, UsageError
from filial.commands import home_option, manager, printable, seed_option, source_options, source_spec

if TYPE_CHECKING:
    from filial import Record
    from filial_plugins.show.expression import Expression
    from filial_plugins.show.fields import Field
    from filial_plugins.show.rows import Row
    from filial_plugins.show.sources import BadLines, Selection, Source

SHOWN = 20
READ = "read"
"""What stands for the stage in ids that reading makes."""
AT_ONCE = 20
"""Rows in full whose parents are looked for together."""
MOST_RAW = 3
"""Answers of the ledger that are shown with a drop."""


@click.command()
@click.argument("source", metavar="FILE|RUN")
@click.option(
    "--where",
    multiple=True,
    metavar="EXPR",
    help="Show only rows for which this is true, such as 'words>50 and task=lists'; may be repeated.",
)
@click.option("--sort", metavar="FIELD", help="Sort by a field; -FIELD: the largest first.")
@click.option(
    "--worst",
    type=click.IntRange(1),
    metavar="N",
    help="The N rows with the lowest score, or first by --sort.",
)
@click.option("--sample", type=click.IntRange(1), metavar="N", help="Show N random rows.")
@click.option(
    "--limit", type=click.IntRange(0), metavar="N", help=f"Maximum number of rows; 0: all.  [default: {SHOWN}]"
)
@click.option(
    "--id", "ids", multiple=True, metavar="ID", help="Show the row with this id, or beginning of one, in full."
)
@click.option("--full", is_flag=True, help="Show each row in full; on a terminal, one per screen.")
@click.option("--dropped", is_flag=True, help="Show the dropped records, with reasons.")
@click.option("--tables", is_flag=True, help="Show the tables that a run printed at its end.")
@click.option("--parents", multiple=True, metavar="FILE", help="Also look for parents in this file.")
@source_options
@click.option("--json", "as_json", is_flag=True, help="Print each row as a line of JSON, all unless --limit is given.")
@seed_option
@home_option
@click.pass_context
def show(
    ctx: click.Context, /, source: str, where: tuple[str, ...], sort: str | None, worst: int | None, sample: int | None,
    limit: int | None, ids: tuple[str, ...], full: bool, dropped: bool, tables: bool, parents: tuple[str, ...],
    as_json: bool, seed: int, home: Path, **how: Any,
) -> int:  # fmt: skip
    """Look at the records of FILE or RUN.

    FILE is in any format that filial reads, or a file of drops. RUN is the name or folder of a run. Its last stage is
    shown, or the one named as in RUN/02-evolve, RUN/evolve or RUN/2.

    \b
    Expressions compare fields:  words>50   round=2   scores.agreement<0.5
      task=lists   task in (lists, poems)   instruction contains river
      output~'^Sorry'   (a regular expression)   extra.lang!=de   not answer
    joined by and, or, not and parentheses. Fields: those of a record, and words,
    question, answer, text (all texts), strategy, round, stage, plugin,
    parents, number; with --dropped also reason, detail, raw, parent.
    A text has .words, a text or list .length: output.words<3, messages.length>4
    """
    from filial_plugins.show.expression import Expression
    from filial_plugins.show.sources import select

    if tables:
        _print_tables(source, home)
        return 0
    _check_options({"--worst": worst, "--sample": sample, "--limit": limit}, sort, ids)
    said = source_spec(source, how)
    reading = {key: value for key, value in said.options().items() if value != type(said).model_fields[key].default}
    chosen = select(source, dropped=dropped, home=home, reading=reading, manager=manager(ctx), parents=parents)
    tests = [Expression(text, chosen.dropped) for text in where]
    view = _View(chosen, tests, _Order.of(sort, worst, chosen.dropped), as_json)
    view.most = worst or sample or (limit if limit is not None else 0 if as_json else SHOWN)
    if ids:
        view.show([row for wanted in ids for row in view.find(wanted)], full=True)
        view.tell_notes()
        return 0
    rows = view.read(chosen.shown)
    view.show(view.cut(_draw_sample(rows, sample, seed) if sample else rows), full)
    view.tell()
    return 0


def _print_tables(name: str, home: Path) -> None:
    """Print the tables of a run.

    Raises:
        UsageError: there is no such run, or it has not ended yet.
    """
    import msgspec

    from filial_plugins.commands.tables import run_tables
    from filial_plugins.show.sources import explain_missing, find_run

    found = find_run(Path(name).expanduser(), name, home)
    if found is None:
        raise UsageError(explain_missing(name, home))
    summary = found[0].folder / "summary.json"
    if not summary.is_file():
        raise UsageError(f"{found[0].shown}: this run has not ended yet, so it has no tables")
    click.echo(run_tables(msgspec.json.decode(summary.read_bytes())))


def _check_options(counts: dict[str, int | None], sort: str | None, ids: tuple[str, ...]) -> None:
    given = [name for name, value in counts.items() if value is not None]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} each say how many rows to show; give one of them")
    if ids and (given or sort):
        raise UsageError(f"--id names the rows to show; leave out {given[0] if given else '--sort'}")


class _Order:
    """The order of ``--sort`` and ``--worst``: a key per row."""

    def __init__(self, field: Field | None, largest: bool, all_have_it: bool) -> None:
        self.field, self._largest, self.all_have_it = field, largest, all_have_it

    @classmethod
    def of(cls, sort: str | None, worst: int | None, dropped: bool) -> _Order | None:
        """Return the order that the options ask for, if any."""
        from filial_plugins.show.fields import find_field

        if sort is None and worst is None:
            return None
        name = (sort or "").removeprefix("-")
        try:
            field = find_field(name, dropped) if sort is not None else None
        except UsageError as err:
            raise UsageError(f"--sort {sort!r}: {err}") from err
        return cls(field, (sort or "").startswith("-"), all_have_it=worst is not None)

    def sees(self, row: Row) -> bool:
        """Whether a row has a place in this order; the score of ``--worst`` is that of the first row that has one.

        Raises:
            UsageError: a row has several scores, and none is named.
        """
        from filial_plugins.show.fields import find_field, spell

        if self.field is None:
            scores = list(row.record.scores) if row.record else []
            if len(scores) > 1:
                names = ", ".join(f"scores.{spell(name)}" for name in scores)
                raise UsageError(f"records have several scores; name one of {names} with --sort")
            if scores:
                self.field = find_field(f"scores.{spell(scores[0])}")
        if not self.all_have_it:
            return True
        if self.field is None:
            return False
        if row.record is not None and self.field.name.startswith("scores.") and len(self.field.steps) == 1:
            return self.field.steps[0] in row.record.scores
        return bool(self.field.values(row))

    def key(self, row: Row) -> tuple[int, Any]:
        """Return a key: numbers, then texts, then rows without the field, in whichever direction."""
        from filial_plugins.show.expression import as_number

        values = self.field.values(row) if self.field else ()
        if not values:
            return 2, 0
        number = as_number(values[0])
        if number is None:
            text = str(values[0])
            return 1, _Reversed(text) if self._largest else text
        return 0, -number if self._largest else number


class _Reversed:
    """A text whose order is turned round."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __lt__(self, other: _Reversed) -> bool:
        return other.text < self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Reversed) and other.text == self.text


def _draw_sample(rows: Iterable[Row], n: int, seed: int) -> list[Row]:
    """Return n rows, each as likely as any other, in their order; at most n are held at a time."""
    from filial import seeded_rng

    rng, drawn = seeded_rng(seed, "show"), list[Any]()
    for seen, row in enumerate(rows):
        if seen < n:
            drawn.append(row)
        elif (place := rng.randrange(seen + 1)) < n:
            drawn[place] = row
    return sorted(drawn, key=lambda row: row.number)


class _View:
    """Reads, picks and prints rows, and counts them along the way."""

    def __init__(self, chosen: Selection, tests: Sequence[Expression], order: _Order | None, as_json: bool) -> None:
        from filial_plugins.show.sources import BadLines

        self._chosen, self._tests, self._order, self._as_json = chosen, tests, order, as_json
        self._bad: BadLines = BadLines()
        self._read = self._fit = self._shown = 0
        self._whole = self._is_cut = False
        self.most = SHOWN
        self._style = click.style if _use_colour() else lambda text, **_: text

    def read(self, source: Source, ids: bool = False) -> Iterator[Row]:
        """Yield the rows of a source that pass all expressions."""
        for row in _read_leniently(source, ids, self._bad):
            self._read += 1
            if all(expression.test(row) for expression in self._tests):
                self._fit += 1
                yield row
        self._whole = True

    def cut(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield as many rows as are shown, in the order that is asked for; so many are held where there is one."""
        order = self._order
        if order is None:
            source = iter(rows)
            yield from islice(source, self.most or None)
            # Whether that was all is said at the end; looking for one more that fits may take long.
            self._is_cut = bool(self._tests and not self._whole) or next(source, None) is not None
            return
        seen = (row for row in rows if order.sees(row))
        yield from heapq.nsmallest(self.most, seen, key=order.key) if self.most else sorted(seen, key=order.key)

    def find(self, wanted: str) -> list[Row]:
        """Return the rows of an id or of the beginning of one; drops without an id are found by their parent's.

        Raises:
            UsageError: there is none, or several ids begin so.
        """
        wanted = wanted.strip().rstrip("…")
        for source in (self._chosen.shown, *self._chosen.elsewhere):
            exact, begun = list[Any](), dict[str, Any]()
            for row in self.read(source, ids=True):
                name = row.id or (row.drop.parent if row.drop and self._chosen.dropped else "")
                if name == wanted:
                    exact.append(row)
                    if row.drop is None:
                        break
                elif wanted and name.startswith(wanted) and len(begun) < 5:
                    begun.setdefault(name, row)
            if not exact and len(begun) > 1:
                raise UsageError(f"several ids of {source.name} begin with {wanted!r}: {', '.join(begun)}")
            if found := exact or list(begun.values()):
                if source is not self._chosen.shown:
                    click.echo(f"found in {printable(source.name)}{', dropped' if found[0].drop else ''}", err=True)
                return found
        others = " or what went before" if self._chosen.elsewhere else ""
        held = " for which --where holds" if self._tests else ""
        bad = f"; lines that could not be read: {self._bad.total:,}" if self._bad.total else ""
        raise UsageError(f"{self._chosen.shown.name}{others}: no row{held} has the id {wanted!r}{bad}")

    def show(self, rows: Iterable[Row], full: bool) -> None:
        """Print rows: as JSON, in full, or as a list."""
        rows = self._with_ids(self._count(rows))
        if self._as_json:
            for row in rows:
                click.echo(row.line().decode())
        elif full:
            self._show_pages(rows)
        else:
            from filial_plugins.show.listing import list_rows

            by = self._order.field if self._order is not None else None
            for text in list_rows(rows, self._style, self._chosen.dropped, by):
                click.echo(text)

    def _count(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            self._shown += 1
            yield row

    def _with_ids(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Rows whose records have ids, made as for any other command, with the number of equal records shown before."""
        from filial.stages import DuplicateCounter, record_id
        from filial_plugins.show.rows import Row

        equal = DuplicateCounter()
        for row in rows:
            if row.record is None or row.id or row.drop is not None:
                yield row
                continue
            content = row.record.content()
            rank = equal.next(record_id(content, stage=READ))
            name = record_id(content, stage=READ, ordinal=rank)
            yield Row(row.number, row.record.replaced(id=name))

    def _show_pages(self, rows: Iterator[Row]) -> None:
        from filial_plugins.show.page import Page

        page = Page(self._style, self._find_answers, wrapped=sys.stdout.isatty() or "COLUMNS" in os.environ)
        paused = sys.stdin.isatty() and sys.stdout.isatty()
        printed = 0
        while some := list(islice(rows, AT_ONCE)):
            parents = self._find_parents(some)
            for row in some:
                if paused and printed and not _wait_for_key(row):
                    self._shown = printed
                    return
                printed += 1
                for line in page.lines(row, parents):
                    click.echo(line)

    def _find_parents(self, rows: Sequence[Row]) -> dict[str, Record]:
        """Return the parents of rows that are found, by id; each file is read once, and no further than needed."""
        from filial_plugins.show.sources import BadLines

        missing = {name for row in rows for name in row.parents}
        found: dict[str, Record] = {}
        for source in self._chosen.parents:
            if not missing:
                break
            with closing(_read_leniently(source, True, BadLines())) as candidates:
                for row in candidates:
                    if row.record is not None and row.id in missing:
                        missing.discard(row.id)
                        found[row.id] = row.record
                        if not missing:
                            break
        return found

    def _find_answers(self, keys: Sequence[str]) -> list[str]:
        """Return answers that the ledger of the run's folder keeps under these keys."""
        path = (self._chosen.home or Path(".")) / ".filial" / "ledger.sqlite"
        if not keys or not path.is_file():
            return []
        from filial.gateway import Ledger

        try:
            with closing(Ledger(path)) as ledger:
                return [reply.text for key in keys[-MOST_RAW:] if (reply := ledger.get(key)) is not None]
        except FilialError as err:
            click.echo(f"raw answers are not shown: {printable(str(err))}", err=True)
            return []

    def tell(self) -> None:
        """Say on stderr of how many these are, and how to see more."""
        what = "drop" if self._chosen.dropped else "record"
        name = printable(self._chosen.shown.name)
        total = self._read if self._whole else self._chosen.shown.total
        of = f"{total:,} {what}s" if total is not None else f"the {what}s"
        if self._tests and self._whole:
            said = f"{self._shown:,} of {self._fit:,} that fit, of {of}" if self._fit else f"none of {of} fits"
        elif total is not None and not self._tests:
            said = f"{self._shown:,} of {of}"
        else:
            said = f"the first {self._shown:,} {'that fit' if self._tests else f'{what}s'}"
        more = "; --limit 0 shows all" if self._is_cut else ""
        click.echo(f"{name}: {said}{more}", err=True)
        self.tell_notes()

    def tell_notes(self) -> None:
        """Say on stderr what could not be read, what is not done yet, and which fields no row had."""
        for note in self._notes():
            click.echo(printable(note), err=True)

    def _notes(self) -> Iterator[str]:
        if self._chosen.note:
            yield self._chosen.note
        if self._bad.total:
            some = "1 line is no record" if self._bad.total == 1 else f"{self._bad.total:,} lines are no records"
            yield f"{some} and not shown: {self._bad.first}"
        fields = [field for expression in self._tests for field in expression.fields]
        if self._order is not None and self._order.field is not None:
            fields.append(self._order.field)
        if self._order is not None and self._order.field is None and self._read:
            yield "no record has a score; --worst N --sort FIELD takes any other field"
        for field in fields:
            if self._read and (unmet := field.unmet()):
                yield unmet


def _read_leniently(source: Source, ids: bool, bad: BadLines) -> Generator[Row, None, None]:
    """Yield the rows of a source; of one that nobody named here, those that can be read, and why not all."""
    try:
        yield from source.read(ids, bad)
    except UsageError as err:
        if not source.optional:
            raise
        click.echo(f"not looked through: {printable(str(err))}", err=True)


def _wait_for_key(row: Row) -> bool:
    """Wait for a key before the next row on a terminal; False where the user has seen enough."""
    terminal = getattr(sys.stderr, "styled", sys.stderr)
    click.echo(click.style(f"no. {row.number:,} next: any key; to end: q ", dim=True), nl=False, file=terminal)
    key = click.getchar()
    click.echo("\r\x1b[K", nl=False, file=terminal)
    return key.lower() not in ("q", "\x1b")


def _use_colour() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ
