"""``--set stages.evolve.rounds=2``: a value of a recipe changed from the command line, before the check."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from filial.plugins.wording import shown, suggestion
from filial.plugins.yaml import MAX_DEPTH, Address, parse
from filial.recipe.settings import VERBS, Root


class _NoSuchPlace(Exception):
    """The path of a ``--set`` leads nowhere; the message says where it ends."""


@dataclass(slots=True)
class Overrides:
    """What the command line changed.

    Attributes:
        given: the address of each changed value, with its path as the user typed it.
        faults: label and message of each ``--set`` that could not be applied.
    """

    given: dict[Address, str] = field(default_factory=dict)
    faults: list[tuple[str, str]] = field(default_factory=list)

    def apply(self, data: Any, text: str) -> None:
        """Change ``data`` in place as one ``PATH=VALUE`` says.

        A path goes by keys; in a list by position (from 0) or by name: a stage's verb, a component's ``use``;
        the first that matches. The value is YAML: a number, true, a word, ``[a, b]`` or ``{use: x}``.
        """
        path, equals, value = text.partition("=")
        path = path.strip()
        label = f"from --set {path}" if path and shown(path) != "a hidden text" else "from --set"
        if not (equals and path and all(path.split("."))) or path.count(".") >= MAX_DEPTH:
            self.faults.append((label, "write PATH=VALUE, such as stages.evolve.rounds=2"))
            return
        document = parse(value) if value.strip() else parse("null")
        if document.faults:
            self.faults += [(label, fault.message) for fault in document.faults]
            return
        try:
            address = _put(data, path.split("."), document.data)
        except _NoSuchPlace as err:
            self.faults.append((label, str(err)))
        else:
            self.given[address] = path


def _put(data: Any, steps: list[str], value: Any) -> Address:
    """Set a value; returns the address of the outermost part that is new."""
    address: Address = ()
    new: Address | None = None
    for n, step in enumerate(steps):
        last = n == len(steps) - 1
        if isinstance(data, list):
            index = _position(data, step, address)
            address = (*address, index)
            if step in VERBS and isinstance(data[index], dict) and step in data[index]:
                data, address = data[index], (*address, step)
            elif last:
                data[index] = value
                break
            else:
                data = _opened(data, index)
                continue
        elif isinstance(data, dict):
            if not address and step not in Root.model_fields:
                raise _NoSuchPlace(f"the recipe has no {shown(step)}{suggestion(step, Root.model_fields, 'there are')}")
            address = (*address, step)
            new = address if new is None and data.get(step) is None else new
        else:
            raise _NoSuchPlace(f"{'.'.join(steps[:n])} is {shown(data)}, so there is no {shown(step)} in it")
        if last:
            data[step] = value
        else:
            data = _opened(data, step)
    return new or address


def _opened(data: Any, step: Any) -> Any:
    """What stands in a place, as something that can be entered: a bare name becomes ``{use: name}``."""
    if isinstance(data, list) or data.get(step) is not None:
        inside = data[step]
    else:
        inside = {}
    data[step] = {"use": inside} if isinstance(inside, str) else inside
    return data[step]


def _position(items: list[Any], step: str, address: Address) -> int:
    """Where in a list a step leads: a position, or the first item of that name."""
    names = [_name(item) for item in items]
    place = ".".join(map(str, address))
    if step.isascii() and step.isdigit() and len(step) < 10:
        if int(step) < len(items):
            return int(step)
        raise _NoSuchPlace(f"{place} has {len(items)} items, counted from 0; there is no {step}")
    if step in names:
        return names.index(step)
    known = [name for name in names if name]
    raise _NoSuchPlace(f"{place} has no {shown(step)}{suggestion(step, known, 'there are')}")


def _name(item: Any) -> str:
    if isinstance(item, str):
        return item
    if not isinstance(item, dict):
        return ""
    verb = next((verb for verb in VERBS if verb in item), "")
    use = item.get("use")
    return verb or (use if isinstance(use, str) else "")
