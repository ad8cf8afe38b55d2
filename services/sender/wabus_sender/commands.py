"""`wabus send`: a message from the command line, through the API."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import aiohttp
import click
from wabus_runtime.http.auth import make_token
from wabus_runtime.http.headers import MAX_WAIT
from wabus_runtime.settings import AuthSettings, HttpSettings, load

TIMEOUT = 10.0  # seconds beyond what the API may wait
TOKEN_LIVES = timedelta(minutes=5)


class SendSettings(AuthSettings, HttpSettings):
    """Where the API is, unless it is said, and what signs a token for it."""


@click.command()
@click.option("--org", required=True, help="The organisation, as `orgId` in its tokens.")
@click.option("--from", "sender", help="The id of the phone number. Not needed with --conversation.")
@click.option("--to", help="The person's telephone number, with its country's code.")
@click.option("--recipient", help="The person's business-scoped user id.")
@click.option("--conversation", help="The conversation that it is an answer in.")
@click.option("--text", help="What to write.")
@click.option("--template", help="A template without parameters, by its name.")
@click.option("--language", default="en_US", show_default=True, help="Of the template.")
@click.option("--key", help="The same key is the same send, however often.  [default: a new one]")
@click.option("--wait", type=click.IntRange(0, MAX_WAIT), default=10, show_default=True, help="Seconds for an outcome.")
@click.option("--api", help="Where the API answers.  [default: http://HTTP_HOST:HTTP_PORT]")
def send(
    org: str,
    sender: str | None,
    to: str | None,
    recipient: str | None,
    conversation: str | None,
    text: str | None,
    template: str | None,
    language: str,
    key: str | None,
    wait: int,
    api: str | None,
) -> None:
    """Send one message, and say what became of it. The token is signed with JWT_SECRET.

    \b
    wabus send --org demo --from 106540352242922 --to +4915123456789 --text "It is on its way."
    wabus send --org demo --conversation 0d5a1f0e-8a55-8d0c-9d4f-1f3f8f8f2a10 --text "It comes at nine."
    wabus send --org demo --from 106540352242922 --to +4915123456789 --template hello_world
    """
    if (text is None) == (template is None):
        raise click.UsageError("either --text or --template")
    settings = load(SendSettings)
    content: dict[str, Any] = (
        {"type": "text", "text": {"body": text}}
        if text is not None
        else {"type": "template", "template": {"name": template, "language": {"code": language}}}
    )
    whom = {"from": sender, "to": to, "recipient": recipient, "conversation_id": conversation}
    body = {**content, **{name: value for name, value in whom.items() if value is not None}}
    try:
        token = make_token(settings, org_id=org, role="service", now=datetime.now(UTC), lifetime=TOKEN_LIVES)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    address = api or f"http://{settings.http_host}:{settings.http_port}"
    headers = {
        "Authorization": f"Bearer {token}",
        "Idempotency-Key": key or str(uuid4()),
        "Prefer": f"wait={wait}",
    }
    try:
        status, answer = asyncio.run(_post(f"{address}/messages", body, headers, wait))
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise click.ClickException(
            f"no answer of {address} ({type(error).__name__}). With --key {headers['Idempotency-Key']} it can be "
            "asked again without being sent twice."
        ) from None
    if status not in (200, 202):
        raise click.ClickException(" ".join(filter(None, (answer.get("detail"), answer.get("remedy")))))
    click.echo(f"{answer['send_id']}: {answer['state']}")
    if refusal := answer.get("refusal"):
        raise click.ClickException(f"{refusal['message']} {refusal['remedy']} ({refusal['code']})")


async def _post(url: str, body: dict[str, Any], headers: dict[str, str], wait: int) -> tuple[int, dict[str, Any]]:
    timeout = aiohttp.ClientTimeout(total=wait + TIMEOUT)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.post(url, json=body, headers=headers) as got:
        return got.status, await got.json(content_type=None)
