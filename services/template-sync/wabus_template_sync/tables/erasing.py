"""What these tables hold of accounts and organisations, and how it goes when these are forgotten."""

from collections.abc import Mapping
from datetime import datetime

from wabus_events import AccountForgotten, OrganisationForgotten
from wabus_runtime.postgres.database import Connection
from wabus_whatsapp.forgetting import Lines


async def erase(connection: Connection, lines: Lines) -> None:
    """Forget accounts and organisations: a row goes when all that it says is older than the line."""
    known = await connection.fetch(
        """
        SELECT waba_id FROM template_accounts
        UNION SELECT waba_id FROM templates
        UNION SELECT waba_id FROM template_versions
        UNION SELECT waba_id FROM template_syncs
        UNION SELECT waba_id FROM template_schedules
        UNION SELECT event->>'waba_id' FROM template_staged
        """
    )
    accounts = {row["waba_id"]: line for row in known if (line := lines.of(AccountForgotten, row["waba_id"]))}
    await _erase_accounts(connection, accounts)
    owners = await connection.fetch(
        """
        SELECT org_id FROM template_accounts WHERE org_id IS NOT NULL
        UNION SELECT org_id FROM template_syncs WHERE org_id IS NOT NULL
        UNION SELECT org_id FROM templates WHERE org_id IS NOT NULL
        UNION SELECT org_id FROM template_versions WHERE org_id IS NOT NULL
        UNION SELECT event->>'org_id' FROM template_staged WHERE event->>'org_id' IS NOT NULL
        """
    )
    gone = [(row["org_id"], line) for row in owners if (line := lines.of(OrganisationForgotten, row["org_id"]))]
    for statement in _OF_AN_ORGANISATION:
        await connection.executemany(statement, gone)


async def _erase_accounts(connection: Connection, accounts: Mapping[str, datetime]) -> None:
    for statement in _OF_AN_ACCOUNT:
        await connection.executemany(statement, list(accounts.items()))


_NEWEST_OF_A_SYNC = "greatest(asked_at, requested_at, begun_at, finished_at)"

_OF_AN_ACCOUNT = (
    "DELETE FROM template_staged WHERE event->>'waba_id' = $1 AND (event->>'time')::timestamptz <= $2",
    "DELETE FROM template_versions WHERE waba_id = $1 AND (version->>'at')::timestamptz <= $2",
    "DELETE FROM templates WHERE waba_id = $1 AND coalesce(presence_at, updated_at) <= $2",
    # Of one that was told again since: when it was there first is not of before.
    "UPDATE templates SET created_at = presence_at WHERE waba_id = $1 AND created_at <= $2",
    f"DELETE FROM template_syncs WHERE waba_id = $1 AND {_NEWEST_OF_A_SYNC} <= $2",  # noqa: S608
    """
    DELETE FROM template_sync_requests AS asked WHERE waba_id = $1 AND $2::timestamptz IS NOT NULL AND NOT EXISTS (
        SELECT FROM template_syncs WHERE template_syncs.sync_id = asked.sync_id
    )
    """,
    "DELETE FROM template_schedules WHERE waba_id = $1 AND greatest(asked_at, ended_at) <= $2",
    "DELETE FROM template_accounts WHERE waba_id = $1 AND greatest(connected_at, disconnected_at) <= $2",
    """
    UPDATE template_accounts SET created_at = connected_at, disconnected_at = NULL, disconnected_id = NULL
    WHERE waba_id = $1 AND (created_at <= $2 OR disconnected_at <= $2)
    """,
)
_OF_AN_ORGANISATION = (
    "DELETE FROM template_staged WHERE event->>'org_id' = $1 AND (event->>'time')::timestamptz <= $2",
    # Of a template that another organisation has been told of since: as if that one had been the first.
    """
    UPDATE templates AS told SET number_before = 0 WHERE EXISTS (
        SELECT FROM template_versions AS before WHERE before.org_id = $1 AND (before.version->>'at')::timestamptz <= $2
            AND (before.waba_id, before.template_id, before.number)
                = (told.waba_id, told.template_id, told.number_before)
    )
    """,
    "DELETE FROM template_versions WHERE org_id = $1 AND (version->>'at')::timestamptz <= $2",
    "DELETE FROM templates WHERE org_id = $1 AND coalesce(presence_at, updated_at) <= $2",
    f"DELETE FROM template_syncs WHERE org_id = $1 AND {_NEWEST_OF_A_SYNC} <= $2",  # noqa: S608
    "DELETE FROM template_accounts WHERE org_id = $1 AND greatest(connected_at, disconnected_at) <= $2",
)
