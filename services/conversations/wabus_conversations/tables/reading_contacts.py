"""What the API asks of persons; every question is limited to one organisation."""

from collections.abc import Sequence
from datetime import UTC, date, datetime

import asyncpg

from wabus_conversations.tables.work.audiences import columns, limited
from wabus_conversations.work.audiences import Sight

_EVER = datetime.max.replace(tzinfo=UTC)
_LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"

_PERSON = f"""
    SELECT p.person_id::text, p.first_seen, known.identifiers, threads.conversations, facts.facts
    FROM ({{page}}) AS p
    LEFT JOIN LATERAL (
        SELECT jsonb_agg(jsonb_build_object(
                'kind', i.kind, 'value', i.value, 'first_seen', i.first_seen, 'book_name', i.book_name,
                'current', i.holder_id = p.person_id
            ) ORDER BY i.kind, i.first_seen, i.value) AS identifiers
        FROM identifiers AS own JOIN identifiers AS i USING (cluster)
        WHERE own.identifier_id = p.person_id AND p.person_id IN (i.holder_id, i.person_id)
    ) AS known ON true
    LEFT JOIN LATERAL (
        SELECT jsonb_agg(jsonb_build_object(
                'conversation_id', c.conversation_id, 'waba_id', c.waba_id, 'phone_number_id', c.phone_number_id,
                'last_activity_at', c.last_at, 'name', c.name, 'name_at', c.name_at, 'username', c.username,
                'username_at', c.username_at
            ) ORDER BY c.sorted_at DESC, c.conversation_id) AS conversations
        FROM conversations AS c WHERE c.person_id = p.person_id AND {limited("c", 2)}
    ) AS threads ON true
    LEFT JOIN LATERAL (
        SELECT jsonb_agg(jsonb_build_object(
                'phone_number_id', f.phone_number_id, 'fact', f.fact, 'value', f.value, 'at', f.at
            ) ORDER BY f.phone_number_id, f.fact, f.at DESC, f.value::text) AS facts
        FROM identifiers AS own JOIN identifiers AS i USING (cluster)
        JOIN contact_facts AS f ON f.identifier_id = i.identifier_id
        WHERE own.identifier_id = p.person_id AND i.holder_id = p.person_id
    ) AS facts ON true
    ORDER BY p.first_seen DESC, p.person_id
"""  # noqa: S608
_SEEN = f"""
    ($2::text[] IS NULL
        OR EXISTS (SELECT FROM conversations AS c WHERE c.person_id = persons.person_id AND {limited("c", 2)})
        OR NOT EXISTS (SELECT FROM conversations AS c WHERE c.person_id = persons.person_id))
"""  # noqa: S608
"""Somebody sees a person with whom there is a conversation that they see, or none at all."""

_LIST = _PERSON.format(
    page=f"""
    SELECT person_id, first_seen FROM persons
    WHERE org_id = $1 AND first_seen <= $4 AND (first_seen < $4 OR person_id > $5) AND {_SEEN}
    ORDER BY first_seen DESC, person_id LIMIT $6
    """  # noqa: S608
)
_OF_IDS = _PERSON.format(
    page=f"SELECT person_id, first_seen FROM persons WHERE org_id = $1 AND person_id = ANY($4) AND {_SEEN}"  # noqa: S608
)


Place = tuple[datetime, str]
"""Of a person in the list: when they were seen first, and their id."""
ExportPlace = tuple[str, datetime, str]
"""Of a message among all of a person's: its conversation, its time, and its id."""
StatusPlace = tuple[str, str, str, str]
"""Of a status among all of a person's in groups: its conversation, its message, whose it is, and what it says."""
STATUSES_BEGIN: StatusPlace = ("00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000000", "", "")
EXPORT_BEGIN: ExportPlace = ("00000000-0000-0000-0000-000000000000", datetime.min.replace(tzinfo=UTC), "0" * 32)


async def contacts(
    pool: asyncpg.Pool, org_id: str, after: Place | None, limit: int, sight: Sight | None
) -> list[asyncpg.Record]:
    """One page of persons, those who were seen first last, and one more if there is another page."""
    return await pool.fetch(_LIST, org_id, *columns(sight), *(after or (_EVER, _LAST_ID)), limit + 1)


async def contacts_of(
    pool: asyncpg.Pool, org_id: str, person_ids: Sequence[str], sight: Sight | None
) -> list[asyncpg.Record]:
    """Those of these persons of the organisation whom somebody sees."""
    return await pool.fetch(_OF_IDS, org_id, *columns(sight), person_ids) if person_ids else []


async def named_by(pool: asyncpg.Pool, org_id: str, values: Sequence[str]) -> dict[str, list[str]]:
    """Who has these numbers and user ids now, by each of them: several where there are several portfolios."""
    rows = await pool.fetch(
        """
        SELECT value, holder_id::text FROM identifiers WHERE org_id = $1 AND value = ANY($2) ORDER BY first_seen, 2
        """,
        org_id,
        values,
    )
    found: dict[str, list[str]] = {}
    for value, holder in rows:
        found.setdefault(value, []).append(holder)
    return found


async def current_id(pool: asyncpg.Pool, org_id: str, contact_id: str) -> str | None:
    """The id that a person has now, by one that they have, or have had; None if it is nobody's of the organisation."""
    return await pool.fetchval(
        "SELECT person_id::text FROM identifiers WHERE org_id = $1 AND identifier_id = $2", org_id, contact_id
    )


async def forgotten_as(pool: asyncpg.Pool, org_id: str, person_id: str) -> list[str]:
    """How the person is named when they are forgotten: by what is theirs alone, if there is anything.

    Whoever is forgotten by one identifier is forgotten by all, and so is everybody who ever had it.
    """
    rows = await pool.fetch(
        """
        SELECT forgotten_as, holder_id = person_id AS theirs FROM identifiers WHERE org_id = $1 AND person_id = $2
        ORDER BY 1
        """,
        org_id,
        person_id,
    )
    return [row[0] for row in rows if row[1]] or [row[0] for row in rows]


async def are_forgotten(pool: asyncpg.Pool, identities: Sequence[str], until: datetime) -> bool:
    """Whether all of these have been forgotten up to a moment, and what was of them deleted."""
    return await pool.fetchval(
        "SELECT count(*) = cardinality($1::text[]) FROM erasures WHERE identity = ANY($1) AND at >= $2",
        identities,
        until,
    )


async def identifiers_of(pool: asyncpg.Pool, person_id: str) -> list[str]:
    """The ids of what a person is known by now."""
    rows = await pool.fetch(
        """
        SELECT i.identifier_id::text FROM identifiers AS own JOIN identifiers AS i USING (cluster)
        WHERE own.identifier_id = $1 AND i.holder_id = $1
        """,
        person_id,
    )
    return [row[0] for row in rows]


async def groups(pool: asyncpg.Pool, org_id: str) -> list[str]:
    """The organisation's conversations with groups."""
    rows = await pool.fetch(
        "SELECT conversation_id::text FROM conversations WHERE org_id = $1 AND group_id IS NOT NULL", org_id
    )
    return [row[0] for row in rows]


async def export(
    pool: asyncpg.Pool, conversation_ids: Sequence[str], by: Sequence[str] | None, after: ExportPlace, limit: int
) -> list[asyncpg.Record]:
    """Rows of messages as they are kept, some at a time; with `by` only those that whoever has these ids wrote."""
    return await pool.fetch(
        """
        SELECT m.month, m.message_id::text, m.conversation_id::text, m.wamid, m.at, m.source, m.outgoing, m.kind,
            m.type, m.name, m.username, m.content, m.about_id::text, m.context_id::text, m.state
        FROM messages AS m
        WHERE m.conversation_id = ANY($1) AND ($2::uuid[] IS NULL OR m.wa_id = ANY($2) OR m.user_id = ANY($2))
            AND (m.conversation_id, m.at, m.message_id) > ($3, $4, $5)
        ORDER BY m.conversation_id, m.at, m.message_id LIMIT $6
        """,
        conversation_ids,
        by,
        *after,
        limit,
    )


async def export_statuses(pool: asyncpg.Pool, messages: Sequence[tuple[date, str]]) -> list[asyncpg.Record]:
    """All statuses of some messages, each given with its month."""
    return await pool.fetch(
        """
        SELECT s.message_id::text, s.status, s.at, s.content FROM unnest($1::date[], $2::uuid[]) AS wanted(month, id)
        JOIN message_statuses AS s ON s.month = wanted.month AND s.message_id = wanted.id
        ORDER BY s.message_id, s.at, s.status
        """,
        [month for month, _ in messages],
        [message_id for _, message_id in messages],
    )


async def export_memberships(
    pool: asyncpg.Pool, groups: Sequence[str], members: Sequence[str], after: StatusPlace, limit: int
) -> list[asyncpg.Record]:
    """What became of messages in groups with whoever has these ids, some at a time."""
    return await pool.fetch(
        """
        SELECT m.conversation_id::text, s.message_id::text, s.participant, s.status, s.at, s.content
        FROM messages AS m JOIN message_statuses AS s ON s.month = m.month AND s.message_id = m.message_id
        WHERE m.conversation_id = ANY($1) AND s.participant <> '' AND (s.wa_id = ANY($2) OR s.user_id = ANY($2))
            AND (m.conversation_id, s.message_id, s.participant, s.status) > ($3, $4, $5, $6)
        ORDER BY m.conversation_id, s.message_id, s.participant, s.status LIMIT $7
        """,
        groups,
        members,
        *after,
        limit,
    )
