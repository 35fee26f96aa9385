"""The filter `evolved`: the elimination rules of Evol-Instruct, one file per rule."""

from filial_plugins.filters.evolved.filter import Evolved, register_filters

__all__ = ["Evolved", "register_filters"]
