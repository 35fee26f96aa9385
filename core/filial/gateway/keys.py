"""Which key may go to which host. Keys stand in environment variables; a variable is bound to the hosts its user
allowed (``filial keys allow NAME HOST``), so that a stranger's recipe cannot send it elsewhere.

The bindings are in ``keys.json`` of the user's configuration folder: names and hosts, never a value.
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
    """Where this user's settings are: ``$FILIAL_CONFIG``, else ``filial`` in ``$XDG_CONFIG_HOME`` or ``~/.config``."""
    if own := os.environ.get("FILIAL_CONFIG"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "filial"


def secret(to: Destination) -> str:
    """The value of the environment variable that goes along to a destination.

    Raises:
        UsageError: its user has not allowed it to go there, it is not set, or its value is no key.
    """
    if why := refusal(to):
        raise UsageError(why)
    value = os.environ.get(to.key, "").strip()
    if not value:
        raise UsageError(
            f"the environment variable {to.key} is not set; put the key for {to.host} into it, or name another "
            "variable with api_key_env"
        )
    if not value.isprintable() or not value.isascii():
        raise UsageError(f"the environment variable {to.key} holds more than a key: line breaks or special characters")
    return value


def refusal(to: Destination | None) -> str:
    """Why the key of a destination must not go there; empty if it may, or if there is none.

    A host that is allowed without a port is allowed with any.

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
    """Every variable with the hosts it may go to, as the user allowed them.

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
        raise UsageError(
            f'{path}: this file is damaged; it should look like {{"MY_KEY": ["api.example.com"]}}. Mend it, or delete '
            "it and allow your keys anew: filial keys allow NAME HOST"
        )
    return found


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
