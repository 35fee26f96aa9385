"""Which API key may go to which host. Keys are in environment variables. The user allows each variable for hosts
(``filial keys allow NAME HOST``), so that a recipe of somebody else cannot send it to another host.

``keys.json`` in the user's configuration folder holds the names and hosts, never a key.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from filial.contracts.errors import UsageError

if TYPE_CHECKING:
    from filial.contracts.messages import Destination


def config_folder() -> Path:
    """Return the user's settings folder: ``$FILIAL_CONFIG``, or ``filial`` in ``$XDG_CONFIG_HOME`` or ``~/.config``."""
    if own := os.environ.get("FILIAL_CONFIG"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "filial"


def secret(to: Destination) -> str:
    """Return the key for a destination: the value of its environment variable.

    Raises:
        UsageError: the user has not allowed this host, the variable is not set, or its value is not a key.
    """
    if why := refusal(to):
        raise UsageError(why)
    value = os.environ.get(to.key, "").strip()
    if not value:
        cure = f"put the key for {to.host} into it, or name another variable with api_key_env"
        raise UsageError(f"the environment variable {to.key} is not set; {cure}")
    if not value.isprintable() or not value.isascii():
        raise UsageError(f"the environment variable {to.key} is not a key: it has line breaks or special characters")
    return value


def refusal(to: Destination | None) -> str:
    """Say why the key of a destination must not be sent there; empty if it may, or if there is none.

    A host that is allowed without a port is allowed with any port.

    Raises:
        UsageError: ``keys.json`` is damaged.
    """
    if to is None or not to.key or to.known:
        return ""
    hosts, host = key_bindings().get(to.key, []), to.host.lower()
    has_port = host.startswith("[") or host.count(":") == 1
    if host in hosts or (has_port and re.sub(r":[0-9]+$", "", host) in hosts):
        return ""
    return (
        f"this would send ${to.key} to {to.host}, which you have not allowed; if you trust it: "
        f"filial keys allow {to.key} {to.host}"
    )


def key_bindings() -> dict[str, list[str]]:
    """Return every variable with the hosts that the user has allowed for it.

    Raises:
        UsageError: ``keys.json`` is damaged or cannot be read.
    """
    path = config_folder() / "keys.json"
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as err:
        raise UsageError(f"{path}: cannot be read: {(err.strerror or str(err)).lower()}") from err
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(_is_names(hosts) for hosts in found.values()):
        cure = "repair it, or delete it and allow your keys again: filial keys allow NAME HOST"
        raise UsageError(f'{path}: this file is damaged; it should look like {{"MY_KEY": ["api.example.com"]}}; {cure}')
    return found


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
