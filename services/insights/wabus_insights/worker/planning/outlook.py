"""How the spending of an organisation, or of one of its accounts, stands in a month, and where it is going."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

import asyncpg
from wabus_runtime.postgres.database import Connection

from wabus_insights.costs.budget import Month, elapsed, local_day
from wabus_insights.costs.forecast import Forecast, PriceChange, Spent, forecast_month, together
from wabus_insights.costs.price_changes import price_changes
from wabus_insights.costs.reconciliation import corrections, reconcile
from wabus_insights.tables.costs.prices import load
from wabus_insights.tables.planning import accounts, spending
from wabus_insights.tables.planning.accounts import Account

HISTORY = timedelta(days=120)
"""So much of the past a forecast rests on, before the month."""
CORRECTED_BY = timedelta(days=35)
"""So many days are compared with Meta's own, to know whether our prices are right."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """A month of an organisation or an account, in one currency."""

    month: Month
    currency: str
    forecast: Forecast
    is_over: bool
    """Whether the month is over for every account."""
    unpriced: int
    """Messages of the month whose price is not known."""
    other_currencies: Sequence[str]
    """In which something was charged too, which is not in the forecast."""
    corrections: Mapping[tuple[str, str], Decimal]
    """By country and category, what prices were multiplied by for what is to come."""
    changes: Sequence[PriceChange]
    """Price changes that were applied from their day on."""


async def outlook(
    pool: asyncpg.Pool | Connection, org_id: str, waba_id: str | None, currency: str, month: Month, now: datetime
) -> Outlook:
    """The outlook of a month, as of now by the clocks of each account's place."""
    since = month.first - HISTORY
    found = await spending.spending(pool, org_id, waba_id, currency, since=since, first=month.first, last=month.last)
    own = await accounts.of_organisation(pool, org_id)
    known = await accounts.known(pool, found.wabas)
    groups: dict[str | None, list[str]] = {}
    for whose in found.wabas or [one.waba_id for one in own if waba_id in (None, one.waba_id)]:
        account = known.get(whose)
        groups.setdefault(account.time_zone if account else None, []).append(whose)
    book = await load(pool)
    changes = price_changes(book, currency, [spent for _, spent in found.rows], since, month.last)
    corrected: dict[tuple[str, str], Decimal] = {}
    forecasts: list[Forecast] = []
    is_over = True
    for zone, wabas in groups.items() or {None: list[str]()}.items():
        today = local_day(now, zone)
        rows: list[Spent] = []
        for whose in wabas:
            rows += found.of(whose)
            if today <= month.last:
                corrected |= await _corrections(pool, org_id, known.get(whose), whose, today)
        is_over = is_over and today > month.last
        forecasts.append(
            forecast_month(
                rows,
                changes,
                first=month.first,
                last=month.last,
                today=today,
                elapsed=elapsed(now, zone),
                corrections=corrected,
            )
        )
    return Outlook(
        month, currency, together(forecasts), is_over, found.unpriced, found.other_currencies, corrected, changes
    )


async def _corrections(
    pool: asyncpg.Pool | Connection, org_id: str, account: Account | None, waba_id: str, today: date
) -> dict[tuple[str, str], Decimal]:
    """What Meta's prices are beside ours, where they differ day after day."""
    if account is None:
        return {}
    first, last = today - CORRECTED_BY, today - timedelta(days=1)
    metas = await spending.metas(pool, org_id, waba_id, first, last)
    if not metas:
        return {}
    return corrections(reconcile(await spending.ours(pool, org_id, waba_id, first, last), metas, today))
