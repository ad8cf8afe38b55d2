"""What planning holds of organisations and accounts, and how it goes when these are forgotten."""

from wabus_events import AccountForgotten, OrganisationForgotten
from wabus_runtime.identity.holdings import Table
from wabus_runtime.postgres.database import Connection
from wabus_runtime.projection.erasing import lines_of
from wabus_whatsapp.forgetting import Lines

_ACCOUNTS = "waba_id IN (SELECT waba_id FROM planned_accounts WHERE org_id = $1)"

TABLES = (
    Table("planned_accounts", "$1 IN (org_id, last_org_id)", "waba_id = $1"),
    Table("budget_sets", "org_id = $1"),
    Table("budgets", "org_id = $1", "waba_id = $1"),
    Table("budget_checks", "org_id = $1"),
    Table("budget_alerts", "org_id = $1"),
    Table("pricing_readings", "org_id = $1", "waba_id = $1"),
    Table("meta_pricing_days", None, "waba_id = $1"),
    Table("pricing_schedules", "org_id = $1", "waba_id = $1"),
    Table("template_categories", _ACCOUNTS, "waba_id = $1"),
    Table("payment_errors", _ACCOUNTS, "waba_id = $1"),
    Table("advice", "org_id = $1", "waba_id = $1"),
    Table("advice_checks", "org_id = $1"),
    Table("advice_counts", "org_id = $1", "waba_id = $1"),
    # How far the days of everybody are counted.
    Table("advice_days"),
    Table("advice_dismissals", "org_id = $1"),
)
"""Of a contact nothing: advice counts people, and names none."""

_COUNTS_OF_AN_ACCOUNT = (
    "DELETE FROM advice_counts WHERE waba_id = $1 AND day <= ($2::timestamptz AT TIME ZONE 'UTC')::date"
)
_COUNTS_OF_AN_ORGANISATION = (
    "DELETE FROM advice_counts WHERE org_id = $1 AND day <= ($2::timestamptz AT TIME ZONE 'UTC')::date"
)
_OF_AN_ACCOUNT = (
    "DELETE FROM pricing_readings WHERE waba_id = $1 AND read_at <= $2",
    "DELETE FROM pricing_schedules WHERE waba_id = $1 AND coalesce(read_at, '-infinity') <= $2",
    "DELETE FROM template_categories WHERE waba_id = $1 AND told_at <= $2",
    "DELETE FROM payment_errors WHERE waba_id = $1 AND told_at <= $2",
    "DELETE FROM advice WHERE waba_id = $1 AND $2::timestamptz IS NOT NULL",
    _COUNTS_OF_AN_ACCOUNT,
    "DELETE FROM budgets WHERE waba_id = $1 AND org_id IN (SELECT org_id FROM budget_sets WHERE set_at <= $2)",
    "DELETE FROM planned_accounts WHERE waba_id = $1 AND greatest(owner_told_at, told_at) <= $2",
)
_OF_AN_ORGANISATION = (
    "DELETE FROM budgets WHERE org_id = $1 AND org_id IN (SELECT org_id FROM budget_sets WHERE set_at <= $2)",
    "DELETE FROM budget_checks WHERE org_id = $1 AND org_id NOT IN (SELECT org_id FROM budget_sets WHERE set_at > $2)",
    "DELETE FROM budget_sets WHERE org_id = $1 AND set_at <= $2",
    "DELETE FROM budget_alerts WHERE org_id = $1 AND alerted_at <= $2",
    "DELETE FROM pricing_readings WHERE org_id = $1 AND read_at <= $2",
    "DELETE FROM pricing_schedules WHERE org_id = $1 AND coalesce(read_at, '-infinity') <= $2",
    f"DELETE FROM template_categories WHERE {_ACCOUNTS} AND told_at <= $2",  # noqa: S608
    f"DELETE FROM payment_errors WHERE {_ACCOUNTS} AND told_at <= $2",  # noqa: S608
    "DELETE FROM advice WHERE org_id = $1 AND $2::timestamptz IS NOT NULL",
    _COUNTS_OF_AN_ORGANISATION,
    "DELETE FROM advice_checks WHERE org_id = $1 AND org_id NOT IN ("
    "SELECT org_id FROM planned_accounts WHERE org_id = $1 AND owner_told_at > $2)",
    "DELETE FROM advice_dismissals WHERE org_id = $1 AND told_at <= $2",
    "DELETE FROM planned_accounts WHERE $1 IN (org_id, last_org_id) AND greatest(owner_told_at, told_at) <= $2",
)


async def erase(connection: Connection, lines: Lines) -> None:
    """Forget accounts and organisations."""
    known = await connection.fetch(
        """
        SELECT waba_id FROM planned_accounts UNION SELECT waba_id FROM pricing_readings
        UNION SELECT waba_id FROM pricing_schedules UNION SELECT waba_id FROM template_categories
        UNION SELECT waba_id FROM payment_errors UNION SELECT waba_id FROM advice
        UNION SELECT waba_id FROM advice_counts
        UNION SELECT waba_id FROM budgets WHERE waba_id IS NOT NULL
        """
    )
    gone = [(row["waba_id"], line) for row in known if (line := lines.of(AccountForgotten, row["waba_id"]))]
    for statement in _OF_AN_ACCOUNT:
        await connection.executemany(statement, gone)
    owners = await connection.fetch(
        """
        SELECT org_id FROM budget_sets UNION SELECT org_id FROM budget_alerts UNION SELECT org_id FROM advice
        UNION SELECT org_id FROM advice_checks UNION SELECT org_id FROM advice_counts
        UNION SELECT org_id FROM advice_dismissals
        UNION SELECT org_id FROM pricing_readings WHERE org_id IS NOT NULL UNION SELECT org_id FROM pricing_schedules
        UNION SELECT last_org_id FROM planned_accounts WHERE last_org_id IS NOT NULL
        """
    )
    left = [(row["org_id"], line) for row in owners if (line := lines.of(OrganisationForgotten, row["org_id"]))]
    for statement in _OF_AN_ORGANISATION:
        await connection.executemany(statement, left)


async def erase_counts_again(connection: Connection, key: bytes) -> None:
    """Forget what was counted out of messages that were being erased. `key` is that of the identities.

    Waits for erasures that are under way, and lets none begin before the transaction ends.
    """
    await connection.execute("LOCK TABLE erasures IN SHARE MODE")
    rows = await connection.fetch("SELECT DISTINCT org_id, waba_id FROM advice_counts")
    accounts = await lines_of(connection, key, AccountForgotten, [row["waba_id"] for row in rows])
    await connection.executemany(_COUNTS_OF_AN_ACCOUNT, accounts.items())
    organisations = await lines_of(connection, key, OrganisationForgotten, [row["org_id"] for row in rows])
    await connection.executemany(_COUNTS_OF_AN_ORGANISATION, organisations.items())
