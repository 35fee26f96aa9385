"""Plugins in Python: by name, by mapping, as objects or classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeGuard

from filial.api.reporters import reporter
from filial.contracts.errors import UsageError
from filial.contracts.kinds import Component
from filial.contracts.sources import SourceSpec
from filial.engine.progress import Reporter
from filial.plugins.manager import Manager

Plugin = str | Mapping[str, Any] | Component | type[Component]
"""A component: its name, ``{"use": NAME, option: value}``, an object, or its class."""
Plugins = Manager | Iterable[str | Path]
"""Files to load as plugins, as with ``--plugin``; or a manager that has loaded them."""


def is_plugin(value: object) -> TypeGuard[Plugin]:
    """Return whether this names a component."""
    return isinstance(value, str | Mapping | Component) or (isinstance(value, type) and issubclass(value, Component))


def manager_of(plugins: Plugins) -> Manager:
    """Return a manager that knows the installed plugins and these files."""
    if isinstance(plugins, Manager):
        return plugins
    manager = Manager()
    for file in plugins:
        manager.load_file(Path(file))
    return manager


def reporter_of(progress: bool | Reporter) -> Reporter:
    """Return the reporter that shows progress, or a silent one."""
    return progress if isinstance(progress, Reporter) else reporter() if progress else Reporter()


def plain(value: Any, manager: Manager, *, registered: bool = False) -> Any:
    """Return a value as a recipe writes it: components as ``{"use": NAME, …}``, paths as text, the rest unchanged.

    With ``registered``, a class that no package registers is refused; otherwise it gets a name in this manager.

    Raises:
        UsageError: a class is refused, or a list or dict contains itself.
    """
    try:
        return _plain(value, manager, registered)
    except RecursionError:
        raise UsageError("a list or dict contains itself, so no recipe can be written of it") from None


def _plain(value: Any, manager: Manager, registered: bool) -> Any:
    if isinstance(value, type) and issubclass(value, Component):
        name = manager.name_of(value)
        if not name and registered:
            cure = "register it with a hook in a file and name that, as in Recipe(plugins=['FILE.py'], …)"
            what = f"no package registers {value.__name__} (of {value.__module__}), so no recipe can name it"
            raise UsageError(f"{what}; {cure}, or make a package of it")
        return name or manager.adopt(value)
    if isinstance(value, Component):
        name = _plain(type(value), manager, registered)
        options = value.model_dump(mode="json", exclude_defaults=True)
        return {"use": name, **options} if options else name
    if isinstance(value, SourceSpec):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        said = {str(key): _plain(inner, manager, registered) for key, inner in value.items()}
        used = said.pop("use", None)
        return said if used is None else {**(used if isinstance(used, dict) else {"use": used}), **said}
    if isinstance(value, list | tuple):
        return [_plain(inner, manager, registered) for inner in value]
    return str(value) if isinstance(value, Path) else value


def beside(plugin: Plugin, manager: Manager, **keys: Any) -> dict[str, Any]:
    """Return a component as a mapping; ``keys`` that are not None are added to its options."""
    spec = plain(plugin, manager)
    return {**(spec if isinstance(spec, dict) else {"use": spec}), **{k: v for k, v in keys.items() if v is not None}}


def build(kind: str, plugin: Plugin, manager: Manager) -> Component:
    """Build a component, if everything it needs is installed.

    Raises:
        UsageError: there is no such component, or its options are invalid.
        MissingExtra: a package that it needs is not installed.
    """
    made = manager.build(kind, plain(plugin, manager))
    manager.check_requirements(type(made))
    return made
