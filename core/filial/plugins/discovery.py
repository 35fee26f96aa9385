"""What is installed, read from packaging metadata alone: nothing is imported, so listing is cheap and safe.

The entry points are those of ``importlib.metadata.entry_points()`` in groups that start with ``filial.``;
that module is not used because importing it costs more than this whole scan. Packages inside a zip file on
``sys.path`` are not seen.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from filial.contracts.errors import PluginError, hint

GROUPS = (
    "generators", "strategies", "filters", "mixers", "templates", "trainers", "teachers", "judges",
    "formats", "commands", "hooks",
)  # fmt: skip
OURSELVES = "filial"
HOOKS = "hooks"
"""The group of plugins that bring hooks only; beside the kinds, since they register nothing."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One distribution's claim to one name: a line of its ``entry_points.txt``.

    ``kind`` is the group without ``filial.``; ``value`` is ``module`` or ``module:object``; ``path`` is the
    distribution's metadata folder.
    """

    kind: str
    name: str
    value: str
    dist: str
    version: str
    path: str

    @property
    def owner(self) -> str:
        """The distribution and its version, for people."""
        return f"{self.dist} {self.version}".rstrip()

    @property
    def identity(self) -> str:
        """``dist:name``, the same however the distribution's name is written: what keys are made of."""
        dist = self.dist if os.path.isabs(self.value) else normalized(self.dist)  # a file's name stays as it is
        return f"{dist}:{self.name}"

    @property
    def entry(self) -> str:
        """The entry point, for people."""
        return f"entry point {self.name} = {self.value}"

    def summary(self) -> str:
        """The first line of the module's docstring, read as text: no code is run. Empty where it cannot be read."""
        module = self.value.partition(":")[0].strip().replace(".", os.sep)
        for folder in sys.path:
            for file in (f"{module}.py", os.path.join(module, "__init__.py")):
                try:
                    with open(os.path.join(folder, file), encoding="utf-8") as source:
                        first = source.readline().strip()
                except (OSError, UnicodeDecodeError):
                    continue  # not there or not to be read: the next place may have it
                return first.strip('"').strip() if first.startswith('"""') else ""
        return ""

    def requires_filial(self) -> tuple[str, ...]:
        """The version specifiers this distribution asks of filial (``>=0.1,<1``), read when called.

        A requirement with an environment marker is left out: whoever installed the distribution judged it.
        """
        found = []
        for line in (value for key, value in _header(self.path) if key == "requires-dist"):
            wanted, _, marker = line.partition(";")
            name = wanted.strip()
            end = next((i for i, char in enumerate(name) if not (char.isalnum() or char in "-_.")), len(name))
            rest = name[end:].strip()
            if rest.startswith("["):
                rest = rest.partition("]")[2].strip()
            if normalized(name[:end]) == OURSELVES and not marker.strip() and not rest.startswith("@"):
                found.append(rest.strip("()"))
        return tuple(spec for spec in found if spec)


class Index(dict[str, dict[str, list[Claim]]]):
    """kind -> name -> the claims to it, sorted; every group of `GROUPS` is present.

    Attributes:
        blocked: claims that were cut, each with the reason ("blocked by FILIAL_BLOCK").
        findings: what is wrong with the metadata, one sentence each; such a distribution stops no other.
    """

    def __init__(self) -> None:
        super().__init__({group: {} for group in GROUPS})
        self.blocked: list[tuple[Claim, str]] = []
        self.findings: list[str] = []

    def add(self, claim: Claim) -> None:
        """Put a claim in its place: behind filial's own, and by distribution."""
        claims = self.setdefault(claim.kind, {}).setdefault(claim.name, [])
        claims.append(claim)
        claims.sort(key=lambda c: (c.dist != OURSELVES, normalized(c.dist), c.value))

    def bare(self, kind: str, name: str) -> list[Claim]:
        """Whom a name without a distribution may mean: filial where it has the name itself, else all who claim it."""
        claims = self.get(kind, {}).get(name, [])
        return [claim for claim in claims if claim.dist == OURSELVES] or claims

    def overshadowed(self, dist: str = "") -> Iterator[str]:
        """A sentence for each claim (of one distribution, or of all) to a name that filial has itself."""
        for kind, names in self.items():
            for name, claims in names.items():
                for claim in claims if claims[0].dist == OURSELVES else ():
                    if claim.dist != OURSELVES and dist in ("", claim.dist):
                        what = f"{singular(kind)} {name!r}"
                        yield f"{what} is filial's own; that of {claim.owner} is used as {claim.dist}:{name}"

    def claim(self, kind: str, name: str) -> Claim:
        """The one claim to ``name``, or to ``dist:name``; a bare name that filial has is filial's. Imports nothing.

        Raises:
            PluginError: nobody or more than one distribution claims the name, or the claim is blocked.
        """
        owner, _, short = name.rpartition(":")
        claims = [c for c in self.get(kind, {}).get(short, []) if _is_of(c, owner)] if owner else self.bare(kind, short)
        what = singular(kind)
        if len(claims) == 1:
            return claims[0]
        if not claims:
            raise PluginError(self._missing(kind, name, owner, short))
        if len({normalized(c.dist) for c in claims}) == 1:
            values = " and ".join(c.value for c in claims)
            raise PluginError(f"{claims[0].owner} claims {what} {short!r} twice ({values}); it must be mended there")
        owners = " and ".join(c.owner for c in claims)
        ways = " or ".join(f"'use: {c.dist}:{short}'" for c in claims)
        raise PluginError(f"{what} {short!r} is claimed by {owners}; write {ways}, or uninstall one of them")

    def _missing(self, kind: str, name: str, owner: str, short: str) -> str:
        """Why there is no such name, and what may have been meant."""
        what = singular(kind)
        for cut, reason in self.blocked:
            if (cut.kind, cut.name) == (kind, short) and _is_of(cut, owner):
                return f"{what} {short!r} of {cut.owner} is {reason}"
        names = self.get(kind, {})
        if owner and short in names:
            return f"{owner} claims no {what} {short!r}, but {' and '.join(c.owner for c in names[short])} does"
        if others := [group for group, found in self.items() if short in found]:
            return f"no {what} named {name!r}; {short!r} is a {singular(others[0])}"
        if meant := hint(short, names):
            return f"no {what} named {name!r}{meant}"
        there = ", ".join(sorted(names)) or "none"
        return f"no {what} named {name!r} is installed; there are: {there}"


def index(path: Sequence[str] | None = None, *, block: str | None = None, no_plugins: bool = False) -> Index:
    """Read the metadata of every distribution on ``path`` (default ``sys.path``).

    Where two folders hold the same distribution, the first on the path counts.

    Args:
        block: comma-separated distributions, names or ``dist:name``; default: environment ``FILIAL_BLOCK``.
        no_plugins: keep only what the distribution ``filial`` itself brings.
    """
    out = Index()
    blocked = _entries(os.environ.get("FILIAL_BLOCK", "") if block is None else block)
    seen: set[str] = set()
    for folder in dict.fromkeys(sys.path if path is None else path):
        here: set[str] = set()
        for info in _metadata_folders(folder or "."):
            dist = normalized(os.path.basename(info).rpartition(".")[0].partition("-")[0])
            if dist in here:
                out.findings.append(f"{folder} holds the metadata of {dist} twice; reinstall it with pip")
            elif dist not in seen:
                _read(info, out, blocked, no_plugins)
            here.add(dist)
        seen |= here
    for kind, names in out.items():
        out[kind] = dict(sorted(names.items()))
    out.findings += out.overshadowed()
    return out


def normalized(dist: str) -> str:
    """A distribution's name in the form by which names are compared (PEP 503)."""
    return "-".join(part for part in dist.lower().replace("_", "-").replace(".", "-").split("-") if part)


def singular(kind: str) -> str:
    """One of its kind: ``strategies`` is ``strategy``."""
    return f"{kind[:-3]}y" if kind.endswith("ies") else kind.removesuffix("s")


def _is_of(claim: Claim, owner: str) -> bool:
    return not owner or normalized(claim.dist) == normalized(owner)


def _entries(block: str) -> set[str]:
    words = {word.strip() for word in block.split(",")} - {""}
    return words | {normalized(word) for word in words if ":" not in word}


def _metadata_folders(folder: str) -> list[str]:
    """Metadata folders in ``folder``, sorted, without what a broken pip run left behind (``~name``)."""
    try:
        with os.scandir(folder) as entries:
            found = [e.path for e in entries if e.name.lower().endswith((".dist-info", ".egg-info"))]
    except OSError:  # not a folder, not there or not readable: Python finds nothing there either
        found = []
    return sorted(path for path in found if not os.path.basename(path).startswith("~"))


def _read(info: str, out: Index, blocked: set[str], no_plugins: bool) -> None:
    """Add one distribution's claims to ``out``."""
    try:
        with open(os.path.join(info, "entry_points.txt"), "rb") as file:
            data = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as err:
        out.findings.append(f"{info}: entry_points.txt cannot be read ({err.strerror})")
        return
    if b"[filial." not in data:
        return
    name, version = _name_and_version(info)
    try:
        lines = list(_points(data.decode("utf-8")))
    except ValueError as err:
        out.findings.append(f"{name} {version}: {os.path.join(info, 'entry_points.txt')}: {err}; reinstall {name}")
        return
    for group, entry, value in dict.fromkeys(lines):
        claim = Claim(group.removeprefix("filial."), entry, value, name, version, info)
        if reason := _cut(claim, blocked, no_plugins):
            out.blocked.append((claim, reason))
            continue
        if claim.kind not in GROUPS:
            meant = hint(claim.kind, GROUPS, lambda near: repr(f"filial.{near}"))
            out.findings.append(f"{claim.owner}: there is no entry-point group {group!r}{meant}")
        out.add(claim)


def _cut(claim: Claim, blocked: set[str], no_plugins: bool) -> str:
    """Why a claim is left out; empty if it is not."""
    dist = normalized(claim.dist)
    if no_plugins and dist != OURSELVES:
        return "left out by --no-plugins"
    if blocked & {dist, claim.name, f"{claim.dist}:{claim.name}", f"{dist}:{claim.name}"}:
        return "blocked by FILIAL_BLOCK"
    return ""


def _points(text: str) -> Iterator[tuple[str, str, str]]:
    """(group, name, value) of each entry point in a group of ours.

    Raises:
        ValueError: a line that is no entry point.
    """
    group = ""
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            group = line.strip("[]")
        elif group.startswith("filial."):
            name, equals, value = line.partition("=")
            if not (equals and name.strip() and value.strip()):
                raise ValueError(f"line {number} is no entry point (name = module): {line[:80]!r}")
            yield group, name.strip(), value.strip()


def _header(info: str) -> Iterator[tuple[str, str]]:
    """Fields of METADATA (wheels) or PKG-INFO (eggs), up to the description."""
    for file_name in ("METADATA", "PKG-INFO"):
        try:
            with open(os.path.join(info, file_name), encoding="utf-8", errors="replace") as file:
                for line in file:
                    if not line.strip():
                        return
                    if line[0] not in " \t":
                        key, _, value = line.partition(":")
                        yield key.strip().lower(), value.strip()
                return
        except OSError:
            continue


def _name_and_version(info: str) -> tuple[str, str]:
    """From the header; where that is missing, from the folder's name (``some_name-1.0.dist-info``)."""
    header = dict(_header(info))
    stem, _, version = os.path.basename(info).rpartition(".")[0].partition("-")
    return header.get("name") or stem, header.get("version") or version.partition("-")[0]
