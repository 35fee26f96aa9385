"""Plugins: discovery from package metadata, loading, hooks and options."""

from typing import TYPE_CHECKING

from filial.contracts.lazy import lazy

__all__ = ["Claim", "Index", "Manager", "index"]

if TYPE_CHECKING:
    from filial.plugins.discovery import Claim, Index, index
    from filial.plugins.manager import Manager
else:  # listing plugins must not import the manager, which needs pydantic and pluggy
    __getattr__ = lazy(globals(), "filial.plugins", "discovery", "manager")
