"""Which conversations wait for somebody to have them, and which of them it is time to look at."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import asyncpg
from wabus_runtime.postgres.database import Connection

LOOKED_BACK = timedelta(days=7)
"""What a person wrote longer ago waits for people, not for rules."""

_WAITS = """
    c.agent IS NULL AND c.bot IS NULL AND c.work_state = 'open'
    AND c.heard_at >= s.rules_since AND c.sorted_at >= s.rules_since AND c.sorted_at >= $1::timestamptz - $2::interval
    AND (c.route_after IS NULL OR c.route_after <= $1)
"""


async def take_organisations(
    pool: asyncpg.Pool | Connection, busy: Sequence[str], limit: int, now: datetime, lease: timedelta, pause: timedelta
) -> list[str]:
    """Organisations of which conversations wait, each for nobody else as long as the lease is.

    The first that waits is enough: EXISTS would be planned as a join that reads all of them.
    """
    rows = await pool.fetch(
        f"""
        UPDATE work_settings AS taken SET leased_until = $1::timestamptz + $3::interval
        WHERE org_id IN (
            SELECT org_id FROM work_settings AS s
            WHERE s.rules_since IS NOT NULL AND s.rules <> '[]' AND NOT s.org_id = ANY($4)
                AND (s.leased_until IS NULL OR s.leased_until <= $1)
                AND (s.looked_at IS NULL OR s.looked_at <= $1::timestamptz - $5::interval)
                AND (SELECT true FROM conversations AS c WHERE c.org_id = s.org_id AND {_WAITS} LIMIT 1)
            ORDER BY s.looked_at NULLS FIRST LIMIT $6 FOR UPDATE SKIP LOCKED
        )
        RETURNING org_id
        """,  # noqa: S608
        now,
        LOOKED_BACK,
        lease,
        list(busy),
        pause,
        limit,
    )
    return [row[0] for row in rows]


async def give_back(pool: asyncpg.Pool, org_id: str, now: datetime) -> None:
    """Let an organisation be looked at again, after a pause."""
    await pool.execute("UPDATE work_settings SET leased_until = NULL, looked_at = $2 WHERE org_id = $1", org_id, now)


async def conversations(
    pool: asyncpg.Pool | Connection, org_id: str, now: datetime, limit: int
) -> list[asyncpg.Record]:
    """Conversations that wait, those first that have waited longest, with what rules ask about.

    Who has a thread is told when it changes, and not that it is free again after 24 hours in which nobody wrote.
    The message is the first that nobody has closed the conversation after. `left_alone` is what somebody wants to be
    nobody's, until the person at the other end writes again.
    """
    return await pool.fetch(
        f"""
        SELECT c.conversation_id::text, c.waba_id, c.phone_number_id, c.heard_at, c.heard_tie, c.team, w.rule,
            w.last_agent, w.last_closed_at, coalesce(
                w.reason = 'asked' AND w.team IS NULL
                    AND (c.heard_at, c.heard_tie) <= (w.up_to_at, w.up_to_tie), false
            ) AS left_alone,
            first.text, first.ad, first.template, first.template_language, known.identifiers, known.ours
        FROM work_settings AS s
        JOIN conversations AS c ON c.org_id = s.org_id AND {_WAITS}
        LEFT JOIN conversation_work AS w ON w.conversation_id = c.conversation_id
        LEFT JOIN LATERAL (
            SELECT left(m.text, 1000) AS text, m.content->'referral'->>'source_id' AS ad,
                answered.template->>'name' AS template,
                coalesce(answered.template->'language'->>'code', answered.template->>'language') AS template_language
            FROM messages AS m
            LEFT JOIN LATERAL (
                SELECT answered.content->'template' AS template FROM message_places AS place
                JOIN messages AS answered ON answered.month = place.month AND answered.message_id = place.message_id
                WHERE place.message_id = m.context_id AND answered.org_id = s.org_id
            ) AS answered ON true
            WHERE m.conversation_id = c.conversation_id AND NOT m.outgoing AND m.source = 7 AND m.kind = 'message'
                AND m.at >= greatest(s.rules_since, c.heard_at - interval '1 day')
                AND (w.last_closed_at IS NULL OR m.at >= w.last_closed_at OR (m.at, m.tie) = (c.heard_at, c.heard_tie))
            ORDER BY m.at, m.tie LIMIT 1
        ) AS first ON true
        LEFT JOIN LATERAL (
            SELECT array_agg(DISTINCT i.value) AS identifiers,
                (array_agg((owner.value->>'ours')::boolean ORDER BY owner.at DESC, owner.value::text)
                    FILTER (WHERE owner.at > c.heard_at - interval '24 hours'))[1] AS ours
            FROM identifiers AS own JOIN identifiers AS i USING (cluster)
            LEFT JOIN contact_facts AS owner ON owner.identifier_id = i.identifier_id
                AND owner.phone_number_id = c.phone_number_id AND owner.fact = 'thread_owner'
            WHERE own.identifier_id = c.person_id AND i.holder_id = c.person_id
        ) AS known ON true
        WHERE s.org_id = $3
        ORDER BY c.heard_at, c.conversation_id LIMIT $4
        """,  # noqa: S608
        now,
        LOOKED_BACK,
        org_id,
        limit,
    )


async def put_off(pool: asyncpg.Pool, until: Mapping[str, datetime]) -> None:
    """Let nobody look at conversations before."""
    if not until:
        return
    async with pool.acquire() as connection, connection.transaction():
        # In the order of the ids, as everybody locks them.
        await connection.execute(
            "SELECT FROM conversations WHERE conversation_id = ANY($1) ORDER BY conversation_id FOR UPDATE",
            sorted(until),
        )
        await connection.execute(
            """
            UPDATE conversations AS c SET route_after = new.until
            FROM unnest($1::uuid[], $2::timestamptz[]) AS new(id, until) WHERE c.conversation_id = new.id
            """,
            list(until.keys()),
            list(until.values()),
        )


async def desk(
    pool: asyncpg.Pool | Connection, org_id: str, agents: Sequence[str]
) -> tuple[dict[str, int], dict[str, datetime]]:
    """How many open conversations agents have, and when rules gave each the last."""
    loads = await pool.fetch(
        """
        SELECT agent, count(*) FROM conversations
        WHERE org_id = $1 AND agent IS NOT NULL AND agent = ANY($2) AND work_state = 'open' GROUP BY agent
        """,
        org_id,
        list(agents),
    )
    turns = await pool.fetch(
        "SELECT agent, at FROM agent_turns WHERE org_id = $1 AND agent = ANY($2)", org_id, list(agents)
    )
    return {row[0]: row[1] for row in loads}, {row[0]: row[1] for row in turns}


async def take_snoozes(pool: asyncpg.Pool, limit: int, now: datetime, lease: timedelta) -> list[asyncpg.Record]:
    """Conversations whose time of being put off is over, each for nobody else as long as the lease is."""
    return await pool.fetch(
        """
        UPDATE conversation_work AS w SET leased_until = $1::timestamptz + $2::interval
        FROM (
            SELECT conversation_id FROM conversation_work
            WHERE snoozed_until <= $1 AND (leased_until IS NULL OR leased_until <= $1)
            ORDER BY snoozed_until LIMIT $3 FOR UPDATE SKIP LOCKED
        ) AS due
        JOIN conversations AS c USING (conversation_id)
        WHERE w.conversation_id = due.conversation_id
        RETURNING w.conversation_id::text, w.org_id, c.waba_id, c.phone_number_id, w.put_id::text, (
            SELECT array_agg(DISTINCT i.value) FROM identifiers AS i WHERE i.holder_id = c.person_id
        ) AS identifiers
        """,
        now,
        lease,
        limit,
    )
