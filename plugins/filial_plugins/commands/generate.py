"""Make records from seeds with a generator."""

from filial_plugins.commands.stages import stage_command

generate = stage_command("generate", "generators", "Make records from seeds with a generator.")
