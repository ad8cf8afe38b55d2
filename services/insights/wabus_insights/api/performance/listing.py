"""What all templates achieve, as the caller's organisation is told."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import asyncpg
from aiohttp import web
from wabus_runtime.directory.directory import Directory
from wabus_runtime.http.answers import checked, json_response, query_of
from wabus_runtime.http.auth import authorise
from wabus_runtime.http.formats.csv_answers import csv_response, wants_csv
from wabus_runtime.http.paging import cursor_of, page_of, place_of
from wabus_runtime.postgres.offsets import offsets
from wabus_whatsapp.prices.message import PLACES

from wabus_insights.api.costs.amounts import cost_view, text_of
from wabus_insights.api.performance.asked import NAMES, asked_of, counted, named, period_of, today_in, zones_of
from wabus_insights.api.performance.models import TemplatesQuery
from wabus_insights.costs.ranking import Spent, places_by_cost
from wabus_insights.performance import changes
from wabus_insights.performance.counting import COUNTS
from wabus_insights.performance.spans import spans_of
from wabus_insights.performance.summary import RATES
from wabus_insights.tables.costs import reading as costs
from wabus_insights.tables.costs.reading import SUREST, Cost, TemplateCosts
from wabus_insights.tables.performance import listing
from wabus_insights.tables.performance.listing import Key, Listed, Order
from wabus_insights.tables.performance.reading import Asked, Row

FEW = 200  # templates, whose costs are put together for them alone, once it is known which they are

_COLUMNS = (*NAMES, *COUNTS, *RATES)
_COSTS = ("costs", "unpriced", "cost_known", "currency", "cost", "cost_per_message", "cost_per_reply", "cost_per_click")
"""In CSV, where costs are asked for."""
_NO_COSTS = TemplateCosts({}, (), recounting=False)
_NOTHING: Row = dict.fromkeys(COUNTS, 0)


class _Before(NamedTuple):
    """What the days before say."""

    days: changes.Earlier
    of: Mapping[Key, Row]
    total: Row
    spent: TemplateCosts


@dataclass(frozen=True)
class ListApi:
    """What the handler needs; it is its method."""

    pool: Callable[[], asyncpg.Pool]
    directory: Directory
    rebuilding: str
    """The name under which the log is folded again."""

    async def all(self, request: web.Request) -> web.Response:
        """GET /performance/templates"""
        caller = await authorise(request)
        query = checked(TemplatesQuery, query_of(request))
        now = datetime.now(UTC)
        zones = zones_of(self.directory, caller.org_id)
        asked = asked_of(caller.org_id, query, now, zones)
        listed, spent = await self._listed(asked, query, now)
        page, last = page_of(listed.rows, query.limit)
        keys = _keys(page)
        clicks = dict[Key, int]()
        if query.meta and not query.number and not query.country:  # Meta counts neither by itself
            clicks = await listing.clicks(self.pool(), asked, keys)
        before = await self._before(asked, query, now, today_in(zones, now), keys) if query.compare else None

        def view(row: Row, key: Key | None) -> dict[str, Any]:
            costs_now = spent.of.get(key, ()) if key else spent.totals
            return counted(row) | {
                "costs": [cost_view(each) for each in costs_now] if query.costs else None,
                "changes": _changes(row, costs_now if query.costs else None, before, key),
            }

        found = [
            named(row) | view(row, key) | {"meta_clicked": clicks.get(key)} for row, key in zip(page, keys, strict=True)
        ]
        following = cursor_of((last["place"], last["template_id"], last["waba_id"])) if last else None
        if wants_csv(request):
            headers = {"X-Next": following} if following else {}
            if not query.costs:
                return csv_response(_COLUMNS, found, "templates", headers)
            rows = [row | _cost_cells(row, spent.of.get(key, ())) for row, key in zip(found, keys, strict=True)]
            return csv_response((*_COLUMNS, *_COSTS), rows, "templates", headers)
        return json_response(
            {
                "period": period_of(asked, zones),
                "total": view(listed.total, None) | {"templates": listed.total["templates"]},
                "earlier": before and _earlier(before.days),
                "templates": found,
                "next": following,
                "source": "statuses",
                "recounting": spent.recounting or (before is not None and before.spent.recounting),
                "as_of": now,
            }
        )

    async def _listed(self, asked: Asked, query: TemplatesQuery, now: datetime) -> tuple[Listed, TemplateCosts]:
        """Templates, and what those of the page cost, if that is asked for or they are ordered by it."""
        if query.sort == "cost":
            spent = await self._costs(asked)
            return await self._templates(asked, query, now, places_by_cost(_spent(spent.of))), spent
        if query.costs and query.limit > FEW:
            return await asyncio.gather(self._templates(asked, query, now), self._costs(asked))
        listed = await self._templates(asked, query, now)
        return listed, await self._costs(asked, _keys(listed.rows)) if query.costs else _NO_COSTS

    async def _templates(
        self, asked: Asked, query: TemplatesQuery, now: datetime, by_cost: Mapping[Key, float] | None = None
    ) -> Listed:
        place = tuple[str, str, str] if query.sort == "name" else tuple[float, str, str]
        order = Order(
            query.sort, query.order == "asc", query.min_sent, place_of(query.after, place) if query.after else None,
            query.limit + 1, by_cost, query.search, query.troubled,
        )  # fmt: skip
        return await listing.templates(self.pool(), asked, spans_of(asked.first, asked.last, now.date()), order)

    async def _costs(self, asked: Asked, keys: Sequence[Key] | None = None) -> TemplateCosts:
        wanted = costs.Wanted(asked.org_id, asked.first, asked.last, asked.number, asked.country)
        return await costs.of_templates(self.pool(), wanted, None if keys is None else [key[0] for key in keys])

    async def _before(
        self, asked: Asked, query: TemplatesQuery, now: datetime, today: date, keys: Sequence[Key]
    ) -> _Before:
        """What the days before say, as far as anything can be compared with them."""
        first, last = changes.days_before(asked.first, asked.last)
        then = asked._replace(first=first, last=last)
        counted_from = await listing.counted_from(self.pool(), asked.org_id)
        of, total = await listing.earlier(self.pool(), then, spans_of(first, last, now.date()), keys)
        is_counted_anew = bool(await offsets(self.pool(), self.rebuilding))
        days = changes.earlier(
            asked.first, asked.last, total["accepted"] or 0, counted_from, today, is_counted_anew=is_counted_anew
        )
        spent = await self._costs(then, keys) if days.comparable and query.costs else _NO_COSTS
        return _Before(days, of, total, spent)


def _cost_cells(row: Row, spent: Sequence[Cost]) -> dict[str, Any]:
    """What a template cost as cells. Only a sum that is whole is divided: of one currency, and of all messages."""
    views = [cost_view(each) for each in spent]
    unpriced = sum(each["unpriced"] for each in views)
    cells: dict[str, Any] = {
        "costs": " + ".join(
            f"{each['amount']} {each['currency'] or '?'}" for each in views if each["amount"] is not None
        ),
        "unpriced": unpriced,
        "cost_known": max((each.parts[-1] for each in spent), key=lambda part: SUREST[part.known]).known
        if spent
        else "",
    }
    if len(spent) == 1 and not unpriced:
        amount, of = Decimal(spent[0].amount or 0), {"message": spent[0].volume, "reply": row["replied"]}
        cells |= {"currency": spent[0].currency, "cost": spent[0].amount}
        for name, count in (of | {"click": row["clicked"]}).items():
            cells[f"cost_per_{name}"] = text_of((amount / count).quantize(PLACES)) if count else ""
    return cells


def _changes(row: Row, spent: Sequence[Cost] | None, before: _Before | None, key: Key | None) -> dict[str, Any] | None:
    """What has changed of a template, or of all together where there is no key."""
    if before is None or not before.days.comparable:
        return None
    now, then = counted(row), counted(before.of.get(key, _NOTHING) if key else before.total)
    read = changes.rate(now["read"], now["delivered"], then["read"], then["delivered"], then["accepted"])
    costs_then = before.spent.of.get(key, ()) if key else before.spent.totals
    return {
        "delivered": changes.count(now["delivered"], then["delivered"], then["accepted"])._asdict(),
        "read_rate": read._asdict() | {"difference": read.difference and read.difference._asdict()},
        "costs": None if spent is None else _cost_changes(spent, costs_then),
    }


def _cost_changes(spent: Sequence[Cost], before: Sequence[Cost]) -> list[dict[str, Any]]:
    found = changes.costs(_by_currency(spent), _by_currency(before))
    return [
        each._asdict() | {"currency": currency or None, "before": text_of(each.before)}
        for currency, each in found.items()
    ]


def _by_currency(rows: Sequence[Cost]) -> dict[str, changes.Spent]:
    return {
        row.currency: changes.Spent(row.volume, None if row.parts[-1].known == "unknown" else Decimal(row.amount or 0))
        for row in rows
    }


def _earlier(days: changes.Earlier) -> dict[str, Any]:
    found = days._asdict()
    return {"from": found.pop("first"), "to": found.pop("last"), **found}


def _keys(rows: Sequence[Row]) -> list[Key]:
    return [(row["template_id"], row["waba_id"]) for row in rows]


def _spent(of: Mapping[Key, Sequence[Cost]]) -> Iterator[Spent]:
    for key, rows in of.items():
        for row in rows:
            yield Spent(*key, row.currency, row.volume, None if row.amount is None else float(row.amount))
