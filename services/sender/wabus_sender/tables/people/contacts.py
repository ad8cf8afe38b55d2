"""Persons as far as sending has to know them: what they are known by, and when they last wrote to a number."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg
from wabus_runtime.postgres.database import Connection

from wabus_sender.tables.people import successors


class Contact(NamedTuple):
    """A number or user id that an organisation had to do with."""

    org_id: str
    value: str
    forgotten_as: str
    forgotten_everywhere_as: str
    other: str | None
    """What it came together with last."""
    other_at: datetime | None
    at: datetime


class Wrote(NamedTuple):
    """Somebody wrote to a number, or called it; or Meta has refused a message to them because they had not."""

    org_id: str
    phone_number_id: str
    value: str
    user_last_at: datetime | None
    maybe_at: datetime | None
    wamid: str | None
    """Of what they wrote at `user_last_at`, if that was a message."""
    refused_at: datetime | None


class Choice(NamedTuple):
    """Whether a person wants no marketing from a number."""

    org_id: str
    phone_number_id: str
    value: str
    stopped: bool
    at: datetime


class Address(NamedTuple):
    """Whom a conversation is with."""

    phone_number_id: str
    wa_id: str | None
    user_id: str | None


async def write(
    connection: Connection,
    contacts: Iterable[Contact],
    wrote: Iterable[Wrote],
    conversations: Mapping[str, tuple[str, str, str]],
) -> None:
    """Write down who was seen, when they wrote, and which conversation that is (organisation, number, identifier)."""
    rows = sorted(contacts, key=lambda each: each[:2])
    if rows:
        await connection.execute(
            """
            INSERT INTO contacts AS known (org_id, value, forgotten_as, forgotten_everywhere_as, other, other_at,
                seen_at)
            SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[],
                $7::timestamptz[])
            ON CONFLICT (org_id, value) DO UPDATE SET
                other = CASE WHEN (excluded.other_at, excluded.other) > (known.other_at, known.other)
                    OR known.other IS NULL THEN coalesce(excluded.other, known.other) ELSE known.other END,
                other_at = greatest(known.other_at, excluded.other_at),
                seen_at = greatest(known.seen_at, excluded.seen_at)
            """,
            *map(list, zip(*rows, strict=True)),
        )
    if written := sorted(wrote, key=lambda each: each[:3]):
        await connection.execute(
            """
            INSERT INTO windows AS known
                (org_id, phone_number_id, value, user_last_at, maybe_at, last_wamid, refused_at)
            SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::text[],
                $7::timestamptz[])
            ON CONFLICT (org_id, value, phone_number_id) DO UPDATE SET
                last_wamid = CASE WHEN excluded.last_wamid IS NOT NULL
                    AND excluded.user_last_at >= coalesce(known.user_last_at, excluded.user_last_at)
                    THEN excluded.last_wamid ELSE known.last_wamid END,
                user_last_at = greatest(known.user_last_at, excluded.user_last_at),
                maybe_at = greatest(known.maybe_at, excluded.maybe_at),
                refused_at = greatest(known.refused_at, excluded.refused_at)
            """,
            *map(list, zip(*written, strict=True)),
        )
    if conversations:
        ids = sorted(conversations.items())
        await connection.execute(
            """
            INSERT INTO conversation_ids (conversation_id, org_id, phone_number_id, value)
            SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) ON CONFLICT DO NOTHING
            """,
            [UUID(conversation_id) for conversation_id, _ in ids],
            *map(list, zip(*(place for _, place in ids), strict=True)),
        )


async def address(pool: asyncpg.Pool, org_id: str, conversation_id: str) -> Address | None:
    """Whom a conversation of the organisation's is with, and at which number; None where it is not known."""
    row = await pool.fetchrow(
        "SELECT phone_number_id, value FROM conversation_ids WHERE conversation_id = $1 AND org_id = $2",
        UUID(conversation_id),
        org_id,
    )
    if row is None:
        return None
    return Address(row["phone_number_id"], *await successors.current(pool, org_id, row["value"]))


async def windows(
    connection: asyncpg.Pool | Connection, persons: Sequence[tuple[str, str, str]]
) -> dict[tuple[str, str, str], tuple[datetime | None, datetime | None, datetime | None]]:
    """When each person (organisation, number, identifier) last wrote, and last did what may count as writing; and when
    Meta last refused a message to them because they had not.

    A person is also who has the identifier that it came together with last, unless somebody else has that by now.
    """
    rows = await connection.fetch(
        """
        SELECT asked.org_id, asked.phone_number_id, asked.value, max(user_last_at) AS wrote, max(maybe_at) AS maybe,
            max(refused_at) AS refused
        FROM unnest($1::text[], $2::text[], $3::text[]) AS asked(org_id, phone_number_id, value)
        LEFT JOIN known_together AS known ON known.org_id = asked.org_id AND known.value = asked.value
        JOIN windows ON windows.org_id = asked.org_id AND windows.phone_number_id = asked.phone_number_id
            AND windows.value IN (asked.value, known.other)
        GROUP BY 1, 2, 3
        """,
        *(list(column) for column in zip(*persons, strict=True)),
    )
    return {
        (row["org_id"], row["phone_number_id"], row["value"]): (row["wrote"], row["maybe"], row["refused"])
        for row in rows
    }


async def write_choices(connection: Connection, choices: Iterable[Choice]) -> None:
    """Write down what people want; of two choices the later stands, and of two at once to have none."""
    await connection.executemany(
        """
        INSERT INTO preferences AS known (org_id, phone_number_id, value, stopped, at) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (org_id, value, phone_number_id) DO UPDATE SET stopped = excluded.stopped, at = excluded.at
        WHERE (excluded.at, excluded.stopped) > (known.at, known.stopped)
        """,
        sorted(choices),
    )


async def take_closed_windows(connection: Connection, refused: Mapping[str, datetime]) -> set[tuple[str, str]]:
    """Write down that for whom these sends were to the window was closed, as Meta has said at these moments.

    Returns for whom.
    """
    rows = await connection.fetch(
        """
        INSERT INTO windows AS known (org_id, phone_number_id, value, refused_at)
        SELECT org_id, phone_number_id, value, max(refused.at)
        FROM unnest($1::uuid[], $2::timestamptz[]) AS refused(send_id, at) JOIN sends USING (send_id)
        CROSS JOIN unnest(ARRAY[wa_id, user_id]) AS value
        WHERE value IS NOT NULL GROUP BY org_id, phone_number_id, value ORDER BY 1, 2, 3
        ON CONFLICT (org_id, value, phone_number_id) DO UPDATE SET
            refused_at = greatest(known.refused_at, excluded.refused_at)
        RETURNING org_id, value
        """,
        list(map(UUID, refused)),
        list(refused.values()),
    )
    return {(row["org_id"], row["value"]) for row in rows}


async def take_refusals(connection: Connection, refused: Mapping[str, datetime]) -> set[tuple[str, str]]:
    """Write down that whom these sends were to want no marketing, as Meta has said at these moments.

    Returns of whom.
    """
    rows = await connection.fetch(
        """
        INSERT INTO preferences AS known (org_id, phone_number_id, value, stopped, at)
        SELECT org_id, phone_number_id, value, true, max(refused.at)
        FROM unnest($1::uuid[], $2::timestamptz[]) AS refused(send_id, at) JOIN sends USING (send_id)
        CROSS JOIN unnest(ARRAY[wa_id, user_id]) AS value
        WHERE value IS NOT NULL GROUP BY org_id, phone_number_id, value ORDER BY 1, 2, 3
        ON CONFLICT (org_id, value, phone_number_id) DO UPDATE SET stopped = true, at = excluded.at
        WHERE (excluded.at, true) > (known.at, known.stopped)
        RETURNING org_id, value
        """,
        list(map(UUID, refused)),
        list(refused.values()),
    )
    return {(row["org_id"], row["value"]) for row in rows}


async def stopped(
    connection: asyncpg.Pool | Connection, persons: Sequence[tuple[str, str, str]]
) -> set[tuple[str, str, str]]:
    """Those of some persons (organisation, number, identifier) who want no marketing from the number."""
    rows = await connection.fetch(
        """
        SELECT DISTINCT ON (asked.org_id, asked.phone_number_id, asked.value)
            asked.org_id, asked.phone_number_id, asked.value, stopped
        FROM unnest($1::text[], $2::text[], $3::text[]) AS asked(org_id, phone_number_id, value)
        LEFT JOIN known_together AS known ON known.org_id = asked.org_id AND known.value = asked.value
        JOIN preferences ON preferences.org_id = asked.org_id AND preferences.phone_number_id = asked.phone_number_id
            AND preferences.value IN (asked.value, known.other)
        ORDER BY asked.org_id, asked.phone_number_id, asked.value, preferences.at DESC, stopped DESC
        """,
        *(list(column) for column in zip(*persons, strict=True)),
    )
    return {(row["org_id"], row["phone_number_id"], row["value"]) for row in rows if row["stopped"]}


async def last_wamid(pool: asyncpg.Pool, org_id: str, phone_number_id: str, values: Sequence[str]) -> str | None:
    """The last message that a person, who has these identifiers, wrote to a number; None where none is known."""
    return await pool.fetchval(
        """
        SELECT last_wamid FROM windows
        WHERE org_id = $1 AND phone_number_id = $2 AND value = ANY($3) AND last_wamid IS NOT NULL
        ORDER BY user_last_at DESC LIMIT 1
        """,
        org_id,
        phone_number_id,
        values,
    )


async def read_until(pool: asyncpg.Pool) -> datetime | None:
    """The moment up to which all that the log had is in the tables."""
    return await pool.fetchval("SELECT read_until FROM freshness")


async def set_read_until(pool: asyncpg.Pool, at: datetime) -> None:
    """All that the log had at this moment is in the tables."""
    await pool.execute(
        """
        INSERT INTO freshness AS known (read_until) VALUES ($1)
        ON CONFLICT (one) DO UPDATE SET read_until = greatest(known.read_until, excluded.read_until)
        """,
        at,
    )
