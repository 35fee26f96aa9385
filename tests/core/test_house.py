"""The house's own rules: what starting costs, what never touches the network, what the packages contain."""

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {
    "pydantic", "jsonschema", "pluggy", "yaml", "torch", "transformers", "datasets", "openai", "numpy", "rich",
    "msgspec", "importlib.metadata", "asyncio", "sqlite3", "rapidfuzz", "pyarrow", "packaging", "filial_plugins",
}  # fmt: skip
LISTING = {"filial_plugins", "filial_plugins.commands", "filial_plugins.commands.plugins"}
"""What `filial plugins` is made of: a plugin itself, and all that may be imported to list them."""
DATA = (
    "filial/py.typed", "filial_plugins/py.typed", "filial_plugins/procedural/seeds.jsonl",
    "filial_plugins/procedural/demo.yaml", "filial_plugins/procedural/heldout/composition.jsonl",
    "filial_plugins/procedural/heldout/evolved.jsonl", "filial_plugins/procedural/heldout/paraphrase.jsonl",
    "filial_plugins/procedural/pocket_base/model.safetensors", "filial_plugins/procedural/pocket_base/tokenizer.json",
    "filial_plugins/procedural/pocket_base/config.json", "filial_plugins/teachers/prices.json",
    "filial_plugins/seeds/english.jsonl", "filial_plugins/seeds/korean.jsonl", "filial_plugins/seeds/chinese.jsonl",
)  # fmt: skip


def python(code, *args, cwd, **env):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)], cwd=cwd, capture_output=True, text=True, check=False,
        env={**os.environ, **env},
    )  # fmt: skip


@pytest.mark.parametrize("args", [["--help"], ["plugins"], ["--version"], []])
def test_help_and_plugins_import_nothing_that_costs_and_no_plugin(tmp_path, args):
    code = """
import sys
sys.modules.pop("importlib.metadata", None)
before = set(sys.modules)
from filial.cli import invoke
invoke(sys.argv[1:])
print("|".join(sorted(set(sys.modules) - before)), file=sys.stderr)
"""
    done = python(code, *args, cwd=tmp_path)
    loaded = set(done.stderr.strip().splitlines()[-1].split("|"))
    assert "filial.cli" in loaded
    allowed = LISTING if args == ["plugins"] else set()
    assert not {name for name in loaded - allowed if name in HEAVY or name.partition(".")[0] in HEAVY}


WALL = """
import sys
WAYS = ("connect", "bind", "sendto", "sendmsg", "getaddrinfo", "gethostbyname")
def wall(event, args):
    if event.startswith("socket.") and event.partition(".")[2] in WAYS:
        raise AssertionError(f"the network is touched: {event} {args}")
sys.addaudithook(wall)
"""


@pytest.mark.slow
def test_no_socket_is_opened_by_a_whole_offline_run(tmp_path):
    """generate, evolve, filter, mix with the embedded teacher, where every way out is a wall."""
    (tmp_path / "r.yaml").write_text(
        'teacher: {use: procedural}\nstages:\n'
        '  - generate: {use: self-instruct, count: 12, seeds: "pkg:filial_plugins/procedural/seeds.jsonl"}\n'
        "  - evolve: {strategies: [deepen, mutate]}\n  - filter: [novelty, harm, length]\n"
        "  - mix: {use: weights, total: 10}\n"
    )  # fmt: skip
    done = python(WALL + "from filial.cli import invoke\nsys.exit(invoke(['run', 'r.yaml']))", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "runs/r/summary.json").read_text())
    assert [s["name"] for s in summary["stages"]] == ["01-generate", "02-evolve", "03-filter", "04-mix"]
    assert summary["teacher"]["requests"] > 0
    assert summary["stages"][-1]["out"] == 10


def test_the_wall_of_that_test_stands(tmp_path):
    done = python(WALL + "import socket\nsocket.create_connection(('127.0.0.1', 9), 1)", cwd=tmp_path)
    assert done.returncode == 1
    assert "the network is touched" in done.stderr


def test_the_published_manifest_schema_is_the_codes(cli):
    assert cli("schema", "manifest", toy=False) == 0
    assert json.loads((ROOT / "schemas/manifest.schema.json").read_text()) == json.loads(cli.out)


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """The sdist, a wheel built from it, and a wheel built from the sources."""
    import shutil

    folder = tmp_path_factory.mktemp("packages")
    source = folder / "source"
    leave = shutil.ignore_patterns(".*", "__pycache__", "runs", "filial-demo", "dist", "build", "sample")
    shutil.copytree(ROOT, source, ignore=leave)
    for args in (["--sdist", "--outdir", "sdist"], ["--wheel", "--outdir", "plain"]):
        built(folder, *args, source)
    with tarfile.open(next((folder / "sdist").glob("*.tar.gz"))) as archive:
        careful = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # Python 3.11.4 or newer
        archive.extractall(folder / "unpacked", **careful)
    built(folder, "--wheel", "--outdir", "from-sdist", next((folder / "unpacked").iterdir()))
    return folder


def built(folder, *args):
    command = [sys.executable, "-m", "build", "--no-isolation", *map(str, args)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.mark.slow
@pytest.mark.parametrize("which", ["plain", "from-sdist"])
def test_a_wheel_holds_the_two_packages_with_their_data_and_nothing_else(packages, which):
    (wheel,) = (packages / which).glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.partition("/")[0] for name in names}
    assert {t for t in top if not t.endswith(".dist-info")} == {"filial", "filial_plugins"}
    assert not [name for name in names if name.endswith((".pyc", ".tmp")) or "__pycache__" in name]
    assert set(DATA) <= set(names)
    sources = {
        str(p.relative_to(root))
        for root in (ROOT / "core", ROOT / "plugins")
        for p in root.rglob("*.py")
        if "__pycache__" not in p.parts
    }
    assert sources <= set(names)


@pytest.mark.slow
def test_both_wheels_are_the_same(packages):
    def contents(which):
        (wheel,) = (packages / which).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    assert contents("plain") == contents("from-sdist")


@pytest.mark.slow
def test_the_wheel_works_without_the_sources_beside_it(packages, tmp_path):
    (wheel,) = (packages / "plain").glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    code = """
import sys, filial
assert filial.__file__.startswith(sys.argv[1]), filial.__file__
from filial.cli import invoke
sys.exit(invoke(["generate", "self-instruct", "pkg:filial_plugins/procedural/seeds.jsonl", "-o", "o.jsonl",
                 "--count", "3", "--teacher", "procedural"]))
"""
    done = python(code, site, cwd=tmp_path, PYTHONPATH=str(site))
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "o.jsonl").read_text().splitlines()) == 3
