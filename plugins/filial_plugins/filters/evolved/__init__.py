"""Remove failed evolutions: the elimination rules of Evol-Instruct."""

from filial_plugins.filters.evolved.filter import Evolved, register_filters

__all__ = ["Evolved", "register_filters"]
