"""Media that messages tell of, and those that are due: whoever takes one has it for the time of a lease."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import asyncpg
from wabus_runtime.postgres.database import Connection

from wabus_conversations.media.fetching import Ended, Later
from wabus_conversations.tables.media.objects import release

LOOKED_AT = 200  # due media of one organisation, of which some are taken


class New(NamedTuple):
    """A medium as its message tells of it."""

    media_id: str
    message_id: str
    wamid: str
    org_id: str
    waba_id: str
    phone_number_id: str
    contact: str
    people: Sequence[str]
    at: datetime
    kind: str
    meta_id: str
    url: str | None
    type_told: str | None
    name: str | None
    sha256_told: bytes | None
    deadline: datetime


class Wanted(NamedTuple):
    """A medium that somebody has taken, to fetch it."""

    media_id: str
    org_id: str
    waba_id: str
    phone_number_id: str
    people: Sequence[str]
    at: datetime
    meta_id: str
    url: str | None
    type_told: str | None
    sha256_told: bytes | None
    deadline: datetime
    attempts: int
    """This one included."""
    differed: int


async def want(connection: Connection, media: Sequence[New], now: datetime) -> None:
    """Let media be fetched. Of one that is there already nothing changes, but where Meta has given it a newer id."""
    if not media:
        return
    await connection.executemany(
        """
        INSERT INTO media AS held (media_id, message_id, wamid, org_id, waba_id, phone_number_id, contact, people, at,
            kind, meta_id, url, type_told, name, sha256_told, deadline, due_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
        ON CONFLICT (media_id) DO UPDATE SET meta_id = excluded.meta_id, url = excluded.url,
            type_told = excluded.type_told, name = excluded.name, sha256_told = excluded.sha256_told,
            deadline = excluded.deadline, due_at = excluded.due_at, state = 'wanted', reason = NULL, attempts = 0,
            differed = 0, announced = false, decided_at = NULL
        WHERE held.state IN ('wanted', 'lost') AND held.meta_id <> excluded.meta_id
            AND held.deadline < excluded.deadline
        """,
        [(*each, now) for each in sorted(media)],
    )


async def take_back(connection: Connection, message_ids: Iterable[str], now: datetime) -> None:
    """Let those of these messages be gone that were taken back, whatever came first."""
    rows = await connection.fetch(
        """
        WITH gone AS (
            SELECT media_id, org_id, sha256 FROM media WHERE message_id = ANY($1) AND state <> 'gone' AND EXISTS (
                SELECT FROM messages AS m
                WHERE m.about_id = media.message_id AND m.kind = 'revoke' AND m.org_id = media.org_id
            ) ORDER BY media_id FOR UPDATE
        )
        UPDATE media SET state = 'gone', reason = NULL, sha256 = NULL, name = NULL, url = NULL, decided_at = $2
        FROM gone WHERE media.media_id = gone.media_id RETURNING gone.org_id, gone.sha256, media.waba_id, media.people
        """,
        sorted(set(message_ids)),
        now,
    )
    await release(connection, rows, now)


async def delete(connection: Connection, message_ids: Sequence[str]) -> None:
    """Delete the media of messages, and let their content go from the store where nothing else has it."""
    rows = await connection.fetch(
        "DELETE FROM media WHERE message_id = ANY($1) RETURNING org_id, sha256, waba_id, people", message_ids
    )
    await release(connection, rows, None)


async def take(
    pool: asyncpg.Pool, *, most: int, most_of_one: int, busy: Mapping[str, int], lease: timedelta, now: datetime
) -> list[Wanted]:
    """Take media that are due at a moment: of each organisation as few as there are of others, the longest due first.

    No more than `most`, and of one organisation no more than `most_of_one`, together with those that are under way of
    those that are `busy`. Of several with the same hash one at a time: then the others need not be fetched.
    """
    rows = await pool.fetch(
        """
        WITH RECURSIVE organisations AS (
            (SELECT org_id FROM media WHERE state = 'wanted' ORDER BY org_id LIMIT 1)
            UNION ALL
            SELECT following.org_id FROM organisations CROSS JOIN LATERAL (
                SELECT org_id FROM media WHERE state = 'wanted' AND org_id > organisations.org_id
                ORDER BY org_id LIMIT 1
            ) AS following
        ), leased AS MATERIALIZED (
            SELECT org_id, sha256_told FROM media WHERE state = 'wanted' AND leased_until > $3
        ), due AS MATERIALIZED (
            SELECT org_id, found.*, coalesce(under_way, 0)
                + row_number() OVER (PARTITION BY org_id ORDER BY found.due_at, found.media_id) AS place
            FROM organisations LEFT JOIN unnest($1::text[], $2::int[]) AS busy(org_id, under_way) USING (org_id)
            CROSS JOIN LATERAL (
                SELECT DISTINCT ON (coalesce(sha256_told, uuid_send(media_id))) media_id, due_at FROM (
                    SELECT media_id, due_at, sha256_told FROM media
                    WHERE media.org_id = organisations.org_id AND state = 'wanted' AND due_at <= $3
                    ORDER BY due_at LIMIT $4
                ) AS first WHERE NOT EXISTS (
                    SELECT FROM leased
                    WHERE leased.org_id = organisations.org_id AND leased.sha256_told = first.sha256_told
                ) ORDER BY coalesce(sha256_told, uuid_send(media_id)), due_at
            ) AS found
        ), taken AS (
            SELECT media.media_id FROM media JOIN due USING (media_id)
            WHERE place <= $5 AND state = 'wanted' AND media.due_at <= $3
            ORDER BY place, media.due_at LIMIT $6 FOR UPDATE OF media SKIP LOCKED
        )
        UPDATE media SET attempts = attempts + 1, due_at = $3 + $7, leased_until = $3 + $7
        FROM taken WHERE media.media_id = taken.media_id
        RETURNING media.media_id::text, org_id, waba_id, phone_number_id, people, at, meta_id, url, type_told,
            sha256_told, deadline, attempts, differed
        """,
        list(busy),
        list(busy.values()),
        now,
        LOOKED_AT,
        most_of_one,
        most,
        lease,
    )
    return [Wanted(*row) for row in rows]


async def put_off(pool: asyncpg.Pool, wanted: Wanted, later: Later, differed: int) -> None:
    """Let a medium be tried again."""
    await pool.execute(
        """
        UPDATE media SET due_at = $3, reason = $4, differed = $5, leased_until = NULL
        WHERE media_id = $1 AND meta_id = $2 AND state = 'wanted'
        """,
        wanted.media_id,
        wanted.meta_id,
        later.at,
        later.reason,
        differed,
    )


async def give_up(pool: asyncpg.Pool, wanted: Wanted, ended: Ended, now: datetime) -> None:
    """Let a medium be lost, or refused."""
    await pool.execute(
        """
        UPDATE media SET state = $3, reason = $4, decided_at = $5, url = NULL, leased_until = NULL
        WHERE media_id = $1 AND meta_id = $2 AND state = 'wanted'
        """,
        wanted.media_id,
        wanted.meta_id,
        ended.state,
        ended.reason,
        now,
    )


async def waiting(pool: asyncpg.Pool, now: datetime) -> tuple[int, float]:
    """How many media are wanted, and how long the one is due that is due the longest, in seconds."""
    row = await pool.fetchrow(
        """
        SELECT count(*), coalesce(extract(epoch FROM $1 - min(due_at) FILTER (WHERE due_at <= $1)), 0)::float8
        FROM media WHERE state = 'wanted'
        """,
        now,
    )
    return (row[0], row[1]) if row else (0, 0.0)
