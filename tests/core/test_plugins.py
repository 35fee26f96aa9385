"""A plugin is imported when its name is used, built with the options given, and known by its package."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import venv

import pytest
from sample_kit import CORE, SAMPLES

from filial import Component, Strategy, UsageError
from filial.contracts.errors import PluginError


def test_a_plugin_is_imported_when_its_name_is_used(site):
    site.sample("pirate", "broken")
    manager = site.manager()
    assert list(manager.index["strategies"]) == ["broken", "pirate"]
    assert "filial_pirate" not in sys.modules
    cls = manager.get("strategies", "pirate")
    assert "filial_pirate" in sys.modules
    assert issubclass(cls, Strategy)
    assert manager.get("strategies", "filial-pirate:pirate") is cls
    assert manager.get("strategies", "Filial_Pirate:pirate") is cls


def test_build_and_provenance(site):
    site.sample("pirate")
    manager = site.manager()
    assert manager.provenance("strategies", "pirate") == "filial-pirate:pirate==0.1.0"
    assert "filial_pirate" not in sys.modules, "provenance of a name needs no import"
    pirate = manager.build("strategies", {"use": "pirate", "accent": "texan"})
    assert pirate.model_dump() == {"accent": "texan"}
    assert manager.build("strategies", "pirate").model_dump() == {"accent": "cornish"}
    assert manager.provenance(pirate) == manager.provenance(type(pirate)) == "filial-pirate:pirate==0.1.0"
    assert pickle.loads(pickle.dumps(pirate)) == pirate


def test_provenance_of_what_no_plugin_registered(site):
    class Loose(Strategy):
        async def evolve(self, record, ctx):
            return record

    assert site.manager().provenance(Loose()).endswith(".<locals>.Loose")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"use": "pirate", "acent": "x"}, "r.yaml:3:7: strategy 'pirate' has no 'acent'; did you mean 'accent'?"),
        ({"use": "pirate", "zzz": 1}, "r.yaml:3:7: strategy 'pirate' has no 'zzz'; there are accent"),
        (
            {"use": "pirate", "accent": 3},
            "r.yaml:3:7: strategy 'pirate': 'accent': 3 should be text (in quotes)",
        ),
        ({"accent": "x"}, "r.yaml:3:7: strategy needs 'use: NAME'"),
        ("pirat", "r.yaml:3:7: no strategy named 'pirat'; did you mean 'pirate'?"),
    ],
)
def test_wrong_options_are_one_sentence(site, spec, message):
    site.sample("pirate")
    with pytest.raises(UsageError) as err:
        site.manager().build("strategies", spec, where="r.yaml:3:7")
    assert str(err.value) == message


def test_manager_sees_components_only_as_frozen_models(site):
    site.sample("pirate")
    pirate: Component = site.manager().build("strategies", "pirate")
    with pytest.raises(ValueError, match="frozen"):
        pirate.accent = "x"  # type: ignore[attr-defined]


def test_a_name_claimed_twice_names_both_and_the_way_out(site):
    site.sample("clash")
    other = (SAMPLES / "filial-clash/filial_clash.py").read_text().replace("Another deepen", "Their deepen")
    site.dist("a-deep", {"filial.strategies": {"deepen": "a_deep"}}, {"a_deep": other}, version="0.1.0")
    manager = site.manager()
    with pytest.raises(PluginError) as err:
        manager.get("strategies", "deepen")
    assert str(err.value) == (
        "strategy 'deepen' is claimed by a-deep 0.1.0 and filial-clash 0.1.0; write 'use: a-deep:deepen' or "
        "'use: filial-clash:deepen', or uninstall one of them"
    )
    assert manager.build("strategies", "a-deep:deepen").__doc__ == "Their deepen."
    assert manager.build("strategies", "filial-clash:deepen").__doc__ == "Another deepen."
    with pytest.raises(PluginError, match=r"filial-pirate claims no strategy 'deepen', but a-deep 0\.1\.0 and"):
        manager.get("strategies", "filial-pirate:deepen")


def test_a_name_that_filial_has_stays_filials_and_the_other_is_reached_by_its_distribution(site):
    site.sample("clash")
    site.dist("a-deep", {"filial.strategies": {"deepen": "a_deep"}})
    ours = (SAMPLES / "filial-clash/filial_clash.py").read_text().replace("Another deepen", "Our deepen")
    site.dist("filial", {"filial.strategies": {"deepen": "our_deepen"}}, {"our_deepen": ours}, version="0.1.0")
    manager = site.manager()
    assert manager.build("strategies", "deepen").__doc__ == "Our deepen."
    assert manager.build("strategies", "filial:deepen").__doc__ == "Our deepen."
    assert manager.build("strategies", "filial-clash:deepen").__doc__ == "Another deepen."
    assert manager.index.findings == [
        "strategy 'deepen' means filial's own; write a-deep:deepen for that of a-deep 1.0",
        "strategy 'deepen' means filial's own; write filial-clash:deepen for that of filial-clash 0.1.0",
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("piratee", "no strategy named 'piratee'; did you mean 'pirate'?"),
        ("harm", "no strategy named 'harm'; 'harm' is a filter"),
        (
            "lost",
            "no strategy named 'lost'; filial-f 1.0 has it in 'filial.strategy', which is no entry-point group; "
            "write 'filial.strategies'",
        ),
        (
            "zzz",
            "no strategy named 'zzz' is installed; there are: pirate; one in a file needs "
            "--plugin FILE (in Python: plugins=)",
        ),
        (
            "nobody:zzz",
            "no strategy named 'nobody:zzz' is installed; there are: pirate; one in a file needs "
            "--plugin FILE (in Python: plugins=)",
        ),
    ],
)
def test_unknown_names(site, name, message):
    site.sample("pirate")
    site.dist("filial-f", {"filial.filters": {"harm": "m"}, "filial.strategy": {"lost": "m"}})
    with pytest.raises(PluginError) as err:
        site.manager().get("strategies", name)
    assert str(err.value) == message


@pytest.mark.slow
def test_pip_installs_the_sample_and_it_is_there(tmp_path):
    """A real environment, a real pip, a real build: a whole package and its own tests."""
    env_dir = tmp_path / "env"
    venv.create(env_dir, with_pip=False, symlinks=True)
    site_packages = next(env_dir.glob("lib/python*/site-packages"))
    ours = [p for p in sys.path if p.endswith("site-packages")]
    (site_packages / "ours.pth").write_text("\n".join([CORE, *ours]))
    python = str(env_dir / "bin" / "python")
    sources = tmp_path / "filial-pirate"
    subprocess.run(["cp", "-r", str(SAMPLES / "filial-pirate"), str(sources)], check=True)
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "FILIAL_BLOCK")}
    pip = [python, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index", "-q"]
    code = (
        "import sys; from filial.plugins import Manager; m = Manager();"
        "assert 'filial_pirate' not in sys.modules;"
        "claims = m.index['strategies']['pirate'];"
        "print(m.provenance('strategies', 'pirate'), repr(m.build('strategies', 'pirate')), len(claims))"
    )
    for install in ([str(sources)], ["-e", str(sources)]):
        subprocess.run([*pip, *install], check=True, env=env, capture_output=True, text=True)
        done = subprocess.run([python, "-c", code], env=env, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "filial-pirate:pirate==0.1.0 Pirate(accent='cornish') 1"
    own = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=sources,
        env=env,
        capture_output=True,
        text=True,
    )
    assert own.returncode == 0, own.stdout + own.stderr
    assert "skipped" not in own.stdout
