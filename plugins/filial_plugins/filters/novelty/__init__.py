"""The filter `novelty`, and the index that it shares with generators: which of many texts is too close to a new one."""

from filial_plugins.filters.novelty.filter import Novelty, register_filters

__all__ = ["Novelty", "register_filters"]
