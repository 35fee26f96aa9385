"""Show or change which API keys may go to which hosts."""

from __future__ import annotations

import os

import click


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
@click.pass_context
def keys(ctx: click.Context, as_json: bool) -> None:
    """Show or change which API keys may go to which hosts.

    A key is in an environment variable, and a recipe names the variable. The key is sent only to hosts that you have
    allowed, or that its plugin guarantees (OPENAI_API_KEY at OpenAI). Only names are shown here.
    """
    if ctx.invoked_subcommand is None:
        _show(as_json)


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
def list_keys(as_json: bool) -> None:
    """Show which API keys may go to which hosts."""
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
        unset = "" if os.environ.get(name) else "  (not set now)"
        click.echo(f"{name:<{width}}  {', '.join(hosts)}{unset}")
    if not found:
        click.echo("You have allowed no keys. To allow one: filial keys allow NAME HOST", err=True)


@keys.command()
@click.argument("name")
@click.argument("host")
def allow(name: str, host: str) -> None:
    """Allow the key in environment variable NAME for HOST.

    HOST is such as api.example.com or 127.0.0.1:8000. Without a port, all ports are allowed.
    """
    from filial_plugins.commands.key_bindings import allow_key

    noted = allow_key(name, host)
    click.echo(f"${name} may go to {noted} from now on.", err=True)


@keys.command()
@click.argument("name")
@click.argument("host", required=False)
def forget(name: str, host: str | None) -> None:
    """Forbid the key NAME for HOST, or for all hosts."""
    from filial_plugins.commands.key_bindings import forget_key

    gone = forget_key(name, host)
    click.echo(f"${name} may no longer go to {', '.join(gone)}.", err=True)
