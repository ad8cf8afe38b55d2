"""What the read endpoints ask PostgreSQL: everything of one organisation, in one query each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg
import orjson

from wabus_health_projector.health.state import WabaHealth
from wabus_health_projector.health.summary import WebhookHealth
from wabus_health_projector.health.traffic import Traffic
from wabus_health_projector.tables.store import waba_health

DAY, WEEK, MONTH = timedelta(days=1), timedelta(days=7), timedelta(days=30)


@dataclass(frozen=True, slots=True)
class KindCount:
    """Messages of one phone number and one kind. Counted by the hour: a window may be up to an hour longer."""

    phone_number_id: str
    kind: str
    last_24h: int
    last_7d: int
    last_30d: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Waba:
    """A WABA as it is stored, with only those of its templates that need attention."""

    health: WabaHealth
    traffic: Traffic
    counts: tuple[KindCount, ...] = ()


@dataclass(frozen=True, slots=True)
class Organisation:
    row: WebhookHealth
    wabas: tuple[Waba, ...]
    """Those it owns, by id."""


async def organisation(pool: asyncpg.Pool, org_id: str, now: datetime) -> Organisation | None:
    """The organisation's row and WABAs, or None if it never connected one."""
    rows = await pool.fetch(_HEALTH, org_id, _hour(now - DAY))
    wabas = tuple(Waba(_own(row["state"]), Traffic.model_validate_json(row["traffic"])) for row in rows)
    return Organisation(WebhookHealth.model_validate(dict(rows[0])), wabas) if rows else None


async def organisations(
    pool: asyncpg.Pool, org_ids: Sequence[str], now: datetime
) -> dict[str, list[tuple[WabaHealth, Traffic]]]:
    """What there is to judge of each of these organisations that has a WABA."""
    found: dict[str, list[tuple[WabaHealth, Traffic]]] = {}
    for row in await pool.fetch(_TO_JUDGE, list(org_ids), _hour(now - DAY)):
        judged = _own(row["state"]), Traffic.model_validate_json(row["traffic"])
        found.setdefault(row["org_id"], []).append(judged)
    return found


async def organisation_with_counts(pool: asyncpg.Pool, org_id: str, now: datetime) -> Organisation | None:
    """The same with the counts of the last day, week and month."""
    rows = await pool.fetch(_DETAILED, org_id, _hour(now - DAY), _hour(now - WEEK), _hour(now - MONTH))
    wabas = tuple(
        Waba(
            _own(row["state"]),
            Traffic.model_validate_json(row["traffic"]),
            tuple(
                KindCount(phone, kind, day, week, month, datetime.fromisoformat(last_at).astimezone(UTC))
                for phone, kind, day, week, month, last_at in orjson.loads(row["counts"] or "[]")
            ),
        )
        for row in rows
    )
    return Organisation(WebhookHealth.model_validate(dict(rows[0])), wabas) if rows else None


async def waba(pool: asyncpg.Pool, waba_id: str) -> WabaHealth | None:
    """The state of one WABA, as its owner may know it, with those of its templates that need attention."""
    row = await pool.fetchrow(f"SELECT {_STATE} FROM waba_health AS waba WHERE waba_id = $1", waba_id)  # noqa: S608
    return _own(row["state"]) if row else None


async def connected_wabas(pool: asyncpg.Pool, org_id: str) -> list[str]:
    """The WABAs that the organisation has connected, by id."""
    rows = await pool.fetch(f"SELECT {_STATE} FROM waba_health AS waba WHERE org_id = $1 ORDER BY waba_id", org_id)  # noqa: S608
    return [health.waba_id for row in rows if (health := waba_health(row["state"])).connection]


async def count_checked(pool: asyncpg.Pool, waba_ids: Sequence[str], since: datetime) -> int:
    """How many of these WABAs have been checked since then."""
    return await pool.fetchval(
        "SELECT count(*) FROM account_checks WHERE waba_id = ANY($1) AND checked_at >= $2", list(waba_ids), since
    )


def _own(state: str) -> WabaHealth:
    """What the owner of the account may know of it."""
    return waba_health(state).of_owner


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


# Of a WABA that had another organisation before, an hour that was partly the other's is counted by organisation.
_COUNTS = """
    SELECT hour, phone_number_id, kind, count, last_at FROM message_counts
    WHERE waba_id = waba.waba_id AND (waba.moved_at IS NULL OR hour > waba.moved_at)
    UNION ALL
    SELECT hour, phone_number_id, kind, count, last_at FROM organisation_counts
    WHERE waba_id = waba.waba_id AND hour = date_trunc('hour', waba.moved_at, 'UTC') AND org_id IN (waba.org_id, '')
        AND last_at >= waba.moved_at
"""
_OWN = """
    waba_id = waba.waba_id AND (
        waba.moved_at IS NULL OR hour > waba.moved_at OR (
            hour = date_trunc('hour', waba.moved_at, 'UTC') AND org_id IN (waba.org_id, '')
            AND last_at >= waba.moved_at
        )
    )
"""
_TRAFFIC = f"""
    (
        SELECT jsonb_build_object(
            'reached_at', (
                SELECT last_at FROM webhook_arrivals
                WHERE waba_id = waba.waba_id AND (waba.moved_at IS NULL OR last_at >= waba.moved_at)
            ),
            'last_at', max(last_at),
            'last_sent_at', coalesce((
                SELECT jsonb_object_agg(phone_number_id, sent_at)
                FROM (
                    SELECT phone_number_id, max(last_at) AS sent_at FROM ({_COUNTS}) AS own
                    WHERE hour >= $2 AND kind = 'sent' GROUP BY 1
                ) AS sent
            ), '{{}}'),
            'sent', coalesce(sum(count) FILTER (WHERE kind = 'sent'), 0),
            'failed', coalesce(sum(count) FILTER (WHERE kind = 'failed'), 0),
            'errors', coalesce((
                SELECT jsonb_agg(to_jsonb(errors)) FROM (
                    SELECT phone_number_id, code, sum(count) AS count,
                        greatest(min(first_at), waba.moved_at) AS first_at, max(last_at) AS last_at
                    FROM organisation_failures WHERE {_OWN} AND hour >= $2 GROUP BY 1, 2
                    ORDER BY 3 DESC, 2, 1 LIMIT 50
                ) AS errors
            ), '[]'),
            'of_numbers', coalesce((
                SELECT jsonb_agg(to_jsonb(errors)) FROM (
                    SELECT phone_number_id, code, greatest(min(first_at), waba.moved_at) AS first_at,
                        max(last_at) AS last_at
                    FROM organisation_errors WHERE {_OWN} AND hour >= $2
                    GROUP BY 1, 2 ORDER BY 4 DESC, 2, 1 LIMIT 50
                ) AS errors
            ), '[]')
        )::text FROM ({_COUNTS}) AS own WHERE hour >= $2
    ) AS traffic
"""  # noqa: S608
_STATE = """
    (waba.state || jsonb_build_object('waba_id', waba.waba_id, 'templates', waba.attention))::text AS state
"""
_HEALTH = f"""
    SELECT organisation.*, {_STATE}, {_TRAFFIC}
    FROM webhook_health AS organisation JOIN waba_health AS waba ON waba.org_id = organisation.org_id
    WHERE organisation.org_id = $1 ORDER BY waba.waba_id
"""  # noqa: S608
_TO_JUDGE = f"""
    SELECT waba.org_id, {_STATE}, {_TRAFFIC} FROM waba_health AS waba WHERE waba.org_id = ANY($1) ORDER BY waba.waba_id
"""  # noqa: S608
_DETAILED = f"""
    SELECT organisation.*, {_STATE}, {_TRAFFIC}, (
        SELECT jsonb_agg(jsonb_build_array(phone_number_id, kind, day, week, month, last_at)
            ORDER BY phone_number_id, kind)::text
        FROM (
            SELECT phone_number_id, kind, coalesce(sum(count) FILTER (WHERE hour >= $2), 0) AS day,
                coalesce(sum(count) FILTER (WHERE hour >= $3), 0) AS week, sum(count) AS month, max(last_at) AS last_at
            FROM ({_COUNTS}) AS own WHERE hour >= $4 GROUP BY phone_number_id, kind
        ) AS counted
    ) AS counts
    FROM webhook_health AS organisation JOIN waba_health AS waba ON waba.org_id = organisation.org_id
    WHERE organisation.org_id = $1 ORDER BY waba.waba_id
"""  # noqa: S608
