"""How long organisations keep their messages, and the deletion of what is older, a little at a time."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime

import asyncpg
from wabus_runtime.postgres.database import Connection

from wabus_conversations.tables import conversations
from wabus_conversations.tables.erasures import delete_messages


async def days_of(connection: asyncpg.Pool | Connection) -> dict[str, int]:
    """The organisations that have said how long, in days."""
    return dict(await connection.fetch("SELECT org_id, days FROM retention"))


async def organisations(connection: asyncpg.Pool | Connection) -> list[str]:
    """Those that have conversations."""
    return [row[0] for row in await connection.fetch("SELECT DISTINCT org_id FROM conversations")]


async def set_days(connection: Connection, org_id: str, days: int | None, now: datetime) -> None:
    """Let an organisation's messages be kept for so many days, or as long as others' are where it is None."""
    if days is None:
        await connection.execute("DELETE FROM retention WHERE org_id = $1", org_id)
        return
    await connection.execute(
        """
        INSERT INTO retention (org_id, days, at) VALUES ($1, $2, $3)
        ON CONFLICT (org_id) DO UPDATE SET days = excluded.days, at = excluded.at
        """,
        org_id,
        days,
        now,
    )


async def old(
    connection: asyncpg.Pool | Connection, org_id: str, before: datetime, limit: int
) -> list[tuple[str, date, str]]:
    """Some messages of an organisation that are older: conversation, month and id."""
    rows = await connection.fetch(
        """
        SELECT conversation_id::text, month, message_id::text FROM conversations JOIN LATERAL (
            SELECT month, message_id FROM messages AS m
            WHERE m.conversation_id = conversations.conversation_id AND m.at < $2 LIMIT $3
        ) AS old ON true
        WHERE org_id = $1 AND first_at < $2 LIMIT $3
        """,
        org_id,
        before,
        limit,
    )
    return [(row[0], row[1], row[2]) for row in rows]


async def delete(connection: Connection, found: Sequence[tuple[str, date, str]]) -> Mapping[str, str]:
    """Delete messages, and sum up the conversations that had them; one that has none any more is gone.

    Returns those that are, each with its organisation.
    """
    await delete_messages(connection, [(month, message_id) for _, month, message_id in found])
    return (await conversations.sum_up(connection, {conversation_id for conversation_id, _, _ in found}, {})).gone


async def orphans(connection: Connection, before: datetime, limit: int) -> int:
    """Delete some persons who have no conversation any more and wrote or read nothing in a group that is kept, and are
    in no address book; how many.
    """
    rows = await connection.fetch(
        """
        WITH gone AS (
            SELECT person_id FROM persons WHERE first_seen < $1
                AND NOT EXISTS (SELECT FROM conversations WHERE conversations.person_id = persons.person_id)
                AND NOT EXISTS (
                    SELECT FROM identifiers JOIN contact_facts USING (identifier_id)
                    WHERE holder_id = persons.person_id AND at >= $1
                )
                AND NOT EXISTS (
                    SELECT FROM identifiers AS own JOIN messages AS m
                        ON m.group_id IS NOT NULL AND coalesce(m.user_id, m.wa_id) = own.identifier_id
                    WHERE own.person_id = persons.person_id
                )
                AND NOT EXISTS (
                    SELECT FROM identifiers AS own JOIN message_statuses AS s
                        ON s.participant <> '' AND coalesce(s.user_id, s.wa_id) = own.identifier_id
                    WHERE own.person_id = persons.person_id
                )
                AND NOT EXISTS (
                    SELECT FROM identifiers AS own JOIN identifiers AS other USING (cluster)
                    WHERE own.person_id = persons.person_id
                        AND (other.book_name <> '' OR other.person_id <> own.person_id)
                )
            LIMIT $2 FOR UPDATE SKIP LOCKED
        ), identified AS (
            DELETE FROM identifiers USING gone WHERE identifiers.person_id = gone.person_id RETURNING identifier_id
        ), told AS (
            DELETE FROM contact_facts USING identified WHERE contact_facts.identifier_id = identified.identifier_id
        ), former AS (
            DELETE FROM former_conversations USING identified
            WHERE former_conversations.identifier_id = identified.identifier_id
        ), linked AS (
            DELETE FROM identity_evidence USING identified WHERE identifier_id IN (first, second)
        )
        DELETE FROM persons USING gone WHERE persons.person_id = gone.person_id RETURNING persons.person_id
        """,
        before,
        limit,
    )
    return len(rows)


async def forget_places(connection: asyncpg.Pool | Connection, before: date) -> int:
    """Forget of which messages nothing is kept, once nothing can come of them any more; how many."""
    done = await connection.execute(
        """
        DELETE FROM message_places WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM message_places WHERE gone AND month < $1 LIMIT 5000
        ))
        """,
        before,
    )
    return int(done.removeprefix("DELETE "))
