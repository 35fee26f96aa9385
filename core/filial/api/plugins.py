"""Plugins as Python names them: by name, by mapping, as objects or classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeGuard

from filial.api.reporters import reporter
from filial.contracts.errors import UsageError
from filial.contracts.kinds import Component
from filial.engine.progress import Reporter
from filial.plugins.manager import Manager

Plugin = str | Mapping[str, Any] | Component | type[Component]
"""A component: its name, ``{"use": NAME, option: value}``, an object, or its class."""
Plugins = Manager | Iterable[str | Path]
"""Files to load as plugins, as ``--plugin`` does; or a manager that has loaded them."""


def is_plugin(value: object) -> TypeGuard[Plugin]:
    """Whether this names a component."""
    return isinstance(value, str | Mapping | Component) or (isinstance(value, type) and issubclass(value, Component))


def manager_of(plugins: Plugins) -> Manager:
    """Return a manager that knows what is installed and these files."""
    if isinstance(plugins, Manager):
        return plugins
    manager = Manager()
    for file in plugins:
        manager.load_file(Path(file))
    return manager


def reporter_of(progress: bool | Reporter) -> Reporter:
    """Return the reporter that shows progress, or one that says nothing."""
    return progress if isinstance(progress, Reporter) else reporter() if progress else Reporter()


def plain(value: Any, manager: Manager, *, registered: bool = False) -> Any:
    """Return what a recipe would say: components as ``{"use": NAME, …}``, paths as text, the rest as it is.

    With ``registered``, a class that no package registers is refused; otherwise it gets a name in this manager.
    """
    if isinstance(value, type) and issubclass(value, Component):
        name = manager.name_of(value)
        if not name and registered:
            raise UsageError(
                f"no package registers {value.__name__} (of {value.__module__}), so no recipe can name it; register it "
                "with a hook in a file and name that, as in Recipe(plugins=['FILE.py'], …), or make a package of it"
            )
        return name or manager.adopt(value)
    if isinstance(value, Component):
        name = plain(type(value), manager, registered=registered)
        options = value.model_dump(mode="json", exclude_defaults=True)
        return {"use": name, **options} if options else name
    if isinstance(value, Mapping):
        said = {str(key): plain(inner, manager, registered=registered) for key, inner in value.items()}
        used = said.pop("use", None)
        return said if used is None else {**(used if isinstance(used, dict) else {"use": used}), **said}
    if isinstance(value, list | tuple):
        return [plain(inner, manager, registered=registered) for inner in value]
    return str(value) if isinstance(value, Path) else value


def beside(plugin: Plugin, manager: Manager, **keys: Any) -> dict[str, Any]:
    """Return a component as a mapping, with a recipe's own keys beside its options where they are given."""
    spec = plain(plugin, manager)
    return {**(spec if isinstance(spec, dict) else {"use": spec}), **{k: v for k, v in keys.items() if v is not None}}


def build(kind: str, plugin: Plugin, manager: Manager) -> Component:
    """Return a component, once everything it needs is installed.

    Raises:
        UsageError: there is none, or its options are wrong.
        MissingExtra: it needs what is not installed.
    """
    made = manager.build(kind, plain(plugin, manager))
    manager.check_requirements(type(made))
    return made
