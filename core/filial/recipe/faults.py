"""Collects the faults of a recipe, with their places."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from filial.contracts.errors import FilialError, RecipeError
from filial.plugins.options import validate_strictly
from filial.plugins.wording import explain_errors, find_secret
from filial.plugins.yaml import Address, Document

M = TypeVar("M", bound=BaseModel)
MAX_MESSAGE = 500


class Faults:
    """The faults of one recipe.

    Args:
        name: the recipe's file, as the user wrote it.
        document: the places of its values, and its YAML faults.
        base: the folder to which its paths are relative.
        shown_from: number of leading parts of an address to hide if there is no file.
    """

    def __init__(self, name: str, document: Document, base: Path, shown_from: int = 0) -> None:
        self._name, self._document, self.base, self._shown_from = name, document, base, shown_from
        self.context: dict[str, Any] = {"base": base}
        """The context given to validators."""
        self.given: dict[Address, str] = {}
        """The addresses of values set on the command line, with the paths as the user wrote them."""
        self._found: set[tuple[int, int, str, str]] = set()
        self._silent: set[Address] = set(document.silenced)
        for fault in document.faults:
            self._found.add((fault.line, fault.column, f"{name}:{fault.line}:{fault.column}", fault.message))

    def add(self, address: Address, message: str, *, at_key: bool = False) -> None:
        """Add a fault at an address, or at its key, unless it is a consequence of another fault."""
        if not any(address[:n] in self._silent for n in range(len(address) + 1)):
            self._found.add((*self._place(address, at_key), _shorten(message)))

    def add_unplaced(self, label: str, message: str) -> None:
        """Add a fault without a place in the file, such as one of the command line."""
        self._found.add((1 << 30, 0, label, _shorten(message)))

    def hide_secrets(self, data: Any) -> None:
        """Refuse every secret in the recipe. Such a value gets no other message, which could show it."""
        for address, key, text in _walk_texts(data, (), ""):
            if why := find_secret(key, text):
                self.add(address, why)
                self._silent.add(address)

    def validate(
        self, model: type[M], body: Any, address: Address, owner: str, beside: Iterable[str] = (),
        make: Callable[[], M | None] | None = None,
    ) -> M | None:  # fmt: skip
        """Return a model of the value at an address; None if it has a fault.

        Args:
            owner: whose keys these are, for messages, such as "filter 'short'".
            beside: other keys that are allowed there.
            make: replaces the construction of the model from ``body``.
        """
        try:
            return make() if make else validate_strictly(model, body, self.context)
        except ValidationError as err:
            for finding in explain_errors(err, model, body, owner, beside):
                self.add((*address, *finding.address), finding.message, at_key=finding.at_key)
        except (FilialError, OSError, UnicodeDecodeError) as err:
            self.add(address, f"{owner}: {err}")
        except (
            Exception
        ) as err:  # a third party's validator: if it fails, the recipe has a fault, and the program goes on
            self.add(address, f"{owner} fails on these options: {type(err).__name__}: {err}")
        return None

    def where(self, address: Address) -> str:
        """Return an address for people: ``recipe.yaml:4:10``, or the path if there is no file."""
        return self._place(address, at_key=False)[2]

    def lines(self) -> list[str]:
        """Return all faults, in the order of the file; those of the command line come last."""
        return [f"{where}: {message}" for _, _, where, message in sorted(self._found)]

    def raise_if_any(self) -> None:
        """Raise an error if there is a fault.
        Raises:
            RecipeError: with every fault.
        """
        if self._found:
            raise RecipeError(self.lines())

    def _place(self, address: Address, at_key: bool) -> tuple[int, int, str]:
        """Return line, column and both as text, of the address or of the nearest part around it."""
        around = [address[:n] for n in range(len(address), -1, -1)]
        if given := [part for part in around if part in self.given]:
            return 1 << 30, 0, f"from --set {self.given[given[0]]}"
        keys, values = self._document.keys if at_key else {}, self._document.values
        mark = keys.get(address) or next((values[part] for part in around if part in values), None)
        if mark:
            return (*mark, f"{self._name}:{mark[0]}:{mark[1]}")
        path = ".".join(map(str, address[self._shown_from :]))
        return 0, 0, f"{self._name}: {path}" if path else self._name


def _shorten(message: str) -> str:
    """Make a message printable, and cut it if it is too long."""
    plain = "".join(char if char.isprintable() else repr(char)[1:-1] for char in message[:MAX_MESSAGE])
    return plain if len(message) <= MAX_MESSAGE else plain + "…"


def _walk_texts(data: Any, address: Address, key: str) -> Iterator[tuple[Address, str, str]]:
    """Yield every text of the data, keys included, with its address and its key."""
    if isinstance(data, str):
        yield address, key, data
    elif isinstance(data, list):
        for i, item in enumerate(data):
            yield from _walk_texts(item, (*address, i), key)
    elif isinstance(data, dict):
        for name, value in data.items():
            yield (*address, name), "", name
            yield from _walk_texts(value, (*address, name), name)
