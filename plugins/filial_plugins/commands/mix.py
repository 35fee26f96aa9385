"""Mix files of records with a mixer."""

from filial_plugins.commands.stages import stage_command

mix = stage_command("mix", "mixers", "Mix files of records with a mixer; records are grouped by task.")
