"""Fill the generated blocks of the pages in this folder from the code.

A page is text with generated blocks in it. A block stands between ``<!-- made by docs/build.py: NAME -->`` and
``<!-- end -->``; NAME says what goes there (see `block`). Everything outside the blocks is written by hand.

Usage: ``python docs/build.py`` rewrites the blocks (``make docs``); with ``--check`` it only names the pages whose
blocks are out of date.
"""

from __future__ import annotations

import ast
import inspect
import json
import random
import re
import sys
import textwrap
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

from filial import Component, Role
from filial.contracts.kinds import KINDS
from filial.plugins import Manager, discovery
from filial.plugins.options import json_schema
from filial.recipe import settings
from filial_plugins.constraints.catalogue import CONSTRAINT_TYPES as CONSTRAINTS
from filial_plugins.constraints.checkers import CHECKERS
from filial_plugins.formats import names
from filial_plugins.generators.from_fields.catalogue import built_in_types
from filial_plugins.stages.evolve import Evolve, StrategyKeys
from filial_plugins.stages.generate import Generate
from filial_plugins.stages.mix import Mix

FOLDER = Path(__file__).parent
CONTRACT = "contract:"
COLUMNS = {
    "question": names.QUESTION,
    "input": names.GIVEN,
    "answer": names.ANSWER,
    "several answers (`candidates`)": names.ANSWERS,
    "their grades": (*names.GRADE, *names.GRADES, *names.RANK),
    "better answer": names.CHOSEN,
    "worse answer": names.REJECTED,
    "system text": names.SYSTEM,
    "earlier turns": names.HISTORY,
    "reasoning": (*names.REASONING, *(f"ANSWER{ending}" for ending in names.BESIDE_AN_ANSWER)),
    "tools": names.TOOLS,
    "label": names.LABEL,
    "label, if true or false or such a word": names.VERDICT,
    "label turned round, if true or false": names.DENIED,
    "weight of a row": names.WEIGHT,
    "refused": names.MEDIA,
    "of a turn: speaker": names.SPEAKER,
    "of a turn: text": (*names.TEXT, *names.REFUSAL),
    "of a turn: reasoning": (*names.REASONING, *names.THOUGHTS),
    "of a turn: calls of tools": (*names.CALLS, *names.CALL_ID),
    "of a turn: trained or not, as its words say": names.TRAINED,
    "of a turn: refused": (*names.UNCLEAR, *names.UNHELD),
    **{f"speaker: {role}": tuple(n for n, known in names.ROLES.items() if known == role) for role in get_args(Role)},
}
"""The tables of names, by what the page calls them."""
_BLOCK = re.compile(r"(<!-- made by docs/build\.py: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
STAGES = {model.__name__: model for model in (Generate, Evolve, StrategyKeys, Mix)}
_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
_HUGE = 2**53  # a bound nobody meets says nothing


def installed() -> Manager:
    """The plugins that filial itself brings, whatever else is installed."""
    return Manager(discovery.index(no_plugins=True, block=""))


def page(text: str, manager: Manager) -> str:
    """A page with every generated block written anew."""
    return _BLOCK.sub(lambda found: f"{found[1]}\n{block(found[2], manager)}\n{found[3]}", text)


def block(name: str, manager: Manager) -> str:
    """The text of one block.

    ``KIND`` of plugin or ``hooks``: the built-in ones with their options. ``contract:MODULE.CLASS``: the class as a
    plugin author needs it. ``commands``: filial's own. ``constraints``: their types. ``columns``: the names of columns
    of foreign rows. The name of a model in `filial.recipe.settings` or of a stage: its keys.

    Raises:
        KeyError: there is no such block.
    """
    if name.startswith(CONTRACT):
        module, _, cls = name.removeprefix(CONTRACT).rpartition(".")
        return f"```python\n{outline(getattr(import_module(module), cls))}```\n"
    if name in (*KINDS, discovery.HOOKS):
        return "\n".join(_plugin(manager, name, short) for short in manager.index[name])
    if name == "commands":
        return "".join(f"* `filial {short}`: {claims[0].summary()}\n" for short, claims in manager.index[name].items())
    if name == "constraints":
        return _constraints()
    if name == "tasks":
        return _tasks()
    if name == "columns":
        return _columns()
    schema = json_schema(vars(settings).get(name) or STAGES[name])
    schema = schema.get("anyOf", [schema])[-1]  # a source is also written as its path alone
    return _table(schema["properties"], schema.get("required", ()))


def _tasks() -> str:
    """The types of tasks: their fields, and how many templates ask for the answer and how many back from it."""
    rows = ["| type | what it is | fields | templates | inverted |", "|---|---|---|---|---|"]
    for name, kind in built_in_types().items():
        fields = ", ".join(f"`{field}`" for field in sorted(kind.fields))
        inverted = sum(template.inverted for template in kind.templates)
        rows.append(f"| `{name}` | {kind.about} | {fields} | {len(kind.templates) - inverted} | {inverted} |")
    return "\n".join(rows) + "\n"


def _constraints() -> str:
    """The types of checkable constraints: arguments, when an answer keeps one, and a sentence that asks for it."""
    rows = ["| type | arguments | what is checked | example |", "|---|---|---|---|"]
    for name, kind in CONSTRAINTS.items():
        rng = random.Random(name)
        checked = inspect.cleandoc(CHECKERS[name].__doc__ or "").split("\n\n")[0].replace("\n", " ")
        arguments = "; ".join(slot.what for slot in kind.slots)
        cells = (f"`{name}`", arguments, checked, kind.write_sentence(kind.draw(rng), rng))
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|').replace('<', '&lt;') for cell in cells)} |")
    return "\n".join(rows) + "\n"


def _columns() -> str:
    """What columns and turns of foreign rows may be called, by what they hold."""
    rows = ["| what | names |", "|---|---|"]
    for what, known in COLUMNS.items():
        rows.append(f"| {what} | {', '.join(f'`{name}`' for name in known)} |")
    return "\n".join(rows) + "\n"


def outline(cls: type[Any]) -> str:
    """The documented part of a class: its docstring, its public fields, its public methods with a docstring."""
    lines = textwrap.dedent(inspect.getsource(cls)).splitlines()
    (tree,) = ast.parse("\n".join(lines)).body
    assert isinstance(tree, ast.ClassDef)
    parts, after_field = [_head(tree, lines)], False
    for node in tree.body[1:]:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id[0] != "_":
            text = "\n".join(lines[node.lineno - 1 : node.end_lineno])
            parts.append(text if after_field else f"\n{text}")
            after_field = True
        elif after_field and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):  # what a field means
            parts.append("\n".join(lines[node.lineno - 1 : node.end_lineno]))
        elif (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name[0] != "_" and ast.get_docstring(node)
        ):
            parts.append(f"\n{_head(node, lines)}")
            after_field = False
    return "\n".join(parts) + "\n"


def _head(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> str:
    """A class or function up to the end of its docstring, decorators included."""
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    last = node.body[0].end_lineno
    return "\n".join(lines[first - 1 : last])


def _plugin(manager: Manager, kind: str, name: str) -> str:
    """The section of one plugin: what it does, in its author's words, and its options."""
    cls = manager.get(kind, name)
    schema = json_schema(cls)
    parts = [f"### {name}\n", inspect.cleandoc(cls.__doc__ or "") + "\n"]
    if cls.requires:
        extra = f": `pip install 'filial[{cls.extra}]'`" if cls.extra else ""
        parts.append(f"Needs {', '.join(f'`{module}`' for module in cls.requires)}{extra}.\n")
    if schema["properties"]:
        parts.append(_table(schema["properties"], schema.get("required", ()), order=_own_first(cls)))
    else:
        parts.append("No options.\n")
    return "\n".join(parts)


def _own_first(cls: type[Component]) -> list[str]:
    """The options in the order they are declared, those of the kind's base class last."""
    base = next((one for one in KINDS.values() if issubclass(cls, one)), Component)
    return sorted(cls.model_fields, key=lambda name: name in base.model_fields)


def _table(schemas: dict[str, Any], required: Any = (), order: Any = None) -> str:
    rows = ["| name | type | default | what it means |", "|---|---|---|---|"]
    for name in order or schemas:
        schema = schemas[name]
        if name in required:
            default = "required"
        elif schema.get("default") is None:
            default = ""
        else:
            default = f"`{json.dumps(schema['default'], ensure_ascii=False)}`"
        cells = (f"`{name}`", typed(schema), default, schema.get("description", ""))
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(rows) + "\n"


def typed(schema: Any) -> str:
    """What a JSON Schema allows, in words."""
    if branches := schema.get("anyOf", schema.get("oneOf")):
        words = [word for one in branches if one.get("type") != "null" for word in typed(one).split(" or ")]
        return " or ".join(dict.fromkeys(words))
    if "enum" in schema or "const" in schema:
        return " or ".join(f"`{one}`" for one in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type", "")
    if kind == "array":
        return f"list of {typed(schema['items'])}" if "items" in schema else "list"
    if kind == "object":
        values = schema.get("additionalProperties")
        return f"mapping to {typed(values)}" if isinstance(values, dict) else "mapping"
    bounds = [f"{sign} {schema[key]:,}" for key, sign in _BOUNDS.items() if schema.get(key, _HUGE) < _HUGE]
    return " ".join([kind or "component", ", ".join(bounds)]).strip()


def stale(manager: Manager) -> list[Path]:
    """The pages with blocks that are not what the code gives today."""
    pages = sorted(FOLDER.rglob("*.md"))
    return [path for path in pages if page(path.read_text(encoding="utf-8"), manager) != path.read_text("utf-8")]


def main(check: bool) -> int:
    """Rewrite the pages that are out of date, or with ``check`` name them and return 1."""
    manager = installed()
    found = stale(manager)
    for path in found:
        if check:
            print(f"{path}: out of date; run: make docs", file=sys.stderr)
        else:
            path.write_text(page(path.read_text(encoding="utf-8"), manager), encoding="utf-8")
            print(f"{path}: rewritten")
    return int(check and bool(found))


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
