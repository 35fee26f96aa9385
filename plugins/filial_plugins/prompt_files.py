"""Prompts as text files beside the modules that use them."""

from __future__ import annotations

from pathlib import Path


def read_prompt(module_file: str, name: str) -> str:
    """Read a prompt file beside a module (its ``__file__``), without the line break at its end."""
    return Path(module_file).with_name(name).read_text(encoding="utf-8").removesuffix("\n")
