"""What an installation holds, where its version does not say: code that is edited or installed anew under one version.

A release from an index never changes under its version, and nothing of it is read here.
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
    """PEP 610: where an installation came from that is from no index."""

    dir_info: dict[str, Any] = {}


@cache
def content(info: str, module: str) -> str:
    """A digest of the code behind a distribution's module; empty where its version says it all.

    Read once per process, before the module is imported: what is imported stays as it is. Of an editable installation
    it is of all files of the module's top-level package (of a lone module, of those beside it), of one from a folder or
    a repository, of its record of files.

    Args:
        info: the distribution's metadata folder.
        module: an entry point's, ``package.module`` or ``package.module:object``.
    """
    if info.endswith(".egg-info"):  # as 'setup.py develop' leaves it, beside the sources
        return _edited(module)
    try:
        source = msgspec.json.decode(Path(info, "direct_url.json").read_bytes(), type=_Source)
    except FileNotFoundError:
        return ""
    except msgspec.DecodeError as err:
        raise PluginError(f"{info}/direct_url.json cannot be read ({err}); reinstall it with pip") from err
    record = Path(info, "RECORD")
    return _edited(module) if source.dir_info.get("editable") or not record.exists() else _recorded(record)


def _edited(module: str) -> str:
    found = [(name, file_sha256(path)) for name, path in _files(module.partition(":")[0].strip())]
    return digest(found)[:12]


def _files(module: str) -> Iterator[tuple[str, Path]]:
    """All files of the top-level package of a module, but for caches and hidden ones; a namespace is not one."""
    names = accumulate(module.split("."), "{}.{}".format)
    spec = next((spec for spec in map(find_spec, names) if spec is None or spec.origin is not None), None)
    if spec is None or spec.origin is None or not os.path.isfile(spec.origin):
        return  # it is not there: importing it will say so
    folder = Path(spec.origin).parent
    for path in sorted(folder.glob("*.py") if spec.submodule_search_locations is None else folder.rglob("*")):
        within = path.relative_to(folder)
        hidden = any(part.startswith(".") or part == "__pycache__" for part in within.parts)
        if not hidden and path.suffix != ".pyc" and path.is_file():
            yield str(within), path


def _recorded(record: Path) -> str:
    """Of the checksums that pip noted, but for metadata and scripts, which differ from place to place."""
    own = record.parent.name
    lines = (line.strip() for line in record.read_text("utf-8").splitlines())
    return digest(sorted(line for line in lines if "sha256=" in line and not line.startswith(("..", own))))[:12]
