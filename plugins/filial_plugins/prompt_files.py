"""Prompts that lie as texts beside the modules that use them."""

from __future__ import annotations

from pathlib import Path


def read_prompt(module_file: str, name: str) -> str:
    """The text of a file beside a module (its ``__file__``), without the line end at its end."""
    return Path(module_file).with_name(name).read_text(encoding="utf-8").removesuffix("\n")
