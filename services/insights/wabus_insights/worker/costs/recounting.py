"""Counts anew what rests on something that became known late, some messages a transaction, for as long as it takes.

What is told of an account, a card or a rule is noted with the fold's own transaction (`tables.costs.recounts`), and
whoever counts follows it from then on. What was counted before is counted anew here: messages of accounts, then the
prices of cells, then the volume tiers of months, for these follow from those. Each transaction leaves what
`wabus_insights.worker.costs.pricing` says, and how far it has come. So whoever is killed goes on from there; and while
it lasts each message counts once, by what was known before or by what is known now.
"""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from uuid import UUID

import asyncpg
import structlog
from wabus_runtime.postgres.database import Connection
from wabus_runtime.scheduler.deleting import look_after

from wabus_insights.costs.cells import Counted
from wabus_insights.tables.costs import charges, days, locks, recounts, tiers
from wabus_insights.tables.costs.charges import Held
from wabus_insights.worker.costs.pricing import Pricing
from wabus_insights.worker.costs.terms import Terms

AT_ONCE = 2_000  # messages, cells or seconds
LOOK_EVERY = 5.0  # seconds

log = structlog.get_logger()


async def run(pool: asyncpg.Pool, ready: Callable[[], None]) -> None:
    """Look for what is to be counted anew for ever, as one of any number of workers."""
    await look_after("insights costs anew", LOOK_EVERY, partial(look, pool, Terms(), AT_ONCE), ready)


async def look(pool: asyncpg.Pool, terms: Terms, most: int, _now: datetime, beat: Callable[[], None]) -> None:
    """Count all anew that is to be now, so much at once."""
    while await count_some(pool, terms, most):
        beat()


async def count_some(pool: asyncpg.Pool, terms: Terms, most: int) -> bool:
    """Count some of it anew; returns whether there was something, and nobody else was at it."""
    async with pool.acquire() as connection, connection.transaction():
        if not await locks.is_alone(connection):
            return False
        if account := await recounts.account(connection):
            await locks.lock_prices(connection, exclusive=False)
            await terms.read(connection)
            await locks.lock_scopes(connection, terms.scopes(account.waba_id))
            pricing = Pricing(connection, terms, 0, looks_back=False)
            if await count_account(connection, terms, pricing, account.waba_id, most) < most:
                log.info("an account is counted anew", action="account_recounted", waba_id=account.waba_id)
        elif cells := await recounts.prices(connection):
            await locks.lock_prices(connection, exclusive=True)
            await terms.read(connection)
            if await price_cells(connection, Pricing(connection, terms, 0), cells.recount_id, most) < most:
                log.info("cells are priced anew", action="cells_repriced", since=cells.since, currency=cells.currency)
        elif month := await tiers.due(connection):
            await locks.lock_prices(connection, exclusive=False)
            await terms.read(connection)
            await locks.lock_scopes(connection, [month.tier.scope])
            tier_id = month.tier.tier_id
            if now := (await tiers.months(connection, [tier_id])).get(tier_id):
                await Pricing(connection, terms, most).place_some(now)
        else:
            return False
        return True


async def count_account(connection: Connection, terms: Terms, pricing: Pricing, waba_id: str, most: int) -> int:
    """Count the next messages of an account anew; returns how many there were."""
    due = await recounts.account(connection, waba_id)
    if due is None:
        return 0
    rows = await charges.counted_after(connection, waba_id, (due.done_at, due.done_id), most)
    changed: dict[str, charges.Row] = {}
    added: list[Counted] = []
    removed: list[Held] = []
    for charge_id, row in rows.items():
        now = terms.counted(row.charge)
        held = held_by(now)
        if held != row.held:
            changed[charge_id] = row._replace(held=held)
            added += [now] if now else []
            removed += [row.held] if row.held else []
    await pricing.count(added, removed)
    await charges.save(connection, changed)
    last = next(reversed(rows.items()), None) if len(rows) == most else None
    reached = (last[1].held.at, UUID(last[0])) if last and last[1].held else None
    await recounts.account_reached(connection, waba_id, reached)
    return len(rows)


async def price_cells(connection: Connection, pricing: Pricing, recount_id: int, most: int) -> int:
    """Give the next cells that were noted their prices anew; returns how many there were."""
    due = await recounts.prices(connection, recount_id)
    if due is None:
        return 0
    cells = await days.priced_after(connection, due, most)
    # What Meta's own numbers say is no card's: it changes the price of messages, and not which of them are in a tier.
    await pricing.reprice(cells, place=due.waba_id is None)
    last = next(reversed(cells.items()), None) if len(cells) == most else None
    await recounts.prices_reached(connection, due.recount_id, (last[1].cell.day, last[0]) if last else None)
    return len(cells)


def held_by(found: Counted | None) -> Held | None:
    """As the table has it what a message counts for."""
    return Held(found.cell.cell_id, found.at, found.amount) if found else None
