"""The command line: the top group, errors, exit codes. It imports only click; a command, when it is named."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from filial import __version__
from filial.cli.common import load_command, plugin_index
from filial.contracts.errors import ColumnsError, FilialError, PluginError
from filial.contracts.texts import defuse, printable, printable_lines
from filial.plugins.discovery import OURSELVES

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

FIRST = ("check", "plan", "run", "generate", "evolve", "filter", "mix")
"""The commands that ``--help`` lists first, in their usual order."""


class Commands(click.Group):
    """The top group. Every command is an entry point ``filial.commands`` of a package, also filial's own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        claims = plugin_index(ctx)["commands"]
        place = {name: number for number, name in enumerate(FIRST)}
        return sorted(claims, key=lambda name: (claims[name][0].dist != OURSELVES, place.get(name, len(FIRST))))

    def _summaries(self, ctx: click.Context) -> list[tuple[str, str]]:
        """List every command with one line of help from its source text; imports no package."""
        rows = []
        for name in self.list_commands(ctx):
            claims = plugin_index(ctx).find_claims("commands", name)
            rows.append((name, claims[0].summary() or f"From {' and '.join(c.owner for c in claims)}."))
        return rows

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(self._summaries(ctx))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        rows = [CompletionItem(name, help=help) for name, help in self._summaries(ctx) if name.startswith(incomplete)]
        return [*rows, *click.Command.shell_complete(self, ctx, incomplete)]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        try:
            return load_command(ctx, name)
        except PluginError:
            if ctx.resilient_parsing:  # the shell asks for completions only
                return None
            raise


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option("--no-plugins", is_flag=True, is_eager=True, help="Use filial's own plugins only.")
@click.option("--plugin", "files", multiple=True, metavar="FILE", help="Also load the plugins of one Python file.")
@click.version_option(__version__, prog_name="filial", message="%(prog)s %(version)s")
def group(debug: bool, no_plugins: bool, files: tuple[str, ...]) -> None:
    """Instruction tuning where every step is a plugin.

    Seeds, Self-Instruct, Evol-Instruct, filters, mixing, templates, training, judging. Mix plugins in a recipe
    (filial run RECIPE) or call any of them by name (filial evolve deepen data.jsonl).
    """


class _StandardError(io.FileIO):
    """Standard error that ignores a closed reader: a lost message does not end the work."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


class _SafeText(io.TextIOWrapper):
    """An output on which no text from a file, an endpoint or a plugin can control a terminal.

    ``styles``: let colours and cursor moves through. ``styled``: the same output for what needs them.
    """

    def __init__(self, buffer: Any, *, styles: bool, **options: Any) -> None:
        super().__init__(buffer, line_buffering=True, **options)
        self.styles = styles
        self.styled = self if styles else _SafeText(buffer, styles=True, **options)

    def write(self, text: str) -> int:
        super().write(text if text.isascii() and text.isprintable() else defuse(text, styles=self.styles))
        return len(text)


def _protect_output() -> None:
    """Make the output safe for a terminal, and discard messages if standard error is closed, now or by its reader."""
    # As long as one of the first three is closed (2>&-), the next file to be opened gets its number, and its messages.
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    encoding = sys.stderr.encoding if sys.stderr else "utf-8"
    raw = io.BufferedWriter(_StandardError(2, "w", closefd=False))
    sys.stderr = _SafeText(raw, encoding=encoding, errors="backslashreplace", styles=False)
    if sys.stdout is not None and sys.stdout.isatty():
        encoding, errors = sys.stdout.encoding, sys.stdout.errors
        sys.stdout = _SafeText(sys.stdout.buffer, encoding=encoding, errors=errors, styles=True)


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command line and exit with the exit code of its result."""
    import faulthandler

    _protect_output()
    faulthandler.enable()  # a crash of native code prints its file and line
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
        if isinstance(err, click.NoSuchOption) and any(err.option_name in option.opts for option in group.params):
            message = f"{err.option_name} is an option of filial itself; write it before the command"
        click.echo(f"Error: {printable_lines(message)}", err=True)
        return 2
    except (KeyboardInterrupt, click.exceptions.Abort) as stop:  # a command says what it keeps
        click.echo(f"Interrupted{f'; {stop}' if str(stop) else ''}.", err=True)
        return 130
    except BrokenPipeError:  # the reader of our output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as err:
        return _report_error(err, debug)


def _report_error(err: Exception, debug: bool) -> int:
    """Report an error: filial's own errors in their words, anything else as a fault in filial or a plugin."""
    if debug:
        import traceback

        traceback.print_exception(err)
    if isinstance(err, ColumnsError) and err.door != "recipe":
        err.door = "flags"
    if isinstance(err, FilialError):
        text = printable_lines(str(err))
        click.echo(f"Error: {text}" if "\n" not in text else text, err=True)
        return err.exit_code
    hint = "" if debug else " (filial --debug shows the traceback)"
    click.echo(f"Error: {printable(' '.join(f'{type(err).__name__}: {err}'.split()))}{hint}", err=True)
    return 1
