"""Remove records too similar to earlier ones: the ROUGE-L rule of Self-Instruct."""

from filial_plugins.filters.novelty.filter import Novelty, register_filters

__all__ = ["Novelty", "register_filters"]
