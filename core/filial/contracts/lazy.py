"""Public names that are found on first use (PEP 562), so that importing the package that offers them costs nothing."""

from collections.abc import Callable
from typing import Any


def lazy(package: dict[str, Any], room: str, *modules: str) -> Callable[[str], Any]:
    """Return a ``__getattr__`` for a package that finds the names of its ``__all__`` when they are first used.

    Args:
        package: the package's ``globals()``.
        room: where the modules are.
        modules: those that hold the names. They are imported one by one until a name is found: the cheapest is first.
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
