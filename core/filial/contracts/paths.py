"""Resolve the paths in a recipe: relative to it, or in an installed package (``pkg:``)."""

from __future__ import annotations

import os
import re
from pathlib import Path

from filial.contracts.errors import UsageError, hint


def resolve(path: str, base: Path | None = None) -> Path:
    """Return the file or folder that a recipe means.

    ``pkg:some_package/file`` is data in an installed package, found without importing the package itself (only its
    parents, if any). Anything else is relative to ``base``, usually the recipe's folder.

    Raises:
        UsageError: the package is not installed.
    """
    if not path.startswith("pkg:"):
        return (base or Path.cwd()) / Path(path).expanduser()
    from importlib.util import find_spec

    package, _, rest = path.removeprefix("pkg:").partition("/")
    try:
        spec = find_spec(package)
    except ModuleNotFoundError:
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(f"{path}: no package {package!r} is installed; install it or give a file of your own")
    return Path(next(iter(spec.submodule_search_locations))) / rest


def is_address(source: str) -> bool:
    """Whether a source is none of the disk: ``hf:NAME``, or another that begins with the name of the format that loads
    it."""
    return re.match(r"(?!pkg:)[A-Za-z][\w-]+:", source) is not None and not Path(source).exists()


def explain_missing(path: str, base: Path) -> str:
    """Say why nothing can be read at a path; empty if something is there, and for an address, which formats know."""
    start = "; paths start at the recipe's folder"
    named = f"{path!r:.60}"
    try:
        if is_address(path) or (place := resolve(path, base)).exists():
            return ""
        meant = hint(place.name, os.listdir(place.parent)) if place.parent.is_dir() else ""
    except UsageError as err:
        return str(err)
    except (OSError, RuntimeError, ValueError, ImportError) as err:
        return f"{named} is not a path that can be opened ({err})"
    return f"no file {named} in that package" if path.startswith("pkg:") else f"no file {named}{meant or start}"
