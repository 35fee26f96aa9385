"""Public names that are imported on first use (PEP 562), so that importing their package is fast."""

from collections.abc import Callable
from typing import Any


def lazy(package: dict[str, Any], room: str, *modules: str) -> Callable[[str], Any]:
    """Return a ``__getattr__`` for a package that imports the names of its ``__all__`` on first use.

    Args:
        package: the package's ``globals()``.
        room: the package that contains the modules.
        modules: the modules with the names. They are imported one by one until a name is found, so name the fastest
            first.
    """

    def find(name: str) -> Any:
        from importlib import import_module

        if name in package["__all__"]:
            for module in modules:
                found = vars(import_module(f"{room}.{module}"))
                if name in found:
                    package[name] = found[name]
                    return found[name]
        raise AttributeError(f"module {package['__name__']!r} has no attribute {name!r}")

    return find
