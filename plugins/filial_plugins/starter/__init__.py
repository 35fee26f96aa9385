"""Write a commented recipe with its seeds, ready to run offline."""

from __future__ import annotations

from pathlib import Path

import click

from filial import UsageError, resolve
from filial.commands import json_text, manager
from filial_plugins.commands.schema.recipe import recipe_schema

HERE = Path(__file__).parent
SCHEMA = "recipe.schema.json"

NEXT = """\
Next:
  cd {folder}
  filial check recipe.yaml
  filial run recipe.yaml

recipe.yaml runs offline as it is; its lines marked "real:" say how to use a model and tasks of your own.
"""


def read_files() -> dict[str, str]:
    """Return the files of a new folder by name: a recipe that runs, its seeds, and seeds for an open world."""
    names = {
        "recipe.yaml": HERE / "recipe.yaml",
        "seeds.jsonl": resolve("pkg:filial_plugins/procedural/seeds.jsonl"),
        "open-seeds.jsonl": HERE / "open-seeds.jsonl",
    }
    return {name: path.read_text(encoding="utf-8") for name, path in names.items()}


@click.command()
@click.argument("folder", default=".", type=click.Path(path_type=Path), metavar="[DIR]")
@click.pass_context
def command(ctx: click.Context, folder: Path) -> None:
    """Write a commented recipe, seeds and the editor's schema into DIR (default: here). Overwrites nothing."""
    new = {**read_files(), SCHEMA: json_text(recipe_schema(manager(ctx))) + "\n"}
    if there := [name for name in new if (folder / name).exists()]:
        raise UsageError(f"{folder} already holds {', '.join(there)}; give another folder, or move what is there")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in new.items():
            with open(folder / name, "x", encoding="utf-8", newline="\n") as file:
                file.write(text)
    except OSError as err:
        raise UsageError(f"{folder}: cannot be written ({err.strerror}); give another folder") from err
    for name in new:
        click.echo(f"wrote {folder / name}", err=True)
    click.echo(NEXT.format(folder=folder), err=True)
