"""Import a plugin; a failure becomes one sentence that names the plugin."""

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
from filial.plugins.discovery import OURSELVES, Claim, normalize_name


@contextmanager
def contain_errors(claim: Claim) -> Iterator[None]:
    """Check that a plugin supports this version of filial, and turn any failure of the block into a `PluginError`.

    Raises:
        PluginError: anything failed, ``sys.exit()`` included; names the distribution, the entry point and the cause.
    """
    try:
        check_range(claim)
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as err:
        from filial.contracts.plugin_errors import describe_error  # imports msgspec; listing plugins does not

        cause = str(err) if isinstance(err, PluginError) else describe_error(err)
        raise PluginError(f"{claim.owner}: {claim.entry} does not load: {' '.join(cause.split())}") from err


def check_range(claim: Claim) -> None:
    """Check the distribution's requirements on filial; pre-releases of filial count like releases.

    Requirements with an environment marker are not checked; pip has evaluated them.

    Raises:
        PluginError: a requirement does not hold, or cannot be parsed.
    """
    if claim.dist == OURSELVES:
        return
    from packaging.requirements import InvalidRequirement, Requirement

    for line in claim.requirements():
        if normalize_name(re.split(r"[^\w.-]", line)[0]) != OURSELVES:
            continue
        try:
            wanted = Requirement(line)
        except InvalidRequirement as err:
            raise PluginError(f"its requirement on filial cannot be read ({err})") from err
        if not wanted.marker and not wanted.specifier.contains(__version__, prereleases=True):
            cure = f"install a version of {claim.dist} made for this one, or another filial"
            raise PluginError(f"it needs filial {wanted.specifier}, and this is filial {__version__}; {cure}")


def import_entry(value: str) -> Any:
    """Import the object that ``module`` or ``module:object`` names; an extras marker (``[x]``) is ignored."""
    module, _, attributes = "".join(value.partition("[")[0].split()).partition(":")
    return resolve_name(f"{module}:{attributes}")


def import_file(path: Path) -> Any:
    """Execute a file as a module with a name that no import statement uses.

    Raises:
        PluginError: it is not a Python file.
    """
    name = f"filial_file_{re.sub(r'[^0-9A-Za-z]', '_', path.stem)}"
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError("it is not a Python file; its name must end in .py")
    module = module_from_spec(spec)
    sys.modules[name] = module  # so that its classes can be pickled
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def is_installed(module: str) -> bool:
    """Return whether a module can be imported; imports only its parent packages."""
    if sys.modules.get(module) is not None:
        return True
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the parent package is missing
        return False
