"""Digests of installed code that can change without a new version: editable installations, local folders, repositories.

A release from a package index never changes under its version, so none of its files is read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec

from filial.contracts.errors import PluginError
from filial.storage import digest, file_sha256


class _Source(msgspec.Struct):
    """``direct_url.json`` (PEP 610): where a distribution came from if not from a package index."""

    dir_info: dict[str, Any] = {}


@cache
def code_digest(info: str, module: str) -> str:
    """Return a digest of the code behind a module (12 hex digits); empty if the distribution's version identifies it.

    An editable installation is identified by all files of the module's top-level package (for a single module: by the
    Python files of its folder), one from a folder or a repository by its RECORD file. The digest is computed once per
    process, before the module is imported, because imported code does not change any more.

    Args:
        info: the distribution's metadata folder.
        module: the module of an entry point, ``package.module`` or ``package.module:object``.

    Raises:
        PluginError: ``direct_url.json`` is damaged.
    """
    if info.endswith(".egg-info"):  # 'setup.py develop' writes it beside the sources
        return _files_digest(module)
    try:
        source = msgspec.json.decode(Path(info, "direct_url.json").read_bytes(), type=_Source)
    except FileNotFoundError:
        return ""
    except msgspec.DecodeError as err:
        raise PluginError(f"{info}/direct_url.json cannot be read ({err}); reinstall it with pip") from err
    record = Path(info, "RECORD")
    return _files_digest(module) if source.dir_info.get("editable") or not record.exists() else _record_digest(record)


def _files_digest(module: str) -> str:
    found = [(name, file_sha256(path)) for name, path in _files(module.partition(":")[0].strip())]
    return digest(found)[:12]


def _files(module: str) -> Iterator[tuple[str, Path]]:
    """Yield the files of a module's top-level package, without caches and hidden files. A namespace package does not
    count as top level."""
    names = accumulate(module.split("."), "{}.{}".format)
    spec = next((spec for spec in map(find_spec, names) if spec is None or spec.origin is not None), None)
    if spec is None or spec.origin is None or not os.path.isfile(spec.origin):
        return  # importing the module will raise the error
    folder = Path(spec.origin).parent
    for path in sorted(folder.glob("*.py") if spec.submodule_search_locations is None else folder.rglob("*")):
        within = path.relative_to(folder)
        hidden = any(part.startswith(".") or part == "__pycache__" for part in within.parts)
        if not hidden and path.suffix != ".pyc" and path.is_file():
            yield str(within), path


def _record_digest(record: Path) -> str:
    """Digest the checksums that pip wrote, without those of metadata and scripts, which differ between machines."""
    own = record.parent.name
    lines = (line.strip() for line in record.read_text("utf-8").splitlines())
    return digest(sorted(line for line in lines if "sha256=" in line and not line.startswith(("..", own))))[:12]
