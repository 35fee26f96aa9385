"""Importing one plugin and looking at it, before anything of it is registered."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from filial.contracts.errors import PluginError, hint
from filial.contracts.kinds import HookPlugin
from filial.plugins import hookspecs
from filial.plugins.discovery import Claim
from filial.plugins.importing import imported

HOOKS = {name: spec for name, spec in vars(hookspecs).items() if hasattr(spec, "filial_spec")}


def from_file(path: Path) -> Any:
    """Execute a file as a module of its own, importable by no other name."""
    from importlib.util import module_from_spec, spec_from_file_location

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


def hooks_class(claim: Claim) -> tuple[type[HookPlugin], ModuleType | None]:
    """What an entry of the group ``filial.hooks`` names: a class, whose fields are options; or a module, which has none
    and stands for itself."""
    found = imported(claim.value)
    if isinstance(found, ModuleType):
        return type(claim.name, (HookPlugin,), {"__doc__": found.__doc__, "__module__": found.__name__}), found
    if not (isinstance(found, type) and issubclass(found, HookPlugin)):
        raise PluginError(f"it points at {found!r}, which is neither a module nor a subclass of filial.HookPlugin")
    return found, None


def hooks_of_file(module: Any) -> dict[str, type[HookPlugin]]:
    """The hook plugins that a file defines: called like their classes, in kebab-case."""
    classes = (cls for cls in vars(module).values() if isinstance(cls, type) and issubclass(cls, HookPlugin))
    own = (cls for cls in classes if cls.__module__ == module.__name__)
    return {re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", cls.__name__).lower(): cls for cls in own}


def check_hooks(pm: pluggy.PluginManager, plugin: Any, promises: bool) -> None:
    """See before registering that every hook a plugin implements exists and takes these arguments."""
    if isinstance(plugin, type):
        raise PluginError("it points at a class; point it at the module whose register hook registers that class")
    count = 0
    for attribute in dir(plugin):
        options = pm.parse_hookimpl_opts(plugin, attribute)
        if options is None:
            continue
        count += 1
        hook = options.get("specname") or attribute
        if hook not in HOOKS:
            raise PluginError(f"there is no hook {hook!r}{hint(hook, HOOKS)}")
        method = getattr(plugin, attribute)
        takes, given = _required(method), list(inspect.signature(HOOKS[hook]).parameters)
        if unknown := [name for name in takes if name not in given]:
            raise PluginError(f"its hook {hook} wants {unknown[0]!r}, but hooks of this name get {', '.join(given)}")
        if options.get("wrapper") or options.get("hookwrapper"):
            raise PluginError(f"its hook {hook} is marked as a wrapper; filial's hooks are written without that")
        if hook == "ask" and not inspect.iscoroutinefunction(method):
            raise PluginError("its hook ask must be written 'async def'")
    if not count and not promises:  # where it promises a name, the caller compares
        raise PluginError("it implements no hook; mark one with filial.hookimpl")


def _required(method: Any) -> list[str]:
    """Arguments without a default, which are the ones pluggy passes."""
    empty = inspect.Parameter.empty
    return [name for name, p in inspect.signature(method).parameters.items() if p.default is empty]


def installed(module: str) -> bool:
    """Whether a module can be imported, without importing it (only its parents, when it has any)."""
    from importlib.util import find_spec

    if sys.modules.get(module) is not None:
        return True
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the parent of a dotted name is not there
        return False
