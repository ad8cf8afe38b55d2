"""The `wabus` command: a thin shell over the subcommands that each package registers as an entry point."""

import difflib
import logging
import sys
from importlib.metadata import entry_points

import click
from wabus_runtime.kafka.clients import KafkaUnavailable, TopicMismatch
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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=2, cutoff=0.5)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            raise click.UsageError(error.message + hint, ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(limit=200)) for name, command in found if command])


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="wabus-runtime", message="wabus %(version)s")
def wabus() -> None:
    """WhatsApp Business accounts on an event bus.

    \b
    Connect an account:                  wabus connect --org acme --waba 102290129340398
    Follow what happens:                 wabus events tail
    See what could not be handled:       wabus deadletter list
    Call the HTTP endpoints by hand:     curl -H "Authorization: Bearer $(wabus token --org acme)" …
    What a command does, with examples:  wabus events --help

    Settings come from the environment, from .env, and on a machine with `make run` from its .wabus/local.env.
    Exit codes: 0 done, 1 it could not be done (one line on stderr says why), 2 it was called wrongly.

    \b
    Completion of commands, options and event names, where `wabus` is on PATH (source .venv/bin/activate):
      bash  eval "$(_WABUS_COMPLETE=bash_source wabus)"       in ~/.bashrc
      zsh   eval "$(_WABUS_COMPLETE=zsh_source wabus)"        in ~/.zshrc
      fish  _WABUS_COMPLETE=fish_source wabus | source        in ~/.config/fish/config.fish
    """
    # Its complaints would stand beside the one line that says what is wrong.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


def main() -> None:
    try:
        wabus()
    except (SettingsError, KafkaUnavailable, TopicMismatch, OSError) as error:
        sys.exit(f"wabus: {error}")
