"""The options of a component (its pydantic fields) as JSON Schema and as command-line flags, and their validation."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic import BaseModel, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.json_schema import GenerateJsonSchema

from filial.contracts.errors import PluginError, UsageError
from filial.contracts.kinds import Component
from filial.contracts.paths import is_address, resolve
from filial.plugins.wording import explain_errors
from filial.plugins.yaml import Address, parse_value

C = TypeVar("C", bound=Component)
M = TypeVar("M", bound=BaseModel)
Schema = dict[str, Any]
_SCALARS = ("string", "integer", "number", "boolean")
_BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}


class _WithoutTitles(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def json_schema(cls: type[BaseModel]) -> Schema:
    """Return the options of a component as JSON Schema 2020-12, without references and generated titles.

    Raises:
        PluginError: an option has a type that JSON Schema cannot express, or a recursive type.
    """
    try:
        schema = cls.model_json_schema(schema_generator=_WithoutTitles)
    except PydanticInvalidForJsonSchema as err:
        raise PluginError(f"{cls.__name__} has an option without a JSON Schema: {err.message}") from err
    definitions = schema.pop("$defs", {})
    for model in (schema, *definitions.values()):
        model.pop("title", None)
    inlined: Schema = _inline(schema, definitions) | {"description": summary(cls)}
    inlined.setdefault("properties", {})
    return inlined


def summary(cls: type[BaseModel]) -> str:
    """Return the first line of a component's own docstring; empty if it has none."""
    return (cls.__dict__.get("__doc__") or "").strip().partition("\n")[0].strip()


def _inline(node: Any, definitions: Schema, inside: tuple[str, ...] = ()) -> Any:
    """Replace every reference by its definition."""
    if isinstance(node, list):
        return [_inline(item, definitions, inside) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        if name in inside:
            raise PluginError(f"the option type {name} contains itself; options must be finite")
        beside = {key: value for key, value in node.items() if key != "$ref"}
        return _inline({**definitions[name], **beside}, definitions, (*inside, name))
    if "oneOf" in node:  # pydantic's discriminator refers to the definitions too
        node = {key: value for key, value in node.items() if key != "discriminator"}
    return {key: _inline(value, definitions, inside) for key, value in node.items()}


def click_options(cls: type[BaseModel], skip: Collection[str] = ()) -> list[click.Option]:
    """Return one click option per field. Its parameter has the field's name, and is None or () unless given.

    A switch is ``--x/--no-x``, a list of scalars is given by repeating the flag, a text is taken as typed, and anything
    else is one YAML (or JSON) value, as in a recipe. `from_flags` validates the values.
    """
    schema = json_schema(cls)
    out = []
    for name, field in schema["properties"].items():
        if name in skip:
            continue
        typed, required = _inner_schema(field), name in schema.get("required", ())
        flag = f"--{name.replace('_', '-')}"
        how: dict[str, Any] = {"required": required, "help": _help_text(field, required)}
        if typed.get("type") == "boolean":
            out.append(click.Option([name, f"{flag}/--no-{flag[2:]}"], default=None, **how))
            continue
        if _is_repeatable(typed):
            how |= {"multiple": True, "help": f"{how['help']}  May be repeated."}
            typed = typed["items"]
        is_text = typed.get("type") == "string" or "x-part" in typed  # x-part: the name of a plugin
        kind = click.STRING if is_text else _YamlValue()
        out.append(click.Option([name, flag], type=kind, metavar=_metavar(typed), **how))
    return out


def from_flags(cls: type[M], values: Mapping[str, Any], owner: str) -> M:
    """Build a component from the values of its `click_options`.

    Raises:
        UsageError: a value is invalid; the message names the flag.
    """
    given = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    given = {name: value for name, value in given.items() if value is not None and value != []}
    return validate(cls, given, owner=owner, spell=lambda address: f"--{_format_address(address).replace('_', '-')}")


def _format_address(address: Address) -> str:
    """Format an address for a message: ``rates.a``, ``weights[0].share``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in address).removeprefix(".")


def validate_strictly(cls: type[M], body: Any, context: Any = None) -> M:
    """Validate plain data without conversions: '3' is not a number, 3 is not a text. ``context`` is for validators.

    Raises:
        ValidationError: invalid data; `filial.plugins.wording.explain_errors` turns it into sentences.
    """
    return cls.model_validate_json(json.dumps(body), strict=True, context=context)


def validate(
    cls: type[M], options: Mapping[str, Any], *, owner: str,
    spell: Callable[[Address], str] = lambda address: repr(_format_address(address)),
) -> M:  # fmt: skip
    """Build a model from plain data.

    Args:
        owner: the component or command that has these options, for the message.
        spell: formats the address of an option for this user.

    Raises:
        UsageError: lists every invalid option.
    """
    body = dict(options)
    try:
        return validate_strictly(cls, body)
    except ValidationError as err:
        faults = [finding.message for finding in explain_errors(err, cls, body, owner, spell=spell)]
        raise UsageError("; and ".join(faults)) from err


def _inner_schema(field: Schema) -> Schema:
    """Return the schema of ``X`` for ``X | None``."""
    members = [member for member in field.get("anyOf", ()) if member.get("type") != "null"]
    return members[0] if len(members) == 1 else field


def _is_repeatable(field: Schema) -> bool:
    """Return whether this is a list of values that can each be given as one word."""
    items = field.get("items")
    if not isinstance(items, dict) or "prefixItems" in field:
        return False
    return items.get("type") in _SCALARS or bool(items.keys() & {"enum", "const", "x-part"})


def _help_text(field: Schema, required: bool) -> str:
    """Return an option's description with its default and its bounds."""
    default = field.get("default")
    if isinstance(default, bool):
        default = "on" if default else "off"
    elif isinstance(default, list):
        default = ", ".join(map(str, default))
    facts = [f"default: {default}"] if not required and default not in (None, "", {}) else []
    inner = _inner_schema(field)
    facts += [f"{sign} {inner[bound]}" for bound, sign in _BOUNDS.items() if bound in inner]
    text = field.get("description", "")
    return f"{text}  [{'; '.join(facts)}]".strip() if facts else text


def _metavar(field: Schema) -> str:
    """Return the placeholder of a value in the help of a flag."""
    if choices := field.get("enum", [field["const"]] if "const" in field else []):
        return f"[{'|'.join(str(choice) for choice in choices if choice is not None)}]"
    return {"string": "TEXT", "integer": "INTEGER", "number": "NUMBER"}.get(field.get("type", ""), "YAML")


class _YamlValue(click.ParamType):  # type: ignore[type-arg]  # not generic before click 8.2
    """A value written as YAML or JSON."""

    name = "yaml"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            found = parse_value(value) if isinstance(value, str) else value
        except ValueError as err:
            self.fail(f"{value!r} is not a YAML or JSON value ({err})", param, ctx)
        return found if found is not None else self.fail("this is not a value; leave the flag out", param, ctx)


def find_files(component: type[Any], options: Mapping[str, Any]) -> Iterator[tuple[Address, str]]:
    """Yield the address and the name of each file in a component's options."""
    yield from _files(json_schema(component), options, ())


def _files(schema: Any, value: Any, address: Address) -> Iterator[tuple[Address, str]]:
    if not isinstance(schema, dict):
        return
    if isinstance(value, str) and schema.get("format") == "file":
        yield address, value
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _files(schema.get("items"), item, (*address, i))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            inner = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
            yield from _files(inner, item, (*address, key))
    for member in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from _files(member, value, address)


def change_files(component: BaseModel, change: Callable[[str], str]) -> dict[str, Any]:
    """Return the options of a component as plain data, with ``change`` applied to the name of every file."""
    options: dict[Any, Any] = component.model_dump(mode="json")
    for (*within, last), path in list(find_files(type(component), options)):
        holder: Any = options
        for step in within:
            holder = holder[step]
        holder[last] = change(path)
    return options


def locate_files(component: C, base: Path) -> C:
    """Return a component whose file names are resolved against ``base``, the recipe's folder.

    Raises:
        ValueError: the component rejects the content of a file.
        UsageError: a file lies in a package that is not installed.
    """
    options = component.model_dump(mode="json")
    located = change_files(component, lambda path: path if is_address(path) else str(resolve(path, base)))
    changed = {name: value for name, value in located.items() if value != options[name]}
    if not changed:
        return component.locate(base)
    written = component.model_dump(mode="json", exclude_unset=True)
    return type(component).model_validate(written | changed).locate(base)
