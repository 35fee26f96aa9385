"""Pass records through a filter."""

from filial_plugins.commands.stages import stage_command

filter = stage_command("filter", "filters", "Pass records through a filter.")
