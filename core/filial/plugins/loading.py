"""Import one plugin. Whatever fails is one sentence that says whose it is."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from filial import __version__
from filial.contracts.errors import PluginError
from filial.plugins.discovery import OURSELVES, Claim, normalized


@contextmanager
def contained(claim: Claim) -> Iterator[None]:
    """See that a plugin is made for this filial. Whatever fails inside, ``sys.exit()`` too, becomes one sentence.

    Raises:
        PluginError: that sentence, with distribution, entry point and cause.
    """
    try:
        check_range(claim)
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as err:
        cause = str(err) if isinstance(err, PluginError) else f"{type(err).__name__}: {err}"
        raise PluginError(f"{claim.owner}: {claim.entry} does not load: {' '.join(cause.split())}") from err


def check_range(claim: Claim) -> None:
    """See that the distribution's own requirements on filial hold; pre-releases of filial count like releases.

    One with an environment marker is left out: whoever installed the distribution judged it.
    """
    if claim.dist == OURSELVES:
        return
    from packaging.requirements import InvalidRequirement, Requirement

    for line in claim.requirements():
        if normalized(re.split(r"[^\w.-]", line)[0]) != OURSELVES:
            continue
        try:
            wanted = Requirement(line)
        except InvalidRequirement as err:
            raise PluginError(f"its requirement on filial cannot be read ({err})") from err
        if not wanted.marker and not wanted.specifier.contains(__version__, prereleases=True):
            cure = f"install a version of {claim.dist} made for this one, or another filial"
            raise PluginError(f"it needs filial {wanted.specifier}, and this is filial {__version__}; {cure}")


def import_entry(value: str) -> Any:
    """Import what ``module`` or ``module:object`` names (an extras marker after it means nothing any more)."""
    module, _, attributes = "".join(value.partition("[")[0].split()).partition(":")
    return resolve_name(f"{module}:{attributes}")


def import_file(path: Path) -> Any:
    """Execute a file as a module of its own, importable by no other name."""
    name = f"filial_file_{re.sub(r'[^0-9A-Za-z]', '_', path.stem)}"
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError("it is no Python file; its name must end in .py")
    module = module_from_spec(spec)
    sys.modules[name] = module  # so that its classes can be pickled
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def is_installed(module: str) -> bool:
    """Whether a module can be imported, without importing it (only its parents, when it has any)."""
    if sys.modules.get(module) is not None:
        return True
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the parent of a dotted name is not there
        return False
