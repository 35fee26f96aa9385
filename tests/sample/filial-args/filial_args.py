"""Broken: its hook asks for an argument that there is not."""

from filial import hookimpl


@hookimpl
def register_strategies(register, config):
    register("args", config)
