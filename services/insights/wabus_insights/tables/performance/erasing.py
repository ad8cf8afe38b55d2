"""How what is known of messages and templates goes, when an organisation, an account or a person is forgotten."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from wabus_events import AccountForgotten, OrganisationForgotten
from wabus_runtime.postgres.database import Connection
from wabus_whatsapp.forgetting import Lines

from wabus_insights.performance.counting import Tally
from wabus_insights.tables.performance import counts, messages

_MESSAGES = (
    "DELETE FROM send_requests WHERE {} = $1 AND at <= $2",
    "DELETE FROM send_facts WHERE {} = $1 AND at <= $2",
    "DELETE FROM acts WHERE {} = $1 AND at <= $2",
    "DELETE FROM meta_template_days WHERE {} = $1 AND read_at <= $2",
    "DELETE FROM template_insights WHERE {} = $1 AND coalesce(read_at, wanted_at, settled_at, $2) <= $2",
)
_COUNTS = (
    "DELETE FROM template_hours WHERE {} = $1 AND hour < $2",
    "DELETE FROM failure_hours WHERE {} = $1 AND hour < $2",
    "DELETE FROM read_times WHERE {} = $1 AND utc_day < ($2 AT TIME ZONE 'UTC')::date",
    # In the east the day after has begun already.
    "DELETE FROM template_days WHERE {} = $1 AND day <= ($2 AT TIME ZONE 'UTC')::date",
    counts.SUM_UP_DAYS.format("{} = $1 AND day <= ($2 AT TIME ZONE 'UTC')::date"),
    "DELETE FROM template_months WHERE {} = $1 AND month <= ($2 AT TIME ZONE 'UTC')::date",
    counts.SUM_UP_MONTHS.format("{} = $1 AND date_trunc('month', day) <= ($2 AT TIME ZONE 'UTC')::date"),
)
"""Whole days of UTC go; `erase` adds again what was accepted later on the day of the line."""


async def erase(connection: Connection, lines: Lines) -> None:
    """Remove what is older than some lines: of organisations, accounts and contacts."""
    for kind, column in ((OrganisationForgotten, "org_id"), (AccountForgotten, "waba_id")):
        known = await connection.fetch(
            f"""
            SELECT {column} FROM send_requests UNION SELECT {column} FROM send_facts UNION SELECT {column} FROM acts
            UNION SELECT {column} FROM template_months UNION SELECT {column} FROM meta_template_days
            UNION SELECT {column} FROM template_insights
            """  # noqa: S608
        )
        for (value,) in known:
            if at := lines.of(kind, value):
                await _erase(connection, column, value, at)
                if column == "org_id":
                    await connection.execute("DELETE FROM people WHERE org_id = $1 AND seen_at <= $2", value, at)
    for (waba_id,) in await connection.fetch("SELECT DISTINCT waba_id FROM templates"):
        if at := lines.of(AccountForgotten, waba_id):
            await connection.execute("DELETE FROM templates WHERE waba_id = $1 AND at <= $2", waba_id, at)
    await _erase_people(connection, dict(lines.items()))


async def known_as_well(connection: Connection, lines: Lines) -> dict[str, datetime]:
    """The lines of other identifiers of people who are forgotten by one: those that a message has named with it."""
    names, moments = [name for name, _ in lines.items()], [at for _, at in lines.items()]
    rows = await connection.fetch(
        """
        SELECT person, max(at) AS at FROM people JOIN unnest($1::text[], $2::timestamptz[]) AS line(name, at)
            ON line.name IN (forgotten_as, forgotten_everywhere_as) GROUP BY person
        """,
        names,
        moments,
    )
    look = {row["person"]: row["at"] for row in rows}
    known, found = set(look), dict[str, datetime]()
    while look:
        rows = await connection.fetch(
            """
            SELECT people.person, forgotten_as, max(gone.at) AS at
            FROM unnest($1::uuid[], $2::timestamptz[]) AS gone(person, at)
            CROSS JOIN LATERAL (
                SELECT user_id FROM send_facts WHERE number_id = gone.person AND at <= gone.at
                UNION SELECT number_id FROM send_facts WHERE user_id = gone.person AND at <= gone.at
                UNION SELECT user_id FROM acts WHERE acts.person = gone.person AND at <= gone.at
                UNION SELECT acts.person FROM acts WHERE user_id = gone.person AND at <= gone.at
            ) AS named(person)
            JOIN people ON people.person = named.person
            GROUP BY people.person, forgotten_as
            """,
            list(look),
            list(look.values()),
        )
        new = [row for row in rows if row["person"] not in known]
        look = {row["person"]: row["at"] for row in new}
        known |= set(look)
        found |= {row["forgotten_as"]: row["at"] for row in new}
    return found


async def _erase(connection: Connection, column: str, value: str, at: datetime) -> None:
    for statement in _MESSAGES:
        await connection.execute(statement.format(column), value, at)
    next_day = at.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    for statement in _COUNTS:
        await connection.execute(statement.format(column), value, next_day)
    tally = Tally()
    for message in await messages.accepted(connection, column, value, next_day):
        tally.change(None, message)
    await counts.add(connection, tally)


async def _erase_people(connection: Connection, until: Mapping[str, datetime]) -> None:
    rows = await connection.fetch(
        """
        SELECT person::text, forgotten_as, forgotten_everywhere_as FROM people
        WHERE forgotten_as = ANY($1) OR forgotten_everywhere_as = ANY($1)
        """,
        list(until),
    )
    for person, *names in rows:
        at = max(until[name] for name in names if name in until)
        for statement in (
            "UPDATE send_facts SET number_id = NULL WHERE number_id = $1 AND at <= $2",
            "UPDATE send_facts SET user_id = NULL WHERE user_id = $1 AND at <= $2",
            "DELETE FROM acts WHERE (person = $1 OR user_id = $1) AND at <= $2",
            "DELETE FROM people WHERE person = $1 AND seen_at <= $2",
        ):
            await connection.execute(statement, person, at)
