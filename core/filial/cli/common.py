"""What several commands share: options, the plugin manager, teachers from flags, JSON on stdout."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from functools import partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from filial.contracts.errors import PluginError, UsageError

if TYPE_CHECKING:
    from filial.contracts.sources import SourceSpec
    from filial.gateway.budget import BudgetAccount
    from filial.gateway.gateway import Gateway
    from filial.plugins.discovery import Index
    from filial.plugins.manager import Manager


Result = TypeVar("Result")
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def plugin_index(ctx: click.Context) -> Index:
    """Return the index of installed plugins, read once per command line from metadata."""
    root = ctx.find_root()
    if "filial.index" not in root.meta:
        from filial.plugins.discovery import index

        root.meta["filial.index"] = index(no_plugins=bool(root.params.get("no_plugins")))
    found: Index = root.meta["filial.index"]
    return found


def manager(ctx: click.Context) -> Manager:
    """Return the plugin manager of this command line, created once; it has loaded the ``--plugin`` files."""
    root = ctx.find_root()
    if "filial.manager" not in root.meta:
        from filial.plugins.manager import Manager

        _show_warnings(root)
        made = Manager(plugin_index(ctx))
        for file in root.params.get("files", ()):
            made.load_file(Path(file))
        root.meta["filial.manager"] = made
    found: Manager = root.meta["filial.manager"]
    return found


def _show_warnings(root: click.Context) -> None:
    """Show warnings that filial and its plugins log on stderr, until this command line ends."""
    import logging

    from filial.contracts.texts import printable

    class WarningHandler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            click.echo(f"warning: {printable(record.getMessage())}", err=True)

    logger, handler = logging.getLogger("filial"), WarningHandler(logging.WARNING)
    logger.addHandler(handler)
    root.call_on_close(partial(logger.removeHandler, handler))


def run_async(ctx: click.Context, work: Coroutine[Any, Any, Result]) -> Result:
    """Run asynchronous work of a command. Signals end it cleanly; plugins that block the event loop are reported."""
    import logging

    from filial.engine import interrupts
    from filial.engine.watchdog import Watchdog

    return interrupts.run(work, Watchdog(manager(ctx).owner, logging.getLogger("filial").warning))


def load_command(ctx: click.Context, name: str) -> click.Command:
    """Import and return the command ``name`` or ``dist:name`` of an installed package.

    Raises:
        PluginError: there is none, or it is broken, claimed twice, or not a click command.
    """
    from filial.plugins.loading import contain_errors, import_entry

    if ctx.find_root().params.get("files"):  # for every command: a faulty --plugin file is an error
        manager(ctx)
    claim = plugin_index(ctx).claim("commands", name)
    with contain_errors(claim):
        found = import_entry(claim.value)
    command = found if isinstance(found, click.Command) else getattr(found, "command", None)
    if not isinstance(command, click.Command):
        raise PluginError(f"{claim.owner} ({claim.entry}) is not a click command")
    return command


def stack(*decorators: Decorator) -> Decorator:
    """Make one decorator of several, the first on top."""
    return lambda command: reduce(lambda inner, outer: outer(inner), reversed(decorators), command)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
home_option = click.option(
    "--home", type=click.Path(path_type=Path), default=Path("."), metavar="DIR",
    help="Folder of runs/ and .filial/; default: the current folder.",
)  # fmt: skip
seed_option = click.option("--seed", type=int, default=42, show_default=True, help="Seed of all random numbers.")
format_option = click.option(
    "--format", default="auto", show_default=True,
    help="Format of the input, or '{use: NAME, option: …}'; auto: by suffix and content.",
)  # fmt: skip
source_options = stack(
    format_option,
    click.option(
        "--columns", multiple=True, metavar="FIELD=COLUMN,…",
        help="Fields and their columns. A dot in COLUMN reads a key of an object.",
    ),
    click.option(
        "--keep-columns", multiple=True, metavar="COLUMN,…", help="Other columns to keep in extra. Default: all."
    ),
    click.option("--ignore-columns", multiple=True, metavar="COLUMN,…", help="Columns to ignore."),
    click.option("--split", metavar="NAME", help="Split of a data set. Default: train."),
    click.option("--revision", metavar="NAME", help="Revision of a data set on the hub."),
    click.option("--encoding", metavar="NAME", help="Encoding of a text file. Default: that of its mark, or UTF-8."),
    click.option("--strict", is_flag=True, help="End with an error at a line that is not a record."),
)  # fmt: skip
"""How a command reads the data it is given; `source_spec` takes their values."""
teacher_options = stack(
    click.option("--teacher", help="Name of the teacher.", metavar="NAME"),
    click.option(
        "-T", "--teacher-option", "teacher_options", multiple=True, metavar="KEY=VALUE",
        help="Option of the teacher, such as model=gpt-4o-mini; repeatable.",
    ),
    click.option(
        "--budget", multiple=True, metavar="KEY=VALUE", help="Cap on spending: requests=, tokens= or usd=; repeatable."
    ),
    home_option,
)  # fmt: skip
"""Which teacher a command asks, and where its answers are stored."""


def parse_options(flag: str, pairs: tuple[str, ...]) -> dict[str, Any]:
    """Parse options given as ``KEY=VALUE``; values are read as YAML, as in a recipe.

    Raises:
        UsageError: a pair has no ``=``, or its value is not YAML.
    """
    out: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"{flag} {pair!r}: write KEY=VALUE, such as model=gpt-4o-mini")
        out[key.strip().replace("-", "_")] = _read_yaml(f"{flag} {pair!r}", value) if value.strip() else ""
    return out


def _read_yaml(where: str, text: str) -> Any:
    from filial.plugins.yaml import parse_value

    try:
        return parse_value(text)
    except ValueError as err:
        raise UsageError(f"{where}: the value is not YAML ({err}); put it in quotes") from err


def source_spec(file: str, flags: Mapping[str, Any]) -> SourceSpec:
    """Return a source that a command line names, and how `source_options` say that it is read.

    Raises:
        UsageError: a flag says something else than it can.
    """
    from filial.contracts.sources import SourceSpec
    from filial.plugins.options import validate

    said = {name: flags[name] for name in ("format", "split", "revision", "encoding", "strict") if flags[name]}
    if said.get("format", "").startswith("{"):
        said["format"] = _read_yaml("--format", said["format"])
    lists = {"columns": "columns", "keep": "keep_columns", "ignore": "ignore_columns"}
    said |= {name: _split_names(name, flags[flag]) for name, flag in lists.items() if flags[flag]}
    return validate(SourceSpec, {"file": file, **said}, owner="the input", spell=lambda at: f"--{at[0]}")


def _split_names(key: str, texts: Sequence[str]) -> Any:
    """What a flag lists: names between commas, or YAML in brackets where a name holds a comma or an equals sign."""
    if texts[0][:1] in ("{", "["):
        return _read_yaml(f"the value of {key}", texts[0])
    names = [name for text in texts for name in text.split(",") if name]
    if key == "columns" and (wrong := [name for name in names if not all(name.partition("="))]):
        raise UsageError(f"--columns {wrong[0]!r}: write FIELD=COLUMN, such as instruction=question,output=answer")
    found = dict(name.split("=", 1) for name in names) if key == "columns" else names
    if len(found) < len(names):
        raise UsageError("--columns: a field is mapped twice; it has one column")
    return found


def teacher_flags(ctx: click.Context, flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the flags of `teacher_options` as arguments of filial's functions: teacher, budget, home."""
    name, pairs, budget = flags.get("teacher"), flags.get("teacher_options", ()), flags.get("budget", ())
    if name is None:
        if pairs or budget:
            raise UsageError(f"{'--teacher-option' if pairs else '--budget'} needs --teacher NAME")
        return {"home": flags["home"]} if "home" in flags else {}
    spec = {"use": name, **parse_options("--teacher-option", pairs)}
    manager(ctx).build("teachers", spec, "--teacher")  # an error then names the flag
    return {"teacher": spec, "budget": parse_options("--budget", budget), "home": flags["home"]}


def open_gateway(
    ctx: click.Context, name: str, teacher: Any, home: Path | None, account: BudgetAccount | None = None, *,
    hooked: bool = True, facts: dict[str, Any] | None = None,
) -> Gateway:  # fmt: skip
    """Return a gateway to a teacher, with the ledger of the folder ``home``, or a temporary one. ``hooked``: with the
    `ask` hooks. ``facts``: what answers depend on in addition to the teacher's identity."""
    from filial.engine import run_context

    plugins = manager(ctx)
    return run_context.open_gateway(
        plugins, plugins.identity("teachers", name), teacher, home, account, hooked=hooked, facts=facts,
        note=partial(click.echo, err=True),
    )  # fmt: skip


def command_line(ctx: click.Context, *words: str) -> str:
    """Return a command line to suggest: the global options as the user gave them, and these words."""
    top = ctx.find_root()
    return shlex.join(["filial", *given_options(top.command, {**top.params, "debug": False}), *words])


def given_options(command: click.Command, values: Mapping[str, Any]) -> Iterator[str]:
    """Yield the options of a command with these values, as one types them; defaults are left out."""
    for option in command.params:
        value = values.get(str(option.name))
        if isinstance(option, click.Option) and value and value != option.default:
            for one in value if option.multiple else [value]:
                yield from [option.opts[0]] if option.is_flag else [option.opts[0], str(one)]


def json_text(value: Any) -> str:
    """Format data for machines: JSON, indented."""
    import msgspec

    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def print_json(value: Any) -> None:
    """Print data for machines on stdout."""
    click.echo(json_text(value))
