"""Commands whose subcommands are plugins: ``filial evolve NAME [OPTIONS] …``, the plugin's options as flags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from filial.cli.common import manager
from filial.plugins.discovery import OURSELVES, Claim, singular


class PluginGroup(click.Group):
    """A command whose subcommands are the plugins of one kind. A plugin is imported when it is named, not to be listed.

    ``command``, or what it returns, is a click command. Its callback gets the click context, the plugin's name, the
    component, and the values of the command's own parameters. ``more`` is the text after the name in the usage line.
    """

    def __init__(
        self, name: str, kind: str, command: click.Command | Callable[[], click.Command], help: str, more: str = ""
    ) -> None:
        super().__init__(name, help=help, no_args_is_help=True, options_metavar="", subcommand_metavar="NAME ...")
        self.kind, self.base, self.more = kind, command, more

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(manager(ctx).index[self.kind])

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        claims = manager(ctx).index[self.kind]
        rows = [(name, _summary(by)) for name, by in sorted(claims.items())]
        with formatter.section(self.kind.capitalize()):
            formatter.write_dl(rows or [("(none)", "none is installed")])

    def get_command(self, ctx: click.Context, name: str) -> click.Command:
        plugins = manager(ctx)
        cls = plugins.get(self.kind, name)
        base = self.base if isinstance(self.base, click.Command) else self.base()
        callback, fields = base.callback, plugin_flags(cls, base.params)
        assert callback is not None

        def call(**values: Any) -> Any:
            from filial.plugins import options

            given = {field: values.pop(option.name) for field, option in fields.items()}
            plugins.check_requirements(cls)
            return callback(ctx, name, options.from_flags(cls, given, f"{singular(self.kind)} {name!r}"), **values)

        return PluginCommand(name, call, base.params, list(fields.values()), cls.__doc__ or "", self.more)


def _summary(claims: list[Claim]) -> str:
    """Return one line about a plugin from its source text, with its distribution if that is not filial."""
    owners = " and ".join(c.owner for c in claims)
    summary = claims[0].summary() if len(claims) == 1 else ""
    if claims[0].dist == OURSELVES and summary:
        return summary
    return f"{summary} ({owners})" if summary else f"From {owners}."


class PluginCommand(click.Command):
    """One plugin as a command; its help separates the plugin's options from the command's."""

    def __init__(
        self, name: str, call: Callable[..., Any], parameters: list[click.Parameter], own: list[click.Option], doc: str,
        more: str = "",
    ) -> None:  # fmt: skip
        out = any("--out" in p.opts and p.required for p in parameters)
        metavar = f"{more}-o OUT [OPTIONS]" if out else f"{more}[OPTIONS]"
        super().__init__(name, callback=call, params=[*parameters, *own], help=doc, options_metavar=metavar)
        self.own = own

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        others = [p for p in self.get_params(ctx) if isinstance(p, click.Option) and p not in self.own]
        for title, some in ((f"Options of {self.name}", self.own), ("Options", others)):
            rows = [row for p in some if (row := p.get_help_record(ctx)) is not None]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def plugin_flags(cls: Any, parameters: list[click.Parameter]) -> dict[str, click.Option]:
    """Return the flag of each option of a component: ``--with-NAME`` if the command itself uses the flag."""
    from filial.plugins import options

    names = {p.name for p in parameters} | {"help"}
    taken = {flag for p in parameters for flag in (*p.opts, *p.secondary_opts)} | {"-h", "--help"}
    out: dict[str, click.Option] = {}
    for option in options.click_options(cls):
        field = str(option.name)
        while option.name in names or taken & {*option.opts, *option.secondary_opts}:
            option.name = f"with_{option.name}"
            option.opts = [f"--with-{flag[2:]}" for flag in option.opts]
            option.secondary_opts = [f"--no-with-{flag[5:]}" for flag in option.secondary_opts]
            option.help = f"Option {field!r} of the plugin. {option.help or ''}".rstrip()
        names.add(option.name)
        taken |= {*option.opts, *option.secondary_opts}
        out[field] = option
    return out
