"""Print the JSON Schema of records, recipes or options."""

from __future__ import annotations

import click

from filial import UsageError
from filial.commands import json_schema, manager, print_json, record_schema
from filial_plugins.commands.plugins import kind_of, plugin_class
from filial_plugins.commands.schema.manifest import manifest_schema
from filial_plugins.commands.schema.recipe import recipe_schema


@click.command()
@click.argument("what", required=False, default="recipe")
@click.argument("name", required=False)
@click.pass_context
def schema(ctx: click.Context, what: str, name: str | None) -> None:
    """Print a JSON Schema: WHAT is record, recipe, manifest, or a kind of plugin followed by its NAME.

    The recipe's schema contains the options of all installed plugins, for editors.
    """
    schemas = {"record": record_schema, "recipe": lambda: recipe_schema(manager(ctx)), "manifest": manifest_schema}
    kind = kind_of(what)
    if what in schemas:
        print_json(schemas[what]())
    elif kind is not None and name is not None:
        print_json(json_schema(plugin_class(manager(ctx), kind, name)))
    else:
        raise UsageError(
            f"schema {what!r}: write record, recipe, manifest, or a kind and a name: schema filter novelty"
        )
