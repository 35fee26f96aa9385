"""Loading on first use, and each kind of broken package costing only the one who names it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest

from filial import Strategy
from filial.components import Component, Trainer
from filial.errors import MissingExtra, PluginError, UsageError
from filial.plugins import Manager

CORE = str(Path(sys.modules["filial"].__file__ or "").parents[1])
SAMPLES = Path(__file__).parents[1] / "sample"


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
        ({"use": "pirate", "acent": "x"}, "r.yaml:3:7: strategy 'pirate': no option 'acent'; did you mean 'accent'?"),
        ({"use": "pirate", "zzz": 1}, "r.yaml:3:7: strategy 'pirate': no option 'zzz'; there are: 'accent'"),
        (
            {"use": "pirate", "accent": 3},
            "r.yaml:3:7: strategy 'pirate': option 'accent' is 3, but it should be a valid string",
        ),
        ({"accent": "x"}, "r.yaml:3:7: a strategy needs 'use: NAME'"),
        ("pirat", "r.yaml:3:7: no strategy named 'pirat'; did you mean 'pirate'?"),
    ],
)
def test_wrong_options_are_one_sentence(site, spec, message):
    site.sample("pirate")
    with pytest.raises(UsageError) as err:
        site.manager().build("strategies", spec, where="r.yaml:3:7")
    assert str(err.value) == message


BROKEN = {
    "broken": "does not load: ModuleNotFoundError: No module named 'does_not_exist'",
    "exits": "does not load: SystemExit: 0",
    "typo": "does not load: there is no hook 'register_strategy'; did you mean 'register_strategies'?",
    "args": "does not load: its hook register_strategies wants 'config', but hooks of this name get register",
    "wrong": (
        "does not load: it registers 'wrong' as a strategy, but <class 'dict'> is no subclass of filial.Strategy"
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_package_costs_only_who_names_it(site, name):
    site.sample("pirate", *BROKEN, "liar", "segv", "heavy")
    manager = site.manager()
    for _ in range(2):  # the second time it is not tried again, and the sentence is the same
        with pytest.raises(PluginError) as err:
            manager.get("strategies", name)
        assert str(err.value) == f"filial-{name} 0.1.0: entry point {name} = filial_{name} {BROKEN[name]}"
    assert manager.get("strategies", "pirate").__name__ == "Pirate"
    assert {n for _, _, n in manager._found} == {"pirate"}
    assert [name for name, _ in manager._pm.list_name_plugin()] == ["filial-pirate:filial_pirate"]


def test_a_promise_that_is_not_kept(site):
    site.sample("liar", "pirate")
    manager = site.manager()
    with pytest.raises(PluginError) as err:
        manager.get("strategies", "liar")
    assert str(err.value) == (
        "filial-liar 0.1.0 promises strategy 'liar' (entry point liar = filial_liar), but registers 'lier'"
    )
    assert manager.get("strategies", "pirate")


def test_a_name_claimed_twice_names_both_and_the_way_out(site):
    site.sample("clash")
    ours = (SAMPLES / "filial-clash/filial_clash.py").read_text().replace("Another deepen", "Our deepen")
    site.dist("filial", {"filial.strategies": {"deepen": "our_deepen"}}, {"our_deepen": ours}, version="0.1.0")
    manager = site.manager()
    with pytest.raises(PluginError) as err:
        manager.get("strategies", "deepen")
    assert str(err.value) == (
        "strategy 'deepen' is claimed by filial 0.1.0 and filial-clash 0.1.0; write 'use: filial:deepen' or "
        "'use: filial-clash:deepen', or uninstall one of them"
    )
    assert manager.build("strategies", "filial:deepen").__doc__ == "Our deepen."
    assert manager.build("strategies", "filial-clash:deepen").__doc__ == "Another deepen."
    with pytest.raises(PluginError, match=r"filial-pirate claims no strategy 'deepen', but filial 0\.1\.0 and"):
        manager.get("strategies", "filial-pirate:deepen")


def test_a_slow_import_is_paid_only_by_who_names_it(site):
    site.sample("heavy", "pirate")
    start = time.perf_counter()
    site.manager().get("strategies", "pirate")
    assert time.perf_counter() - start < 2.5
    assert "filial_heavy" not in sys.modules


def test_a_crash_on_import_leaves_listing_and_other_names_alone(site):
    site.sample("segv", "pirate")
    code = (
        "from filial.plugins import Manager; m = Manager(); print(*m.index['strategies'], flush=True);"
        "print(m.get('strategies', 'pirate').__name__, flush=True); m.get('strategies', 'segv')"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site.folder), CORE])}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.stdout.split()[-1] == "Pirate"
    assert "segv" in done.stdout
    assert done.returncode < 0, "this one cannot be contained; it costs who names it"
    assert "filial-segv 0.1.0: entry point segv = filial_segv does not load" in done.stderr


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("raise KeyError('gone')", "KeyError: 'gone'"),
        ("class Odd(BaseException): pass\nraise Odd('two\\n  lines')", "Odd: two lines"),
        ("x = (", "SyntaxError"),
        ("raise SystemExit", "SystemExit"),
        ("from filial import nothing_like_that", "ImportError"),
    ],
)
def test_whatever_an_import_raises_is_one_line(site, code, cause):
    site.dist("filial-odd", {"filial.strategies": {"odd": "odd_module"}}, {"odd_module": code})
    with pytest.raises(PluginError, match=r"^filial-odd 1\.0: entry point odd = odd_module does not load: ") as err:
        site.manager().get("strategies", "odd")
    assert cause in str(err.value)
    assert "\n" not in str(err.value)


def test_ctrl_c_is_not_contained(site):
    site.dist("filial-odd", {"filial.strategies": {"odd": "odd_module"}}, {"odd_module": "raise KeyboardInterrupt"})
    with pytest.raises(KeyboardInterrupt):
        site.manager().get("strategies", "odd")


def test_registration_is_all_or_nothing(site, source):
    half = source("half", "Half") + (
        "from filial import Filter\n@hookimpl\ndef register_filters(register):\n    raise RuntimeError('second half')\n"
    )
    site.dist("filial-half", {"filial.strategies": {"half": "half_module"}}, {"half_module": half})
    manager = site.manager()
    with pytest.raises(PluginError, match="RuntimeError: second half"):
        manager.get("strategies", "half")
    assert manager._found == {}
    assert not manager._pm.list_name_plugin()
    assert not any(manager.hook.implemented(f"register_{kind}") for kind in ("strategies", "filters"))


@pytest.mark.parametrize(
    ("name", "cls", "body", "message"),
    [
        ("Deep_Sea", "X", "", "a name is kebab-case"),
        ("x", "X", "use: str = 'a'", "X has an option called 'use'"),
    ],
)
def test_what_may_not_be_registered(site, source, name, cls, body, message):
    site.dist("filial-x", {"filial.strategies": {"x": "x_module"}}, {"x_module": source(name, cls, body)})
    with pytest.raises(PluginError, match=message):
        site.manager().get("strategies", "x")


def test_a_class_without_its_method_is_refused(site, source):
    code = source("x").replace("async def evolve", "async def evolv")
    site.dist("filial-x", {"filial.strategies": {"x": "x_module"}}, {"x_module": code})
    with pytest.raises(PluginError, match="X has no method evolve"):
        site.manager().get("strategies", "x")


def test_two_classes_under_one_name_are_refused(site, source):
    code = source("x") + '    class Y(X):\n        """Y."""\n    register("x", Y)\n'
    site.dist("filial-x", {"filial.strategies": {"x": "x_module"}}, {"x_module": code})
    with pytest.raises(PluginError, match="twice, with different classes"):
        site.manager().get("strategies", "x")


def test_register_is_of_no_use_later(site, source):
    code = source("x") + "    global later\n    later = register\n"
    site.dist("filial-x", {"filial.strategies": {"x": "x_module"}}, {"x_module": code})
    cls = site.manager().get("strategies", "x")
    with pytest.raises(PluginError, match="inside the hook register_strategies only"):
        sys.modules["x_module"].later("y", cls)


def test_an_entry_point_at_the_class_says_what_to_do(site, source):
    site.dist("filial-x", {"filial.strategies": {"x": "x_module:X"}}, {"x_module": source("x")})
    with pytest.raises(PluginError, match="it points at a class; point it at the module"):
        site.manager().get("strategies", "x")


def test_one_module_may_bring_many_names(site, source):
    code = source("a", "A") + '    register("b", A)\n'
    site.dist("filial-x", {"filial.strategies": {"a": "x_module", "b": "x_module"}}, {"x_module": code})
    manager = site.manager()
    assert manager.get("strategies", "a") is manager.get("strategies", "b")


def test_one_distribution_claiming_a_name_twice(site):
    site.dist("filial-x", "[filial.strategies]\nx = one\nx = two\n")
    with pytest.raises(PluginError, match=r"filial-x 1\.0 claims strategy 'x' twice \(one and two\)"):
        site.manager().get("strategies", "x")


@pytest.mark.parametrize("requires", ["filial>=9", "filial <0.1,>=0.0", "filial==99.*"])
def test_a_package_for_another_filial_says_so_and_is_not_imported(site, requires):
    site.dist(
        "filial-new", {"filial.strategies": {"new": "new_module"}}, {"new_module": "import nope"}, requires=(requires,)
    )
    with pytest.raises(PluginError) as err:
        site.manager().get("strategies", "new")
    spec = requires.removeprefix("filial").strip()
    assert f"filial-new 1.0: entry point new = new_module does not load: it needs filial {spec}, and" in str(err.value)
    assert "nope" not in str(err.value)


def test_a_requirement_that_cannot_be_read_says_so(site):
    site.dist("filial-new", {"filial.strategies": {"new": "m"}}, requires=("filial =>1",))
    with pytest.raises(PluginError, match="its requirement on filial cannot be read"):
        site.manager().get("strategies", "new")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("piratee", "no strategy named 'piratee'; did you mean 'pirate'?"),
        ("harm", "no strategy named 'harm'; 'harm' is a filter"),
        ("zzz", "no strategy named 'zzz' is installed; there are: pirate"),
        ("nobody:zzz", "no strategy named 'nobody:zzz' is installed; there are: pirate"),
    ],
)
def test_unknown_names(site, name, message):
    site.sample("pirate")
    site.dist("filial-f", {"filial.filters": {"harm": "m"}})
    with pytest.raises(PluginError) as err:
        site.manager().get("strategies", name)
    assert str(err.value) == message


def test_missing_extra_holds_the_install_line(site):
    code = '''
from typing import ClassVar
from filial import Trainer, hookimpl
class Big(Trainer):
    """Big."""
    requires: ClassVar = ("json", "no_such_torch", "no_such.transformers")
    extra: ClassVar = "train"
    def train(self, data, model, template, out, ctx):
        return {}
@hookimpl
def register_trainers(register):
    register("big", Big)
'''
    site.dist("filial-big", {"filial.trainers": {"big": "big_module"}}, {"big_module": code})
    manager = site.manager()
    with pytest.raises(MissingExtra) as err:
        manager.check_requirements(manager.get("trainers", "big"))
    assert str(err.value) == (
        "Big needs no_such_torch and no_such.transformers, which are not installed; run: "
        "pip install 'filial-big[train]'"
    )


def test_requirements_are_looked_for_without_importing(site):
    (site.folder / "needed_module.py").write_text("raise RuntimeError('imported')")

    class Needy(Trainer):
        requires = ("needed_module", "json")

        def train(self, data, model, template, out, ctx):
            return {}

    site.manager().check_requirements(Needy)
    Needy.requires = ("not_there",)
    with pytest.raises(MissingExtra, match="Needy needs not_there, which is not installed; run: pip install not_there"):
        site.manager().check_requirements(Needy)


def test_one_file_is_a_plugin_without_packaging(site, tmp_path, source):
    file = tmp_path / "shout.py"
    file.write_text(source("shout", "Shout", "loud: int = 3"))
    manager = site.manager()
    assert manager.load_file(file) == [("strategies", "shout")]
    shout = manager.build("strategies", {"use": "shout", "loud": 5})
    version = manager.provenance(shout).removeprefix("shout.py:shout==0+")
    assert len(version) == 12
    assert manager.load_file(file) == [("strategies", "shout")]
    assert manager.get("strategies", "shout") is type(shout)
    assert pickle.loads(pickle.dumps(shout)) == shout
    file.write_text(file.read_text() + "# changed\n")
    other = Manager(site.index())
    other.load_file(file)
    assert version not in other.provenance("strategies", "shout"), "a changed file is another version"


def test_one_file_collides_like_a_package(site, tmp_path, source):
    site.sample("pirate")
    file = tmp_path / "mine.py"
    file.write_text(source("pirate"))
    manager = site.manager()
    manager.load_file(file)
    with pytest.raises(PluginError, match=r"claimed by filial-pirate 0\.1\.0 and mine\.py 0\+\w+; write"):
        manager.get("strategies", "pirate")
    assert manager.get("strategies", "mine.py:pirate").__name__ == "X"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import does_not_exist", r"bad\.py 0\+\w+: .* does not load: ModuleNotFoundError: No module named"),
        ("x = 1", "it implements no hook; mark one with filial.hookimpl"),
    ],
)
def test_a_broken_file(site, tmp_path, code, message):
    file = tmp_path / "bad.py"
    file.write_text(code)
    with pytest.raises(PluginError, match=message):
        site.manager().load_file(file)
    assert "filial_file_bad" not in sys.modules or code == "x = 1"


def test_a_file_that_is_not_there(site, tmp_path):
    with pytest.raises(UsageError, match=r"--plugin .*nope\.py: there is no such file"):
        site.manager().load_file(tmp_path / "nope.py")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(PluginError, match=r"its name must end in \.py"):
        site.manager().load_file(tmp_path / "notes.txt")


def test_two_files_of_one_name(site, tmp_path, source):
    for folder, name in (("a", "one"), ("b", "two")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(source(name))
    manager = site.manager()
    manager.load_file(tmp_path / "a" / "mine.py")
    with pytest.raises(PluginError, match=r"another file called mine\.py is loaded; rename one"):
        manager.load_file(tmp_path / "b" / "mine.py")


def test_entries_outside_the_kinds_are_contained_too(site):
    site.dist(
        "filial-x", {"filial.commands": {"sail": "sail_module:command", "sink": "sink_module"}},
        {"sail_module": "command = 'sail'", "sink_module": "raise SystemExit(3)"},
    )  # fmt: skip
    manager = site.manager()
    assert manager.entry("commands", "sail") == "sail"
    with pytest.raises(
        PluginError, match=r"filial-x 1\.0: entry point sink = sink_module does not load: SystemExit: 3"
    ):
        manager.entry("commands", "sink")


def test_the_nine_faulty_packages_are_all_here():
    names = {folder.name.removeprefix("filial-") for folder in SAMPLES.iterdir() if folder.is_dir()}
    assert names == {"pirate", *BROKEN, "liar", "segv", "heavy", "clash"}
    assert len(names) == 10


@pytest.mark.slow
def test_pip_installs_the_sample_and_it_is_there(tmp_path):
    """A real environment, a real pip, a real build: the package of DESIGN section 3 and its own tests."""
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


def test_manager_sees_components_only_as_frozen_models(site):
    site.sample("pirate")
    pirate: Component = site.manager().build("strategies", "pirate")
    with pytest.raises(ValueError, match="frozen"):
        pirate.accent = "x"  # type: ignore[attr-defined]
