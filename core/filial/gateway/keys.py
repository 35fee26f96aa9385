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

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


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

    Raises:
        UsageError: ``keys.json`` is damaged.
    """
    if to is None or not to.key or to.known or allowed(to.key, to.host):
        return ""
    return (
        f"this would send ${to.key} to {to.host}, which you have not allowed; if you trust it: "
        f"filial keys allow {to.key} {to.host}"
    )


def allowed(name: str, host: str) -> bool:
    """Whether the user allowed a variable to go to a host. A host allowed without a port is allowed with any.

    Raises:
        UsageError: ``keys.json`` is damaged.
    """
    hosts = key_bindings().get(name, [])
    return host.lower() in hosts or _without_port(host.lower()) in hosts


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


def allow_key(name: str, host: str) -> str:
    """Let a variable go to a host, given alone, with a port, or as an address. Returns the host as it is noted.

    Raises:
        UsageError: one of them is none, or ``keys.json`` is damaged or cannot be written.
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
    """Let a variable go to a host no longer, or to none at all. Returns the hosts it may no longer go to.

    Raises:
        UsageError: it was not allowed there; or as `allow_key`.
    """
    found = key_bindings()
    hosts = found.pop(name, [])
    gone = [h for h in hosts if host is None or h == host.lower()]
    if not gone:
        raise UsageError(f"that was not allowed; filial keys shows what is: {', '.join(key_bindings()) or 'nothing'}")
    if rest := [h for h in hosts if h not in gone]:
        found[name] = rest
    _write(found)
    return gone


def _write(found: dict[str, list[str]]) -> None:
    from filial.storage import replacing, write_errors

    folder = config_folder()
    with write_errors(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with replacing(folder / "keys.json") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(json.dumps(found, indent=1, sort_keys=True).encode() + b"\n")


def _without_port(host: str) -> str:
    return re.sub(r":[0-9]+$", "", host) if host.startswith("[") or host.count(":") == 1 else host


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
