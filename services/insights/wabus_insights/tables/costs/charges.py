"""Each message that may be charged, for as long as statuses of it may come, and which send is of which template."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

import asyncpg
from wabus_events import SendRequested
from wabus_runtime.postgres.database import Connection
from wabus_whatsapp.prices.markets import Place
from wabus_whatsapp.prices.message import Pricing

from wabus_insights.costs.charges import Charge
from wabus_insights.tables.older import delete_older


class Held(NamedTuple):
    """For what a message counts already."""

    cell_id: UUID
    at: datetime
    amount: Decimal


class Row(NamedTuple):
    """A message as the table has it."""

    charge: Charge
    held: Held | None


async def load(connection: Connection, charge_ids: Collection[str]) -> dict[str, Row]:
    """What is known of messages, by their ids. Nobody else may write them meanwhile."""
    rows = await connection.fetch("SELECT * FROM charges WHERE charge_id = ANY($1::uuid[])", list(charge_ids))
    return {str(row["charge_id"]): _row(row) for row in rows}


async def counted_after(
    connection: Connection, waba_id: str, place: tuple[datetime, UUID], most: int
) -> dict[str, Row]:
    """The first messages of an account that count beyond a place: when they were charged, and which they are."""
    rows = await connection.fetch(
        """
        SELECT * FROM charges WHERE waba_id = $1 AND cell_id IS NOT NULL AND (counted_at, charge_id) > ($2, $3::uuid)
        ORDER BY counted_at, charge_id LIMIT $4
        """,
        waba_id,
        *place,
        most,
    )
    return {str(row["charge_id"]): _row(row) for row in rows}


async def save(connection: Connection, rows: Mapping[str, Row]) -> None:
    """Write messages."""
    if not rows:
        return
    written = [_written(charge_id, row) for charge_id, row in sorted(rows.items())]
    await connection.execute(
        """
        INSERT INTO charges
        SELECT * FROM unnest(
            $1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::timestamptz[],
            $8::smallint[], $9::text[], $10::text[], $11::numeric[], $12::text[], $13::text[], $14::boolean[],
            $15::text[], $16::text[], $17::uuid[], $18::timestamptz[], $19::numeric[]
        )
        ON CONFLICT (charge_id) DO UPDATE SET seen_at = excluded.seen_at, delivered_at = excluded.delivered_at,
            read_at = excluded.read_at, pricing_rank = excluded.pricing_rank, category = excluded.category,
            pricing_type = excluded.pricing_type, cost = excluded.cost, cost_currency = excluded.cost_currency,
            country = excluded.country, sure = excluded.sure, template_id = excluded.template_id,
            campaign = excluded.campaign, cell_id = excluded.cell_id, counted_at = excluded.counted_at,
            counted_amount = excluded.counted_amount
        """,
        *(list(column) for column in zip(*written, strict=True)),
    )


async def write_sends(connection: Connection, asked: Iterable[tuple[SendRequested, str]]) -> None:
    """Keep which templates sends are of."""
    rows = [(event.send_id, event.org_id or "", event.waba_id, template, event.time) for event, template in asked]
    await connection.executemany(
        """
        INSERT INTO charge_sends (send_id, org_id, waba_id, template_id, at) VALUES ($1::text::uuid, $2, $3, $4, $5)
        ON CONFLICT (send_id) DO NOTHING
        """,
        rows,
    )


async def templates_of(connection: Connection, send_ids: Iterable[str]) -> dict[str, str]:
    """Which templates sends are of, where that is known."""
    rows = await connection.fetch(
        "SELECT send_id, template_id FROM charge_sends WHERE send_id = ANY($1::text[]::uuid[])", list(send_ids)
    )
    return {str(row["send_id"]): row["template_id"] for row in rows}


async def delete_old(pool: asyncpg.Pool, before: datetime, most: int) -> int:
    """Messages that were heard of last earlier: what they count for stays."""
    return await delete_older(pool, "charges", "seen_at", before, most)


async def delete_old_sends(pool: asyncpg.Pool, before: datetime, most: int) -> int:
    """Sends that were asked for earlier."""
    return await delete_older(pool, "charge_sends", "at", before, most)


def _row(row: asyncpg.Record) -> Row:
    told = row["pricing_rank"] >= 0
    charge = Charge(
        row["org_id"],
        row["waba_id"],
        row["phone_number_id"],
        row["seen_at"],
        row["delivered_at"],
        row["read_at"],
        Pricing(row["category"], row["pricing_type"], row["cost"], row["cost_currency"]) if told else None,
        row["pricing_rank"],
        Place(row["country"], row["sure"]),
        row["template_id"],
        row["campaign"],
    )
    held = Held(row["cell_id"], row["counted_at"], row["counted_amount"]) if row["cell_id"] else None
    return Row(charge, held)


def _written(charge_id: str, row: Row) -> tuple[object, ...]:
    charge, held, pricing = row.charge, row.held, row.charge.pricing or Pricing()
    return (
        charge_id,
        charge.org_id,
        charge.waba_id,
        charge.phone_number_id,
        charge.seen_at,
        charge.delivered_at,
        charge.read_at,
        charge.pricing_rank,
        pricing.category,
        pricing.type,
        pricing.cost,
        pricing.currency,
        charge.place.country,
        charge.place.sure,
        charge.template_id,
        charge.campaign,
        held and held.cell_id,
        held and held.at,
        held.amount if held else None,
    )
