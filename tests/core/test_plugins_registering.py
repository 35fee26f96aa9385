"""What a plugin may register, under which names, and when."""

from __future__ import annotations

import sys

import pytest

from filial.contracts.errors import PluginError


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
    assert not any(manager.hook.implementers(f"register_{kind}") for kind in ("strategies", "filters"))


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
    with pytest.raises(PluginError, match="only inside the hook register_strategies"):
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
