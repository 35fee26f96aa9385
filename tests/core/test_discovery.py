"""What is installed: the same answer as importlib.metadata, without importing it or anything else."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packaging.utils import canonicalize_name

from filial.contracts.errors import PluginError
from filial.contracts.kinds import KINDS
from filial.plugins import index
from filial.plugins.discovery import GROUPS, normalize_name, singular
from filial.plugins.loading import check_range


def ours(path: list[str] | None = None) -> set[tuple[str, str, str, str, str]]:
    found = index(path, block="")
    return {
        (f"filial.{kind}", c.name, c.value, normalize_name(c.dist), c.version)
        for kind, names in found.items()
        for claims in names.values()
        for c in claims
    }


def oracle(path: list[str] | None = None) -> set[tuple[str, str, str, str, str]]:
    """What importlib.metadata sees, first distribution of a name first."""
    seen: set[str] = set()
    out = set()
    for dist in importlib.metadata.distributions(**({"path": path} if path is not None else {})):
        name = canonicalize_name(dist.metadata["Name"])
        if name in seen:
            continue
        seen.add(name)
        out |= {
            (e.group, e.name, e.value, name, dist.version) for e in dist.entry_points if e.group.startswith("filial.")
        }
    return out


def test_equals_importlib_metadata_on_this_environment():
    assert ours() == oracle()


words = st.text("abcXYZ019", min_size=1, max_size=6)
dist_names = st.lists(words, min_size=1, max_size=3).flatmap(
    lambda parts: st.sampled_from(["-", "_", ".", "--"]).map(lambda sep: sep.join(parts))
)
groups = st.sampled_from(["filial.strategies", "filial.filters", "filial.hooks", "filial.odd", "console_scripts"])
values = st.sampled_from(["m", "a.b", "a.b:c", "a:b.c", "m:x [extra]", "ümläut"])
lines = st.one_of(
    groups.map(lambda g: f"[{g}]"),
    st.tuples(words, values, st.sampled_from(["=", " = ", "  =", "\t=\t"])).map(lambda t: f"{t[0]}{t[2]}{t[1]}"),
    st.sampled_from(["", "  ", "# a comment", "  # = another"]),
)
files = st.tuples(groups.map(lambda g: f"[{g}]"), st.lists(lines, max_size=8)).map(lambda t: [t[0], *t[1]])
dists = st.tuples(dist_names, st.sampled_from(["1.0", "2.1.dev3", "0+local"]), files)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(folders=st.lists(st.lists(dists, max_size=4, unique_by=lambda d: normalize_name(d[0])), min_size=1, max_size=3))
def test_equals_importlib_metadata_on_generated_environments(folders, tmp_path_factory):
    root = tmp_path_factory.mktemp("env")
    path = []
    for number, folder in enumerate(folders):
        path.append(str(root / str(number)))
        for name, version, text in folder:
            info = root / str(number) / f"{name.replace('-', '_')}-{version}.dist-info"
            info.mkdir(parents=True)
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
            (info / "entry_points.txt").write_text("\n".join(text), encoding="utf-8")
    assert ours([*path, path[0], str(root / "missing")]) == oracle(path)


def test_groups_are_the_kinds_and_three_more():
    assert (*KINDS, "stages", "commands", "hooks") == GROUPS
    assert [singular(kind) for kind in KINDS] == [base.__name__.lower() for base in KINDS.values()]


@given(dist_names)
def test_names_are_compared_as_packaging_does(name):
    assert normalize_name(name) == canonicalize_name(name).strip("-")


def test_one_garbled_file_costs_only_its_distribution(site):
    site.dist("filial-good", {"filial.strategies": {"good": "m"}})
    site.dist("filial-garbled", "[filial.strategies]\nno equals sign\n")
    bad = site.dist("filial-bytes", {})
    (bad / "entry_points.txt").write_bytes(b"[filial.strategies]\nx = \xff\xfe\n")
    site.dist("other-garbled", "[some.group]\nno equals sign either\n")
    site.dist("filial-headless", {"filial.strategies": {"bare": "m"}}, version="3").joinpath("METADATA").unlink()
    found = site.index()
    assert {n: c[0].owner for n, c in found["strategies"].items()} == {
        "good": "filial-good 1.0",
        "bare": "filial_headless 3",
    }
    assert len(found.findings) == 2
    assert any("filial_garbled-1.0.dist" in f and "line 2 is not an entry point" in f for f in found.findings)
    assert any("filial_bytes-1.0.dist" in f and "utf-8" in f for f in found.findings)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file_is_a_finding(site):
    info = site.dist("filial-locked", {"filial.strategies": {"x": "m"}})
    (info / "entry_points.txt").chmod(0)
    assert "cannot be read" in site.index().findings[0]


def test_entry_points_that_is_a_folder_is_a_finding(site):
    info = site.dist("filial-odd", {})
    (info / "entry_points.txt").unlink()
    (info / "entry_points.txt").mkdir()
    assert "cannot be read" in site.index().findings[0]


def test_lib64_link_and_editable_twice_count_once(site, tmp_path):
    site.dist("filial-x", {"filial.strategies": {"x": "m"}})
    link = tmp_path / "lib64"
    link.symlink_to(site.folder)
    egg = tmp_path / "src" / "Filial_X.egg-info"
    egg.mkdir(parents=True)
    (egg / "PKG-INFO").write_text("Name: Filial.X\nVersion: 0.9\n")
    (egg / "entry_points.txt").write_text("[filial.strategies]\nx = m\n")
    found = index([str(site.folder), str(link), str(site.folder), str(tmp_path / "src")], block="")
    assert [c.owner for c in found["strategies"]["x"]] == ["filial-x 1.0"]
    first = index([str(tmp_path / "src"), str(site.folder)], block="")
    assert [c.owner for c in first["strategies"]["x"]] == ["Filial.X 0.9"]


def test_two_versions_in_one_folder_are_a_finding(site):
    site.dist("filial-x", {"filial.strategies": {"x": "m"}}, version="1.0")
    site.dist("filial-x", {"filial.strategies": {"x": "m"}}, version="2.0")
    found = site.index()
    assert len(found["strategies"]["x"]) == 1
    assert "filial-x twice" in found.findings[0]


def test_what_a_broken_pip_run_left_is_ignored(site):
    site.dist("~ilial-x", {"filial.strategies": {"x": "m"}})
    assert not site.index()["strategies"]


def test_misspelled_group_is_a_finding(site):
    site.dist("filial-x", {"filial.strategy": {"x": "m"}})
    assert site.index().findings == [
        "filial-x 1.0: there is no entry-point group 'filial.strategy'; did you mean 'filial.strategies'?"
    ]


@pytest.mark.parametrize("block", ["filial-x", "Filial.X", "other,filial_x", "x", "filial-x:x"])
def test_blocking_cuts_and_says_so(site, block, monkeypatch):
    site.dist("filial-x", {"filial.strategies": {"x": "m"}})
    site.dist("filial-y", {"filial.strategies": {"y": "m"}})
    monkeypatch.setenv("FILIAL_BLOCK", block)
    found = site.index()
    assert list(found["strategies"]) == ["y"]
    with pytest.raises(PluginError, match=r"strategy 'x' of filial-x 1\.0 is blocked by FILIAL_BLOCK"):
        found.claim("strategies", "x")


def test_no_plugins_leaves_filial_itself(site):
    site.dist("filial", {"filial.strategies": {"deepen": "m"}})
    site.dist("filial-x", {"filial.strategies": {"x": "m"}})
    found = site.index(no_plugins=True)
    assert list(found["strategies"]) == ["deepen"]
    with pytest.raises(PluginError, match=r"filial-x 1\.0 is left out by --no-plugins"):
        found.claim("strategies", "x")


def test_commands_and_hooks_are_indexed(site):
    site.dist("filial-x", {"filial.commands": {"sail": "m:command"}, "filial.hooks": {"log": "h"}})
    found = site.index()
    assert found["commands"]["sail"][0].value == "m:command"
    assert found["hooks"]["log"][0].value == "h"


def test_requirement_on_filial_is_read_from_the_header(site, monkeypatch):
    requires = ("Filial[train]>=0.1,<2", "filial (>=0.0.1)", "filial>=9; extra == 'x'", "filial-other>=7", "click")
    site.dist("filial-x", {"filial.strategies": {"x": "m"}}, requires=requires)
    claim = site.index()["strategies"]["x"][0]
    assert claim.requirements() == list(requires)
    monkeypatch.setattr("filial.plugins.loading.__version__", "0.2.0rc1")
    check_range(claim)
    monkeypatch.setattr("filial.plugins.loading.__version__", "2.0")
    with pytest.raises(PluginError, match=r"it needs filial <2,>=0\.1, and this is filial 2\.0"):
        check_range(claim)


def test_nothing_is_imported_and_it_is_cheap(site):
    site.sample("pirate", "broken", "exits", "segv", "heavy")
    code = (
        "import sys; from filial.plugins.discovery import index; found = index()\n"
        "assert {'pirate', 'broken', 'exits', 'segv', 'heavy'} <= set(found['strategies']), found\n"
        "print(*sorted(sys.modules))"
    )
    path = os.pathsep.join([str(site.folder), str(Path(index.__code__.co_filename).parents[2])])
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], env={"PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert not loaded & {"importlib.metadata", "email", "pluggy", "pydantic", "yaml", "jsonschema", "csv", "zipfile"}
    assert not any(name.startswith("filial_") for name in loaded)
