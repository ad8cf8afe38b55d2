"""The `wabus` command: a thin shell over the subcommands that each package registers as an entry point."""

import sys
from importlib.metadata import entry_points

import click

from wabus_runtime.kafka import KafkaUnavailable
from wabus_runtime.settings import SettingsError


class _Commands(click.Group):
    """Imports a subcommand only when it is asked for, so that `wabus token` does not load every service."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(entry.name for entry in entry_points(group="wabus.commands"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for entry in entry_points(group="wabus.commands", name=cmd_name):
            command: click.Command = entry.load()
            return command
        return None


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def wabus() -> None:
    """WhatsApp Business accounts on an event bus."""


def main() -> None:
    try:
        wabus()
    except (SettingsError, KafkaUnavailable) as error:
        sys.exit(f"wabus: {error}")
