"""Change which key may go to which host: ``keys.json`` in the user's configuration folder, which the gateway reads."""

from __future__ import annotations

import json
import os
import re

from filial import UsageError
from filial.gateway import config_folder, key_bindings

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


def allow_key(name: str, host: str) -> str:
    """Allow a variable for a host, given as a name, with a port, or as an address. Returns the host as it is stored.

    Raises:
        UsageError: one of them is invalid, or ``keys.json`` is damaged or cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise UsageError("give the name of an environment variable (letters, digits and '_'), not the key itself")
    noted = re.sub(r"^https?://", "", host.strip(), flags=re.IGNORECASE).partition("/")[0].lower()
    if not _HOST.fullmatch(noted):
        raise UsageError("give the host alone, such as api.example.com or 127.0.0.1:8000")
    found = key_bindings()
    _write({**found, name: sorted({*found.get(name, []), noted})})
    return noted


def forget_key(name: str, host: str | None = None) -> list[str]:
    """Forbid a variable for a host, or for all hosts. Returns the hosts that were removed.

    Raises:
        UsageError: it was not allowed there; or as in `allow_key`.
    """
    found = key_bindings()
    hosts = found.pop(name, [])
    gone = [h for h in hosts if host is None or h == host.lower()]
    if not gone:
        raise UsageError(f"this is not an allowed key and host; allowed keys: {', '.join(key_bindings()) or 'none'}")
    if rest := [h for h in hosts if h not in gone]:
        found[name] = rest
    _write(found)
    return gone


def _write(found: dict[str, list[str]]) -> None:
    from filial.storage import replace_file, write_errors

    folder = config_folder()
    with write_errors(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with replace_file(folder / "keys.json") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(json.dumps(found, indent=1, sort_keys=True).encode() + b"\n")
