"""Read recipes (YAML), and check them as a whole before anything is spent.

All faults are reported at once, each in one line: ``file:line:column: what is wrong; did you mean …``.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filial.contracts.errors import RecipeError
from filial.plugins.yaml import MAX_BYTES, Document, dump, parse, parse_bytes
from filial.recipe.checking import read_recipe, read_stage
from filial.recipe.faults import Faults
from filial.recipe.model import ComponentSpec, JudgeSpec, Recipe, StageSpec, limit_records
from filial.recipe.overrides import override

if TYPE_CHECKING:
    from filial.plugins.manager import Manager

__all__ = [
    "ComponentSpec", "JudgeSpec", "Recipe", "StageSpec", "dump", "from_dict", "limit_records", "load", "loads",
    "stage_from_dict",
]  # fmt: skip


def load(path: str | Path, manager: Manager, overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe file.

    Args:
        manager: knows the installed plugins; only those named in the recipe are imported.
        overrides: ``PATH=VALUE``, as for ``--set``.

    Raises:
        RecipeError: with every fault, in the order of the file.
    """
    name = str(path)
    try:
        with open(path, "rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as err:  # ValueError: a NUL byte in the name
        why = err.strerror if isinstance(err, OSError) and err.strerror else str(err)
        raise RecipeError([f"{name}: this recipe cannot be read: {why}"]) from err
    return _check(parse_bytes(raw), name, Path(path).absolute().parent, manager, overrides)


def loads(text: str, name: str, manager: Manager, overrides: Sequence[str] = (), *, base: Path | None = None) -> Recipe:
    """Check the text of a recipe; its paths are relative to ``base`` (default: the current folder).

    Raises:
        RecipeError: with every fault, in the order of the text.
    """
    return _check(parse(text), name, base or Path.cwd(), manager, overrides)


def from_dict(
    data: dict[str, Any], manager: Manager, overrides: Sequence[str] = (), *, name: str = "the command line",
    base: Path | None = None,
) -> Recipe:  # fmt: skip
    """Check a recipe given as plain data.

    Raises:
        RecipeError: with every fault; a fault has the path in ``data`` instead of line and column.
    """
    return _check(Document(data=copy.deepcopy(data)), name, base or Path.cwd(), manager, overrides)


def stage_from_dict(data: dict[str, Any], manager: Manager, *, name: str, base: Path | None = None) -> StageSpec:
    """Check one stage, ``{VERB: …}`` as in a recipe. The caller provides its records and its teacher.

    Raises:
        RecipeError: with every fault.
    """
    in_stages = len(("stages", 0, "VERB"))  # the caller names no stage by its place
    faults = Faults(name, Document(data=copy.deepcopy(data)), base or Path.cwd(), in_stages)
    return read_stage(data, name, manager, faults)


def _check(document: Document, name: str, base: Path, manager: Manager, overrides: Sequence[str]) -> Recipe:
    faults = Faults(name, document, base)
    if document.readable:
        for text in overrides:
            override(document.data, text, faults)
        return read_recipe(document.data, name, manager, faults)
    raise RecipeError(faults.lines())
