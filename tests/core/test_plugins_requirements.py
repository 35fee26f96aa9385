"""What a plugin needs, of filial and of other packages, is said before anything is imported."""

from __future__ import annotations

import pytest

from filial import MissingExtra, Trainer
from filial.contracts.errors import PluginError


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
