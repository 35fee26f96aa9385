"""Evolve records with a strategy."""

from filial_plugins.commands.stages import stage_command

evolve = stage_command(
    "evolve", "strategies", "Evolve records with one strategy or several: evolve NAME [NAME...] INPUT...", "[NAME...] "
)
