"""`wabus retention`: how long the messages of an organisation are kept."""

import asyncio
from datetime import UTC, datetime

import asyncpg
import click
from wabus_runtime.postgres.database import DATABASE_AWAY, migrated_pool
from wabus_runtime.settings import load

from wabus_conversations.settings import ConversationsRetentionSettings
from wabus_conversations.tables import retention as table
from wabus_conversations.worker.projector import PACKAGE

LONGEST = 730  # days


@click.command()
@click.option("--org", help="The organisation, as `orgId` in its tokens; all that have said something without.")
@click.option("--days", type=click.IntRange(1, LONGEST), help="Keep its messages for so long, by Meta's time.")
@click.option("--default", "as_others", is_flag=True, help="Keep them as long as those of who has said nothing.")
def retention(org: str | None, days: int | None, as_others: bool) -> None:
    """Say how long the messages of organisations are kept in tables, or set it.

    What is past its time is deleted within some minutes, a little at a time. What was deleted does not come back.

    \b
    wabus retention                            who keeps them for another time than CONVERSATIONS_RETENTION_DAYS
    wabus retention --org acme --days 90
    wabus retention --org acme --default
    """
    if (days is not None or as_others) and org is None:
        raise click.UsageError("--org says whose")
    if days is not None and as_others:
        raise click.UsageError("--days and --default exclude each other")
    try:
        asyncio.run(_run(org, days, change=days is not None or as_others))
    except DATABASE_AWAY as error:
        raise click.ClickException(f"PostgreSQL did not answer: {type(error).__name__}") from None
    except asyncpg.PostgresError as error:
        raise click.ClickException(f"PostgreSQL refused: {error}") from None


async def _run(org: str | None, days: int | None, *, change: bool) -> None:
    settings = load(ConversationsRetentionSettings)
    async with migrated_pool(settings, PACKAGE) as pool:
        if change and org is not None:
            async with pool.acquire() as connection:
                await table.set_days(connection, org, days, datetime.now(UTC))
        for org_id, kept in sorted((await table.days_of(pool)).items()):
            if org in (None, org_id):
                click.echo(f"{org_id}: {kept} days")
        click.echo(f"all others: {settings.conversations_retention_days} days")
