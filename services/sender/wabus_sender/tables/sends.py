"""The rows of sends: written by the fold, and claimed by whoever owns their partition."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
from wabus_events import SENDS, SendRequested
from wabus_events.models.sends import Lane
from wabus_runtime.postgres.database import Connection

from wabus_sender.sending.answers import MOST_TRIES, OF_THE_NUMBER
from wabus_sender.sending.checks import HELD_OUT
from wabus_sender.sending.queue import Waiting
from wabus_sender.sending.states import Acceptance, Lost, Refusal, Return, Send

PROJECTION = "sender"
"""The name of the projection whose offsets say who owns a partition."""

GONE_AFTER = timedelta(seconds=6)
"""So long after it was there last a process is taken to have ended."""

TRIED_AGAIN_WITHIN = timedelta(minutes=2)
"""So long after its call a send may still hold what was asked for after it."""

_PERSON = """
    coalesce(wa_id, (
        SELECT other FROM known_together AS known WHERE known.org_id = sends.org_id AND known.value = user_id
    ), user_id) AS person
"""
"""Whom a send is to, by their number where that is known: Meta counts what goes to a person, whatever names them."""

_STATE_COLUMNS = """
    claimed, returned, tries, lost, refusal, acceptance, settled_at, settled_wamid, cancelled_at, expired_at
"""


class Asked(NamedTuple):
    """A request, and where it stands in the log."""

    event: SendRequested
    partition: int
    offset: int


class Claimed(NamedTuple):
    """A send that this process has claimed: what the call takes."""

    send_id: str
    org_id: str
    waba_id: str
    phone_number_id: str
    lane: Lane
    kind: str
    wa_id: str | None
    user_id: str | None
    message: Mapping[str, Any]
    label: str | None
    attempt: int
    called_at: datetime
    tries: int
    """At how many attempts before Meta was in trouble."""


async def insert(connection: Connection, asked: Iterable[Asked], *, over: bool = False) -> set[str]:
    """Write requests down; those whose ids are new. Of a replay `over` the rows nothing is due before its end."""
    rows = [
        (
            UUID(event.send_id), event.org_id, event.waba_id, event.phone_number_id, partition, offset, event.lane,
            event.kind, event.to, event.recipient, event.conversation_id and UUID(event.conversation_id),
            event.message, event.template_name, event.template_language, event.template_id, event.template_version,
            event.label, event.metadata, event.requested_by, event.again_of and UUID(event.again_of), event.time,
            event.expires_at, event.not_before or event.time, event.experiment_id and UUID(event.experiment_id),
            event.arm, event.withheld, _withheld(event),
        )
        for event, partition, offset in asked
        if event.org_id and (event.to or event.recipient)
    ]  # fmt: skip
    if not rows:
        return set()
    columns = list(map(list, zip(*rows, strict=True)))
    found = await connection.fetch(
        """
        INSERT INTO sends (send_id, org_id, waba_id, phone_number_id, partition, sequence, lane, kind, wa_id, user_id,
            conversation_id, message, template_name, template_language, template_id, template_version, label, metadata,
            requested_by, again_of, requested_at, expires_at, next_at, experiment_id, arm, withheld, refusal, state,
            changed_at, due_at)
        SELECT send_id, org_id, waba_id, phone_number_id, partition, sequence, lane, kind, wa_id, user_id,
            conversation_id, message, template_name, template_language, template_id, template_version, label, metadata,
            requested_by, again_of, requested_at, expires_at, CASE WHEN $28 THEN 'infinity' ELSE next_at END,
            experiment_id, arm, withheld, refusal, CASE WHEN withheld IS NULL THEN 'queued' ELSE 'refused' END,
            requested_at, CASE WHEN $28 THEN next_at END
        FROM unnest(
            $1::uuid[], $2::text[], $3::text[], $4::text[], $5::int[], $6::bigint[], $7::text[], $8::text[], $9::text[],
            $10::text[], $11::uuid[], $12::jsonb[], $13::text[], $14::text[], $15::text[], $16::int[], $17::text[],
            $18::text[], $19::text[], $20::uuid[], $21::timestamptz[], $22::timestamptz[], $23::timestamptz[],
            $24::uuid[], $25::text[], $26::text[], $27::jsonb[]
        ) AS asked(send_id, org_id, waba_id, phone_number_id, partition, sequence, lane, kind, wa_id, user_id,
            conversation_id, message, template_name, template_language, template_id, template_version, label, metadata,
            requested_by, again_of, requested_at, expires_at, next_at, experiment_id, arm, withheld, refusal)
        ON CONFLICT (send_id) DO NOTHING
        RETURNING send_id::text
        """,
        *columns,
        over,
    )
    queues = sorted({(row[3], row[6], row[4]) for row in rows})
    await connection.execute(
        """
        INSERT INTO queues (phone_number_id, lane, partition)
        SELECT * FROM unnest($1::text[], $2::text[], $3::int[]) ON CONFLICT DO NOTHING
        """,
        *map(list, zip(*queues, strict=True)),
    )
    return {row["send_id"] for row in found}


def _withheld(event: SendRequested) -> dict[str, Any] | None:
    """Why nothing is sent for a request from the beginning, as a refusal."""
    if event.withheld is None:
        return None
    return Refusal(0, "check", HELD_OUT.code, None, event.time)._asdict() | {"at": event.time.isoformat()}


async def locked(connection: Connection, send_ids: Iterable[str]) -> dict[str, Send]:
    """What is known of these sends, which nobody else changes until the transaction ends."""
    rows = await connection.fetch(
        f"""
        SELECT send_id::text, {_STATE_COLUMNS} FROM sends WHERE send_id = ANY($1::uuid[]) ORDER BY send_id FOR UPDATE
        """,  # noqa: S608
        sorted(map(UUID, send_ids)),
    )
    return {row["send_id"]: send_of(row) for row in rows}


async def known(connection: Connection, send_ids: Iterable[str]) -> dict[str, Send]:
    """The same without locks: what others change meanwhile is not seen."""
    rows = await connection.fetch(
        f"SELECT send_id::text, {_STATE_COLUMNS} FROM sends WHERE send_id = ANY($1::uuid[])",  # noqa: S608
        list(map(UUID, send_ids)),
    )
    return {row["send_id"]: send_of(row) for row in rows}


def send_of(row: asyncpg.Record) -> Send:
    """What the columns of a row say."""
    returned, lost, refusal, acceptance = (row[name] for name in ("returned", "lost", "refusal", "acceptance"))
    return Send(
        requested=True,
        claimed=row["claimed"],
        returned=returned and Return(**_dated(returned, "retry_at"), tries=row["tries"]),
        lost=lost and Lost(**_dated(lost)),
        refusal=refusal and Refusal(**_dated(refusal)),
        acceptance=acceptance and Acceptance(**_dated(acceptance)),
        settled_at=row["settled_at"],
        settled_wamid=row["settled_wamid"],
        cancelled_at=row["cancelled_at"],
        expired_at=row["expired_at"],
    )


def _dated(told: Mapping[str, Any], name: str = "at") -> dict[str, Any]:
    return {**told, name: datetime.fromisoformat(told[name])}


def _plain(told: Return | Lost | Refusal | Acceptance | None) -> dict[str, Any] | None:
    return None if told is None else told._asdict()


def _returned(send: Send) -> dict[str, Any] | None:
    """What releases before `tries` can read too, which stands beside it."""
    found = _plain(send.returned)
    return found and {name: told for name, told in found.items() if name != "tries"}


def _due_again(send: Send) -> datetime | None:
    """When a send is due that was returned; None where it is when it was, and nothing is sent before for its number."""
    return send.returned.retry_at if send.returned and send.returned.reason not in OF_THE_NUMBER else None


async def update(connection: Connection, sends: Mapping[str, tuple[Send, datetime]]) -> None:
    """Write what sends have come to, each with the moment of the last event that said something of it."""
    if not sends:
        return
    rows = [
        (
            UUID(send_id), send.state, send.claimed, _returned(send), _plain(send.lost), _plain(send.refusal),
            _plain(send.acceptance), send.settled_at, send.settled_wamid, send.cancelled_at, send.expired_at,
            _due_again(send), at, send.returned.tries if send.returned else 0,
        )
        for send_id, (send, at) in sorted(sends.items())
    ]  # fmt: skip
    await connection.execute(
        """
        UPDATE sends SET state = told.state, claimed = told.claimed, returned = told.returned, lost = told.lost,
            refusal = told.refusal, acceptance = told.acceptance, settled_at = told.settled_at,
            settled_wamid = told.settled_wamid, cancelled_at = told.cancelled_at, expired_at = told.expired_at,
            tries = told.tries, next_at = greatest(sends.next_at, told.retry_at),
            changed_at = greatest(sends.changed_at, told.at)
        FROM unnest($1::uuid[], $2::text[], $3::int[], $4::jsonb[], $5::jsonb[], $6::jsonb[], $7::jsonb[],
            $8::timestamptz[], $9::text[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[],
            $13::timestamptz[], $14::int[])
            AS told(send_id, state, claimed, returned, lost, refusal, acceptance, settled_at, settled_wamid,
                cancelled_at, expired_at, retry_at, at, tries)
        WHERE sends.send_id = told.send_id
        """,
        *map(list, zip(*rows, strict=True)),
    )


async def due(
    pool: asyncpg.Pool,
    partitions: Sequence[int],
    now: datetime,
    limits: Mapping[tuple[str, Lane], int],
    otherwise: int,
    numbers: Sequence[str] | None = None,
) -> list[Waiting]:
    """Of each number and lane of these partitions as many that are due, the first ones, as `limits` say.

    Of all numbers, or of some.
    """
    rows = await pool.fetch(
        f"""
        SELECT found.* FROM queues
        LEFT JOIN unnest($3::text[], $4::text[], $5::int[]) AS limits(phone_number_id, lane, most)
            USING (phone_number_id, lane)
        CROSS JOIN LATERAL (
            SELECT send_id::text, sends.phone_number_id, sends.lane, {_PERSON}, sequence FROM sends
            WHERE sends.phone_number_id = queues.phone_number_id AND sends.lane = queues.lane AND state = 'queued'
                AND next_at <= $2 AND expires_at > $2
            ORDER BY next_at, sequence LIMIT coalesce(limits.most, $6)
        ) AS found
        WHERE queues.partition = ANY($1) AND ($7::text[] IS NULL OR queues.phone_number_id = ANY($7))
        """,  # noqa: S608
        partitions,
        now,
        [phone_number_id for phone_number_id, _ in limits],
        [lane for _, lane in limits],
        list(limits.values()),
        otherwise,
        numbers,
    )
    return [Waiting(*row) for row in rows]


async def next_due(pool: asyncpg.Pool, partitions: Sequence[int], now: datetime) -> datetime | None:
    """When the next of these partitions is due that is not yet."""
    return await pool.fetchval(
        """
        SELECT min(found.next_at) FROM queues CROSS JOIN LATERAL (
            SELECT next_at FROM sends
            WHERE sends.phone_number_id = queues.phone_number_id AND sends.lane = queues.lane AND state = 'queued'
                AND next_at > $2 ORDER BY next_at LIMIT 1
        ) AS found
        WHERE queues.partition = ANY($1)
        """,
        partitions,
        now,
    )


async def release(pool: asyncpg.Pool, most: int) -> int:
    """Let some be due that a replay has brought back, now that all is folded that came of them; how many."""
    released = await pool.execute(
        """
        UPDATE sends SET due_at = NULL, next_at = CASE WHEN returned->>'reason' = ANY($2) THEN due_at
            ELSE greatest(due_at, (returned->>'retry_at')::timestamptz) END
        WHERE send_id IN (SELECT send_id FROM sends WHERE due_at IS NOT NULL LIMIT $1)
        """,
        most,
        sorted(OF_THE_NUMBER),
    )
    return int(released.removeprefix("UPDATE "))


class Checked(NamedTuple):
    """A send whose turn it is, with what it is checked by once more, just before it is claimed."""

    send_id: str
    org_id: str
    waba_id: str
    phone_number_id: str
    lane: Lane
    kind: str
    wa_id: str | None
    user_id: str | None
    claimed: int
    label: str | None
    paused: bool
    """Whether somebody has paused its label."""
    owner: str | None
    """Whose the number is now; the organisation's own where that is not known."""
    template_name: str | None
    template_language: str | None
    template_status: str | None
    template_waits: bool
    """Whether the organisation wants its sends to wait while their template is paused."""
    asks_meta: bool
    """Whether the organisation leaves it to Meta where something is not delivered in a country."""
    user_last_at: datetime | None
    maybe_at: datetime | None
    refused_at: datetime | None
    """When Meta last refused a message to the person because the window was closed."""
    stopped: bool
    """Whether the person wants no marketing from the number, as Meta tells it."""
    opted_out: bool
    """Whether the person wants no marketing of the organisation, as they have told it."""
    taken_at: datetime | None
    """Since when another responder answers the person."""
    blocked: bool
    """Whether the number has blocked the person."""
    read_until: datetime | None
    """All that the log had by then is known."""


async def to_check(pool: asyncpg.Pool, send_ids: Iterable[str]) -> list[Checked]:
    """Sends whose turn it is, as they are now; those that are not queued any more are left out.

    In one statement, for it is asked each time before anything is claimed.
    """
    rows = await pool.fetch(
        """
        SELECT send_id::text, sends.org_id, sends.waba_id, sends.phone_number_id, lane, kind, wa_id,
            user_id, claimed, sends.label, coalesce(labels.paused, false),
            CASE WHEN accounts.waba_id IS NULL THEN sends.org_id ELSE accounts.org_id END,
            template_name, template_language, templates.status, coalesce(policies.paused_template = 'wait', false),
            coalesce(policies.country_rules = 'ask_meta', false),
            wrote.user_last_at, wrote.maybe_at, wrote.refused_at, coalesce(chosen.stopped, false),
            coalesce(told.opted_out, false),
            (
                SELECT CASE WHEN NOT (array_agg(ours ORDER BY owners.at DESC, ours DESC))[1]
                    THEN greatest(max(owners.at), max(owners.copied_at)) END
                FROM thread_owners AS owners
                WHERE owners.org_id = sends.org_id AND owners.phone_number_id = sends.phone_number_id
                    AND owners.value IN (coalesce(sends.wa_id, sends.user_id), known.other)
            ),
            EXISTS (
                SELECT FROM blocks WHERE blocks.org_id = sends.org_id AND blocks.blocked
                    AND blocks.phone_number_id = sends.phone_number_id
                    AND blocks.value IN (coalesce(sends.wa_id, sends.user_id), known.other)
            ),
            (SELECT read_until FROM freshness)
        FROM sends
        LEFT JOIN labels ON labels.phone_number_id = sends.phone_number_id AND labels.org_id = sends.org_id
            AND labels.label = sends.label
        LEFT JOIN known_numbers AS numbers ON numbers.phone_number_id = sends.phone_number_id
        LEFT JOIN known_accounts AS accounts ON accounts.waba_id = numbers.waba_id
        LEFT JOIN known_templates AS templates ON templates.waba_id = sends.waba_id
            AND templates.name = template_name AND templates.language = template_language
        LEFT JOIN policies ON policies.org_id = sends.org_id
        LEFT JOIN known_together AS known ON known.org_id = sends.org_id AND known.value = coalesce(wa_id, user_id)
        LEFT JOIN LATERAL (
            SELECT max(windows.user_last_at) AS user_last_at, max(windows.maybe_at) AS maybe_at,
                max(windows.refused_at) AS refused_at FROM windows
            WHERE windows.org_id = sends.org_id AND windows.phone_number_id = sends.phone_number_id
                AND windows.value IN (coalesce(wa_id, user_id), known.other)
        ) AS wrote ON true
        LEFT JOIN LATERAL (
            SELECT preferences.stopped FROM preferences
            WHERE preferences.org_id = sends.org_id AND preferences.phone_number_id = sends.phone_number_id
                AND preferences.value IN (coalesce(wa_id, user_id), known.other)
            ORDER BY preferences.at DESC, preferences.stopped DESC LIMIT 1
        ) AS chosen ON true
        LEFT JOIN LATERAL (
            SELECT opt_outs.opted_out FROM opt_outs
            WHERE opt_outs.org_id = sends.org_id AND opt_outs.value IN (coalesce(wa_id, user_id), known.other)
            ORDER BY opt_outs.at DESC, opt_outs.opted_out DESC LIMIT 1
        ) AS told ON true
        WHERE send_id = ANY($1::uuid[]) AND state = 'queued'
        """,
        list(map(UUID, send_ids)),
    )
    return [Checked(*row) for row in rows]


async def put_off(connection: asyncpg.Pool | Connection, until: Mapping[str, datetime]) -> None:
    """Look at these again at those moments."""
    await connection.execute(
        """
        UPDATE sends SET next_at = later.at FROM unnest($1::uuid[], $2::timestamptz[]) AS later(send_id, at)
        WHERE sends.send_id = later.send_id AND state = 'queued'
        """,
        list(map(UUID, until)),
        list(until.values()),
    )


async def claim(
    connection: asyncpg.Pool | Connection, owner: UUID, send_ids: Sequence[str], first: Collection[str], now: datetime
) -> list[Claimed]:
    """Claim sends for one call each, if they are still queued and their partition is the owner's; those that are.

    `first` are those of them to people whose window is closed.

    Durable when this returns: whatever becomes of the process, what is claimed is not called by another one.
    """
    rows = await connection.fetch(
        """
        UPDATE sends SET state = 'calling', claimed = claimed + 1, owner = $1, called_at = $3, changed_at = $3,
            writes_first = send_id = ANY($6::uuid[])
        FROM projection_offsets AS held
        WHERE send_id = ANY($2::uuid[]) AND state = 'queued' AND expires_at > $3 AND due_at IS NULL
            AND held.projection = $4 AND held.topic = $5 AND held.partition = sends.partition AND held.owner = $1
        RETURNING send_id::text, org_id, waba_id, phone_number_id, lane, kind, wa_id, user_id, message, label,
            claimed, called_at, tries
        """,
        owner,
        list(map(UUID, send_ids)),
        now,
        PROJECTION,
        SENDS.name,
        list(map(UUID, first)),
    )
    return [Claimed(*row) for row in rows]


async def overdue(
    pool: asyncpg.Pool, partitions: Sequence[int], under_way: Collection[str], before: datetime, most: int
) -> list[asyncpg.Record]:
    """Sends that nobody is calling for any more, and of which no answer is told.

    Whoever claimed them has not been there for a while, or it was so long ago that an answer would be told of.
    """
    return await pool.fetch(
        """
        SELECT send_id::text, org_id, waba_id, phone_number_id, claimed, label FROM sends
        WHERE partition = ANY($1) AND state = 'calling' AND state IN ('calling', 'unknown') AND due_at IS NULL
            AND send_id <> ALL($2::uuid[]) AND (
                coalesce(called_at, changed_at) < $3
                OR owner IS NOT NULL AND called_at < now() - $5::interval
                    AND NOT EXISTS (SELECT FROM owners WHERE owners.owner = sends.owner AND seen_at > now() - $5)
            )
        LIMIT $4
        """,
        partitions,
        list(map(UUID, under_way)),
        before,
        most,
        GONE_AFTER,
    )


async def be_there(pool: asyncpg.Pool, owners: Iterable[UUID]) -> None:
    """Write down that the process of these owners is there, and forget those of long ago."""
    await pool.execute(
        """
        INSERT INTO owners (owner, seen_at) SELECT owner, now() FROM unnest($1::uuid[]) AS mine(owner)
        ON CONFLICT (owner) DO UPDATE SET seen_at = excluded.seen_at
        """,
        sorted(owners),
    )
    await pool.execute("DELETE FROM owners WHERE seen_at < now() - interval '1 day'")


async def settled(
    pool: asyncpg.Pool, partitions: Sequence[int], called_before: datetime, most: int
) -> list[asyncpg.Record]:
    """Sends without a known answer of which a status has told."""
    return await pool.fetch(
        """
        SELECT sends.send_id::text, org_id, waba_id, phone_number_id, label, called_at, kind, message, heard.wamid,
            heard.at, coalesce(told_wa_id, wa_id) AS told_wa_id,
            coalesce(told_user_id, CASE WHEN wa_id IS NULL THEN user_id END) AS told_user_id
        FROM sends JOIN heard USING (send_id)
        WHERE partition = ANY($1) AND state IN ('calling', 'unknown') AND due_at IS NULL
            AND (state = 'unknown' OR called_at < $3)
        LIMIT $2
        """,
        partitions,
        most,
        called_before,
    )


async def stopped(pool: asyncpg.Pool, partitions: Sequence[int], now: datetime, most: int) -> list[asyncpg.Record]:
    """Sends that are due of numbers that Meta has stopped, of organisations that want these refused."""
    # Mostly no number is stopped, and the others' sends are many: whatever the planner believes, it begins with those.
    return await pool.fetch(
        """
        WITH stopped AS MATERIALIZED (
            SELECT phone_number_id, lane, until, error_code FROM number_pauses JOIN queues USING (phone_number_id)
            WHERE until > $2 AND reason IN ('account_stop', 'no_access') AND queues.partition = ANY($1)
        )
        SELECT send_id::text, found.org_id, waba_id, phone_number_id, label, claimed, wa_id, user_id, error_code
        FROM stopped CROSS JOIN LATERAL (
            SELECT send_id, sends.org_id, waba_id, label, claimed, wa_id, user_id FROM sends
            JOIN policies ON policies.org_id = sends.org_id AND stopped_number = 'refuse'
            WHERE sends.phone_number_id = stopped.phone_number_id AND sends.lane = stopped.lane AND state = 'queued'
                AND next_at <= until + interval '5 seconds' AND due_at IS NULL AND expires_at > $2
            ORDER BY next_at, sequence LIMIT $3
        ) AS found
        LIMIT $3
        """,
        partitions,
        now,
        most,
    )


async def expired(pool: asyncpg.Pool, partitions: Sequence[int], now: datetime, most: int) -> list[asyncpg.Record]:
    """Sends whose time was over before they were called."""
    return await pool.fetch(
        """
        SELECT send_id::text, org_id, waba_id, phone_number_id, label, expires_at FROM sends
        WHERE state = 'queued' AND expires_at <= $2 AND partition = ANY($1) AND due_at IS NULL
        ORDER BY expires_at LIMIT $3
        """,
        partitions,
        now,
        most,
    )


async def called_since(
    pool: asyncpg.Pool, partitions: Sequence[int], since: datetime
) -> list[tuple[str, str, list[datetime]]]:
    """To whom each number was called for lately, and when: each attempt at a send as if it were made with the last."""
    rows = await pool.fetch(
        f"""
        SELECT phone_number_id, {_PERSON}, array_agg(called_at) AS calls
        FROM sends CROSS JOIN generate_series(1, least(claimed, $3))
        WHERE called_at > $2 AND partition = ANY($1) GROUP BY 1, 2
        """,  # noqa: S608
        partitions,
        since,
        MOST_TRIES,
    )
    return [(row["phone_number_id"], row["person"], row["calls"]) for row in rows]


async def tried_again(
    pool: asyncpg.Pool, partitions: Sequence[int], now: datetime, hold: timedelta
) -> list[tuple[Waiting, datetime, datetime]]:
    """The sends that are to be tried again later for themselves, with when; and until when others wait for them.

    That is `hold` since it was told, or as long as too much has gone to their person. Of each person the first send.
    """
    rows = await pool.fetch(
        f"""
        SELECT DISTINCT ON (phone_number_id, person) send_id::text, phone_number_id, lane, {_PERSON}, sequence, at,
            CASE returned->>'reason' WHEN 'busy_pair' THEN greatest(at, changed_at + $5) ELSE changed_at + $5 END
        FROM sends CROSS JOIN LATERAL (SELECT (returned->>'retry_at')::timestamptz AS at) AS again
        WHERE called_at > $2::timestamptz - $3::interval AND partition = ANY($1) AND state = 'queued' AND at > $2
            AND returned->>'reason' <> ALL($4)
        ORDER BY phone_number_id, person, sequence
        """,  # noqa: S608
        partitions,
        now,
        TRIED_AGAIN_WITHIN,
        sorted(OF_THE_NUMBER),
        hold,
    )
    return [(Waiting(*row[:5]), *row[5:]) for row in rows]


async def called_by_others(
    pool: asyncpg.Pool, partitions: Sequence[int], owners: Iterable[UUID], since: datetime
) -> list[tuple[str, datetime]]:
    """The numbers for which others than these owners have claimed anything lately, and when they did last."""
    rows = await pool.fetch(
        """
        SELECT phone_number_id, max(called_at) AS at FROM sends
        WHERE called_at > $2 AND partition = ANY($1) AND owner <> ALL($3) GROUP BY 1
        """,
        partitions,
        since,
        sorted(owners),
    )
    return [(row["phone_number_id"], row["at"]) for row in rows]
