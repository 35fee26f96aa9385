"""Write checkers as a reward function, and prompts that go with it."""

from __future__ import annotations

import ast
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click

from filial import Constraint, Record, UsageError, __version__
from filial.commands import manager
from filial.formats import read
from filial_plugins.commands.outputs import Place, check_places, read_places, written_places
from filial_plugins.constraints.catalogue import check_constraint

PARTS = ("measures.py", "shapes.py", "form_checkers.py", "checkers.py", "verdicts.py", "reward_function.py")
"""The files that a reward file is made of; each imports only from those before it and from the standard library."""

HEAD = '''"""Reward functions for checkable constraints, written by filial {version}. It needs nothing but Python 3.11.

    from datasets import Dataset
    from trl import GRPOTrainer
    from {module} import reward        # or loose_reward
    GRPOTrainer(..., reward_funcs=[reward], train_dataset=Dataset.from_json("prompts.jsonl"))

The data set has a column ``constraints``: for each prompt a list of {{"type": ..., "args": ...}}, or that as JSON.
"""
'''


@click.command()
@click.argument("data", nargs=-1, required=True, metavar="DATA...")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), metavar="FILE", help="The reward file.")
@click.option("--prompts", type=click.Path(path_type=Path), metavar="FILE", help="File for the prompts, as JSON lines.")
@click.option("--text", is_flag=True, help="Prompts as plain text instead of lists of messages.")
@click.option("--format", "kind", default="auto", show_default=True, help="Format of DATA.")
@click.pass_context
def command(ctx: click.Context, data: tuple[str, ...], out: Path, prompts: Path | None, text: bool, kind: str) -> None:
    """Write the checkers of DATA's constraints as a reward file for reinforcement learning.

    FILE is one Python file without imports beyond the standard library; its functions `reward` and `loose_reward` have
    the signature that TRL's GRPOTrainer expects and return the share of the satisfied constraints. --prompts writes the
    matching data set: questions and constraints of the records that have constraints.
    """
    writes = written_places(str(out))
    writes += [Place("--prompts", prompts, "give --prompts another file")] if prompts else []
    check_places(read_places(ctx, data), writes)
    rows, types, without = [], Counter[str](), 0
    for source, record in ((name, record) for name in data for record in read(name, format=kind, manager=manager(ctx))):
        if record.constraints:
            types.update(_read_types(record, source))
            rows.append(make_row(record, text))
        else:
            without += 1
    if not rows:
        raise UsageError(
            f"none of the {without:,} records has constraints; add some: filial evolve add-constraints --checkable"
        )
    write_file(out, build_reward_file(out.stem))
    click.echo(f"wrote {out}", err=True)
    if prompts:
        write_file(prompts, "".join(json.dumps(one) + "\n" for one in rows))
        click.echo(f"wrote {prompts}: {len(rows):,} prompts", err=True)
    used = ", ".join(f"{name} {count:,}" for name, count in sorted(types.items()))
    click.echo(f"{len(rows):,} records with constraints, {without:,} without; {used}", err=True)


def _read_types(record: Record, source: str) -> Iterator[str]:
    """Yield the types of the record's constraints.

    Raises:
        UsageError: there is no checker for one.
    """
    for constraint in record.constraints:
        if wrong := check_constraint(constraint.type, constraint.args):
            raise UsageError(f"{source}: record {record.id}: {wrong}; leave it out with filial filter constraints")
        yield constraint.type


def make_row(record: Record, text: bool = False) -> dict[str, object]:
    """Return a row of the data set: the turns before the answer, and the constraints.

    The constraints are one JSON text, because data sets with typed columns cannot hold arguments of many sorts.
    """
    asked = record.prompt()
    messages = [{"role": turn.role, "content": turn.content} for turn in asked]
    prompt = "\n\n".join(turn.content for turn in asked) if text else messages
    return {"prompt": prompt, "constraints": json.dumps([_to_dict(one) for one in record.constraints])}


def _to_dict(constraint: Constraint) -> dict[str, object]:
    return {"type": constraint.type, "args": constraint.args}


def build_reward_file(module: str) -> str:
    """Build a reward file: the parts one after the other, with all their imports at the top.

    ``module`` is the name under which the file is imported.
    """
    imports, bodies = set[str](), []
    for name in PARTS:
        own, body = _split_imports((Path(__file__).parent / name).read_text(encoding="utf-8"))
        imports |= own
        bodies.append(f"\n\n# {'-' * 20} {name.removesuffix('.py').replace('_', ' ')}\n\n{body}\n")
    lines = sorted(imports, key=lambda line: (line.startswith("from"), line))
    head = HEAD.format(version=__version__, module=module)
    return "\n".join([head, "from __future__ import annotations\n", *lines]) + "".join(bodies)


def _split_imports(source: str) -> tuple[set[str], str]:
    """Split a part into its imports from the standard library and the rest, without its module docstring."""
    tree, rows = ast.parse(source), source.splitlines()
    imports = set()
    for node in tree.body[::-1]:
        first = node is tree.body[0]
        if first or isinstance(node, ast.Import | ast.ImportFrom):
            if not first and not (
                isinstance(node, ast.ImportFrom) and node.module in ("__future__", *_list_own_modules())
            ):
                imports.add(ast.unparse(node))
            del rows[node.lineno - 1 : node.end_lineno]
    return imports, "\n".join(rows).strip("\n")


def _list_own_modules() -> list[str]:
    return [f"filial_plugins.constraints.{name.removesuffix('.py')}" for name in PARTS]


def write_file(path: Path, text: str) -> None:
    """Write a text file.

    Raises:
        UsageError: the place cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as err:
        raise UsageError(f"{path}: cannot be written ({err.strerror}); give another place") from err
