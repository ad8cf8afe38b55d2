"""What messages that were charged alike cost together, by day."""

from collections.abc import Collection, Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

import asyncpg
from wabus_runtime.postgres.database import Connection
from wabus_whatsapp.prices.message import Known

from wabus_insights.costs.cells import Cell
from wabus_insights.tables.costs.recounts import PriceRecount
from wabus_insights.tables.older import delete_older

_CELL = (
    "org_id, waba_id, phone_number_id, country, sure, category, pricing_type, template_id, campaign, day, currency, "
    "basis, scope"
)


class Kept(NamedTuple):
    """A cell as the table has it."""

    cell: Cell
    market: str
    tier_id: UUID | None


class Delta(NamedTuple):
    """What is added to a cell, or taken from it, in one band."""

    cell: Cell
    band: int
    market: str
    tier_id: UUID | None
    rate: Decimal | None
    known: Known
    messages: int
    reported: Decimal


async def cells(connection: Connection, cell_ids: Collection[UUID]) -> dict[UUID, Kept]:
    """Cells by their ids."""
    if not cell_ids:
        return {}
    return _kept(
        await connection.fetch(
            f"SELECT DISTINCT ON (cell_id) cell_id, market, tier_id, {_CELL} FROM cost_days "  # noqa: S608
            "WHERE cell_id = ANY($1::uuid[])",
            list(cell_ids),
        )
    )


async def add(connection: Connection, deltas: Mapping[tuple[UUID, int], Delta]) -> None:
    """Write what came of messages, and forget what has none left."""
    deltas = {place: delta for place, delta in deltas.items() if delta.messages or delta.reported}
    if not deltas:
        return
    rows = [
        (
            cell_id,
            band,
            *delta.cell,
            delta.market,
            delta.tier_id,
            delta.rate,
            delta.known,
            delta.messages,
            delta.reported,
        )
        for (cell_id, band), delta in sorted(deltas.items())
    ]
    await connection.execute(
        f"""
        INSERT INTO cost_days AS kept (cell_id, band, {_CELL}, market, tier_id, rate, known, volume, reported)
        SELECT * FROM unnest(
            $1::uuid[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::boolean[], $8::text[],
            $9::text[], $10::text[], $11::text[], $12::date[], $13::text[], $14::text[], $15::text[], $16::text[],
            $17::uuid[], $18::numeric[], $19::text[], $20::bigint[], $21::numeric[]
        )
        ON CONFLICT (cell_id, band) DO UPDATE SET volume = kept.volume + excluded.volume,
            reported = kept.reported + excluded.reported, market = excluded.market, tier_id = excluded.tier_id,
            rate = excluded.rate, known = excluded.known
        """,  # noqa: S608
        *(list(column) for column in zip(*rows, strict=True)),
    )
    fewer = sorted({cell_id for (cell_id, _), delta in deltas.items() if delta.messages < 0})
    if fewer:
        await connection.execute("DELETE FROM cost_days WHERE cell_id = ANY($1::uuid[]) AND volume = 0", fewer)


async def priced_after(connection: Connection, due: PriceRecount, most: int) -> dict[UUID, Kept]:
    """The first cells, by day, that are to get their prices anew and have not yet."""
    rows = await connection.fetch(
        f"""
        SELECT DISTINCT ON (day, cell_id) cell_id, market, tier_id, {_CELL} FROM cost_days
        WHERE basis = 'card' AND day >= greatest($1::date, $5::date) AND ($2::date IS NULL OR day < $2)
            AND ($3::text IS NULL OR currency = $3) AND ($4::text IS NULL OR waba_id = $4 AND known <> 'rated')
            AND ($5 IS NULL OR (day, cell_id) > ($5, $6::uuid))
        ORDER BY day, cell_id LIMIT $7
        """,  # noqa: S608
        due.since,
        due.until,
        due.currency,
        due.waba_id,
        due.done_day,
        due.done_id,
        most,
    )
    return _kept(rows)


async def bands(connection: Connection, cell_ids: Collection[UUID]) -> list[tuple[UUID, int]]:
    """In which bands cells have messages."""
    rows = await connection.fetch(
        "SELECT cell_id, band FROM cost_days WHERE cell_id = ANY($1::uuid[]) ORDER BY 1, 2", list(cell_ids)
    )
    return [(row["cell_id"], row["band"]) for row in rows]


async def reprice(
    connection: Connection, rows: Iterable[tuple[UUID, int, str, UUID | None, Decimal | None, Known]]
) -> None:
    """Give cells another market and another rate."""
    written = sorted(rows, key=lambda row: row[:2])
    if written:
        await connection.execute(
            """
            UPDATE cost_days AS kept SET market = made.market, tier_id = made.tier_id, rate = made.rate,
                known = made.known
            FROM unnest($1::uuid[], $2::int[], $3::text[], $4::uuid[], $5::numeric[], $6::text[])
                AS made (cell_id, band, market, tier_id, rate, known)
            WHERE kept.cell_id = made.cell_id AND kept.band = made.band
            """,
            *(list(column) for column in zip(*written, strict=True)),
        )


async def delete_old(pool: asyncpg.Pool, before: date, most: int) -> int:
    """Days that are older."""
    return await delete_older(pool, "cost_days", "day", before, most)


def _kept(rows: Iterable[asyncpg.Record]) -> dict[UUID, Kept]:
    names = _CELL.split(", ")
    return {row["cell_id"]: Kept(Cell(*(row[name] for name in names)), row["market"], row["tier_id"]) for row in rows}
