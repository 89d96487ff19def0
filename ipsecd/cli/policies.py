"""``ipsecctl policy``: without a command what the daemon has in force, with one what stands in policy files."""

from __future__ import annotations

import click


class PolicyCommands(click.Group):
    """The commands on policy files. They come when one of them is wanted: with them comes the whole schema, for which
    the commands that ask the daemon shouldn't wait. Such commands are added as to any group."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """See click."""
        self._fill()
        return super().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """See click."""
        self._fill()
        return super().get_command(ctx, cmd_name)

    def _fill(self) -> None:
        from ipsecd.cli.policy_commands import COMMANDS  # noqa: PLC0415 - the reason stands above

        for command in COMMANDS:
            self.add_command(command)
