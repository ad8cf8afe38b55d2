"""`wabus connect` and `wabus disconnect`: an organisation's WABA from the command line."""

import asyncio
from datetime import UTC, datetime

import click
from pydantic import SecretStr
from wabus_events import AccountConnected, PhoneNumber
from wabus_events.models.erasures import BY_COMMAND
from wabus_runtime.credentials.credential_cache import CredentialCache, following_credentials
from wabus_runtime.credentials.sealing import CannotOpen, Keyring
from wabus_runtime.graph.client import Graph
from wabus_runtime.observe.telemetry import configure_logs
from wabus_runtime.settings import LogSettings, load
from wabus_whatsapp.accounts import is_registered

from wabus_gateway.worker import connect as connecting

RESEAL_TRIES = 5


@click.command()
@click.option("--org", required=True, help="The organisation, as `orgId` in its tokens.")
@click.option("--waba", required=True, help="The id of the WhatsApp Business account.")
@click.option(
    "--token",
    envvar="WABUS_TOKEN",
    prompt="Access token",
    hide_input=True,
    help="A system user's access token; better in WABUS_TOKEN or at the prompt than in the shell's history.",
)
@click.option("--subscribe/--no-subscribe", default=True, show_default=True, help="Tell Meta the WABA's callback URL.")
def connect(org: str, waba: str, token: str, subscribe: bool) -> None:
    """Connect an organisation's WABA: check its token, subscribe to its webhooks, start a template sync.

    Connecting again is safe: the newest token stands.

    \b
    wabus connect --org acme --waba 102290129340398                  asks for the token
    WABUS_TOKEN="$(cat token)" wabus connect --org acme --waba 102290129340398
    wabus connect --org acme --waba 102290129340398 --no-subscribe   leaves Meta's callback as it is
    """
    settings = load(connecting.ConnectSettings)
    _quiet()

    async def run() -> AccountConnected:
        async with Graph(settings) as graph, following_credentials(settings) as replica:
            return await connecting.connect(
                settings,
                graph,
                replica,
                org_id=org,
                waba_id=waba,
                token=SecretStr(token.strip()),
                clock=lambda: datetime.now(UTC),
                connected_by=BY_COMMAND,
                subscribe=subscribe,
            )

    try:
        connected = asyncio.run(run())
    except connecting.ConnectRefused as refused:
        raise click.ClickException(f"{refused.message} ({refused.code})") from None
    numbers = ", ".join(map(_shown, connected.phone_numbers))
    click.echo(f"{waba} is connected to {org}; phone numbers: {numbers or 'none'}. Its templates are being synced.")


def _shown(phone: PhoneNumber) -> str:
    unregistered = is_registered(phone.status, phone.platform_type) is False
    return (phone.display_phone_number or phone.phone_number_id) + (" (not registered yet)" if unregistered else "")


@click.command()
@click.option("--org", required=True, help="The organisation, as `orgId` in its tokens.")
@click.option("--waba", required=True, help="The id of the WhatsApp Business account.")
def disconnect(org: str, waba: str) -> None:
    """Disconnect an organisation's WABA: its token is removed, its templates are synced no more.

    What was published about it stays in the log.

    \b
    wabus disconnect --org acme --waba 102290129340398
    """
    settings = load(connecting.ConnectSettings)
    _quiet()

    async def run() -> None:
        async with Graph(settings) as graph, following_credentials(settings) as replica:
            await connecting.disconnect(
                settings, graph, replica, org_id=org, waba_id=waba, clock=lambda: datetime.now(UTC), reason="requested"
            )

    try:
        asyncio.run(run())
    except connecting.ConnectRefused as refused:
        raise click.ClickException(f"{refused.message} ({refused.code})") from None
    click.echo(f"{waba} is disconnected from {org}.")


@click.command("rotate-keys")
def rotate_keys() -> None:
    """Seal every stored token under the first of CREDENTIAL_KEYS, while everything runs.

    Ids of Facebook users that releases before 0.3 stored beside the tokens become HMACs by this too.

    Put the new key in front of the old one, restart the services, run this, then take the old key out. It may be run
    again at any time, and names the tokens that no key opens.

    \b
    export CREDENTIAL_KEYS="k2:$(head -c 32 /dev/urandom | base64),$CREDENTIAL_KEYS"
    wabus rotate-keys
    """
    settings = load(connecting.ConnectSettings)
    _quiet()

    async def run() -> tuple[int, list[str]]:
        renewed, closed = 0, list[str]()
        async with following_credentials(settings) as replica:
            for credential in replica.all():
                try:
                    renewed += await _resealed(settings, replica, credential.waba_id)
                except CannotOpen:
                    closed.append(credential.waba_id)
        return renewed, closed

    renewed, closed = asyncio.run(run())
    click.echo(f"{renewed} tokens are now sealed under {Keyring(settings).sealing_key_id}.")
    if closed:
        raise click.ClickException(f"none of CREDENTIAL_KEYS opens the token of: {', '.join(closed)}; left as they are")


async def _resealed(settings: connecting.ConnectSettings, replica: CredentialCache, waba_id: str) -> bool:
    """Seal one token again. Whoever changes the account at the same moment goes first."""
    for _ in range(RESEAL_TRIES - 1):
        try:
            return await connecting.reseal(settings, replica, waba_id=waba_id)
        except connecting.ConnectRefused:
            continue
    return await connecting.reseal(settings, replica, waba_id=waba_id)


def _quiet() -> None:
    """A person reads the command's one line; the log only matters when something is wrong."""
    configure_logs(load(LogSettings).model_copy(update={"log_level": "WARNING", "log_format": "console"}), "wabus")
