"""Importing what an entry point names. Whatever fails is one sentence that says whose it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from filial import __version__
from filial.contracts.errors import PluginError
from filial.plugins.discovery import OURSELVES, Claim, normalized


def imported(value: str) -> Any:
    """What ``module`` or ``module:object`` names (an extras marker after it means nothing any more)."""
    from functools import reduce
    from importlib import import_module

    module, _, attributes = value.partition("[")[0].partition(":")
    found: Any = import_module(module.strip())
    return reduce(getattr, filter(None, attributes.strip().split(".")), found)


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
    """See that the distribution's own requirement on filial holds; pre-releases of filial count like releases."""
    specs = claim.requires_filial() if normalized(claim.dist) != OURSELVES else ()
    if not specs:
        return
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    for spec in specs:
        try:
            fits = SpecifierSet(spec).contains(__version__, prereleases=True)
        except InvalidSpecifier as err:
            raise PluginError(f"its requirement on filial cannot be read ({err})") from err
        if not fits:
            cure = f"install a version of {claim.dist} made for this one, or another filial"
            raise PluginError(f"it needs filial {spec}, and this is filial {__version__}; {cure}")
