"""Whom an identifier means now: people change their numbers and user ids, and others get their numbers."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

import asyncpg
from wabus_runtime.postgres.database import Connection

_CHANGES_MOST = 16  # that are followed: some more than anybody makes
_NEVER = datetime.min.replace(tzinfo=UTC)


class Successor(NamedTuple):
    """What a number or user id became."""

    org_id: str
    value: str
    successor: str
    at: datetime


async def write(connection: Connection, changes: Iterable[Successor]) -> None:
    """Write down what became of identifiers. Who has a new one wrote, chose and is answered as before.

    Their new ones are among the contacts already.
    """
    rows = sorted(changes, key=lambda each: (each.at, each))
    await connection.executemany(
        """
        INSERT INTO successors AS known (org_id, value, successor, at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (org_id, value) DO UPDATE SET successor = excluded.successor, at = excluded.at
        WHERE (excluded.at, excluded.successor) > (known.at, known.successor)
        """,
        rows,
    )
    for statement in (
        """
        INSERT INTO windows AS known (org_id, phone_number_id, value, user_last_at, maybe_at, refused_at)
        SELECT org_id, phone_number_id, $3, user_last_at, maybe_at, refused_at FROM windows
        WHERE org_id = $1 AND value = $2
        ON CONFLICT (org_id, value, phone_number_id) DO UPDATE SET
            user_last_at = greatest(known.user_last_at, excluded.user_last_at),
            maybe_at = greatest(known.maybe_at, excluded.maybe_at),
            refused_at = greatest(known.refused_at, excluded.refused_at)
        """,
        """
        INSERT INTO preferences AS known (org_id, phone_number_id, value, stopped, at)
        SELECT org_id, phone_number_id, $3, stopped, at FROM preferences WHERE org_id = $1 AND value = $2
        ON CONFLICT (org_id, value, phone_number_id) DO UPDATE SET stopped = excluded.stopped, at = excluded.at
        WHERE (excluded.at, excluded.stopped) > (known.at, known.stopped)
        """,
        """
        INSERT INTO thread_owners AS known (org_id, phone_number_id, value, ours, at)
        SELECT org_id, phone_number_id, $3, ours, at FROM thread_owners WHERE org_id = $1 AND value = $2
        ON CONFLICT (org_id, value, phone_number_id) DO UPDATE SET ours = excluded.ours, at = excluded.at
        WHERE (excluded.at, excluded.ours) > (known.at, known.ours)
        """,
        """
        INSERT INTO opt_outs AS known (org_id, value, forgotten_as, forgotten_everywhere_as, opted_out, at, by)
        SELECT org_id, now.value, now.forgotten_as, now.forgotten_everywhere_as, opted_out, at, by
        FROM opt_outs JOIN contacts AS now USING (org_id)
        WHERE org_id = $1 AND opt_outs.value = $2 AND now.value = $3
        ON CONFLICT (org_id, value) DO UPDATE SET opted_out = excluded.opted_out, at = excluded.at, by = excluded.by
        WHERE (excluded.at, excluded.opted_out) > (known.at, known.opted_out)
        """,
    ):
        await connection.executemany(statement, [each[:3] for each in rows])


async def current(pool: asyncpg.Pool, org_id: str, value: str) -> tuple[str | None, str | None]:
    """The number and user id of whoever was known by this one first; a number that others have now is left out."""
    since = _NEVER
    for _ in range(_CHANGES_MOST):
        row = await pool.fetchrow(_KNOWN, org_id, value, since)
        if row is None:
            break
        if value.isdigit() and row["first_user"]:
            value = row["first_user"]
        elif row["successor"]:
            value, since = row["successor"], row["became_at"]
        elif value.isdigit() or not row["other"]:
            break
        elif row["moved_to"] and row["moved_at"] > row["other_at"]:
            value, since = row["moved_to"], row["moved_at"]
        else:
            return (row["other"] if row["holder"] == value else None), value
    return (value, None) if value.isdigit() else (None, value)


_KNOWN = """
    SELECT own.other, own.other_at, number.other AS holder, became.successor, became.at AS became_at,
        moved.successor AS moved_to, moved.at AS moved_at, (
            SELECT holder.value FROM contacts AS holder
            WHERE holder.org_id = $1 AND holder.other = $2 AND holder.other_at >= $3 ORDER BY holder.other_at LIMIT 1
        ) AS first_user
    FROM contacts AS own
    LEFT JOIN contacts AS number ON number.org_id = own.org_id AND number.value = own.other
    LEFT JOIN successors AS became ON became.org_id = own.org_id AND became.value = own.value AND became.at > $3
    LEFT JOIN successors AS moved ON moved.org_id = own.org_id AND moved.value = own.other
    WHERE own.org_id = $1 AND own.value = $2
"""
"""Of a number the first user id that came with it, once it was theirs. Of a user id the number that it came with last,
whose that is, and what became of it."""
