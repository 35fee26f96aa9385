"""Collects everything that is wrong with a recipe, each fault at its place."""

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
        name: the recipe's file as the user gave it.
        document: its marks and YAML faults.
        base: the folder from which its paths start.
        shown_from: how many leading parts of an address are not shown where there is no file.
    """

    def __init__(self, name: str, document: Document, base: Path, shown_from: int = 0) -> None:
        self._name, self._document, self.base, self._shown_from = name, document, base, shown_from
        self.context: dict[str, Any] = {"base": base}
        """What validators are told."""
        self.given: dict[Address, str] = {}
        """The addresses of values that the command line set, each with the path as the user wrote it."""
        self._found: set[tuple[int, int, str, str]] = set()
        self._silent: set[Address] = set(document.silenced)
        for fault in document.faults:
            self._found.add((fault.line, fault.column, f"{name}:{fault.line}:{fault.column}", fault.message))

    def add(self, address: Address, message: str, *, at_key: bool = False) -> None:
        """Note what is wrong at an address (or with its key), unless it stands in for another fault."""
        if not any(address[:n] in self._silent for n in range(len(address) + 1)):
            self._found.add((*self._place(address, at_key), _one_line(message)))

    def add_unplaced(self, label: str, message: str) -> None:
        """Note a fault that stands in no file, such as one of the command line."""
        self._found.add((1 << 30, 0, label, _one_line(message)))

    def hide_secrets(self, data: Any) -> None:
        """Refuse every secret in the recipe, wherever it stands; nothing else is said about such a value."""
        for address, key, text in _texts(data, (), ""):
            if why := find_secret(key, text):
                self.add(address, why)
                self._silent.add(address)

    def validate(
        self, model: type[M], body: Any, address: Address, owner: str, beside: Iterable[str] = (),
        make: Callable[[], M | None] | None = None,
    ) -> M | None:  # fmt: skip
        """Make a model of what stands at an address; None when something is wrong with it.

        ``owner`` is whose keys these are, such as "filter 'short'"; ``beside`` are keys that may stand beside them.
        ``make`` makes it in another way than by checking ``body``.
        """
        try:
            return make() if make else validate_strictly(model, body, self.context)
        except ValidationError as err:
            for finding in explain_errors(err, model, body, owner, beside):
                self.add((*address, *finding.address), finding.message, at_key=finding.at_key)
        except (FilialError, OSError, UnicodeDecodeError) as err:
            self.add(address, f"{owner}: {err}")
        except Exception as err:  # a third party's validator: its failure costs this recipe, not the program
            self.add(address, f"{owner} fails on these options: {type(err).__name__}: {err}")
        return None

    def where(self, address: Address) -> str:
        """An address for people: ``recipe.yaml:4:10``, or the path where there is no file."""
        return self._place(address, at_key=False)[2]

    def lines(self) -> list[str]:
        """All faults in the order of the file, those of the command line last."""
        return [f"{where}: {message}" for _, _, where, message in sorted(self._found)]

    def raise_if_any(self) -> None:
        """End here if anything is wrong.

        Raises:
            RecipeError: with every fault.
        """
        if self._found:
            raise RecipeError(self.lines())

    def _place(self, address: Address, at_key: bool) -> tuple[int, int, str]:
        """Line, column and both in words, of the address itself or of the nearest part around it."""
        around = [address[:n] for n in range(len(address), -1, -1)]
        if given := [part for part in around if part in self.given]:
            return 1 << 30, 0, f"from --set {self.given[given[0]]}"
        keys, values = self._document.keys if at_key else {}, self._document.values
        mark = keys.get(address) or next((values[part] for part in around if part in values), None)
        if mark:
            return (*mark, f"{self._name}:{mark[0]}:{mark[1]}")
        path = ".".join(map(str, address[self._shown_from :]))
        return 0, 0, f"{self._name}: {path}" if path else self._name


def _one_line(message: str) -> str:
    """Printable and of sane length, whatever a recipe or a plugin's error holds."""
    plain = "".join(char if char.isprintable() else repr(char)[1:-1] for char in message[:MAX_MESSAGE])
    return plain if len(message) <= MAX_MESSAGE else plain + "…"


def _texts(data: Any, address: Address, key: str) -> Iterator[tuple[Address, str, str]]:
    """Every text of the data, with its address and the key it stands under; keys are texts too."""
    if isinstance(data, str):
        yield address, key, data
    elif isinstance(data, list):
        for i, item in enumerate(data):
            yield from _texts(item, (*address, i), key)
    elif isinstance(data, dict):
        for name, value in data.items():
            yield (*address, name), "", name
            yield from _texts(value, (*address, name), name)
