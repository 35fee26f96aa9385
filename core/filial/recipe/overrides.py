"""Change values of a recipe from the command line, before the check: ``--set stages.evolve.rounds=2``."""

from __future__ import annotations

from typing import Any

from filial.plugins.wording import describe_value, suggest
from filial.plugins.yaml import MAX_DEPTH, Address, parse
from filial.recipe.faults import Faults
from filial.recipe.settings import Root

STAGES: Address = ("stages",)


class _NoSuchPlace(Exception):
    """The path of a ``--set`` does not exist; the message says where it ends."""


def override(data: Any, text: str, faults: Faults) -> None:
    """Change ``data`` in place by one ``PATH=VALUE``; ``faults`` notes what was changed, or why nothing was.

    A path consists of keys. In a list, a step is a position (from 0) or a name, of which the first match counts: a
    stage's verb, a component's ``use``. The value is YAML: a number, true, a word, ``[a, b]`` or ``{use: x}``.
    """
    path, equals, value = text.partition("=")
    path = path.strip()
    label = f"from --set {path}" if path and describe_value(path) != "a hidden text" else "from --set"
    if not (equals and path and all(path.split("."))) or path.count(".") >= MAX_DEPTH:
        faults.add_unplaced(label, "write PATH=VALUE, such as stages.evolve.rounds=2")
        return
    document = parse(value) if value.strip() else parse("null")
    for fault in document.faults:
        faults.add_unplaced(label, fault.message)
    if document.faults:
        return
    try:
        faults.given[_put(data, path.split("."), document.data, ())] = path
    except _NoSuchPlace as err:
        faults.add_unplaced(label, str(err))


def _put(data: Any, steps: list[str], value: Any, at: Address) -> Address:
    """Set a value in ``data``, whose address is ``at``. Return the address of the outermost part that is new."""
    step, *rest = steps
    key: Any = step
    if isinstance(data, list):
        key = _find_position(data, step, at)
        if at == STAGES and isinstance(data[key], dict) and step in data[key]:
            return _put(data[key], steps, value, (*at, key))  # the verb is the name of the stage and a key in it
    elif not isinstance(data, dict):
        raise _NoSuchPlace(
            f"{'.'.join(map(str, at))} is {describe_value(data)}, so there is no {describe_value(step)} in it"
        )
    elif not at and step not in Root.model_fields:
        raise _NoSuchPlace(f"the recipe has no {describe_value(step)}{suggest(step, Root.model_fields)}")
    here, before = (*at, key), data[key] if isinstance(data, list) else data.get(key)
    if not rest:
        data[key] = value
        return here
    if before is None or isinstance(before, str):  # a bare name becomes {use: name}, the path of a source {file: path}
        named = "file" if key in ("data", "seeds") or at[-1:] == ("sources",) else "use"
        data[key] = {} if before is None else {named: before}
    inner = _put(data[key], rest, value, here)
    return here if before is None else inner


def _find_position(items: list[Any], step: str, at: Address) -> int:
    """Return the position in a list that a step means: a number, or the name of an item."""
    names = [_find_name(item, at) for item in items]
    place = ".".join(map(str, at))
    if step.isascii() and step.isdigit() and len(step) < 10:
        if int(step) < len(items):
            return int(step)
        raise _NoSuchPlace(f"{place} has {len(items)} items, counted from 0; there is no {step}")
    if step in names:
        return names.index(step)
    raise _NoSuchPlace(f"{place} has no {describe_value(step)}{suggest(step, filter(None, names))}")


def _find_name(item: Any, at: Address) -> str:
    """Return the name of an item of the list at an address: a stage's verb, a component's ``use``."""
    name = item
    if isinstance(item, dict):
        name = next(iter(item), "") if at == STAGES else item.get("use")
    return name if isinstance(name, str) else ""
