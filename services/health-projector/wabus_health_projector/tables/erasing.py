"""What these tables hold of accounts and organisations, and how it goes when these are forgotten.

Nothing here is about a contact: counts have no people in them, and the ids of counted messages tell nobody.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from wabus_events import AccountForgotten, OrganisationForgotten
from wabus_runtime.postgres.database import Connection
from wabus_whatsapp.forgetting import Lines

from wabus_health_projector.health.fold import after, without_organisation
from wabus_health_projector.health.state import WabaHealth
from wabus_health_projector.tables.store import Changed, refresh_organisations, save_wabas, waba_health

OF_ORGANISATIONS = ("organisation_counts", "organisation_failures", "organisation_errors")
"""Tables with rows of an account for each hour and organisation."""
BY_THE_HOUR = ("message_counts", "message_errors", "message_failures", "messaging_errors", *OF_ORGANISATIONS)
"""Tables with rows of an account for each hour, which goes as a whole."""
OF_THE_MOMENT = ("webhook_arrivals", "account_checks")
"""Tables with a row of an account that says when something was last, by our own clock."""


async def erase(connection: Connection, lines: Lines) -> None:
    """Forget accounts and organisations in the tables that the health-projector folds."""
    known = await _known(connection)
    accounts = {waba_id: line for waba_id in known if (line := lines.of(AccountForgotten, waba_id))}
    of_organisations = {
        waba_id: gone
        for waba_id, org_ids in known.items()
        if (gone := {org_id: line for org_id in org_ids if (line := lines.of(OrganisationForgotten, org_id))})
    }
    await _erase_states(connection, accounts, of_organisations)
    for table in BY_THE_HOUR:
        await connection.executemany(
            f"DELETE FROM {table} WHERE waba_id = $1 AND hour <= $2",  # noqa: S608
            list(accounts.items()),
        )
    await _erase_counts_of(
        connection,
        [(waba_id, org_id, line) for waba_id, gone in of_organisations.items() for org_id, line in gone.items()],
    )
    for table in OF_THE_MOMENT:
        await connection.execute(f"DELETE FROM {table} WHERE waba_id = ANY($1)", list(accounts))  # noqa: S608


async def _erase_counts_of(connection: Connection, gone: Sequence[tuple[str, str, datetime]]) -> None:
    """Forget what accounts, which may be others' by now, counted while they were these organisations'."""
    await connection.executemany(_SUBTRACT, gone)
    await connection.execute(
        "DELETE FROM message_counts WHERE waba_id = ANY($1) AND count <= 0", [waba_id for waba_id, _, _ in gone]
    )
    for table in OF_ORGANISATIONS:
        await connection.executemany(
            f"DELETE FROM {table} WHERE waba_id = $1 AND org_id = $2 AND hour <= $3",  # noqa: S608
            gone,
        )


_SUBTRACT = """
    UPDATE message_counts AS held SET count = held.count - theirs.count FROM organisation_counts AS theirs
    WHERE theirs.waba_id = $1 AND theirs.org_id = $2 AND theirs.hour <= $3
        AND (held.waba_id, held.hour, held.phone_number_id, held.kind)
            = (theirs.waba_id, theirs.hour, theirs.phone_number_id, theirs.kind)
"""


async def erase_history(connection: Connection, lines: Lines) -> None:
    """Forget organisations in the history, and in what it has as reasons the accounts."""
    rows = await connection.fetch(_OWNERS.replace("waba_id", "org_id").replace("TABLES", "health_history"))
    gone = [(row["id"], line) for row in rows if (line := lines.of(OrganisationForgotten, row["id"]))]
    await connection.executemany("DELETE FROM health_history WHERE org_id = $1 AND at <= $2", gone)
    named = await connection.fetch(
        """
        SELECT DISTINCT reason->>'waba_id' AS id FROM health_history, jsonb_array_elements(reasons) AS reason
        WHERE reason->>'waba_id' IS NOT NULL
        """
    )
    accounts = [(row["id"], line) for row in named if (line := lines.of(AccountForgotten, row["id"]))]
    await connection.executemany(
        """
        UPDATE health_history SET reasons = coalesce((
            SELECT jsonb_agg(reason ORDER BY place)
            FROM jsonb_array_elements(reasons) WITH ORDINALITY AS kept(reason, place)
            WHERE reason->>'waba_id' IS DISTINCT FROM $1
        ), '[]')
        WHERE at <= $2 AND EXISTS (SELECT FROM jsonb_array_elements(reasons) AS one WHERE one->>'waba_id' = $1)
        """,
        accounts,
    )


async def _erase_states(
    connection: Connection, accounts: Mapping[str, datetime], of_organisations: Mapping[str, Mapping[str, datetime]]
) -> None:
    rows = await connection.fetch(
        """
        SELECT waba_id, (state || jsonb_build_object('waba_id', waba_id, 'templates', templates))::text AS state
        FROM waba_health WHERE waba_id = ANY($1) ORDER BY waba_id FOR UPDATE
        """,
        sorted({*accounts, *of_organisations}),
    )
    before = [waba_health(row["state"]) for row in rows]
    left = [_left(health, accounts, of_organisations) for health in before]
    gone = [health.waba_id for health in left if health == WabaHealth(waba_id=health.waba_id)]
    await connection.execute("DELETE FROM waba_health WHERE waba_id = ANY($1)", gone)
    saved: list[Changed] = [(health, health.updated_at) for health in left if health.waba_id not in gone]
    if saved:
        await save_wabas(connection, saved)
    owners = {health.owner for health in (*before, *left) if health.owner is not None}
    if owners:
        await refresh_organisations(connection, owners, saved)


def _left(
    health: WabaHealth, accounts: Mapping[str, datetime], of_organisations: Mapping[str, Mapping[str, datetime]]
) -> WabaHealth:
    if health.waba_id in accounts:
        health = after(health, accounts[health.waba_id])
    for org_id, line in of_organisations.get(health.waba_id, {}).items():
        health = without_organisation(health, org_id, line)
    return health


async def _known(connection: Connection) -> dict[str, set[str]]:
    """Every account that any of these tables knows, with the organisations that ever had it."""
    rows = await connection.fetch(
        """
        SELECT waba_id, ARRAY(
            SELECT jsonb_object_keys(coalesce(state->'connections', '{}') || coalesce(state->'disconnections', '{}'))
        ) AS org_ids FROM waba_health
        """
    )
    known = {row["waba_id"]: set[str](row["org_ids"]) for row in rows}
    for table in (*BY_THE_HOUR, *OF_THE_MOMENT):
        for row in await connection.fetch(_OWNERS.replace("TABLES", table)):
            known.setdefault(row["id"], set())
    return known


_OWNERS = """
    WITH RECURSIVE found AS (
        (SELECT waba_id AS id FROM TABLES ORDER BY waba_id LIMIT 1)
        UNION ALL
        SELECT (SELECT waba_id FROM TABLES WHERE waba_id > found.id ORDER BY waba_id LIMIT 1) FROM found
        WHERE found.id IS NOT NULL
    )
    SELECT id FROM found WHERE id IS NOT NULL
"""
"""Each id that a table has once, by its index: to read all rows of a large one would take long."""
