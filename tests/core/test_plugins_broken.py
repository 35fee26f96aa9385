"""Each kind of broken package costs only the one who names it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from sample_kit import CORE, SAMPLES

from filial.contracts.errors import PluginError

BROKEN = {
    "broken": "does not load: ModuleNotFoundError: No module named 'does_not_exist', in filial_broken.py, line 3",
    "exits": "does not load: SystemExit: 0, in filial_exits.py, line 5",
    "typo": "does not load: there is no hook 'register_strategy'; did you mean 'register_strategies'?",
    "args": (
        "does not load: PluginValidationError: Plugin 'filial-args:filial_args' for hook 'register_strategies' "
        "hookimpl definition: register_strategies(register, config) Argument(s) {'config'} are declared in the "
        "hookimpl but can not be found in the hookspec"
    ),
    "wrong": (
        "does not load: it registers 'wrong' as a strategy, but <class 'dict'> is not a subclass of filial.Strategy"
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


def test_a_slow_import_is_paid_only_by_who_names_it(site):
    site.sample("heavy", "pirate")
    site.manager().get("strategies", "pirate")
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


def test_the_faulty_packages_and_the_good_ones_are_all_here():
    names = {folder.name.removeprefix("filial-") for folder in SAMPLES.iterdir() if folder.is_dir()}
    assert names == {"table", "dedupe", "pirate", *BROKEN, "liar", "segv", "heavy", "clash"}
    assert len(names) == 12
