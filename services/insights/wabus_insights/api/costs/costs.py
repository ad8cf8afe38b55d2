"""GET /costs, POST /costs/estimate: what messages cost, and what some would. Limited to the caller's organisation."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
from aiohttp import web
from wabus_runtime.directory.connections import Account
from wabus_runtime.directory.directory import Directory
from wabus_runtime.http.answers import Problem, checked, json_response, query_of
from wabus_runtime.http.auth import authorise
from wabus_runtime.http.bodies import json_body
from wabus_runtime.http.paging import cursor_of, page_of, place_of
from wabus_whatsapp.prices.card import TIERED, Column, column_of

from wabus_insights.api.costs.amounts import cost_view, text_of
from wabus_insights.api.costs.models import LONGEST, CostsQuery, EstimateRequest
from wabus_insights.api.performance.asked import today_in, zones_of
from wabus_insights.api.performance.models import EARLIEST
from wabus_insights.costs.estimating import InMarket, estimate
from wabus_insights.tables.costs import prices, reading

USUALLY = timedelta(days=30)
FUTURE = timedelta(days=LONGEST)
CSV = "text/csv"
COLUMNS = ("key", "currency", "volume", "amount", "known", "unpriced", "reported", "free", "rated", "estimated")


@dataclass(frozen=True)
class CostsApi:
    """What the handlers need; they are its methods."""

    pool: Callable[[], asyncpg.Pool]
    directory: Directory

    async def costs(self, request: web.Request) -> web.Response:
        """GET /costs"""
        caller = await authorise(request)
        asked, now = checked(CostsQuery, query_of(request)), datetime.now(UTC)
        to = asked.to or today_in(zones_of(self.directory, caller.org_id), now)
        since = asked.from_ or max(to, EARLIEST) - USUALLY
        if since > to or (to - since).days > LONGEST or since < EARLIEST or to > (now + FUTURE).date():
            raise Problem(
                422,
                "invalid_request",
                "The request is invalid",
                f"`from` is not after `to`, at most {LONGEST} days before it, and neither is in another age.",
                fields=["from", "to"],
            )
        wanted = reading.Wanted(caller.org_id, since, to, asked.number, asked.country, asked.template)
        after = place_of(asked.after, tuple[str, str]) if asked.after else None
        found = await reading.costs(self.pool(), wanted, asked.by, after, asked.limit + 1)
        page, last = page_of(found.rows, asked.limit)
        following = cursor_of((last.key, last.currency)) if last else None
        costs = [cost_view(row) for row in page]
        if _wants_csv(request):
            links = {"Link": f'<{request.rel_url.update_query(after=following)}>; rel="next"'} if following else {}
            return web.Response(
                text=_csv(costs), content_type=CSV, headers={"Cache-Control": "private, no-store", **links}
            )
        names = await reading.names_of(self.pool(), [row.key for row in page]) if asked.by == "template" else None
        content = {"by": asked.by, "from": since, "to": to, "costs": costs, "names": names, "next": following}
        totals = [cost_view(row) for row in found.totals]
        return json_response({**content, "totals": totals, "recounting": found.recounting, "as_of": now})

    async def estimate(self, request: web.Request) -> web.Response:
        """POST /costs/estimate"""
        caller = await authorise(request)
        asked, now = await json_body(request, EstimateRequest), datetime.now(UTC)
        account = self.directory.account(asked.waba_id)
        if account is None or self.directory.owner(asked.waba_id, now) != caller.org_id:
            raise Problem(404, "account_not_found", "No such account", "No account of yours has this id.")
        column = await self._column(asked)
        day, pool = asked.day or _today(account, now), self.pool()
        book, month = await prices.load(pool), day.replace(day=1)
        audience: dict[str, int] = {}
        for each in asked.audience:
            audience[each.country] = audience.get(each.country, 0) + each.messages
        counted_as = TIERED.get(column.category)
        charged = (
            await reading.charged(pool, account.portfolio_id or asked.waba_id, counted_as, month) if counted_as else {}
        )
        used = (
            await reading.service_messages(pool, caller.org_id, asked.phone_number_id, month)
            if asked.phone_number_id
            else book.rules_on(day).service_free_monthly
        )
        found = estimate(audience, column, book, account.currency, day, charged=charged, service_used=used)
        return json_response(
            {
                "category": column.category,
                "currency": account.currency,
                "day": day,
                "low": text_of(found.low),
                "high": text_of(found.high),
                "free": found.free,
                "unpriced": found.unpriced,
                "markets": [_market(each) for each in found.markets],
                "as_of": now,
            }
        )

    async def _column(self, asked: EstimateRequest) -> Column:
        if (asked.category is None) == (asked.template_id is None):
            raise _invalid("category", "template_id")
        category = asked.category
        if asked.template_id:
            category = await reading.category_of(self.pool(), asked.waba_id, asked.template_id)
            if category is None:
                raise Problem(404, "template_not_found", "No such template", "The account has no template of this id.")
        column = column_of(category or "")
        if column is None:
            raise _invalid("category")
        return column


def _csv(costs: Sequence[Mapping[str, Any]]) -> str:
    """RFC 4180, with a header. What begins as a formula does in a spreadsheet begins with an apostrophe there."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for cost in costs:
        amounts = {part["known"]: part["amount"] for part in cost["parts"]}
        key = cost["key"]
        shown = f"'{key}" if key[:1] in "=+-@\t\r" and key else key
        writer.writerow(
            [
                shown,
                cost["currency"] or "",
                cost["volume"],
                cost["amount"] or "",
                cost["known"],
                cost["unpriced"],
                *(amounts.get(known, "") for known in COLUMNS[6:]),
            ]
        )
    return out.getvalue()


def _wants_csv(request: web.Request) -> bool:
    return CSV in request.headers.get("Accept", "").lower()


def _market(each: InMarket) -> dict[str, Any]:
    return {
        "market": each.market,
        "messages": each.messages,
        "rate": text_of(each.rate),
        "low": text_of(each.low),
        "high": text_of(each.high),
        "known": each.known,
    }


def _today(account: Account, now: datetime) -> date:
    return now.astimezone(ZoneInfo(account.time_zone) if account.time_zone else UTC).date()


def _invalid(*fields: str) -> Problem:
    return Problem(
        422, "invalid_request", "The request is invalid", "Give either a category or a template.", fields=list(fields)
    )
