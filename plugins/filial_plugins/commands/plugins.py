"""List the installed plugins; imports nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from filial import UsageError
from filial.commands import GROUPS, json_option, manager, plugin_index, print_json, singular

if TYPE_CHECKING:
    from filial.commands import Manager

BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def plugins(ctx: click.Context, as_json: bool) -> None:
    """List the installed plugins from packaging metadata; nothing is imported.

    `filial plugins show NAME` shows a plugin's options.
    """
    if ctx.invoked_subcommand is not None:
        return
    # Files of --plugin are loaded because the user named them.
    found = manager(ctx).index if ctx.find_root().params.get("files") else plugin_index(ctx)
    rows = [
        (kind, name, " and ".join(c.owner for c in claims))
        for kind, names in found.items()
        for name, claims in names.items()
    ]
    if as_json:
        print_json([{"kind": k, "name": n, "from": o} for k, n, o in rows])
        return
    rows += [(claim.kind, claim.name, f"{claim.owner}, {why}") for claim, why in found.blocked]
    click.echo(_columns(ctx, rows), nl=False)
    for finding in found.findings:
        click.echo(f"warning: {finding}", err=True)


def _columns(ctx: click.Context, rows: list[tuple[str, str, str]]) -> str:
    """Format kind, name and owner, wrapped to 80 columns."""
    width = max((len(name) for _, name, _ in rows), default=0)
    lines = [f"{kind:<11} {name:<{width}}  {owner}" for kind, name, owner in rows]
    if max(map(len, lines), default=0) <= 80:
        return "".join(f"{line}\n" for line in lines)
    formatter = ctx.make_formatter()  # only then: this import takes as long as everything else here
    formatter.write_dl([(f"{kind:<11} {name}", owner) for kind, name, owner in rows], col_max=50)
    return formatter.getvalue()


@plugins.command()
@click.argument("name")
@click.option("--kind", help="Kind of the plugin, if several kinds have this name.")
@click.pass_context
def show(ctx: click.Context, name: str, kind: str | None) -> None:
    """Show one plugin: where it comes from, what it does, its options. Imports that plugin."""
    import difflib
    import inspect

    from filial.commands import json_schema

    known = manager(ctx)
    short = name.rpartition(":")[2]
    if kind is None:
        kinds = [k for k in _kinds().values() if short in known.index[k]]
    elif one := kind_of(kind):
        kinds = [one]
    else:
        raise UsageError(f"--kind {kind!r}: there is no such kind; kinds are {', '.join(_kinds())}")
    if not kinds:
        names = sorted({n for k in _kinds().values() for n in known.index[k]})
        near = difflib.get_close_matches(short, names, 1, 0.7)
        raise UsageError(f"no plugin named {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    for found in kinds:
        cls = plugin_class(known, found, name)
        schema = json_schema(cls)
        click.echo(f"{name} ({found}), {known.provenance(found, name)}\n\n{inspect.cleandoc(cls.__doc__ or '')}\n")
        for line in _describe_format(name, cls):
            click.echo(f"  {line}")
        for option, facts in schema["properties"].items():
            click.echo(f"  {option}: {_facts(facts, option in schema.get('required', ()))}")


def _describe_format(name: str, cls: Any) -> Iterator[str]:
    """Yield what the docstring of a format need not say: what it reads and writes, and how it is found."""
    from filial import Format
    from filial.formats import RowFormat

    if not (isinstance(cls, type) and issubclass(cls, Format)):
        return
    writes = cls.write is not Format.write if not issubclass(cls, RowFormat) else cls.to_rows is not RowFormat.to_rows
    yield f"reads{' and writes' if writes else ' only'}"
    if issubclass(cls, RowFormat):
        yield f"rows with the columns: {', '.join(cls.keys) or 'found by what they hold'}; priority {cls.priority}"
    else:
        yield f"files: *.{name.rpartition(':')[2]}"
    if writes:
        yield f"holds beside question and answer: {', '.join(cls.holds) or 'nothing'}"


def plugin_class(known: Manager, kind: str, name: str) -> Any:
    """Return the class behind a name, whose fields are its options; for a stage, the keys of a recipe."""
    from filial.commands import STAGES, stage_class

    return stage_class(known, name) if kind == STAGES else known.get(kind, name)


def _kinds() -> dict[str, str]:
    """Return what has options: the kinds of plugins, plugins with hooks only, and stages; singular -> group."""
    return {singular(group): group for group in GROUPS if group != "commands"}


def kind_of(word: str) -> str | None:
    """Return the kind that a word means, in singular or plural; None if it is not a kind."""
    kinds = _kinds()
    return word if word in kinds.values() else kinds.get(word)


def _facts(facts: dict[str, Any], required: bool) -> str:
    """Format type, default and description of one option."""
    default = facts.get("default")
    ending = "required" if required else "optional" if default is None else f"default {default!r}"
    return f"{_kind(facts)}, {ending}. {facts.get('description', '')}".rstrip()


def _kind(facts: dict[str, Any]) -> str:
    """Describe the type of an option: ``integer >= 1``, ``'a' | 'b'``, ``list of string``."""
    if "enum" in facts:
        return " | ".join(map(repr, facts["enum"]))
    if "const" in facts:
        return repr(facts["const"])
    if members := [_kind(m) for m in facts.get("anyOf", ()) if m.get("type") != "null"]:
        return " | ".join(members)
    if facts.get("type") == "array":
        return f"list of {_kind(facts.get('items') or {})}"
    bounds = ", ".join(f"{sign} {facts[bound]}" for bound, sign in BOUNDS.items() if bound in facts)
    return f"{'mapping' if facts.get('type') == 'object' else facts.get('type', 'any')} {bounds}".rstrip()
