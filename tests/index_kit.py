"""What a test has installed: filial's own stages, and nothing else that is named in a recipe."""

from filial.plugins import Index, index

CODE = """
from filial.plugins import Index, index
stages = Index()
for claims in index(block="")["stages"].values():
    stages.add(claims[0])
"""
"""The same for a process of its own, as ``stages``."""


OURS = index(no_plugins=True, block="")["stages"]


def stages() -> Index:
    """An index of filial's own stages alone."""
    found = Index()
    for (claim,) in OURS.values():
        found.add(claim)
    return found
