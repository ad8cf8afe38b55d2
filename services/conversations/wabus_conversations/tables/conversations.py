"""Rows of conversations: what messages add to them, and summed up anew where something was taken away."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from wabus_runtime.postgres.database import Connection
from wabus_whatsapp.window import free_entry_until

from wabus_conversations.tables.messages import NARROW, Stored, stored_message
from wabus_conversations.tables.work import state
from wabus_conversations.threads import summary
from wabus_conversations.threads.facts import Account
from wabus_conversations.threads.fold import ANSWERS, Sums, free_until
from wabus_conversations.threads.summary import Place, Summary

_INSERT = """
    INSERT INTO conversations AS held (
        conversation_id, org_id, waba_id, phone_number_id, person_id, group_id, first_at, last_at, last_tie,
        last_message_id, history_at, unread, user_last_at, maybe_at, refused_at, referred_at, free_reported_until,
        name, name_at, username, username_at, heard_at, heard_tie
    )
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::text[], $7::timestamptz[],
        $8::timestamptz[], $9::bigint[], $10::uuid[], $11::timestamptz[], $12::int[], $13::timestamptz[],
        $14::timestamptz[], $15::timestamptz[], $16::timestamptz[], $17::timestamptz[], $18::text[],
        $19::timestamptz[], $20::text[], $21::timestamptz[], $22::timestamptz[], $23::bigint[])
    ON CONFLICT (conversation_id) DO UPDATE SET version = held.version + 1,
"""

_ADD = f"""
    {_INSERT}
        waba_id = greatest(held.waba_id, excluded.waba_id),
        first_at = least(held.first_at, excluded.first_at),
        last_at = greatest(held.last_at, excluded.last_at),
        last_tie = CASE
            WHEN (excluded.last_at, excluded.last_tie, excluded.last_message_id)
                < (held.last_at, held.last_tie, held.last_message_id) OR excluded.last_at IS NULL THEN held.last_tie
            ELSE excluded.last_tie END,
        last_message_id = CASE
            WHEN (excluded.last_at, excluded.last_tie, excluded.last_message_id)
                < (held.last_at, held.last_tie, held.last_message_id) OR excluded.last_at IS NULL
                THEN held.last_message_id
            ELSE excluded.last_message_id END,
        history_at = greatest(held.history_at, excluded.history_at),
        unread = held.unread + excluded.unread,
        user_last_at = greatest(held.user_last_at, excluded.user_last_at),
        maybe_at = greatest(held.maybe_at, excluded.maybe_at),
        refused_at = greatest(held.refused_at, excluded.refused_at),
        referred_at = greatest(held.referred_at, excluded.referred_at),
        free_reported_until = greatest(held.free_reported_until, excluded.free_reported_until),
        name = CASE
            WHEN (excluded.name_at, excluded.name COLLATE "C") < (held.name_at, held.name COLLATE "C")
                OR excluded.name IS NULL THEN held.name
            ELSE excluded.name END,
        name_at = greatest(held.name_at, excluded.name_at),
        username = CASE
            WHEN (excluded.username_at, excluded.username COLLATE "C") < (held.username_at, held.username COLLATE "C")
                OR excluded.username IS NULL THEN held.username
            ELSE excluded.username END,
        username_at = greatest(held.username_at, excluded.username_at),
        heard_tie = CASE
            WHEN (excluded.heard_at, excluded.heard_tie) < (held.heard_at, held.heard_tie)
                OR excluded.heard_at IS NULL THEN held.heard_tie
            ELSE excluded.heard_tie END,
        heard_at = greatest(held.heard_at, excluded.heard_at),
        work_state = CASE
            WHEN excluded.heard_at IS NOT NULL AND (held.up_to_at IS NULL
                OR (excluded.heard_at, excluded.heard_tie) > (held.up_to_at, held.up_to_tie)) THEN 'open'
            ELSE held.work_state END,
        route_after = CASE WHEN excluded.heard_at IS NULL THEN held.route_after END
    RETURNING conversation_id::text, referred_at IS NOT NULL, xmax = 0
"""

_REPLACE = f"""
    {_INSERT}
        waba_id = excluded.waba_id,
        first_at = excluded.first_at, last_at = excluded.last_at, last_tie = excluded.last_tie,
        last_message_id = excluded.last_message_id, history_at = excluded.history_at, unread = excluded.unread,
        user_last_at = excluded.user_last_at, maybe_at = excluded.maybe_at, refused_at = excluded.refused_at,
        referred_at = excluded.referred_at, free_reported_until = excluded.free_reported_until, name = excluded.name,
        name_at = excluded.name_at, username = excluded.username, username_at = excluded.username_at,
        heard_at = excluded.heard_at, heard_tie = excluded.heard_tie
"""


async def add(connection: Connection, sums: Sums) -> None:
    """Add what messages say to their conversations."""
    if not sums.added:
        return
    rows = await connection.fetch(_ADD, *_columns(sums.added, sums.places))
    referred = [row[0] for row in rows if row[1]]
    if referred:
        await _set_free(connection, referred)
    # What was done with one before it was here.
    await state.copy_new(connection, [row[0] for row in rows if row[2]])


async def places(connection: Connection, conversation_ids: Iterable[str]) -> dict[str, Place]:
    """Whose conversations are."""
    rows = await connection.fetch(
        """
        SELECT conversation_id::text, org_id, waba_id, phone_number_id, person_id::text, group_id FROM conversations
        WHERE conversation_id = ANY($1)
        """,
        list(conversation_ids),
    )
    return {row[0]: Place(row[0], Account(*row[1:4]), row[4], row[5]) for row in rows}


async def of_identifiers(connection: Connection, identifiers: Iterable[str]) -> dict[str, str]:
    """The conversations of those who have these identifiers now, each with its organisation."""
    rows = await connection.fetch(
        """
        SELECT conversation_id::text, c.org_id FROM identifiers
        JOIN conversations AS c ON c.person_id = holder_id WHERE identifier_id = ANY($1)
        """,
        sorted(set(identifiers)),
    )
    return {row[0]: row[1] for row in rows}


async def some(connection: Connection, after: str, limit: int) -> list[str]:
    """The next conversations in the order of their ids."""
    rows = await connection.fetch(
        """
        SELECT conversation_id::text FROM conversations WHERE conversation_id > $1
        ORDER BY conversations.conversation_id LIMIT $2
        """,
        after,
        limit,
    )
    return [row[0] for row in rows]


class Summed(NamedTuple):
    """Conversations that were summed up anew, each with its organisation."""

    left: Mapping[str, str]
    gone: Mapping[str, str]

    @property
    def all(self) -> Mapping[str, str]:
        return {**self.left, **self.gone}


async def sum_up(
    connection: Connection,
    conversation_ids: Iterable[str],
    places: Mapping[str, Place],
    moved: Mapping[str, str] = MappingProxyType({}),
) -> Summed:
    """Sum up conversations anew from the messages that they have; one that has none is deleted.

    `places` has those that may not be in the table yet. What is done with one that is deleted is deleted too, unless
    its messages have `moved` to another: then that has it.
    """
    ids = sorted(set(conversation_ids))
    if not ids:
        return Summed({}, {})
    at = await _locked(connection, ids) | dict(places)
    rows = await connection.fetch(
        f"SELECT {NARROW} FROM messages AS m WHERE m.conversation_id = ANY($1)",  # noqa: S608
        ids,
    )
    found: dict[str, list[Stored]] = {}
    for stored in map(stored_message, rows):
        found.setdefault(stored.conversation_id, []).append(stored)
    summed: dict[str, Summary] = {}
    free: dict[str, datetime | None] = {}
    for conversation_id, messages in found.items():
        total = Summary(messages[0].message.at)
        for each in messages:
            summary.add(total, each.message, each.tie, int(each.message.unread))
        summed[conversation_id] = total
        # Of a number that has moved, the greatest account that has a message, as in what is added.
        account = at[conversation_id].account._replace(waba_id=max(each.message.account.waba_id for each in messages))
        at[conversation_id] = at[conversation_id]._replace(account=account)
        if total.referred_at:
            free[conversation_id] = free_until([each.message for each in messages])
    empty = [conversation_id for conversation_id in ids if conversation_id not in found]
    await connection.execute("DELETE FROM conversations WHERE conversation_id = ANY($1)", empty)
    await connection.execute(_REPLACE, *_columns(summed, at))
    going = {gone: stays for gone, stays in moved.items() if gone in empty and stays in found}
    await state.delete(connection, set(empty) - going.keys())
    await state.move(connection, going)
    await state.copy(connection, found)
    await _write_free(connection, {conversation_id: free.get(conversation_id) for conversation_id in found})
    return Summed(
        {conversation_id: at[conversation_id].account.org_id for conversation_id in found},
        {conversation_id: at[conversation_id].account.org_id for conversation_id in empty if conversation_id in at},
    )


async def _locked(connection: Connection, ids: Sequence[str]) -> dict[str, Place]:
    await connection.execute(
        "SELECT FROM conversations WHERE conversation_id = ANY($1) ORDER BY conversation_id FOR UPDATE", ids
    )
    return await places(connection, ids)


async def _set_free(connection: Connection, conversation_ids: Sequence[str]) -> None:
    """Work out anew until when messages are free to those who came by an ad, from when each was answered first."""
    rows = await connection.fetch(
        """
        SELECT came.conversation_id::text, came.at, answer.at FROM messages AS came CROSS JOIN LATERAL (
            SELECT at FROM messages AS sent
            WHERE sent.conversation_id = came.conversation_id AND sent.at >= came.at
                AND sent.outgoing AND sent.kind = 'message' AND sent.source = ANY($2)
            ORDER BY at LIMIT 1
        ) AS answer
        WHERE came.conversation_id = ANY($1) AND came.referred
        """,
        conversation_ids,
        ANSWERS,
    )
    found: dict[str, datetime] = {}
    for conversation_id, came_at, answered_at in rows:
        until = free_entry_until(came_at, answered_at)
        if until:
            found[conversation_id] = max(until, found.get(conversation_id, until))
    await _write_free(connection, {each: found.get(each) for each in conversation_ids})


async def _write_free(connection: Connection, free: Mapping[str, datetime | None]) -> None:
    await connection.execute(
        """
        UPDATE conversations SET free_computed_until = new.until
        FROM unnest($1::uuid[], $2::timestamptz[]) AS new(id, until)
        WHERE conversation_id = new.id AND free_computed_until IS DISTINCT FROM new.until
        """,
        list(free.keys()),
        list(free.values()),
    )


def _columns(summed: Mapping[str, Summary], places: Mapping[str, Place]) -> list[Sequence[Any] | None]:
    """In the order of the ids, for in that order rows are locked. A column that has nothing is none at all.

    `unnest` fills it with nulls, and the client looks long at each value of an array.
    """
    ordered = [(places[conversation_id], held) for conversation_id, held in sorted(summed.items())]
    rows = [
        (
            place.conversation_id,
            *place.account,
            place.person_id,
            place.group_id,
            held.first_at,
            *(held.last or (None, None, None)),
            held.history_at,
            held.unread,
            held.user_last_at,
            held.maybe_at,
            held.refused_at,
            held.referred_at,
            held.free_reported_until,
            held.name and held.name[1],
            held.name and held.name[0],
            held.username and held.username[1],
            held.username and held.username[0],
            *(held.heard or (None, None)),
        )
        for place, held in ordered
    ]
    columns = zip(*rows, strict=True) if rows else [()] * 23
    return [column if any(value is not None for value in column) else None for column in columns]
