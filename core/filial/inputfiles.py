"""Options that name files: found from the recipe's folder, and part of what a stage depends on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import Field

from filial.options import json_schema
from filial.resources import resolve

if TYPE_CHECKING:
    from filial.components import Component

InputFile = Annotated[str, Field(min_length=1, json_schema_extra={"format": "file"})]
"""The type of an option that names a file to read: a path, ``pkg:PACKAGE/FILE`` or ``hf:NAME``.

A relative path is taken from the recipe's folder (on the command line, the current one) before the component runs; a
recipe whose file is missing is refused; and a changed file is noticed as a changed option is.
"""

Place = tuple[str | int, ...]
"""Where a value stands among options, such as ``("against", 0)``."""


def named(component: type[Any], options: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """The files that options of a component name, and where."""
    for name, schema in json_schema(component)["properties"].items():
        value = options.get(name)
        members = [schema, *schema.get("anyOf", ())]
        if isinstance(value, str) and any(_is_file(member) for member in members):
            yield (name,), value
        elif isinstance(value, list | tuple) and any(_is_file(member.get("items")) for member in members):
            yield from (((name, i), item) for i, item in enumerate(value) if isinstance(item, str))


def _is_file(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("format") == "file"


C = TypeVar("C", bound="Component")


def found(component: C, base: Path) -> C:
    """A component whose options name their files by absolute paths.

    Raises:
        ValueError: the component objects to what a file holds.
        UsageError: a file lies in a package that is not installed.
    """
    places = dict(named(type(component), component.model_dump(mode="json")))
    if not places:
        return component
    options = component.model_dump(mode="json", exclude_unset=True)
    for (name, *rest), path in places.items():
        where = path if path.startswith("hf:") else str(resolve(path, base))
        if not rest:
            options[str(name)] = where
        else:
            (i,) = rest
            options[str(name)] = [where if k == i else item for k, item in enumerate(options[str(name)])]
    return type(component).model_validate(options)
