"""Fixtures that lay out installed packages by hand: a folder on ``sys.path`` with modules and ``.dist-info``."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from index_kit import stages

from filial.plugins import Index, Manager, index

SAMPLES = Path(__file__).parents[1] / "sample"

FakeDist = Callable[..., Path]


class Site:
    """One folder of installed packages, as pip would leave it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def dist(
        self,
        name: str,
        entry_points: dict[str, dict[str, str]] | str,
        sources: dict[str, str] | None = None,
        *,
        version: str = "1.0",
        requires: tuple[str, ...] = (),
    ) -> Path:
        """Install a distribution: ``entry_points`` is group -> name -> value, or the text of the file.

        ``sources`` is module -> code. Returns the metadata folder.
        """
        info = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
        lines += [f"Requires-Dist: {requirement}" for requirement in requires]
        (info / "METADATA").write_text("\n".join(lines) + "\n\nRequires-Dist: filial>=99 is only prose here\n")
        if not isinstance(entry_points, str):
            entry_points = "\n".join(
                f"[{group}]\n" + "\n".join(f"{n} = {v}" for n, v in points.items()) + "\n"
                for group, points in entry_points.items()
            )
        (info / "entry_points.txt").write_text(entry_points, encoding="utf-8")
        for module, code in (sources or {}).items():
            (self.folder / f"{module}.py").write_text(code)
        return info

    def sample(self, *names: str) -> None:
        """Install packages of ``tests/sample`` from their own ``pyproject.toml``."""
        for name in names:
            folder = SAMPLES / f"filial-{name}"
            project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
            module = f"filial_{name}"
            self.dist(
                project["name"],
                project["entry-points"],
                {module: (folder / f"{module}.py").read_text()},
                version=project["version"],
                requires=tuple(project["dependencies"]),
            )

    def index(self, **options: object) -> Index:
        """What is installed here, and nothing else."""
        return index([str(self.folder)], **options)  # type: ignore[arg-type]

    def manager(self, **options: object) -> Manager:
        """A manager that sees only this folder and filial's own stages."""
        found = self.index(**options)
        for claims in stages()["stages"].values():
            for claim in claims:
                found.add(claim)
        return Manager(found)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A folder of installed packages at the front of ``sys.path``; its modules are forgotten afterwards."""
    monkeypatch.delenv("FILIAL_BLOCK", raising=False)
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield Site(folder)
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")) or name.startswith("filial_file_"):
            del sys.modules[name]


@pytest.fixture
def fake_dist(site: Site) -> FakeDist:
    """``fake_dist(name, entry_points, sources, version=..., requires=...)`` installs one package."""
    return site.dist


def strategy(name: str = "x", cls: str = "X", body: str = "") -> str:
    """Source of a module that registers one strategy."""
    return f'''
from filial import Field, Strategy, hookimpl
class {cls}(Strategy):
    """A strategy."""
    {body}
    async def evolve(self, record, ctx):
        return record.evolved(instruction=record.instruction + "!")
@hookimpl
def register_strategies(register):
    register("{name}", {cls})
'''


@pytest.fixture
def source() -> Callable[..., str]:
    """``source(name, cls, body)`` is the source of a module that registers one strategy."""
    return strategy
