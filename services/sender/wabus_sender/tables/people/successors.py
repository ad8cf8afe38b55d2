"""Whom an identifier means now: people change their numbers and user ids, and others get their numbers."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

import asyncpg
from wabus_runtime.postgres.database import Connection

_CHANGES_MOST = 16  # that are followed: some more than anybody makes
_NEVER = datetime.min.replace(tzinfo=UTC)
_FOR_EVER = datetime.max.replace(tzinfo=UTC)


class Successor(NamedTuple):
    """What a number or user id became."""

    org_id: str
    value: str
    successor: str
    at: datetime


class Holder(NamedTuple):
    """Whose a number was: the user id that came with it, and when it did first."""

    org_id: str
    value: str
    holder: str
    first_at: datetime


async def write(connection: Connection, changes: Iterable[Successor]) -> None:
    """Write down what became of identifiers. Their new ones are among the contacts already.

    A number is left by one person after another: each time is kept, for none stands for the one before.
    """
    await connection.executemany(
        """
        INSERT INTO successors AS known (org_id, value, successor, at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (org_id, value, at) DO UPDATE SET successor = excluded.successor
        WHERE excluded.successor > known.successor
        """,
        sorted(changes, key=lambda each: (each.at, each)),
    )


async def write_holders(connection: Connection, holders: Iterable[Holder]) -> None:
    """Write down whose numbers were; mostly that is known, and nothing is written."""
    rows = sorted(holders)
    if not rows:
        return
    await connection.execute(
        """
        INSERT INTO holders AS known (org_id, value, holder, first_at)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[])
        ON CONFLICT (org_id, value, holder) DO UPDATE SET first_at = excluded.first_at
        WHERE excluded.first_at < known.first_at
        """,
        *map(list, zip(*rows, strict=True)),
    )


async def follow(connection: Connection, named: Iterable[tuple[str, str]]) -> None:
    """Let what is known of these (organisation, identifier) hold for what became of them, whichever was told first.

    Who has a new one wrote, chose, is answered, is blocked and came by an ad as before; so did, by their user id, whose
    number a stranger has now. What a number did before it was theirs or afterwards, by Meta's time, is a stranger's; a
    user id is nobody else's, ever.
    """
    asked = sorted(set(named))
    for _ in range(_CHANGES_MOST):
        if not asked:
            return
        rows = await connection.fetch(_BECAME, *map(list, zip(*asked, strict=True)))
        moves = {
            (row["org_id"], row["value"], row["successor"])
            + ((row["until"], row["since"] or _NEVER) if row["value"].isdigit() else (_FOR_EVER, _NEVER))
            for row in rows
        }
        for statement in _MOVING:
            await connection.executemany(statement, sorted(moves))
        asked = sorted({(row["org_id"], row["successor"]) for row in rows})


async def current(pool: asyncpg.Pool, org_id: str, value: str) -> tuple[str | None, str | None]:
    """The number and user id of whoever was known by this one first; a number that others have now is left out."""
    since = _NEVER
    for _ in range(_CHANGES_MOST):
        row = await pool.fetchrow(_KNOWN, org_id, value, since)
        if row is None:
            break
        left_before = row["successor"] and row["first_at"] and row["became_at"] < row["first_at"]
        if value.isdigit() and row["first_user"] and not left_before:
            value = row["first_user"]
        elif row["successor"]:
            value, since = row["successor"], row["became_at"]
        elif value.isdigit() or not row["other"]:
            break
        elif row["moved_to"]:
            value, since = row["moved_to"], row["moved_at"]
        else:
            return (row["other"] if row["holder"] == value else None), value
    return (value, None) if value.isdigit() else (None, value)


_KNOWN = """
    SELECT own.other, number.other AS holder, became.successor, became.at AS became_at, moved.successor AS moved_to,
        moved.at AS moved_at, first.holder AS first_user, first.at AS first_at
    FROM contacts AS own
    LEFT JOIN LATERAL (
        SELECT holder, first_at AS at FROM holders WHERE org_id = $1 AND value = $2 AND first_at >= $3
        UNION ALL
        SELECT value, other_at FROM contacts AS back WHERE back.org_id = $1 AND back.other = $2 AND back.other_at >= $3
        ORDER BY at LIMIT 1
    ) AS first ON true
    LEFT JOIN contacts AS number ON number.org_id = own.org_id AND number.value = own.other
    LEFT JOIN LATERAL (
        SELECT successor, at FROM successors WHERE org_id = $1 AND value = $2 AND at > $3
        ORDER BY extract(epoch FROM at) * CASE WHEN value ~ '[^0-9]' THEN -1 ELSE 1 END LIMIT 1
    ) AS became ON true
    LEFT JOIN LATERAL (
        SELECT successor, at FROM successors AS left_it
        WHERE left_it.org_id = $1 AND left_it.value = own.other AND left_it.at > own.other_at AND NOT EXISTS (
            SELECT FROM holders AS next WHERE next.org_id = $1 AND next.value = own.other AND next.holder <> $2
                AND next.first_at > own.other_at AND next.first_at <= left_it.at
        )
        ORDER BY at LIMIT 1
    ) AS moved ON true
    WHERE own.org_id = $1 AND own.value = $2
"""
"""Of a number the first user id that came with it, once it was theirs, and what became of whoever left it first then.

Of a user id what became of it; the number that it came with last, whose that is, and what became of that, if nobody
else had it before it was left.
"""

_BECAME = """
    WITH named AS (SELECT * FROM unnest($1::text[], $2::text[]) AS named(org_id, value)),
    became AS (
        SELECT known.* FROM (
            SELECT org_id, value FROM named
            UNION
            SELECT named.org_id, pair.value FROM named CROSS JOIN LATERAL (
                SELECT contacts.value FROM contacts
                WHERE contacts.org_id = named.org_id AND contacts.other = named.value OFFSET 0
            ) AS pair
        ) AS meant CROSS JOIN LATERAL (
            SELECT * FROM successors
            WHERE successors.org_id = meant.org_id AND successors.value = meant.value OFFSET 0
        ) AS known
    ),
    moves AS (
        SELECT org_id, value, successor, at, at AS theirs_at FROM became
        UNION
        SELECT became.org_id, own.other, became.successor, became.at, own.other_at
        FROM became JOIN contacts AS own ON own.org_id = became.org_id AND own.value = became.value
            AND own.other_at <= became.at
        UNION
        SELECT org_id, value, holder, 'infinity', first_at FROM named JOIN holders USING (org_id, value)
        WHERE EXISTS (
            SELECT FROM holders AS later WHERE later.org_id = named.org_id AND later.value = named.value
                AND later.first_at > holders.first_at
        )
    ),
    newcomers AS (
        SELECT held.* FROM (SELECT DISTINCT org_id, value FROM moves) AS moved
        JOIN holders AS held USING (org_id, value)
        WHERE NOT EXISTS (
            SELECT FROM successors AS renamed JOIN holders AS same
                ON same.org_id = renamed.org_id AND same.value = held.value AND same.holder = renamed.value
            WHERE renamed.org_id = held.org_id AND renamed.successor = held.holder
        )
    )
    SELECT moves.org_id, moves.value, successor, greatest(left_before.at, came.at - interval '1 microsecond') AS since,
        least(moves.at, left_then.at, next.at - interval '1 microsecond') AS until
    FROM moves
    LEFT JOIN LATERAL (
        SELECT max(left_by.at) AS at FROM successors AS left_by
        WHERE left_by.org_id = moves.org_id AND left_by.value = moves.value AND left_by.at < theirs_at
    ) AS left_before ON true
    LEFT JOIN LATERAL (
        SELECT min(left_by.at) AS at FROM successors AS left_by
        WHERE left_by.org_id = moves.org_id AND left_by.value = moves.value AND left_by.at >= theirs_at
    ) AS left_then ON true
    LEFT JOIN LATERAL (
        SELECT max(first_at) AS at FROM newcomers
        WHERE newcomers.org_id = moves.org_id AND newcomers.value = moves.value AND first_at <= theirs_at AND EXISTS (
            SELECT FROM holders AS earlier
            WHERE earlier.org_id = moves.org_id AND earlier.value = moves.value
                AND earlier.first_at < newcomers.first_at
                AND (left_before.at IS NULL OR earlier.first_at > left_before.at)
        )
    ) AS came ON true
    LEFT JOIN LATERAL (
        SELECT min(first_at) AS at FROM newcomers
        WHERE newcomers.org_id = moves.org_id AND newcomers.value = moves.value AND first_at > theirs_at
    ) AS next ON true
    WHERE moves.at < 'infinity' OR next.at IS NOT NULL
"""
"""What became of some identifiers, and of those that came with them; and what came with these until then. And the user
ids of those who had a number that a stranger has come with since: that they left it need not have been told.

With OFFSET each is looked up by its key: where many have moved, a join was planned that read all contacts for a batch.

Of a number also since when and until when it was theirs: others had it before who left it, or of whom another user id
came with it, and others after them. `newcomers` are no user ids that an earlier one has become.
"""

_MOVING = (
    """
    INSERT INTO windows AS known (org_id, phone_number_id, value, user_last_at, maybe_at, refused_at)
    SELECT org_id, phone_number_id, $3, CASE WHEN user_last_at > $5 AND user_last_at <= $4 THEN user_last_at END,
        CASE WHEN maybe_at > $5 AND maybe_at <= $4 THEN maybe_at END,
        CASE WHEN refused_at > $5 AND refused_at <= $4 THEN refused_at END
    FROM windows WHERE org_id = $1 AND value = $2
    ON CONFLICT (org_id, value, phone_number_id) DO UPDATE SET
        user_last_at = greatest(known.user_last_at, excluded.user_last_at),
        maybe_at = greatest(known.maybe_at, excluded.maybe_at),
        refused_at = greatest(known.refused_at, excluded.refused_at)
    """,
    """
    INSERT INTO preferences AS known (org_id, phone_number_id, value, stopped, at)
    SELECT org_id, phone_number_id, $3, stopped, at FROM preferences
    WHERE org_id = $1 AND value = $2 AND at > $5 AND at <= $4
    ON CONFLICT (org_id, value, phone_number_id) DO UPDATE SET stopped = excluded.stopped, at = excluded.at
    WHERE (excluded.at, excluded.stopped) > (known.at, known.stopped)
    """,
    """
    INSERT INTO thread_owners AS known (org_id, phone_number_id, value, ours, at, copied_at)
    SELECT org_id, phone_number_id, $3, ours OR NOT is_told, CASE WHEN is_told THEN at ELSE '-infinity' END,
        CASE WHEN copied_at > $5 AND copied_at <= $4 THEN copied_at END
    FROM thread_owners CROSS JOIN LATERAL (SELECT at > $5 AND at <= $4 AS is_told) AS handed
    WHERE org_id = $1 AND value = $2 AND (is_told OR copied_at > $5 AND copied_at <= $4)
    ON CONFLICT (org_id, value, phone_number_id) DO UPDATE SET at = greatest(known.at, excluded.at),
        ours = CASE WHEN (excluded.at, excluded.ours) > (known.at, known.ours) THEN excluded.ours ELSE known.ours END,
        copied_at = greatest(known.copied_at, excluded.copied_at)
    """,
    """
    INSERT INTO opt_outs AS known (org_id, value, forgotten_as, forgotten_everywhere_as, opted_out, at, by)
    SELECT org_id, now.value, now.forgotten_as, now.forgotten_everywhere_as, opted_out, at, by
    FROM opt_outs JOIN contacts AS now USING (org_id)
    WHERE org_id = $1 AND opt_outs.value = $2 AND now.value = $3 AND at > $5 AND at <= $4
    ON CONFLICT (org_id, value) DO UPDATE SET opted_out = excluded.opted_out, at = excluded.at, by = excluded.by
    WHERE (excluded.at, excluded.opted_out) > (known.at, known.opted_out)
    """,
    """
    INSERT INTO free_entries AS known
        (org_id, phone_number_id, value, referred_at, answered_at, answered_before, reported_until, at)
    SELECT org_id, phone_number_id, $3, referred_at, answered_at, answered_before, reported_until, at
    FROM free_entries WHERE org_id = $1 AND value = $2 AND at > $5 AND at <= $4
    ON CONFLICT (org_id, value, phone_number_id) DO UPDATE SET
        answered_before = greatest(known.answered_before, excluded.answered_before, CASE
            WHEN excluded.referred_at > known.referred_at THEN known.answered_at
            WHEN excluded.referred_at < known.referred_at THEN excluded.answered_at END),
        answered_at = CASE
            WHEN known.referred_at IS NULL OR excluded.referred_at > known.referred_at THEN excluded.answered_at
            WHEN excluded.referred_at = known.referred_at THEN least(known.answered_at, excluded.answered_at)
            ELSE known.answered_at END,
        referred_at = greatest(known.referred_at, excluded.referred_at),
        reported_until = greatest(known.reported_until, excluded.reported_until),
        at = greatest(known.at, excluded.at)
    """,
    # Meta is not asked: it blocks nobody who has not written in the last 24 hours, as nobody has with a new number.
    """
    INSERT INTO blocks AS known (org_id, phone_number_id, value, forgotten_as, forgotten_everywhere_as, waba_id, wa_id,
        user_id, partition, request_id, blocks, state, blocked, next_at, changed_at, inherited)
    SELECT org_id, phone_number_id, now.value, now.forgotten_as, now.forgotten_everywhere_as, waba_id,
        CASE WHEN now.value !~ '[^0-9]' THEN now.value END, CASE WHEN now.value ~ '[^0-9]' THEN now.value END,
        partition, md5(request_id::text || now.value)::uuid, blocked, 'done', blocked, changed_at, changed_at, true
    FROM blocks JOIN contacts AS now USING (org_id)
    WHERE org_id = $1 AND blocks.value = $2 AND now.value = $3 AND changed_at > $5 AND changed_at <= $4
    ON CONFLICT (org_id, value, phone_number_id) DO UPDATE SET blocks = excluded.blocks, state = excluded.state,
        blocked = excluded.blocked, changed_at = excluded.changed_at, request_id = excluded.request_id,
        inherited = true
    WHERE known.inherited AND excluded.changed_at >= known.changed_at
        OR excluded.blocked AND excluded.changed_at > known.changed_at
    """,
)
"""What holds for $3, of organisation $1, because it did so for $2 after $5 and until $4."""
