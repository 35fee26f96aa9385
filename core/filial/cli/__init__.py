"""The command line. This module imports click and nothing else; a command's own module is imported when it runs."""

from __future__ import annotations

import io
import os
import sys
from typing import Any, NoReturn

import click

from filial import __version__
from filial.cli.common import foreign_command, installed
from filial.plugins.discovery import OURSELVES

COMMANDS: dict[str, tuple[str, str]] = {
    "check": ("runs", "Find every fault of a recipe; send nothing."),
    "plan": ("runs", "Say what a run would do, step by step; send nothing."),
    "run": ("runs", "Do what a recipe says; goes on where it stopped."),
    "generate": ("data", "Make records from seeds with a generator."),
    "evolve": ("data", "Evolve records with a strategy."),
    "filter": ("data", "Pass records through a filter."),
    "mix": ("data", "Mix files of records with a mixer."),
    "plugins": ("show", "List what is installed; imports nothing."),
    "schema": ("show", "Print the JSON Schema of records, recipes or options."),
}
"""The core's commands: module in this package, and one line of help. Data, so that ``--help`` imports nothing."""


class Commands(click.Group):
    """The top group: the core's commands, then what packages bring (entry points ``filial.commands``), filial first."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        claims = installed(ctx)["commands"]
        others = sorted(claims, key=lambda name: claims[name][0].dist != OURSELVES)
        return [*COMMANDS, *(name for name in others if name not in COMMANDS)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, text) for name, (_, text) in COMMANDS.items()]
        for name in self.list_commands(ctx)[len(rows) :]:
            claims = installed(ctx)["commands"][name]
            rows.append((name, claims[0].summary() or f"From {' and '.join(c.owner for c in claims)}."))
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        from importlib import import_module

        if name in COMMANDS:
            command: click.Command = getattr(import_module(f"filial.cli.{COMMANDS[name][0]}"), name)
            return command
        if name in installed(ctx)["commands"]:
            return foreign_command(ctx, name)
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            import difflib

            near = difflib.get_close_matches(args[0], self.list_commands(ctx), 1)
            ctx.fail(f"there is no command {args[0]!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        return super().resolve_command(ctx, args)


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option("--no-plugins", is_flag=True, help="Use filial's own plugins only.")
@click.option("--plugin", "files", multiple=True, metavar="FILE", help="Also load the plugins of one Python file.")
@click.version_option(__version__, prog_name="filial", message="%(prog)s %(version)s")
def group(debug: bool, no_plugins: bool, files: tuple[str, ...]) -> None:
    """Instruction tuning where every step is a plugin.

    Seeds, Self-Instruct, Evol-Instruct, filters, mixing, templates, training, judging. Mix plugins in a recipe
    (filial run RECIPE) or call any of them by name (filial evolve deepen data.jsonl).
    """


class _Messages(io.FileIO):
    """Standard error that goes on when nobody reads it any more: work is not ended by a message that is lost."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def _keep_stderr() -> None:
    """Let messages go nowhere where standard error is closed, and where its reader goes away later on."""
    # As long as one of the first three is closed (2>&-), the next file to be opened gets its number, and its messages.
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    encoding = sys.stderr.encoding if sys.stderr else "utf-8"
    raw = io.BufferedWriter(_Messages(2, "w", closefd=False))
    sys.stderr = io.TextIOWrapper(raw, encoding=encoding, errors="backslashreplace", line_buffering=True)


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command line and exit with the code the design gives each outcome."""
    import faulthandler

    _keep_stderr()
    faulthandler.enable()  # so that a crash of native code prints its file and line
    sys.exit(invoke(sys.argv[1:] if args is None else args))


def invoke(args: list[str]) -> int:
    """Run a command and return its exit code; an error is one sentence on stderr."""
    debug = False
    if "_FILIAL_COMPLETE" in os.environ:
        group.main(args=args, prog_name="filial")
    try:
        with group.make_context("filial", list(args)) as ctx:
            debug = ctx.params["debug"]
            result = group.invoke(ctx)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.exceptions.NoArgsIsHelpError as err:
        err.show()
        return 2
    except click.ClickException as err:
        message = err.format_message()
        if (at := getattr(err, "ctx", None)) is not None:
            message = f"{message.rstrip('.')}; see {at.command_path} --help"
        click.echo(f"Error: {message}", err=True)
        return 2
    except (KeyboardInterrupt, click.exceptions.Abort):
        kept = "what is done and what teachers have answered is kept, and the same command goes on from there"
        click.echo(f"Interrupted; {kept}.", err=True)
        return 130
    except BrokenPipeError:  # whoever read our output has enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as err:
        return _failed(err, debug)


def _failed(err: Exception, debug: bool) -> int:
    """Say what went wrong: our own errors in their words, anything else as the fault in filial or a plugin it is."""
    from filial.contracts.errors import FilialError

    if debug:
        import traceback

        traceback.print_exception(err)
    if isinstance(err, FilialError):
        click.echo(f"Error: {err}" if "\n" not in str(err) else str(err), err=True)
        return err.exit_code
    hint = "" if debug else " (filial --debug shows the traceback)"
    click.echo(f"Error: {' '.join(f'{type(err).__name__}: {err}'.split())}{hint}", err=True)
    return 1
