"""Budgets: whole, by administrators; and how each stands."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import asyncpg
from aiohttp import web
from wabus_events import BudgetLine, BudgetsSet
from wabus_runtime.http.answers import Problem, checked, json_response, query_of
from wabus_runtime.http.auth import authorise, count_asked
from wabus_runtime.http.bodies import json_body
from wabus_runtime.http.headers import changed_meanwhile, expected_version
from wabus_runtime.identity.pseudonyms import Pseudonyms
from wabus_runtime.kafka.publisher import Publisher

from wabus_insights.api.planning.folded import folded
from wabus_insights.api.planning.models import BudgetsQuery, NewBudget, NewBudgets
from wabus_insights.costs.budget import Budget, Month, budget_id, in_force, local_day
from wabus_insights.tables.costs.reading import one_moment
from wabus_insights.tables.costs.recounts import under_way
from wabus_insights.tables.planning import accounts, budgets
from wabus_insights.worker.planning.outlook import HISTORY, Outlook, outlook


@dataclass(frozen=True)
class BudgetsApi:
    """What the handlers need; they are its methods."""

    pool: Callable[[], asyncpg.Pool]
    publisher: Publisher
    pseudonyms: Pseudonyms
    projection: str
    """The name of the fold that makes rows of budgets."""

    async def show(self, request: web.Request) -> web.Response:
        """GET /budgets"""
        caller = await authorise(request)
        asked = checked(BudgetsQuery, query_of(request))
        return await self._answer(caller.org_id, asked.month)

    async def choose(self, request: web.Request) -> web.Response:
        """PUT /budgets"""
        caller = await authorise(request)
        count_asked(request, caller)
        asked = await json_body(request, NewBudgets)
        replaces = expected_version(request, await budgets.version(self.pool(), caller.org_id))
        lines = [_line(caller.org_id, one) for one in asked.budgets]
        await self._check(caller.org_id, asked.budgets, lines)
        event = BudgetsSet(
            id=str(uuid4()),
            time=datetime.now(UTC),
            org_id=caller.org_id,
            budgets=lines,
            replaces=replaces,
            requested_by=await self.pseudonyms.of(caller.org_id, caller.subject),
        )
        positions = await self.publisher.publish([event])
        if not await folded(self.pool(), self.projection, positions):
            return json_response({"status": "pending"}, 202)
        if replaces is not None and await budgets.version(self.pool(), caller.org_id) != event.id:
            raise changed_meanwhile()  # by somebody who had read the same, and was first
        return await self._answer(caller.org_id, None)

    async def _answer(self, org_id: str, month: str | None) -> web.Response:
        # The version is read first: who changes budgets that are newer than it is refused, and never the other way.
        version = await budgets.version(self.pool(), org_id)
        response = json_response({"version": version, **await self._view(org_id, month)})
        if version is not None:
            response.headers["ETag"] = f'"{version}"'
        return response

    async def _check(self, org_id: str, asked: list[NewBudget], lines: list[BudgetLine]) -> None:
        """Raises a problem where a budget can't be kept."""
        own = {one.waba_id for one in await accounts.of_organisation(self.pool(), org_id)}
        for number, one in enumerate(asked):
            if one.waba_id is not None and one.waba_id not in own:
                detail = "This account is not one of yours."
                raise Problem(404, "account_not_found", "No such account", detail, fields=[f"budgets.{number}.waba_id"])
        if len({line.budget_id for line in lines}) < len(lines):
            detail = "Two budgets are for the same account, month and currency."
            raise Problem(409, "budget_twice", "Two budgets for the same", detail)

    async def _view(self, org_id: str, month: str | None) -> dict[str, Any]:
        now = datetime.now(UTC)
        async with one_moment(self.pool()) as rows:
            held = await budgets.of_organisation(rows, org_id)
            zones = {one.waba_id: one.time_zone for one in await accounts.of_organisation(rows, org_id)}
            first_zone = next(iter(zones.values()), None)
            months = {
                one.budget_id: Month.parse(month)
                if month
                else Month.of(local_day(now, zones.get(one.waba_id or "", first_zone)))
                for one in held
            }
            told: dict[tuple[str, str], list[asyncpg.Record]] = {}
            for row in await budgets.alerts(rows, org_id, sorted({str(each) for each in months.values()})):
                told.setdefault((row["budget_id"], row["month"]), []).append(row)
            seen: dict[tuple[str | None, str, Month], Outlook] = {}
            views: list[dict[str, Any]] = []
            for one in held:
                of_month, state = months[one.budget_id], None
                if one in in_force(held, of_month):
                    key = (one.waba_id, one.currency, of_month)
                    if key not in seen:
                        seen[key] = await outlook(rows, org_id, one.waba_id, one.currency, of_month, now)
                    state = _state(one, seen[key], told.get((one.budget_id, str(of_month)), []))
                views.append(_budget(one, state))
            recounting = any(
                [await under_way(rows, org_id, each.first - HISTORY, each.last) for each in set(months.values())]
            )
        return {"budgets": views, "recounting": recounting, "as_of": now}


def plain(amount: Decimal | None) -> str | None:
    """An amount as the API says it."""
    return None if amount is None else format(amount, "f")


def _line(org_id: str, one: NewBudget) -> BudgetLine:
    return BudgetLine(
        budget_id=budget_id(org_id, one.waba_id, one.month, one.currency),
        waba_id=one.waba_id,
        month=one.month,
        currency=one.currency,
        amount=Decimal(one.amount),
        thresholds=sorted(set(one.thresholds)),
    )


def _budget(one: Budget, state: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "budget_id": one.budget_id,
        "waba_id": one.waba_id,
        "month": str(one.month) if one.month else None,
        "currency": one.currency,
        "amount": plain(one.amount),
        "thresholds": list(one.thresholds),
        "state": state,
    }


def _state(one: Budget, found: Outlook, alerts: list[asyncpg.Record]) -> dict[str, Any]:
    forecast = found.forecast
    says_more = not found.is_over and forecast.known_days > 0
    return {
        "month": str(found.month),
        "spent": plain(forecast.spent),
        "share": round(float(forecast.spent / one.amount), 4),
        "projected": plain(forecast.expected) if says_more else None,
        "low": plain(forecast.low) if says_more else None,
        "high": plain(forecast.high) if says_more else None,
        "unpriced": found.unpriced,
        "other_currencies": list(found.other_currencies),
        "alerts": [
            {
                "alert": row["alert"],
                "threshold": row["threshold"],
                "amount": plain(row["amount"]),
                "spent": plain(row["spent"]),
                "projected": plain(row["projected"]),
                "at": row["alerted_at"],
            }
            for row in alerts
        ],
    }
