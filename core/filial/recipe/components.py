"""One component of a recipe: its name looked up, its options checked against its own schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from filial import inputfiles
from filial.components import Component, Generator
from filial.discovery import singular
from filial.errors import FilialError, PluginError
from filial.options import json_schema
from filial.recipe.faults import Faults
from filial.recipe.files import Files
from filial.recipe.keys import Schema, defaults
from filial.recipe.model import ComponentSpec
from filial.recipe.words import shown, wrong_type
from filial.teaching import FREE, Price
from filial.yamlmarks import Address

if TYPE_CHECKING:
    from filial.plugins import Manager


class Components:
    """Reads the components of one recipe; what is wrong goes to ``faults``.

    ``asking`` collects the addresses of components whose class says that it asks a teacher, ``consuming`` those of
    generators that say what becomes of each record they are given.
    """

    def __init__(self, manager: Manager, faults: Faults, files: Files) -> None:
        self._manager, self._faults, self._files = manager, faults, files
        self.asking: list[Address] = []
        self.consuming: list[Address] = []

    def read(
        self, item: Any, kind: str, address: Address, keys: dict[str, Schema], *required: str
    ) -> ComponentSpec | None:
        """The component at an address, ``name`` or ``{use: name, …}``; None when something is wrong with it.

        ``keys`` are the recipe's own keys beside the options, ``required`` those of them that must be there.
        """
        body = {"use": item} if isinstance(item, str) else item
        at = address if isinstance(item, str) else (*address, "use")
        if not isinstance(body, dict):
            instead = "" if body is None else f", not {shown(body)}"
            self._faults.add(address, f"the name of a {singular(kind)} belongs here, or {{use: NAME, …}}{instead}")
            return None
        if not isinstance(body.get("use"), str):
            what = (
                f"use: {wrong_type(body['use'], ['string'])}"
                if "use" in body
                else f"which {singular(kind)}? add 'use: NAME'"
            )
            self._faults.add(at, what)
            return None
        found = self._class(kind, body["use"], at)
        schema = self._schema(found, kind, body["use"], at, keys, required)
        owner = f"{singular(kind)} {shown(body['use'])}"
        sound = self._faults.check(body, schema, address, owner)
        if found is None or not sound:
            return None
        options = self._options(found, {k: v for k, v in body.items() if k != "use" and k not in keys}, address, owner)
        if options is None or not self._files_there(found, options, address, owner):
            return None
        if found.asks:
            self.asking.append(address)
        if issubclass(found, Generator) and found.consumes:
            self.consuming.append(address)
        return ComponentSpec(kind, body["use"], options, defaults(keys, body), address, self._faults.where(at))

    def activate(self, name: str, address: Address) -> None:
        """Load a plugin that brings hooks only."""
        try:
            self._manager.activate(name)
        except PluginError as err:
            self._faults.add(address, str(err))

    def price(self, teacher: ComponentSpec) -> Price | None:
        """What a sound teacher costs."""
        try:
            return self._manager.get("teachers", teacher.use)(**teacher.options).price()  # type: ignore[attr-defined,no-any-return]
        except FilialError as err:
            self._faults.add(teacher.path, f"teacher {teacher.use!r}: {err}")
            return FREE

    def refused_key(self, teacher: ComponentSpec) -> str:
        """Why a sound teacher's key must not go where it would; empty if it may."""
        from filial.keys import refusal

        try:
            return refusal(self._manager.get("teachers", teacher.use)(**teacher.options).destination())  # type: ignore[attr-defined]
        except FilialError as err:
            return str(err)

    def _class(self, kind: str, name: str, address: Address) -> type[Component] | None:
        try:
            return self._manager.get(kind, name)
        except PluginError as err:
            self._faults.add(address, str(err))
            return None

    def _schema(
        self, found: type[Component] | None, kind: str, name: str, address: Address, keys: dict[str, Schema],
        required: tuple[str, ...],
    ) -> Schema:  # fmt: skip
        """What may stand in the braces: the recipe's keys and, where the class is known, its options."""
        own: Schema = {}
        try:
            own = json_schema(found) if found is not None else {}
        except PluginError as err:
            self._faults.add(address, str(err))
        options = own.get("properties", {})
        if taken := sorted({"use", *keys} & set(options)):
            message = f"{singular(kind)} {name!r} has an option {taken[0]!r}, which the recipe needs for itself"
            self._faults.add(address, f"{message}; its author has to rename it")
        return {
            **own,
            "type": "object",
            "properties": {**options, **keys, "use": {"type": "string"}},
            "required": [*required, *own.get("required", [])],
            "additionalProperties": found is None,
        }

    def _files_there(self, found: type[Component], options: dict[str, Any], address: Address, owner: str) -> bool:
        """Whether every file that the options name is there and holds what the component wants."""
        before, files = len(self._faults), list(inputfiles.named(found, options))
        for place, path in files:
            self._files.check(path, (*address, *place))
        if files and len(self._faults) == before:
            try:
                found(**options).located(self._files.base)
            except ValidationError as err:
                for error in err.errors(include_url=False, include_input=False):
                    self._faults.add(address, f"{owner}: {error['msg'].removeprefix('Value error, ')}")
            except (FilialError, OSError, UnicodeDecodeError) as err:
                self._faults.add(address, f"{owner}: {err}")
        return len(self._faults) == before

    def _options(
        self, found: type[Component], options: dict[str, Any], address: Address, owner: str
    ) -> dict[str, Any] | None:
        """Every option as plain data, after the component's own validators; None when they object."""
        try:
            return found.model_validate(options).model_dump(mode="json")
        except ValidationError as err:
            for error in err.errors(include_url=False, include_input=False):
                place = tuple(p for p in error["loc"] if isinstance(p, str | int))
                self._faults.add((*address, *place), f"{owner}: {error['msg'].removeprefix('Value error, ')}")
        except FilialError as err:
            self._faults.add(address, f"{owner}: {err}")
        except Exception as err:  # a third party's validator: its failure costs this recipe, not the program
            self._faults.add(address, f"{owner} fails on these options: {type(err).__name__}: {err}")
        return None
