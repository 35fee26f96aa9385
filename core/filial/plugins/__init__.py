"""Who is there and how they join: discovery by metadata, the manager, hooks, options."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from filial.plugins.discovery import Claim, Index, index
    from filial.plugins.manager import Manager

__all__ = ["Claim", "Index", "Manager", "index"]

# Listing plugins must not import the manager, which needs pydantic and pluggy: names resolve on first use.
_WHERE = {
    "Claim": "filial.plugins.discovery",
    "Index": "filial.plugins.discovery",
    "Manager": "filial.plugins.manager",
    "index": "filial.plugins.discovery",
}


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        from importlib import import_module

        value = globals()[name] = getattr(import_module(_WHERE[name]), name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
