"""Say which keys may go to which hosts."""

from __future__ import annotations

import os

import click


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.pass_context
def keys(ctx: click.Context, as_json: bool) -> None:
    """List which keys may go to which hosts, beside those that a plugin knows, such as OPENAI_API_KEY at OpenAI.

    A key stands in an environment variable, and a recipe names the variable. It is sent to no host that you have not
    allowed for it. Only names are shown here.
    """
    if ctx.invoked_subcommand is None:
        _show(as_json)


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_keys(as_json: bool) -> None:
    """The same as `filial keys`."""
    _show(as_json)


def _show(as_json: bool) -> None:
    from filial.gateway import key_bindings

    found = key_bindings()
    if as_json:
        import json

        click.echo(json.dumps(found, indent=2))
        return
    width = max(map(len, found), default=0)
    for name, hosts in found.items():
        unset = "" if os.environ.get(name) else "  (not set just now)"
        click.echo(f"{name:<{width}}  {', '.join(hosts)}{unset}")
    if not found:
        click.echo("You have allowed no key to go anywhere; to do so: filial keys allow NAME HOST", err=True)


@keys.command()
@click.argument("name")
@click.argument("host")
def allow(name: str, host: str) -> None:
    """Let the environment variable NAME go to HOST, such as api.example.com or 127.0.0.1:8000.

    Without a port, HOST stands for all its ports.
    """
    from filial_plugins.commands.key_bindings import allow_key

    noted = allow_key(name, host)
    click.echo(f"${name} may go to {noted} from now on.", err=True)


@keys.command()
@click.argument("name")
@click.argument("host", required=False)
def forget(name: str, host: str | None) -> None:
    """Let NAME go to HOST no longer; without HOST, to none."""
    from filial_plugins.commands.key_bindings import forget_key

    gone = forget_key(name, host)
    click.echo(f"${name} may no longer go to {', '.join(gone)}.", err=True)
