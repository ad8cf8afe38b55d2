"""The rows of WABAs and organisations in PostgreSQL: locked, folded by the caller, written back once a batch.

Locks are always taken in the same order - WABAs by id, then organisations by key, then counts by key, then arrivals
by WABA - so that concurrent projections can neither deadlock nor lose each other's updates.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from pydantic import TypeAdapter
from wabus_runtime.postgres.database import Connection
from wabus_runtime.projection.declaration import IS_LIVE

from wabus_health_projector.health.state import TemplateHealth, WabaHealth
from wabus_health_projector.health.summary import WebhookHealth, summarise

CHANNEL = "webhook_health"
"""NOTIFY channel: the payload is the organisation whose health may have changed."""

_TEMPLATES = TypeAdapter(dict[str, TemplateHealth])


async def locked_wabas(connection: Connection, waba_ids: Iterable[str]) -> dict[str, WabaHealth]:
    """The states of WABAs, locked until the transaction ends; those never heard of are empty."""
    ordered = sorted(set(waba_ids))
    await connection.execute(
        """
        INSERT INTO waba_health (waba_id) SELECT waba_id FROM unnest($1::text[]) AS wanted(waba_id) ORDER BY waba_id
        ON CONFLICT (waba_id) DO NOTHING
        """,
        ordered,
    )
    rows = await connection.fetch(
        """
        SELECT waba_id, (state || jsonb_build_object('waba_id', waba_id, 'templates', templates))::text AS state
        FROM waba_health WHERE waba_id = ANY($1) ORDER BY waba_id FOR UPDATE
        """,
        ordered,
    )
    return {row["waba_id"]: waba_health(row["state"]) for row in rows}


Changed = tuple[WabaHealth, datetime | None]
"""A state with its `updated_at`, which takes long to find and is needed more than once."""


async def save_wabas(connection: Connection, wabas: Sequence[Changed]) -> None:
    """Write the states of WABAs that this transaction has locked."""
    columns = zip(*((health.waba_id, health.owner, *_json(health)) for health, _ in wabas), strict=True)
    await connection.execute(
        """
        UPDATE waba_health AS stored SET org_id = new.org_id, state = new.state::jsonb,
            templates = new.templates::jsonb, attention = new.attention::jsonb,
            created_at = new.created_at, updated_at = new.updated_at, moved_at = new.moved_at
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[],
                $8::timestamptz[])
            AS new(waba_id, org_id, state, templates, attention, created_at, updated_at, moved_at)
        WHERE stored.waba_id = new.waba_id
        """,
        *map(list, columns),
        [health.first_logged_at for health, _ in wabas],
        [updated_at for _, updated_at in wabas],
        [health.moved_at for health, _ in wabas],
    )


async def refresh_organisations(connection: Connection, org_ids: Iterable[str], saved: Sequence[Changed]) -> None:
    """Write anew the rows of organisations over the WABAs they own now, and tell who listens.

    `saved` are WABAs that this transaction has written, so that they need not be read again.
    """
    ordered = sorted(set(org_ids), key=lambda org_id: (_lock_key(org_id), org_id))
    for org_id in ordered:
        # Not a row lock, for the row may not exist; without it two WABAs of one organisation, changed at the
        # same time, would each be summed up without the other's change.
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _lock_key(org_id))
    rows = await connection.fetch(
        """
        SELECT org_id, (state || jsonb_build_object('waba_id', waba_id))::text AS state, updated_at
        FROM waba_health WHERE org_id = ANY($1) AND NOT waba_id = ANY($2)
        """,
        ordered,
        [health.waba_id for health, _ in saved],
    )
    owned: dict[str, list[tuple[WabaHealth, datetime]]] = {}
    for health, updated_at in saved:
        if health.owner is not None and updated_at is not None:
            owned.setdefault(health.owner, []).append((health, updated_at))
    for row in rows:
        owned.setdefault(row["org_id"], []).append((waba_health(row["state"]), row["updated_at"]))
    gone = [org_id for org_id in ordered if org_id not in owned]
    await connection.execute("DELETE FROM webhook_health WHERE org_id = ANY($1)", gone)
    await _save(connection, [summarise(org_id, wabas) for org_id, wabas in owned.items()])
    await connection.execute(
        f"SELECT pg_notify($1, org_id) FROM unnest($2::text[]) AS changed(org_id) WHERE {IS_LIVE}",  # noqa: S608
        CHANNEL,
        sorted(ordered),
    )


async def notify_owners(connection: Connection, waba_ids: Iterable[str]) -> None:
    """Tell who listens that something of these WABAs was counted."""
    await connection.execute(
        f"""
        SELECT pg_notify($1, org_id) FROM (
            SELECT DISTINCT org_id FROM waba_health WHERE waba_id = ANY($2) AND org_id IS NOT NULL
        ) AS owners WHERE {IS_LIVE}
        """,  # noqa: S608
        CHANNEL,
        sorted(set(waba_ids)),
    )


async def notify_all(connection: Connection) -> None:
    """Tell those who listen that all rows may have changed."""
    await connection.execute("SELECT pg_notify($1, org_id) FROM webhook_health", CHANNEL)


async def save_arrivals(connection: Connection, arrivals: Mapping[str, datetime]) -> None:
    """Note when the newest webhook about each WABA was logged. A rebuild has nothing to correct here: it only grows."""
    await connection.execute(
        """
        INSERT INTO webhook_arrivals AS held (waba_id, last_at)
        SELECT waba_id, last_at FROM unnest($1::text[], $2::timestamptz[]) AS new(waba_id, last_at) ORDER BY waba_id
        ON CONFLICT (waba_id) DO UPDATE SET last_at = excluded.last_at WHERE held.last_at < excluded.last_at
        """,
        list(arrivals),
        list(arrivals.values()),
    )


def waba_health(state: str) -> WabaHealth:
    """The state from its JSON."""
    return WabaHealth.model_validate_json(state)


def _json(health: WabaHealth) -> tuple[str, str, str]:
    """The state without its templates, the templates, and those of them that need attention."""
    return (
        health.model_dump_json(exclude={"waba_id", "templates"}, exclude_defaults=True),
        _TEMPLATES.dump_json(health.templates, exclude_defaults=True).decode(),
        _TEMPLATES.dump_json(health.troubled_templates, exclude_defaults=True).decode(),
    )


async def _save(connection: Connection, summaries: Sequence[WebhookHealth]) -> None:
    await connection.executemany(
        """
        INSERT INTO webhook_health (
            id, org_id, waba_id, webhook_verified, webhook_verified_at, template_sync_status, last_sync_at,
            template_total, template_approved, last_error, last_error_at, created_at, updated_at
        ) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
        ON CONFLICT (id) DO UPDATE SET
            waba_id = excluded.waba_id, webhook_verified = excluded.webhook_verified,
            webhook_verified_at = excluded.webhook_verified_at,
            template_sync_status = excluded.template_sync_status, last_sync_at = excluded.last_sync_at,
            template_total = excluded.template_total, template_approved = excluded.template_approved,
            last_error = excluded.last_error, last_error_at = excluded.last_error_at,
            created_at = excluded.created_at, updated_at = excluded.updated_at
        """,
        [tuple(summary.model_dump().values()) for summary in summaries],
    )


def _lock_key(org_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(org_id.encode(), digest_size=8).digest(), signed=True)
