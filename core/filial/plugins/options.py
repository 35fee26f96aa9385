"""A component's fields, declared once, as JSON Schema, as command-line flags and in error messages."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from filial.contracts.errors import PluginError, UsageError
from filial.contracts.kinds import Component
from filial.contracts.paths import resolve
from filial.plugins.wording import Finding, explain
from filial.plugins.yaml import Address, parse_value

if TYPE_CHECKING:
    import click


C = TypeVar("C", bound=Component)
M = TypeVar("M", bound=BaseModel)
Schema = dict[str, Any]
_SCALARS = ("string", "integer", "number", "boolean")


def json_schema(cls: type[BaseModel]) -> Schema:
    """The options of a component as JSON Schema 2020-12, self-contained and without generated titles.

    Raises:
        PluginError: an option has a type that JSON Schema cannot say, or one that contains itself.
    """
    from pydantic.errors import PydanticInvalidForJsonSchema

    try:
        raw = cls.model_json_schema()
    except PydanticInvalidForJsonSchema as err:
        raise PluginError(f"{cls.__name__} has an option without a JSON Schema: {err.message}") from err
    definitions = raw.pop("$defs", {})
    schema: Schema = _clean(raw, definitions, ())
    schema["description"] = summary(cls)
    schema.setdefault("properties", {})
    return schema


def summary(cls: type[BaseModel]) -> str:
    """The first line of a component's own docstring; empty if it has none."""
    return (cls.__dict__.get("__doc__") or "").strip().partition("\n")[0].strip()


def _clean(node: Any, definitions: Schema, inside: tuple[str, ...]) -> Any:
    """Without titles, with every reference replaced by what it refers to."""
    if isinstance(node, list):
        return [_clean(item, definitions, inside) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        if name in inside:
            raise PluginError(f"the option type {name} contains itself; options must be finite")
        beside = {key: value for key, value in node.items() if key != "$ref"}
        return _clean({**definitions[name], **beside}, definitions, (*inside, name))
    out = {}
    for key, value in node.items():
        if key in ("properties", "patternProperties"):  # here the keys are names of options
            out[key] = {name: _clean(schema, definitions, inside) for name, schema in value.items()}
        elif key in ("default", "const", "enum", "examples"):  # and here is data
            out[key] = value
        elif key not in ("title", "discriminator"):
            out[key] = _clean(value, definitions, inside)
    return out


def click_options(cls: type[BaseModel], skip: Collection[str] = ()) -> list[click.Option]:
    """One click option per field; its parameter is called like the field, and is None or () unless given.

    Scalars are typed and bounded, a choice is a choice, a switch is ``--x/--no-x``, a list of scalars is
    given by repeating the flag, anything deeper is one YAML (or JSON) value. What is not given keeps its default.
    """
    import click

    schema = json_schema(cls)
    required = schema.get("required", ())
    out = []
    for name, field in schema["properties"].items():
        if name in skip:
            continue
        flag = f"--{name.replace('_', '-')}"
        attributes: dict[str, Any] = {"help": _help(field, name in required), "required": name in required}
        inner = _inner(field)
        if inner.get("type") == "boolean":
            declarations = [name, f"{flag}/--no-{flag[2:]}"]
            attributes["default"] = None
        else:
            declarations = [name, flag]
            attributes["multiple"] = _repeats(inner)
            attributes["type"] = _click_type(inner["items"] if attributes["multiple"] else inner)
        out.append(click.Option(declarations, **attributes))
    return out


def from_flags(cls: type[M], values: Mapping[str, Any], owner: str) -> M:
    """Build what the values of `click_options` describe.

    Raises:
        UsageError: a value is wrong; the message names the flag.
    """
    fields = json_schema(cls)["properties"]
    given = {}
    for name, value in values.items():
        if value is None or value == ():
            continue
        inner = _inner(fields[name])
        given[name] = [_chosen(inner["items"], item) for item in value] if _repeats(inner) else _chosen(inner, value)
    return validated(cls, given, owner=owner, spell=lambda name: f"--{name.replace('_', '-')}")


def strict(cls: type[M], body: Any, context: Any = None) -> M:
    """Validate plain data as it stands: '3' is no number, 3 is no text. ``context`` is for validators.

    Raises:
        ValidationError: as pydantic finds it; `filial.plugins.wording.explain` puts it in words.
    """
    return cls.model_validate_json(json.dumps(body), strict=True, context=context)


def validated(cls: type[M], options: Mapping[str, Any], *, owner: str, spell: Callable[[str], str] = repr) -> M:
    """Build a model from plain data.

    Args:
        owner: whose options these are, for the message.
        spell: how an option's name is written for this user.

    Raises:
        UsageError: one sentence with everything that is wrong.
    """
    body = dict(options)
    try:
        return strict(cls, body)
    except ValidationError as err:
        faults = [_sentence(finding, owner, spell) for finding in explain(err, cls, body, owner, spell=spell)]
        raise UsageError("; and ".join(faults)) from err


def _sentence(finding: Finding, owner: str, spell: Callable[[str], str]) -> str:
    """A finding with its place in words, since there is no line to point to."""
    if not finding.address or finding.owned:
        return finding.message if finding.owned else f"{owner}: {finding.message}"
    name, *deeper = finding.address
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in deeper)
    return f"{owner}: {spell(f'{name}{path}')}: {finding.message}"


def _inner(field: Schema) -> Schema:
    """The schema of what can be typed: ``X`` of ``X | None``."""
    members = [member for member in field.get("anyOf", ()) if member.get("type") != "null"]
    return members[0] if len(members) == 1 else field


def _choices(field: Schema) -> dict[str, Any] | None:
    """What a choice is called on the command line -> the value."""
    values = field.get("enum", [field["const"]] if "const" in field else None)
    return None if values is None else {str(value): value for value in values if value is not None}


def _chosen(field: Schema, value: Any) -> Any:
    choices = _choices(field)
    return value if choices is None else choices[value]


def _repeats(field: Schema) -> bool:
    """Whether this is a list of things that can each be typed as a word."""
    items = field.get("items")
    if field.get("type") != "array" or not isinstance(items, dict) or "prefixItems" in field:
        return False
    return _choices(items) is not None or items.get("type") in _SCALARS or "x-part" in items


def _help(field: Schema, required: bool) -> str:
    text: str = field.get("description", "")
    default = field.get("default")
    if required or default is None or default in ("", [], {}):
        return text
    shown = {True: "on", False: "off"}.get(default, default) if isinstance(default, bool) else default
    if isinstance(shown, list):
        shown = ", ".join(map(str, shown))
    return f"{text}  [default: {shown}]".strip()


def _click_type(field: Schema) -> click.ParamType[Any]:
    import click

    if (choices := _choices(field)) is not None:
        return click.Choice(list(choices))
    kind = field.get("type")
    if kind in ("integer", "number"):
        low, high = field.get("minimum"), field.get("maximum")
        above, below = field.get("exclusiveMinimum"), field.get("exclusiveMaximum")
        ranges = click.IntRange if kind == "integer" else click.FloatRange
        if (low, high, above, below) == (None, None, None, None):
            return click.INT if kind == "integer" else click.FLOAT
        return ranges(
            low if above is None else above, high if below is None else below,
            min_open=above is not None, max_open=below is not None,
        )  # fmt: skip
    if "x-part" in field:  # the name of a plugin
        return click.STRING
    return {"string": click.STRING, "boolean": click.BOOL}.get(str(kind)) or _yaml_type()


def _yaml_type() -> click.ParamType[Any]:
    import click

    class YamlValue(click.ParamType):  # type: ignore[type-arg]  # not generic before click 8.2
        """A value written as YAML or JSON."""

        name = "yaml"

        def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
            try:
                return parse_value(value) if isinstance(value, str) else value
            except ValueError as err:
                self.fail(f"{value!r} is no YAML or JSON value ({err})", param, ctx)

    return YamlValue()


def named(component: type[Any], options: Mapping[str, Any]) -> Iterator[tuple[Address, str]]:
    """The files that options of a component name, and where."""
    for name, schema in json_schema(component)["properties"].items():
        value = options.get(name)
        members = [schema, *schema.get("anyOf", ())]
        if isinstance(value, str) and any(_is_file(member) for member in members):
            yield (name,), value
        elif isinstance(value, list | tuple) and any(_is_file(member.get("items")) for member in members):
            yield from (((name, i), item) for i, item in enumerate(value) if isinstance(item, str))
        elif isinstance(value, dict) and any(_is_file(member.get("additionalProperties")) for member in members):
            yield from (((name, key), item) for key, item in value.items() if isinstance(item, str))


def _is_file(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("format") == "file"


def locate_files(component: C, base: Path) -> C:
    """Take the files that options of a component name from ``base``, the recipe's folder.

    Raises:
        ValueError: the component objects to what a file holds.
        UsageError: a file lies in a package that is not installed.
    """
    held = component.model_dump(mode="json")
    places = dict(named(type(component), held))
    if not places:
        return component.located(base)
    options = component.model_dump(mode="json", exclude_unset=True)
    for (name, *rest), path in places.items():
        where = path if path.startswith("hf:") else str(resolve(path, base))
        if not rest:
            options[str(name)] = where
        else:
            options.setdefault(str(name), held[str(name)])[rest[0]] = where
    return type(component).model_validate(options).located(base)
