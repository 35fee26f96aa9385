"""Manage the stored answers of teachers; export and import them."""

from __future__ import annotations

import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from filial import FilialError, UsageError
from filial.commands import DONE, FAILED, command_line, given_options, home_option, json_option, print_json
from filial_plugins.commands.outputs import Place, check_places, ledger_place, written_places

if TYPE_CHECKING:
    from filial.gateway import Ledger
    from filial_plugins.ledger.health import Health
    from filial_plugins.ledger.pruning import Conditions


def _suggest_prune(ctx: click.Context) -> str:
    home = given_options(ctx.command, {"home": ctx.params["home"]})
    command = command_line(ctx, "ledger", "prune", "--damaged", *home)
    return f"'{command}' removes the damaged answers; they are requested again when needed"


@click.group()
def ledger() -> None:
    """Manage the teachers' answers, which are stored in .filial/ledger.sqlite."""


def _ledger_path(home: Path) -> Path:
    return home / ".filial" / "ledger.sqlite"


def _open_ledger(home: Path) -> closing[Ledger]:
    """Open the ledger of a folder.

    Raises:
        UsageError: there is none.
    """
    from filial.gateway import Ledger

    if not _ledger_path(home).exists():
        raise UsageError(
            f"{_ledger_path(home)}: there is no ledger; a run creates one; --home is the folder with .filial/"
        )
    return closing(Ledger(_ledger_path(home)))


@ledger.command()
@home_option
@json_option
@click.pass_context
def stats(ctx: click.Context, home: Path, as_json: bool) -> None:
    """Show the number of answers and tokens by teacher."""
    from filial.commands import grid, printable
    from filial_plugins.ledger.stats import collect_stats, measure_size

    with _open_ledger(home) as book:
        found, damaged = collect_stats(book)
        total = measure_size(book.path)
    answers, failed = sum(tally.answers for tally in found), sum(tally.failed for tally in found)
    if as_json:
        figures = {"answers": answers, "failed": failed, "damaged": damaged, "bytes": total}
        print_json({**figures, "teachers": found})
        return
    head = ["teacher", "which", "answers", "prompt tokens", "answer tokens", "oldest", "newest"]
    rows = [
        [
            printable(t.teacher), printable(t.about), f"{t.answers:,}", f"{t.prompt_tokens:,}",
            f"{t.completion_tokens:,}", t.oldest[:10], t.newest[:10],
        ]
        for t in found
    ]  # fmt: skip
    if rows:
        click.echo(grid(head, rows, 2) + "\n")
    more = f" and {failed:,} failed requests" if failed else ""
    click.echo(f"{answers:,} answers{more} in {_ledger_path(home)}, {_format_bytes(total)}.")
    if damaged:
        click.echo(f"{damaged:,} more are damaged and not used; {_suggest_prune(ctx)}.", err=True)


@ledger.command()
@click.option("--show", type=click.IntRange(0), default=20, show_default=True, help="Damaged answers to list.")
@home_option
@json_option
@click.pass_context
def verify(ctx: click.Context, home: Path, show: int, as_json: bool) -> int:
    """Check the file, all answers and their keys for damage. The exit code is 1 if there is any."""
    from filial.commands import printable
    from filial_plugins.ledger.health import check_ledger

    with _open_ledger(home) as book:
        health = check_ledger(book)
    if as_json:
        rows = [{"key": damage.key, "what": damage.what} for damage in health.damaged]
        print_json({
            "whole": health.whole, "answers": health.answers, "unknown": health.unknown, "file": health.file,
            "teachers": health.teachers, "damaged": rows,
        })  # fmt: skip
        return DONE if health.whole else FAILED
    for text in health.file:
        click.echo(f"the file: {printable(text)}")
    for damage in health.damaged[:show]:
        click.echo(f"{printable(damage.key)}: {damage.what}")
    if len(health.damaged) > show > 0:
        click.echo(f"… and {len(health.damaged) - show:,} more")
    click.echo(_format_verdict(health, _suggest_prune(ctx)), err=True)
    return DONE if health.whole else FAILED


def _format_verdict(health: Health, cure: str) -> str:
    unsure = f"; {health.unknown:,} are of an unknown teacher, whose keys cannot be checked" if health.unknown else ""
    if health.whole:
        return f"All {health.answers:,} answers are intact{unsure}."
    parts = [f"{len(health.damaged):,} of {health.answers:,} answers are damaged"]
    parts += [f"{health.teachers:,} teacher entries are damaged"] if health.teachers else []
    parts += ["the file itself is damaged"] if health.file else []
    return f"{', '.join(parts)}{unsure}. Damaged answers are not used; {cure}."


@ledger.command()
@click.argument("run", required=False)
@click.option(
    "-o", "--output", "out", required=True, metavar="FILE", type=click.Path(path_type=Path),
    help="Output file; compressed if its name ends in .gz or .zst.",
)  # fmt: skip
@home_option
def export(home: Path, run: str | None, out: Path) -> None:
    """Write the answers of RUN, or all, to a cassette: a text file that replays the run without an endpoint.

    RUN is the name or the folder of a run. The cassette contains questions and answers in plain text, and no API key.
    It also contains the requests that failed for good: the replay loses the same rows.
    """
    from filial_plugins.ledger import maintenance
    from filial_plugins.ledger.cassette import write_cassette
    from filial_plugins.ledger.health import read_sound_entries, read_teachers
    from filial_plugins.ledger.run_answers import find_run_folder, read_run_answers

    check_places([ledger_place(home)], written_places(str(out)))
    with _open_ledger(home) as book:
        keys, lost = (
            (set(maintenance.list_keys(book)), 0) if run is None else read_run_answers(find_run_folder(home, run))
        )
        known, whose = read_teachers(book)[0], maintenance.find_identities(book, keys)
        there = [teacher for identity, teacher in known.items() if identity in whose]
        place = Path("/dev/stdout") if str(out) == "-" else out
        failed = write_cassette(place, there, read_sound_entries(book, sorted(keys)), len(keys))
    more = f" and {failed:,} failed requests" if failed else ""
    click.echo(f"{len(keys) - failed:,} answers{more} are in {out}. To replay them elsewhere:", err=True)
    click.echo(f"  filial ledger import {out} && filial run RECIPE --offline", err=True)
    if lost and not failed:
        click.echo(
            f"The run lost {lost:,} rows to failed calls, which an older filial did not store; a replay stops there.",
            err=True,
        )


@ledger.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@home_option
def import_(home: Path, files: tuple[Path, ...]) -> None:
    """Import the answers of cassettes: all, or none if one of them is damaged."""
    from filial.gateway import Ledger
    from filial_plugins.ledger import maintenance
    from filial_plugins.ledger.cassette import CassetteReader

    check_places([Place("the cassette", file) for file in files], [ledger_place(home)])
    readers = [CassetteReader(file) for file in files]
    with closing(Ledger(_ledger_path(home))) as book:
        new = maintenance.add_entries(book, (entry for reader in readers for entry in reader.entries()))
        for reader in readers:
            for teacher in reader.teachers.values():
                book.store_teacher(teacher)
    total = sum(reader.count for reader in readers)
    click.echo(f"{total:,} answers, {new:,} of them new, are in {_ledger_path(home)} now.", err=True)


@ledger.command()
@click.option("--damaged", is_flag=True, help="Damaged answers; they are requested again when needed.")
@click.option("--older-than", "days", type=click.FloatRange(0), metavar="DAYS", help="Answers older than this.")
@click.option("--teacher", metavar="NAME", help="Answers of teachers with this name.")
@click.option("--keep-runs", is_flag=True, help="Answers that no run in runs/ has used.")
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@home_option
@click.pass_context
def prune(ctx: click.Context, /, home: Path, dry_run: bool, yes: bool, **which: Any) -> None:
    """Remove the answers that meet all given conditions. If one is needed again, it is paid again."""
    from filial_plugins.ledger import maintenance
    from filial_plugins.ledger.health import read_teachers
    from filial_plugins.ledger.pruning import choose_entries

    conditions = _make_conditions(home, **which)
    with _open_ledger(home) as book:
        if faults := maintenance.find_file_faults(book):
            if not which["damaged"] or sum(map(bool, which.values())) > 1:
                raise FilialError(f"{book.path}: the file is damaged ({faults[0]}); {_suggest_prune(ctx)}")
            _rebuild(book, dry_run, yes)
            return
        rows, weight = choose_entries(book, conditions)
        what = f"{len(rows):,} answers ({_format_bytes(weight)})"
        if not rows and not (which["damaged"] and read_teachers(book)[1]):
            click.echo("There is nothing to remove.", err=True)
        elif dry_run:
            click.echo(f"{what} would be removed.", err=True)
        elif _confirm(f"Remove {what}?", yes):
            freed = _remove(book, rows, mend=which["damaged"])
            click.echo(f"{what} are removed; the ledger is {_format_bytes(freed)} smaller.", err=True)


def _make_conditions(home: Path, damaged: bool, days: float | None, teacher: str | None, keep_runs: bool) -> Conditions:
    from filial_plugins.ledger.pruning import Conditions, collect_used_keys

    if not (damaged or days is not None or teacher or keep_runs):
        raise UsageError("name at least one condition: --damaged, --older-than DAYS, --teacher NAME, --keep-runs")
    before = "" if days is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 86400 * days))
    return Conditions(damaged, before, teacher or "", collect_used_keys(home) if keep_runs else None)


def _remove(book: Ledger, rows: list[tuple[int, Any]], mend: bool) -> int:
    """Remove answers, and with ``mend`` also damaged teacher entries; return the bytes freed."""
    from filial_plugins.ledger import maintenance
    from filial_plugins.ledger.health import read_teachers
    from filial_plugins.ledger.stats import measure_size

    before = measure_size(book.path)
    maintenance.remove_entries(book, rows)
    if mend:
        maintenance.replace_teachers(book, read_teachers(book)[0].values(), book.owners())
    maintenance.shrink(book)
    return max(0, before - measure_size(book.path))


def _rebuild(book: Ledger, dry_run: bool, yes: bool) -> None:
    """Save the intact answers of a damaged file in a new file."""
    from filial_plugins.ledger.health import check_ledger, rebuild

    health = check_ledger(book)
    count = health.answers - len(health.damaged)
    book.close()
    if dry_run:
        click.echo(f"The file is damaged; {count:,} answers would be saved in a new one.", err=True)
    elif _confirm(f"The file is damaged. Save {count:,} answers in a new one?", yes):
        saved, aside = rebuild(book.path)
        click.echo(f"{saved:,} answers are saved; the damaged file is {aside} now.", err=True)


def _confirm(question: str, yes: bool) -> bool:
    """Ask the user; with ``yes`` do not ask.

    Raises:
        UsageError: there is no terminal to ask on.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError(f"{question} There is no terminal to answer on; add --yes")
    return click.confirm(question, err=True)


def _format_bytes(count: int) -> str:
    """Format a number of bytes: ``5.6 MB``."""
    value, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
