"""Broken: what it registers is no strategy."""

from filial import hookimpl


@hookimpl
def register_strategies(register):
    register("wrong", dict)
