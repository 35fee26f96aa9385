"""Do the files that a recipe names exist? Asked before anything is spent."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from filial.errors import UsageError
from filial.recipe.faults import Faults
from filial.recipe.words import near, shown
from filial.resources import resolve
from filial.yamlmarks import Address


class Files:
    """Looks for files beside the recipe, in packages (``pkg:``), or leaves them to the hub (``hf:``)."""

    def __init__(self, base: Path, faults: Faults) -> None:
        self.base, self._faults = base, faults

    def check(self, path: Any, address: Address) -> None:
        """Note a fault if this names a file or folder that is not there; what is no text is left to the schema."""
        if not isinstance(path, str) or not path or path.startswith("hf:"):
            return
        try:
            place = resolve(path, self.base)
            there = place.exists()
        except UsageError as err:
            self._faults.add(address, str(err))
        except (OSError, RuntimeError, ValueError, ImportError) as err:
            self._faults.add(address, f"{shown(path)} is not a path that can be opened ({err})")
        else:
            if not there:
                self._faults.add(address, f"no file {shown(path)}{self._meant(place, path)}")

    def check_model(self, model: Any, address: Address) -> None:
        """As `check`, for a model that is plainly a path; any other name may be one on the hub."""
        if isinstance(model, str) and model.startswith(("pkg:", ".", "/", "~")):
            self.check(model, address)

    def _meant(self, place: Path, path: str) -> str:
        if path.startswith("pkg:"):
            return " in that package"
        try:
            meant = near(place.name, os.listdir(place.parent))
        except OSError:
            return f" and no folder {shown(os.path.dirname(path))}; paths start at the recipe's folder"
        return f"; did you mean {meant!r}?" if meant else "; paths start at the recipe's folder"
