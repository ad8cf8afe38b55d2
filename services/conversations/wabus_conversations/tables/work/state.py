"""What is done with conversations: the fold of `conversations.v1`, and its copy in what lists are asked of.

The copy is a function of the fold and of what was heard of the person last; `copy` makes it anew.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from wabus_runtime.postgres.database import Connection

from wabus_conversations.tables.work.audiences import AUDIENCE
from wabus_conversations.work.state import NOTHING_DONE, MessagePlace, Work, joined

LEFT_MOST = 8
"""Audiences that a conversation has left, each with the agent who had it then, of which a row knows: the last four."""

_COLUMNS = """
    agent, bot, team, assigned_at, assigned_by, reason, rule, put, put_id::text, put_at, put_by, up_to_at, up_to_tie,
    snoozed_until, last_agent, last_closed_at, read_at, read_tie, tags, last_at, kept
"""

_COPY = f"""
    UPDATE conversations AS c SET agent = w.agent, bot = w.bot, team = w.team, kept = w.kept, tags = w.tags,
        up_to_at = w.up_to_at, up_to_tie = w.up_to_tie, route_after = NULL, version = version + 1,
        left_audiences = CASE
            WHEN ({AUDIENCE.format("c")}, c.agent) IS DISTINCT FROM ({AUDIENCE.format("w")}, w.agent)
            THEN (ARRAY[{AUDIENCE.format("c")}, 'agent ' || coalesce(c.agent, '')] || c.left_audiences)[1:{LEFT_MOST}]
            ELSE c.left_audiences END,
        work_state = CASE
            WHEN w.put IS NULL OR (c.heard_at IS NOT NULL AND (w.up_to_at IS NULL
                OR (c.heard_at, c.heard_tie) > (w.up_to_at, w.up_to_tie))) THEN 'open'
            ELSE w.put END
    FROM conversation_work AS w WHERE w.conversation_id = c.conversation_id AND c.conversation_id = ANY($1)
"""  # noqa: S608
"""`work_state` is `wabus_conversations.work.state.state_of`; tests hold them together."""


class Place(NamedTuple):
    """Of whom a conversation is."""

    org_id: str
    waba_id: str


async def current(connection: Connection, org_id: str, conversation_ids: Collection[str]) -> dict[str, str]:
    """The ids that these conversations have now, by those that they have or had; without those that are not there."""
    rows = await connection.fetch(
        """
        SELECT asked.id::text, c.conversation_id::text FROM unnest($2::uuid[]) AS asked(id)
        JOIN conversations AS c ON c.conversation_id = asked.id AND c.org_id = $1
        UNION ALL
        SELECT former.conversation_id::text, c.conversation_id::text FROM former_conversations AS former
        JOIN identifiers AS i USING (identifier_id)
        JOIN conversations AS c ON c.org_id = former.org_id AND c.phone_number_id = former.phone_number_id
            AND c.person_id = i.person_id
        WHERE former.org_id = $1 AND former.conversation_id = ANY($2)
            AND NOT EXISTS (SELECT FROM conversations AS own WHERE own.conversation_id = former.conversation_id)
        """,
        org_id,
        sorted(conversation_ids),
    )
    return {row[0]: row[1] for row in rows}


async def locked(connection: Connection, conversation_ids: Iterable[str]) -> dict[str, Work]:
    """What is done with conversations, locked in the order of their ids; without those with which nothing is."""
    rows = await connection.fetch(
        f"""
        SELECT conversation_id::text, {_COLUMNS} FROM conversation_work WHERE conversation_id = ANY($1)
        ORDER BY conversation_work.conversation_id FOR UPDATE
        """,  # noqa: S608
        sorted(set(conversation_ids)),
    )
    return {row["conversation_id"]: _work(row) for row in rows}


async def write(connection: Connection, work: Mapping[str, tuple[Place, Work]], now: datetime) -> None:
    """Write what is done with conversations, with its copy where the conversation is there."""
    if not work:
        return
    rows = [(conversation_id, *place, *_row(done), now) for conversation_id, (place, done) in sorted(work.items())]
    await connection.executemany(
        """
        INSERT INTO conversation_work (conversation_id, org_id, waba_id, agent, bot, team, assigned_at, assigned_by,
            reason, rule, put, put_id, put_at, put_by, up_to_at, up_to_tie, snoozed_until, last_agent, last_closed_at,
            read_at, read_tie, tags, last_at, kept, written_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
            $23, $24, $25)
        ON CONFLICT (conversation_id) DO UPDATE SET waba_id = excluded.waba_id, agent = excluded.agent,
            bot = excluded.bot, team = excluded.team, assigned_at = excluded.assigned_at,
            assigned_by = excluded.assigned_by, reason = excluded.reason, rule = excluded.rule, put = excluded.put,
            put_id = excluded.put_id, put_at = excluded.put_at, put_by = excluded.put_by,
            up_to_at = excluded.up_to_at, up_to_tie = excluded.up_to_tie, snoozed_until = excluded.snoozed_until,
            last_agent = excluded.last_agent, last_closed_at = excluded.last_closed_at, read_at = excluded.read_at,
            read_tie = excluded.read_tie, tags = excluded.tags, last_at = excluded.last_at,
            kept = excluded.kept, written_at = excluded.written_at
        """,
        rows,
    )
    await copy(connection, work)


async def copy(connection: Connection, conversation_ids: Iterable[str]) -> None:
    """Let rows of conversations say what is done with them."""
    ids = sorted(set(conversation_ids))
    if not ids:
        return
    # In the order of the ids, as everybody locks them.
    await connection.execute(
        "SELECT FROM conversations WHERE conversation_id = ANY($1) ORDER BY conversation_id FOR UPDATE", ids
    )
    await connection.execute(_COPY, ids)


async def copy_new(connection: Connection, conversation_ids: Sequence[str]) -> None:
    """The same of conversations that have just begun: mostly nothing is done with them."""
    if conversation_ids:
        await connection.execute(_COPY, conversation_ids)


async def move(connection: Connection, moved: Mapping[str, str]) -> None:
    """Let what is done with conversations that are gone be done with those that have their messages now."""
    if not moved:
        return
    held = await locked(connection, [*moved.keys(), *moved.values()])
    places = {
        row[0]: Place(row[1], row[2])
        for row in await connection.fetch(
            "SELECT conversation_id::text, org_id, waba_id FROM conversation_work WHERE conversation_id = ANY($1)",
            list(moved),
        )
    }
    after: dict[str, tuple[Place, Work]] = {}
    for gone, stays in sorted(moved.items()):
        if gone in held:
            before = after[stays][1] if stays in after else held.get(stays, NOTHING_DONE)
            after[stays] = places[gone], joined(before, held[gone])
    for table in ("notes", "work_events"):
        await connection.execute(
            f"""
            UPDATE {table} AS t SET conversation_id = new.stays FROM unnest($1::uuid[], $2::uuid[]) AS new(gone, stays)
            WHERE t.conversation_id = new.gone
            """,  # noqa: S608
            list(moved.keys()),
            list(moved.values()),
        )
    await write(connection, after, datetime.now(UTC))
    await connection.execute("DELETE FROM conversation_work WHERE conversation_id = ANY($1)", list(moved))


async def delete(connection: Connection, conversation_ids: Iterable[str]) -> None:
    """Delete what is done with conversations. That an event was folded stays known, for some weeks."""
    ids = sorted(set(conversation_ids))
    if not ids:
        return
    await connection.execute("DELETE FROM notes WHERE conversation_id = ANY($1)", ids)
    await connection.execute("DELETE FROM conversation_work WHERE conversation_id = ANY($1)", ids)
    await connection.execute("UPDATE work_events SET conversation_id = NULL WHERE conversation_id = ANY($1)", ids)


async def mark_read(connection: Connection, seen: Mapping[str, MessagePlace]) -> set[str]:
    """Let nothing up to these places be unread any more; the conversations of which something was."""
    rows = await connection.fetch(
        """
        UPDATE messages AS m SET unread = false
        FROM unnest($1::uuid[], $2::timestamptz[], $3::bigint[]) AS seen(id, at, tie)
        WHERE m.conversation_id = seen.id AND m.unread AND (m.at, m.tie) <= (seen.at, seen.tie)
        RETURNING m.conversation_id::text
        """,
        list(seen.keys()),
        [each.at for each in seen.values()],
        [each.tie for each in seen.values()],
    )
    return {row[0] for row in rows}


async def mark_unread(connection: Connection, conversation_ids: Iterable[str]) -> set[str]:
    """Let the last message of the person be unread, in each of these."""
    rows = await connection.fetch(
        """
        UPDATE messages AS m SET unread = true FROM conversations AS c
        WHERE c.conversation_id = ANY($1) AND m.conversation_id = c.conversation_id AND m.at = c.heard_at
            AND m.tie = c.heard_tie AND NOT m.outgoing AND NOT m.unread
        RETURNING c.conversation_id::text
        """,
        sorted(set(conversation_ids)),
    )
    return {row[0] for row in rows}


async def count_unread(connection: Connection, conversation_ids: Iterable[str]) -> None:
    """Count anew what is unread in conversations."""
    ids = sorted(set(conversation_ids))
    if not ids:
        return
    await connection.execute(
        "SELECT FROM conversations WHERE conversation_id = ANY($1) ORDER BY conversation_id FOR UPDATE", ids
    )
    await connection.execute(
        """
        UPDATE conversations AS c SET version = version + 1, unread = (
            SELECT count(*) FROM messages AS m WHERE m.conversation_id = c.conversation_id AND m.unread
        ) WHERE c.conversation_id = ANY($1)
        """,
        ids,
    )


async def marks_of(connection: Connection, conversation_ids: Iterable[str]) -> dict[str, MessagePlace]:
    """Up to where somebody has looked at conversations."""
    rows = await connection.fetch(
        """
        SELECT conversation_id::text, read_at, read_tie FROM conversation_work
        WHERE conversation_id = ANY($1) AND read_at IS NOT NULL
        """,
        list(conversation_ids),
    )
    return {row[0]: MessagePlace(row[1], row[2]) for row in rows}


def _work(row: Mapping[str, Any]) -> Work:
    return Work(
        agent=row["agent"],
        bot=row["bot"],
        team=row["team"],
        assigned_at=row["assigned_at"],
        assigned_by=row["assigned_by"],
        reason=row["reason"],
        rule=row["rule"],
        put=row["put"],
        put_id=row["put_id"],
        put_at=row["put_at"],
        put_by=row["put_by"],
        up_to=_heard(row["up_to_at"], row["up_to_tie"]),
        snoozed_until=row["snoozed_until"],
        last_agent=row["last_agent"],
        last_closed_at=row["last_closed_at"],
        read=_heard(row["read_at"], row["read_tie"]),
        tags=tuple(row["tags"]),
        last_at=row["last_at"],
        kept=row["kept"],
    )


def _heard(at: datetime | None, tie: int | None) -> MessagePlace | None:
    return None if at is None else MessagePlace(at, tie or 0)


def _row(work: Work) -> Sequence[Any]:
    return (
        work.agent,
        work.bot,
        work.team,
        work.assigned_at,
        work.assigned_by,
        work.reason,
        work.rule,
        work.put,
        work.put_id,
        work.put_at,
        work.put_by,
        *(work.up_to or (None, None)),
        work.snoozed_until,
        work.last_agent,
        work.last_closed_at,
        *(work.read or (None, None)),
        list(work.tags),
        work.last_at,
        work.kept,
    )
