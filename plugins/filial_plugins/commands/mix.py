"""Mix files of records with a mixer; `fit` chooses weights."""

from __future__ import annotations

import click

from filial import UsageError
from filial.commands import PluginGroup, manager
from filial_plugins.commands.stages import stage_command

FIT = "fit"
SAYS = "Choose the weights by short trainings (pilots)."


class MixGroup(PluginGroup):
    """The mixers, and ``fit`` beside them, which no mixer may be called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the mixers and ``fit``."""
        return sorted({*super().list_commands(ctx), FIT})

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the mixers, then ``fit``."""
        super().format_commands(ctx, formatter)
        with formatter.section("Commands"):
            formatter.write_dl([(FIT, SAYS)])

    def get_command(self, ctx: click.Context, name: str) -> click.Command:
        """Return a mixer as a command, or ``fit``.

        Raises:
            UsageError: a mixer has its name.
        """
        if name != FIT:
            return super().get_command(ctx, name)
        if claims := manager(ctx).index["mixers"].get(FIT):
            raise UsageError(
                f"'fit' is a command of filial mix and a mixer of {claims[0].owner}; write {claims[0].dist}:fit for "
                "the mixer, or --no-plugins in front of mix for the command"
            )
        from filial_plugins.mixing.fit.command import fit

        return fit


_mixers = stage_command("mix", "mixers", "Mix files of records with a mixer; records are grouped by task.")
mix = MixGroup("mix", _mixers.kind, _mixers.base, str(_mixers.help), _mixers.more)
