"""Where costs are going, and how ours stand beside Meta's."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
from aiohttp import web
from wabus_runtime.http.answers import Problem, checked, json_response, query_of
from wabus_runtime.http.auth import authorise
from wabus_runtime.postgres.database import Connection

from wabus_insights.api.planning.budgets import plain
from wabus_insights.api.planning.models import ForecastQuery, ReconciliationQuery
from wabus_insights.costs.budget import Month, local_day
from wabus_insights.costs.forecast import COVERS
from wabus_insights.costs.reconciliation import WORDS, Reconciled, reconcile
from wabus_insights.tables.costs import recounts
from wabus_insights.tables.costs.reading import one_moment
from wabus_insights.tables.planning import accounts, pricing, spending
from wabus_insights.tables.planning.accounts import Account
from wabus_insights.worker.planning.outlook import HISTORY, Outlook, outlook

DAYS_SHOWN = 30
DAYS_MAX = 400
EARLIEST = date(2020, 1, 1)
"""Before there was anything to compare."""


@dataclass(frozen=True)
class PlannedCostsApi:
    """What the handlers need; they are its methods."""

    pool: Callable[[], asyncpg.Pool]

    async def forecast(self, request: web.Request) -> web.Response:
        """GET /costs/forecast"""
        caller = await authorise(request)
        asked = checked(ForecastQuery, query_of(request))
        now = datetime.now(UTC)
        async with one_moment(self.pool()) as rows:
            own = await _accounts(rows, caller.org_id, asked.waba_id)
            today = local_day(now, own[0].time_zone if own else None)
            month = Month.parse(asked.month) if asked.month else Month.of(today)
            names = [asked.currency] if asked.currency else None
            if names is None:
                names = await spending.currencies(rows, caller.org_id, asked.waba_id, month.first - HISTORY)
                names = names or sorted({one.currency for one in own if one.currency})
            found = [await outlook(rows, caller.org_id, asked.waba_id, name, month, now) for name in names]
            recounting = await recounts.under_way(rows, caller.org_id, month.first - HISTORY, month.last)
        return json_response(
            {
                "month": str(month),
                "waba_id": asked.waba_id,
                "forecasts": [_forecast(one) for one in found],
                "recounting": recounting,
                "as_of": now,
            }
        )

    async def reconciliation(self, request: web.Request) -> web.Response:
        """GET /costs/reconciliation"""
        caller = await authorise(request)
        asked = checked(ReconciliationQuery, query_of(request))
        now, recounting, answers = datetime.now(UTC), False, list[dict[str, Any]]()
        async with one_moment(self.pool()) as rows:
            states = await pricing.states(rows, caller.org_id)
            for account in await _accounts(rows, caller.org_id, asked.waba_id):
                today = local_day(now, account.time_zone)
                last = max(asked.until or today - timedelta(days=1), EARLIEST)
                first = max(asked.since or last - timedelta(days=DAYS_SHOWN - 1), last - timedelta(days=DAYS_MAX - 1))
                found = await _reconciled(rows, caller.org_id, account, first, last, today)
                if asked.differences:
                    found = [row for row in found if row.explained_by != "agrees"]
                state = states.get(account.waba_id)
                answers.append(
                    {
                        "waba_id": account.waba_id,
                        "currency": account.currency,
                        "read_at": state["read_at"] if state else None,
                        "error": state["error"] if state else None,
                        "amounts_told": not (state and state["amounts_untold_at"]),
                        "days": [_day(row) for row in found],
                    }
                )
                recounting = recounting or await recounts.under_way(rows, caller.org_id, first, last)
        return json_response({"accounts": answers, "recounting": recounting, "as_of": now})


async def _reconciled(
    rows: Connection, org_id: str, account: Account, first: date, last: date, today: date
) -> list[Reconciled]:
    """The days of an account; where Meta was not asked there is nothing to compare."""
    metas = await spending.metas(rows, org_id, account.waba_id, first, last)
    read = await pricing.read_days(rows, org_id, account.waba_id, first, last)
    ours = await spending.ours(rows, org_id, account.waba_id, first, last)
    return reconcile([row for row in ours if row.day in read], metas, today)


async def _accounts(rows: Connection, org_id: str, waba_id: str | None) -> list[Account]:
    """The organisation's accounts, or the one that is asked for. Raises a problem where that is not theirs."""
    own = [one for one in await accounts.of_organisation(rows, org_id) if waba_id in (None, one.waba_id)]
    if waba_id is not None and not own:
        raise Problem(404, "account_not_found", "No such account", "There is no account of yours with this id.")
    return own


def _forecast(found: Outlook) -> dict[str, Any]:
    forecast = found.forecast
    is_known = found.is_over or forecast.known_days > 0
    return {
        "currency": found.currency,
        "spent": plain(forecast.spent),
        "expected": plain(forecast.expected) if is_known else None,
        "low": plain(forecast.low),
        "high": plain(forecast.high),
        "covers": COVERS,
        "known_days": forecast.known_days,
        "days": [{"day": day, "expected": plain(amount)} for day, amount in forecast.days.items()],
        "unpriced": found.unpriced,
        "other_currencies": list(found.other_currencies),
        "price_changes": [
            {
                "market": change.market,
                "category": change.category,
                "effective": change.effective,
                "before": plain(change.before),
                "after": plain(change.after),
            }
            for change in found.changes
        ],
        "corrections": [
            {"country": country, "category": category, "ratio": plain(ratio)}
            for (country, category), ratio in found.corrections.items()
        ],
    }


def _day(row: Reconciled) -> dict[str, Any]:
    return {
        "day": row.day,
        "country": row.kind.country,
        "category": row.kind.category,
        "pricing_type": row.kind.pricing_type,
        "volume": row.volume,
        "meta_volume": row.metas_volume,
        "amount": plain(row.amount),
        "meta_amount": plain(row.metas_amount),
        "difference": plain(row.difference),
        "unpriced": row.unpriced,
        "explained_by": row.explained_by,
        "explanation": WORDS[row.explained_by],
    }
