"""`wabus forget` and `wabus export`: an organisation, an account or a contact."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import BinaryIO

import asyncpg
import click
import orjson
from wabus_runtime.identity.holdings import FileUnavailable
from wabus_runtime.observe.telemetry import configure_logs
from wabus_runtime.settings import LogSettings, load

from wabus_cli.forgetting import export as exporting
from wabus_cli.forgetting import forget as forgetting
from wabus_cli.forgetting.asked import Asked
from wabus_cli.output import is_dash, new_file


def asking(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say who is meant."""
    options = (
        click.option("--org", metavar="ID", help="The organisation, as `orgId`; with --contact, whose contact."),
        click.option("--waba", metavar="ID", help="A WhatsApp Business account."),
        click.option("--contact", metavar="ID", help="A person: their telephone number, or Meta's user id."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@asking
@click.option("--yes", is_flag=True, help="Do not ask.")
def forget(org: str | None, waba: str | None, contact: str | None, yes: bool) -> None:
    """Forget an organisation with its accounts, an account, or a contact: all that was until now is of nobody.

    Accounts are disconnected, rows are deleted, and what happened until now counts nowhere any more, also in a rebuild,
    a replay or a webhook that Meta delivers late. Who comes again is somebody new. What it leaves where, and for how
    long, is in docs/privacy.md.

    Ended in the middle, the same command does the rest. It says what it did, and never of whom.

    \b
    wabus forget --org acme
    wabus forget --waba 102290129340398
    wabus forget --contact 16505551234               everywhere
    wabus forget --contact 16505551234 --org acme    as a contact of this organisation only
    """
    asked = _asked(org, waba, contact)
    settings = load(forgetting.ForgetSettings)
    _quiet()

    async def run() -> forgetting.Done:
        accounts = await forgetting.accounts_of(settings, asked)
        if not yes:
            what = f"an organisation with {len(accounts)} accounts" if asked.organisation else "one account"
            click.confirm(f"Forget {'a contact' if asked.contact else what}, for good?", abort=True, err=True)
        return await forgetting.forget(settings, asked, accounts, lambda what: click.echo(what, err=True))

    try:
        done = asyncio.run(run())
    except forgetting.Unfinished as unfinished:
        raise click.ClickException(str(unfinished)) from None
    except asyncpg.PostgresError as error:
        raise click.ClickException(f"PostgreSQL refused: {type(error).__name__}; run this again") from None
    for line in done.told():
        click.echo(line)


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@asking
@click.option(
    "--files",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="A new folder, for the media that are held, each under its SHA-256.",
)
def export(file: Path, org: str | None, waba: str | None, contact: str | None, folder: Path | None) -> None:
    """Write all that is held of an organisation, an account or a contact to FILE, one JSON object a line.

    Rows of every service, what is known of credentials, and events: all but tokens and keys. It is personal data.
    The file must not exist, only you may read it, and it is gone again if it can't be finished. - is standard output.

    \b
    wabus export --org acme acme.jsonl --files acme-media
    wabus export --contact 16505551234 --org acme - | jq -c '.table // .topic' | sort | uniq -c
    """
    asked = _asked(org, waba, contact)
    settings = load(forgetting.ForgetSettings)
    _quiet()

    async def write(out: BinaryIO) -> int:
        written = 0
        accounts = await forgetting.accounts_of(settings, asked)
        async with aclosing(exporting.held_of(settings, asked, accounts, folder)) as lines:
            async for line in lines:
                out.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
                written += 1
        return written

    try:
        if folder is not None:
            folder.mkdir(mode=0o700)
        with new_file(file) as out:
            written = asyncio.run(write(out))
    except asyncpg.PostgresError as error:
        raise click.ClickException(f"PostgreSQL refused: {type(error).__name__}") from None
    except FileExistsError:
        raise click.ClickException("the folder for media must be a new one") from None
    except FileUnavailable as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{written} lines in {'standard output' if is_dash(file) else file}", err=True)


def _asked(org: str | None, waba: str | None, contact: str | None) -> Asked:
    if waba is not None and (org is not None or contact is not None):
        raise click.UsageError("name an account alone: --waba")
    if not any((org, waba, contact)):
        raise click.UsageError("name whom: --org, --waba or --contact")
    return Asked(org or None, waba or None, contact or None)


def _quiet() -> None:
    """A person reads the command's lines; the log only matters when something is wrong."""
    configure_logs(load(LogSettings).model_copy(update={"log_level": "ERROR", "log_format": "console"}), "wabus")
