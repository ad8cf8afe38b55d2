"""How what messages cost goes, when an organisation or an account is forgotten. Nothing of it names a contact."""

from datetime import UTC, datetime

from wabus_events import AccountForgotten, OrganisationForgotten
from wabus_runtime.postgres.database import Connection
from wabus_whatsapp.forgetting import Lines

from wabus_insights.tables.costs import sums

_OF_DAYS = (
    # Whole days go: what was delivered later on the last of them is not counted any more.
    """
    DELETE FROM charges USING cost_days
    WHERE charges.cell_id = cost_days.cell_id AND cost_days.{} = $1 AND day <= $2::timestamptz::date
    """,
    """
    DELETE FROM tier_seconds USING cost_days
    WHERE tier_seconds.cell_id = cost_days.cell_id AND cost_days.{} = $1 AND day <= $2::timestamptz::date
    """,
    "DELETE FROM cost_days WHERE {} = $1 AND day <= $2::timestamptz::date",
    "DELETE FROM charges WHERE {} = $1 AND seen_at <= $2",
    "DELETE FROM charge_sends WHERE {} = $1 AND at <= $2",
)
_OF_ACCOUNT = (
    "DELETE FROM meta_averages WHERE waba_id = $1 AND day <= $2::timestamptz::date",
    "DELETE FROM meta_readings WHERE waba_id = $1 AND day <= $2::timestamptz::date",
    "DELETE FROM tier_months WHERE scope = $1 AND last_at <= $2",
    "DELETE FROM tier_floors WHERE scope = $1 AND at <= $2",
    "DELETE FROM account_billings WHERE waba_id = $1 AND told_at <= $2",
    """
    DELETE FROM account_recounts
    WHERE waba_id = $1 AND NOT EXISTS (SELECT FROM charges WHERE waba_id = $1 AND seen_at > $2)
    """,
    "DELETE FROM price_recounts WHERE waba_id = $1 AND since <= $2::timestamptz::date",
)


async def erase(connection: Connection, lines: Lines) -> None:
    """Remove what is older than some lines: of organisations and accounts."""
    for kind, column in ((OrganisationForgotten, "org_id"), (AccountForgotten, "waba_id")):
        known = await connection.fetch(
            f"""
            SELECT {column} FROM cost_days UNION SELECT {column} FROM charges UNION SELECT {column} FROM charge_sends
            """  # noqa: S608
        )
        for (value,) in known:
            if at := lines.of(kind, value):
                await _all(connection, tuple(each.format(column) for each in _OF_DAYS), value, at)
                await sums.forget(connection, column, value, at.astimezone(UTC).date())
    for (value,) in await connection.fetch(
        """
        SELECT waba_id FROM meta_readings UNION SELECT waba_id FROM account_billings
        UNION SELECT scope FROM tier_months UNION SELECT scope FROM tier_floors
        UNION SELECT waba_id FROM account_recounts UNION SELECT waba_id FROM price_recounts WHERE waba_id IS NOT NULL
        """
    ):
        if at := lines.of(AccountForgotten, value):
            await _all(connection, _OF_ACCOUNT, value, at)


async def _all(connection: Connection, statements: tuple[str, ...], value: str, at: datetime) -> None:
    for statement in statements:
        await connection.execute(statement, value, at)
