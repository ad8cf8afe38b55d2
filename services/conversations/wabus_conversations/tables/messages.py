"""Rows of messages and of their statuses: where they are, what is stored, what is new."""

from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

import asyncpg
import orjson
from wabus_runtime.postgres.database import Connection
from wabus_whatsapp.joins import MessageState
from wabus_whatsapp.text.unspaced import pieces
from wabus_whatsapp.window import Opens

from wabus_conversations.threads.facts import Account, MessageFact, Source, StatusFact, Whose
from wabus_conversations.threads.fold import Change
from wabus_conversations.threads.rows import Message, Status

NARROW = """
    m.month, m.message_id::text, m.conversation_id::text, m.tie, m.org_id, m.waba_id, m.phone_number_id, m.at, m.source,
    m.outgoing, m.kind, m.wa_id::text, m.user_id::text, m.group_id, m.opens, m.unread, m.referred, m.name, m.username,
    m.state, m.sent_at, m.delivered_at, m.read_at, m.played_at, m.failed_at, m.refused_at, m.free_until
"""
"""What a message says of its conversation and of itself, without what it says to people."""

_COLUMNS = (
    "month", "message_id", "wamid", "org_id", "waba_id", "phone_number_id", "conversation_id", "at", "tie", "source",
    "outgoing", "kind", "type", "wa_id", "user_id", "group_id", "name", "username", "content", "altered", "text",
    "about_id", "context_id", "opens", "unread", "referred", "standby", "state", "sent_at", "delivered_at", "read_at",
    "played_at", "failed_at", "refused_at", "free_until", "pieces",
)  # fmt: skip


_COLUMNS_OF_STATUS = ("month", "message_id", "participant", "status", "at", "wa_id", "user_id", "content")

_REPLACE = """
    UPDATE messages SET wamid = $3, org_id = $4, waba_id = $5, phone_number_id = $6, conversation_id = $7, at = $8,
        tie = $9, source = $10, outgoing = $11, kind = $12, type = $13, wa_id = $14, user_id = $15, group_id = $16,
        name = $17, username = $18, content = $19, altered = $20, text = $21, about_id = $22, context_id = $23,
        opens = $24, unread = $25, referred = $26, standby = $27, state = $28, sent_at = $29, delivered_at = $30,
        read_at = $31, played_at = $32, failed_at = $33, refused_at = $34, free_until = $35, pieces = $36
    WHERE month = $1 AND message_id = $2
"""


_SOURCES = {int(source): source for source in Source}
_OPENS = {int(opens): opens for opens in Opens}
_STATES = {int(state): state for state in MessageState}


class Stored(NamedTuple):
    """A message that is in the table."""

    month: date
    conversation_id: str
    tie: int
    message: Message


class Places(NamedTuple):
    """The partitions of messages, and what is stored of them."""

    months: dict[str, date]
    stored: dict[str, Stored]
    gone: set[str]
    """Of these nothing is kept."""
    fresh: set[str]
    """Of these nobody has heard before."""


def stored_message(row: Sequence[Any]) -> Stored:
    """From the columns `NARROW`."""
    month, message_id, conversation_id, tie, org_id, waba_id, number, at, source, outgoing, kind, *rest = row
    wa_id, user_id, group_id, opens, unread, referred, name, username, state, *times = rest
    message = Message(
        message_id,
        Account(org_id, waba_id, number),
        at,
        _SOURCES[source],
        outgoing,
        kind,
        Whose(wa_id, user_id),
        group_id,
        _OPENS[opens],
        unread,
        referred,
        name,
        username,
        _STATES[state],
        *times,
    )
    return Stored(month, conversation_id, tie, message)


async def places(connection: Connection, months: Mapping[str, date], gone: Iterable[str]) -> Places:
    """Find messages, each in the month given where nothing was heard of it before, and lock what is stored.

    Whoever hears of a message at the same time waits here, and then finds it.
    """
    forgotten = dict.fromkeys(gone)
    if forgotten:
        await connection.execute(
            """
            INSERT INTO message_places (message_id, month, gone)
            SELECT id, date_trunc('month', now())::date, true FROM unnest($1::uuid[]) AS new(id) ORDER BY id
            ON CONFLICT (message_id) DO UPDATE SET gone = true WHERE NOT message_places.gone
            """,
            sorted(forgotten),
        )
    ordered = sorted(months.items())
    new = await connection.fetch(
        """
        INSERT INTO message_places (message_id, month)
        SELECT id, month FROM unnest($1::uuid[], $2::date[]) AS new(id, month) ORDER BY id
        ON CONFLICT (message_id) DO NOTHING RETURNING message_id::text
        """,
        [message_id for message_id, _ in ordered],
        [month for _, month in ordered],
    )
    fresh = {row[0] for row in new}
    known = months.keys() - fresh
    if not known and not forgotten:
        return Places(dict(months), {}, set(), fresh)
    found = await connection.fetch(
        "SELECT message_id::text, month, gone FROM message_places WHERE message_id = ANY($1)",
        [*known, *forgotten],
    )
    places = dict(months) | {row[0]: row[1] for row in found}
    stored = await read(connection, ((row[0], row[1]) for row in found))
    return Places(places, stored, {row[0] for row in found if row[2]}, fresh)


async def read(connection: Connection, places: Iterable[tuple[str, date]]) -> dict[str, Stored]:
    """What is stored of messages, locked in the order of their ids."""
    ordered = sorted(places)
    rows = await connection.fetch(
        f"""
        SELECT {NARROW} FROM unnest($1::uuid[], $2::date[]) AS wanted(id, month)
        JOIN messages AS m ON m.month = wanted.month AND m.message_id = wanted.id
        ORDER BY m.message_id FOR UPDATE OF m
        """,  # noqa: S608
        [message_id for message_id, _ in ordered],
        [month for _, month in ordered],
    )
    return {row[1]: stored_message(row) for row in rows}


async def conversations_of(connection: Connection, message_ids: Collection[str]) -> list[tuple[str, str, str]]:
    """Those of some messages that are here, each with its conversation and organisation."""
    if not message_ids:
        return []
    rows = await connection.fetch(
        """
        SELECT place.message_id::text, m.conversation_id::text, m.org_id FROM message_places AS place
        CROSS JOIN LATERAL (
            SELECT * FROM messages AS m WHERE m.month = place.month AND m.message_id = place.message_id LIMIT 1
        ) AS m WHERE place.message_id = ANY($1)
        """,
        sorted(message_ids),
    )
    return [(row[0], row[1], row[2]) for row in rows]


async def write(connection: Connection, changes: Sequence[tuple[Change, str]], found: Places) -> None:
    """Write messages that are new, or changed, each into its conversation."""
    new: list[tuple[Any, ...]] = []
    replaced: list[tuple[Any, ...]] = []
    moved: list[tuple[Any, ...]] = []
    for change, conversation_id in changes:
        message, month = change.after, found.months[change.after.message_id]
        if message.told is None:
            moved.append(_movable(message, month, conversation_id))
            continue
        (replaced if change.before else new).append(_row(message, message.told, month, conversation_id))
    if replaced:
        # Not deleted and inserted: who waits for the row would find that it is gone, and none in its place.
        await connection.executemany(_REPLACE, replaced)
    if moved:
        await _update(connection, moved)
    if new:
        await connection.copy_records_to_table("messages", records=new, columns=_COLUMNS)


async def write_statuses(
    connection: Connection,
    statuses: Mapping[tuple[str, str, str], Status],
    months: Mapping[str, date],
    fresh: Container[str],
) -> None:
    """Write statuses that are new, and of those that are there the earlier one, or the one that names more of a person.

    Of `fresh` messages none is there.

    Raises `UniqueViolationError` where one is all the same.
    """
    new: list[tuple[Any, ...]] = []
    ordered: list[tuple[tuple[str, str, str], Status]] = []
    for key, status in sorted(statuses.items()):
        if key[0] in fresh:
            fact, (number, user) = status.fact, status.whose
            new.append((months[key[0]], *key, fact.at, number, user, orjson.Fragment(fact.content)))
        else:
            ordered.append((key, status))
    if new:
        await connection.copy_records_to_table("message_statuses", records=new, columns=_COLUMNS_OF_STATUS)
    if not ordered:
        return
    await connection.execute(
        """
        INSERT INTO message_statuses AS held (month, message_id, participant, status, at, wa_id, user_id, content)
        SELECT month, id, participant, status, at, wa_id, user_id, content::jsonb
        FROM unnest($1::date[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::uuid[], $7::uuid[],
            $8::text[]) AS new(month, id, participant, status, at, wa_id, user_id, content)
        ON CONFLICT (month, message_id, participant, status) DO UPDATE
            SET at = excluded.at, wa_id = excluded.wa_id, user_id = excluded.user_id, content = excluded.content
            WHERE excluded.at < held.at OR excluded.at = held.at
                AND excluded.wa_id IS NOT NULL AND excluded.user_id IS NOT NULL
                AND (held.wa_id IS NULL OR held.user_id IS NULL)
        """,
        [months[message_id] for (message_id, _, _), _ in ordered],
        [message_id for (message_id, _, _), _ in ordered],
        [participant for (_, participant, _), _ in ordered],
        [status for (_, _, status), _ in ordered],
        [status.fact.at for _, status in ordered],
        [status.whose.wa_id for _, status in ordered],
        [status.whose.user_id for _, status in ordered],
        [status.fact.content.decode() for _, status in ordered],
    )


async def make_pieces(pool: asyncpg.Pool, written_before: datetime, limit: int) -> bool:
    """Make the pieces of some texts that were written before there were any; whether more are left to look at.

    Nothing is, as long as the tables have had pieces only since `written_before`: workers of before may still write.
    """
    last = await pool.fetchrow("SELECT month, message_id FROM texts_without_pieces WHERE since < $1", written_before)
    if last is None:
        return False
    rows = await pool.fetch(
        """
        SELECT month, message_id, CASE WHEN pieces IS NULL AND octet_length(text) > length(text) THEN text END AS text
        FROM messages WHERE (month, message_id) > ($1, $2) ORDER BY month, message_id LIMIT $3
        """,
        *last,
        limit,
    )
    made = [(row["message_id"], row["month"], row["text"], pieces(row["text"])) for row in rows if row["text"]]
    # In the order in which those who fold lock them.
    await pool.executemany(
        "UPDATE messages SET pieces = $4 WHERE message_id = $1 AND month = $2 AND text = $3",
        sorted(each for each in made if each[3]),
    )
    if len(rows) < limit:
        await pool.execute("DELETE FROM texts_without_pieces")
        return False
    await pool.execute("UPDATE texts_without_pieces SET month = $1, message_id = $2", *rows[-1][:2])
    return True


async def _update(connection: Connection, moved: Sequence[tuple[Any, ...]]) -> None:
    await connection.execute(
        """
        UPDATE messages AS held SET conversation_id = new.conversation_id, at = new.at, wa_id = new.wa_id,
            user_id = new.user_id, group_id = new.group_id, state = new.state, sent_at = new.sent_at,
            delivered_at = new.delivered_at, read_at = new.read_at, played_at = new.played_at,
            failed_at = new.failed_at, refused_at = new.refused_at, free_until = new.free_until
        FROM unnest($1::date[], $2::uuid[], $3::uuid[], $4::timestamptz[], $5::uuid[], $6::uuid[], $7::text[],
            $8::smallint[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[],
            $13::timestamptz[], $14::timestamptz[], $15::timestamptz[])
            AS new(month, id, conversation_id, at, wa_id, user_id, group_id, state, sent_at, delivered_at, read_at,
                played_at, failed_at, refused_at, free_until)
        WHERE held.month = new.month AND held.message_id = new.id
        """,
        *map(list, zip(*moved, strict=True)),
    )


def _movable(message: Message, month: date, conversation_id: str) -> tuple[Any, ...]:
    return (
        month,
        message.message_id,
        conversation_id,
        message.at,
        *message.whose,
        message.group_id,
        message.state,
        *_times(message),
    )


def _row(message: Message, told: MessageFact | StatusFact, month: date, conversation_id: str) -> tuple[Any, ...]:
    described = isinstance(told, MessageFact)
    return (
        month,
        message.message_id,
        told.wamid,
        *message.account,
        conversation_id,
        message.at,
        told.tie,
        message.source,
        message.outgoing,
        message.kind,
        told.type if described else "unknown",
        *message.whose,
        message.group_id,
        message.name,
        message.username,
        orjson.Fragment(told.content) if described and told.content else None,
        described and told.altered,
        told.text if described else None,
        told.about_id if described else None,
        told.context_id if described else None,
        message.opens,
        message.unread,
        message.referred,
        message.source == Source.STANDBY,
        message.state,
        *_times(message),
        pieces(told.text) if described and told.text else None,
    )


def _times(message: Message) -> tuple[Any, ...]:
    return (
        message.sent_at,
        message.delivered_at,
        message.read_at,
        message.played_at,
        message.failed_at,
        message.refused_at,
        message.free_until,
    )
