"""Who is there and how they join: discovery by metadata, the manager, hooks, options."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from filial.plugins.discovery import Claim, Index, index
    from filial.plugins.manager import Manager

__all__ = ["Claim", "Index", "Manager", "index"]


# Listing plugins must not import the manager, which needs pydantic and pluggy: names resolve on first use.
def __getattr__(name: str) -> Any:
    if name in __all__:
        from importlib import import_module

        module = import_module(f"filial.plugins.{'manager' if name == 'Manager' else 'discovery'}")
        value = globals()[name] = getattr(module, name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
