"""List the installed plugins from packaging metadata, without importing them.

The entry points are those of ``importlib.metadata.entry_points()`` in groups that start with ``filial.``. That module
is not used because importing it takes longer than the whole scan. Packages inside a zip file on ``sys.path`` are not
found.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from filial.contracts.errors import PluginError, hint

GROUPS = (
    "generators", "strategies", "filters", "mixers", "templates", "trainers", "teachers", "judges",
    "formats", "stages", "commands", "hooks",
)  # fmt: skip
OURSELVES = "filial"
HOOKS = "hooks"
"""The group of plugins that have hooks only. It is not a kind of component, because they register nothing."""
STAGES = "stages"
"""The group of stages; an entry point names the class itself."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One entry point: a distribution's claim to a name, a line of its ``entry_points.txt``.

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
        """The distribution and its version, for messages."""
        return f"{self.dist} {self.version}".rstrip()

    @property
    def is_file(self) -> bool:
        """Whether this is a file of ``--plugin``: its name serves as the distribution, its path as the module."""
        return os.path.isabs(self.value)

    @property
    def identity(self) -> str:
        """``dist:name`` with the distribution's name normalized, as it enters stage keys."""
        return f"{self.dist if self.is_file else normalize_name(self.dist)}:{self.name}"

    @property
    def entry(self) -> str:
        """The entry point, for messages."""
        return f"file {self.value}" if self.is_file else f"entry point {self.name} = {self.value}"

    def summary(self) -> str:
        """Read the first line of the module's docstring from its source, without importing it; empty if unreadable."""
        module = self.value.partition(":")[0].strip().replace(".", os.sep)
        for file in (os.path.join(folder, module + end) for folder in sys.path for end in (".py", "/__init__.py")):
            try:
                with open(file, encoding="utf-8") as source:
                    first = source.readline().strip()
            except (OSError, UnicodeDecodeError):
                continue  # missing or unreadable: try the next folder
            return first.strip('"').strip() if first.startswith('"""') else ""
        return ""

    def requirements(self) -> list[str]:
        """Read what the distribution requires, one line per requirement."""
        return [value for key, value in _metadata_fields(self.path) if key == "requires-dist"]


class Index(dict[str, dict[str, list[Claim]]]):
    """kind -> name -> claims to that name, sorted. Every group of `GROUPS` is present.

    Attributes:
        blocked: claims that were left out, each with the reason ("blocked by FILIAL_BLOCK").
        findings: what is wrong with the metadata, one sentence each. The other distributions are listed all the same.
    """

    def __init__(self) -> None:
        super().__init__({group: {} for group in GROUPS})
        self.blocked: list[tuple[Claim, str]] = []
        self.findings: list[str] = []

    def add(self, claim: Claim) -> None:
        """Insert a claim: after filial's own, then in the order of distributions."""
        claims = self.setdefault(claim.kind, {}).setdefault(claim.name, [])
        claims.append(claim)
        claims.sort(key=lambda c: (c.dist != OURSELVES, normalize_name(c.dist), c.value))

    def find_claims(self, kind: str, name: str) -> list[Claim]:
        """Return the claims that a bare name can mean: filial's own if there is one, otherwise all."""
        claims = self.get(kind, {}).get(name, [])
        return [claim for claim in claims if claim.dist == OURSELVES] or claims

    def find_shadowed(self, dist: str = "") -> Iterator[str]:
        """Yield one sentence per claim (of one distribution, or of all) to a name that filial itself uses."""
        for kind, names in self.items():
            for name, claims in names.items():
                for claim in claims if claims[0].dist == OURSELVES else ():
                    if claim.dist != OURSELVES and dist in ("", claim.dist):
                        what = f"{singular(kind)} {name!r}"
                        yield f"{what} means filial's own; write {claim.dist}:{name} for that of {claim.owner}"

    def claim(self, kind: str, name: str) -> Claim:
        """Return the only claim to ``name`` or ``dist:name``, without importing it. A bare name prefers filial's own.

        Raises:
            PluginError: the name is unknown, blocked, or claimed by more than one distribution.
        """
        owner, _, short = name.rpartition(":")
        named = self.get(kind, {}).get(short, [])
        claims = [c for c in named if _is_of(c, owner)] if owner else self.find_claims(kind, short)
        what = singular(kind)
        if len(claims) == 1:
            return claims[0]
        if not claims:
            raise PluginError(self._explain_missing(kind, name, owner, short))
        if len({normalize_name(c.dist) for c in claims}) == 1:
            values = " and ".join(c.value for c in claims)
            raise PluginError(f"{claims[0].owner} claims {what} {short!r} twice ({values}); its author has to fix this")
        owners = " and ".join(c.owner for c in claims)
        before = "" if kind == STAGES else "use: "
        ways = " or ".join(f"'{before}{c.dist}:{short}'" for c in claims)
        raise PluginError(f"{what} {short!r} is claimed by {owners}; write {ways}, or uninstall one of them")

    def _explain_missing(self, kind: str, name: str, owner: str, short: str) -> str:
        """Say why there is no such name, and suggest another one."""
        what = singular(kind)
        for cut, reason in self.blocked:
            if (cut.kind, cut.name) == (kind, short) and _is_of(cut, owner):
                return f"{what} {short!r} of {cut.owner} is {reason}"
        names = self.get(kind, {})
        if owner and short in names:
            return f"{owner} claims no {what} {short!r}, but {' and '.join(c.owner for c in names[short])} does"
        if others := [group for group, found in self.items() if short in found]:
            place = f"{short!r} is a {singular(others[0])}"
            if others[0] not in GROUPS:
                wrong = f"{self[others[0]][short][0].owner} has it in 'filial.{others[0]}'"
                place = f"{wrong}, which is no entry-point group; write 'filial.{kind}'"
            return f"no {what} named {name!r}; {place}"
        if meant := hint(short, names):
            return f"no {what} named {name!r}{meant}"
        there = ", ".join(sorted(names)) or "none"
        file = "" if kind in (STAGES, "commands") else "; one in a file needs --plugin FILE (in Python: plugins=)"
        return f"no {what} named {name!r} is installed; there are: {there}{file}"


def index(path: Sequence[str] | None = None, *, block: str | None = None, no_plugins: bool = False) -> Index:
    """Read the metadata of every distribution on ``path`` (default ``sys.path``).

    If two folders hold the same distribution, the first one on the path counts.

    Args:
        block: comma-separated distributions, names or ``dist:name``; default: the environment variable
            ``FILIAL_BLOCK``.
        no_plugins: list only the plugins of the distribution ``filial`` itself.
    """
    out = Index()
    words = (os.environ.get("FILIAL_BLOCK", "") if block is None else block).split(",")
    blocked = [word.strip() for word in words if word.strip()]
    seen: dict[str, str] = {}  # distribution -> where it was seen first
    for folder in dict.fromkeys(sys.path if path is None else path):
        for info in _metadata_folders(folder or "."):
            dist = normalize_name(os.path.basename(info).rpartition(".")[0].partition("-")[0])
            if dist not in seen:
                seen[dist] = folder
                _add_distribution(info, out, blocked, no_plugins)
            elif seen[dist] == folder:
                out.findings.append(f"{folder} holds the metadata of {dist} twice; reinstall it with pip")
    for kind, names in out.items():
        out[kind] = dict(sorted(names.items()))
    out.findings += out.find_shadowed()
    return out


def normalize_name(dist: str) -> str:
    """Return a distribution's name in the form in which names are compared (PEP 503)."""
    return "-".join(part for part in dist.lower().replace("_", "-").replace(".", "-").split("-") if part)


def singular(kind: str) -> str:
    """Return the singular of a kind: ``strategies`` gives ``strategy``."""
    return f"{kind[:-3]}y" if kind.endswith("ies") else kind.removesuffix("s")


def _is_of(claim: Claim, owner: str) -> bool:
    return not owner or normalize_name(claim.dist) == normalize_name(owner)


def _metadata_folders(folder: str) -> list[str]:
    """Return the metadata folders in ``folder``, sorted, without leftovers of an interrupted pip (``~name``)."""
    try:
        found = [name for name in os.listdir(folder) if name.lower().endswith((".dist-info", ".egg-info"))]
    except OSError:  # Python finds nothing there either
        found = []
    return [os.path.join(folder, name) for name in sorted(found) if not name.startswith("~")]


def _add_distribution(info: str, out: Index, blocked: list[str], no_plugins: bool) -> None:
    """Add one distribution's claims to ``out``."""
    file_name = os.path.join(info, "entry_points.txt")
    try:
        with open(file_name, "rb") as file:
            data = file.read()
        points = dict.fromkeys(_entry_points(data.decode("utf-8")) if b"[filial." in data else ())
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError) as err:
        out.findings.append(f"{file_name} cannot be read ({err}); reinstall its package")
        return
    header = dict(_metadata_fields(info)) if points else {}
    stem, _, rest = os.path.basename(info).rpartition(".")[0].partition("-")
    name, version = header.get("name") or stem, header.get("version") or rest.partition("-")[0]
    for group, entry, value in points:
        claim = Claim(group.removeprefix("filial."), entry, value, name, version, info)
        if no_plugins and normalize_name(name) != OURSELVES:
            out.blocked.append((claim, "left out by --no-plugins"))
        elif any(_is_meant(word, claim) for word in blocked):
            out.blocked.append((claim, "blocked by FILIAL_BLOCK"))
        else:
            out.add(claim)
            if claim.kind not in GROUPS:
                meant = hint(claim.kind, GROUPS, lambda near: repr(f"filial.{near}"))
                out.findings.append(f"{claim.owner}: there is no entry-point group {group!r}{meant}")


def _is_meant(word: str, claim: Claim) -> bool:
    """Return whether a word of FILIAL_BLOCK (a distribution, a name or ``dist:name``) means this claim."""
    owner, _, name = word.rpartition(":")
    return (name == claim.name and _is_of(claim, owner)) or normalize_name(word) == normalize_name(claim.dist)


def _entry_points(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield (group, name, value) of each entry point in a group of filial.

    Raises:
        ValueError: a line is not an entry point.
    """
    group = ""
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if line.startswith("[") and line.endswith("]"):
            group = line.strip("[]")
        elif group.startswith("filial.") and line and not line.startswith("#"):
            name, _, value = (part.strip() for part in line.partition("="))
            if not (name and value):
                raise ValueError(f"line {number} is not an entry point (name = module): {line[:80]!r}")
            yield group, name, value


def _metadata_fields(info: str) -> list[tuple[str, str]]:
    """Return the fields of METADATA (wheels) or PKG-INFO (eggs), without the description."""
    for file_name in ("METADATA", "PKG-INFO"):
        try:
            with open(os.path.join(info, file_name), encoding="utf-8", errors="replace") as file:
                lines = [line.partition(":") for line in file.read().partition("\n\n")[0].splitlines()]
        except OSError:  # not of this kind of package, or not readable: the other file may be
            continue
        return [(key.lower(), value.strip()) for key, _, value in lines if not key.startswith((" ", "\t"))]
    return []
