"""What templates achieve, as the caller's organisation is told."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
from aiohttp import web
from wabus_runtime.directory.directory import Directory
from wabus_runtime.http.answers import Problem, checked, json_response, query_of
from wabus_runtime.http.auth import authorise
from wabus_runtime.http.formats.csv_answers import csv_response, wants_csv
from wabus_runtime.http.paging import cursor_of, page_of, place_of
from wabus_whatsapp.sending.errors import ERRORS, kind_of, meaning

from wabus_insights.api.costs.amounts import cost_view
from wabus_insights.api.performance.models import PeriodQuery, TemplatePath, TemplateQuery, TemplatesQuery
from wabus_insights.costs.budget import local_day
from wabus_insights.costs.ranking import Spent, places_by_cost
from wabus_insights.performance.counting import COUNTS, read_after, read_quantile
from wabus_insights.performance.spans import spans_of
from wabus_insights.performance.summary import RATES, comparisons, funnel, rates
from wabus_insights.tables.costs import reading as costs
from wabus_insights.tables.costs.reading import Cost
from wabus_insights.tables.performance import insights, reading
from wabus_insights.tables.performance.reading import Asked, Row

DAYS_MAX = 400
HOURS_MAX = 31  # days, by the hour
USUAL = 30  # days
FUTURE = timedelta(days=2)
EARLIEST = date(2009, 1, 1)  # when WhatsApp began

_NAMES = ("template_id", "waba_id", "name", "language", "category", "status", "quality", "removed_at")
_COLUMNS = (*_NAMES, *COUNTS, *RATES)
_META = {
    "on": "Meta counts, and is asked each day.",
    "off": "Meta does not count yet. An administrator can have it begin, which can't be undone.",
    "unavailable": "For accounts of the European Union, the United Kingdom and Japan Meta counts nothing.",
    "refused": "Meta refused to tell what it counts. It is asked again in a week.",
    "unknown": "Meta was not asked yet.",
}
Zones = AbstractSet[str | None]
"""Of accounts, as IANA names them; None of one whose zone is not known, whose days are those of UTC."""
Place = tuple[float, str, str]
"""Of a template in the list: what it is ordered by, the template and the account."""


@dataclass(frozen=True)
class TemplatesApi:
    """What the handlers need; they are its methods."""

    pool: Callable[[], asyncpg.Pool]
    directory: Directory

    async def all(self, request: web.Request) -> web.Response:
        """GET /performance/templates"""
        caller = await authorise(request)
        query = checked(TemplatesQuery, query_of(request))
        now = datetime.now(UTC)
        zones = {account.time_zone for account in self.directory.accounts_of(caller.org_id)}
        asked = _asked(caller.org_id, query, now, zones)
        after = place_of(query.after, Place) if query.after else None

        async def templates(by_cost: Mapping[tuple[str, str], float] | None = None) -> list[Row]:
            spans = spans_of(asked.first, asked.last, now.date())
            return await reading.templates(
                self.pool(), asked, spans, sort=query.sort, ascending=query.order == "asc", min_sent=query.min_sent,
                after=after, limit=query.limit + 1, by_cost=by_cost,
            )  # fmt: skip

        of = dict[tuple[str, str], Sequence[Cost]]()
        if query.sort == "cost":
            of = await self._costs(asked)
            rows = await templates(places_by_cost(_spent(of)))
        elif query.costs:
            rows, of = await asyncio.gather(templates(), self._costs(asked))
        else:
            rows = await templates()
        page, last = page_of(rows, query.limit)
        following = cursor_of((last["place"], last["template_id"], last["waba_id"])) if last else None
        found: list[dict[str, Any]] = [_named(row) | _counted(row) | {"costs": None} for row in page]
        if query.costs:
            for row in found:
                row["costs"] = [cost_view(each) for each in of.get((row["template_id"], row["waba_id"]), ())]
        if wants_csv(request):
            headers = {"X-Next": following} if following else {}
            return csv_response(_COLUMNS, found, "templates", headers)
        return json_response(
            {"period": _period(asked, zones), "templates": found, "next": following, "source": "statuses", "as_of": now}
        )

    async def _costs(self, asked: Asked) -> Mapping[tuple[str, str], Sequence[Cost]]:
        wanted = costs.Wanted(asked.org_id, asked.first, asked.last, asked.number, asked.country)
        return await costs.of_templates(self.pool(), wanted)

    async def one(self, request: web.Request) -> web.Response:
        """GET /performance/templates/{template_id}"""
        caller = await authorise(request)
        template_id = checked(TemplatePath, dict(request.match_info)).template_id
        query = checked(TemplateQuery, query_of(request))
        now = datetime.now(UTC)
        named = await self._template(caller.org_id, template_id)
        zones = self._zones(named)
        asked = _asked(caller.org_id, query, now, zones)
        if query.by == "hour" and (asked.last - asked.first).days >= HOURS_MAX:
            raise _too_long(HOURS_MAX, "by the hour")
        groups = await reading.groups(self.pool(), asked, template_id, query.by)
        found = [{"group": _group(row["group"]), **_counted(row)} for row in groups]
        if wants_csv(request):
            return csv_response(("group", *COUNTS, *RATES), found, f"template-by-{query.by}")
        total = _sum(groups)
        times = await reading.read_times(self.pool(), asked, template_id)
        by_version = [(row["group"], row) for row in groups] if query.by == "version" else []
        return json_response(
            {
                "template": named,
                "period": _period(asked, zones),
                "total": _counted(total),
                "funnel": funnel(total),
                "time_to_read": _time_to_read(times),
                "by": query.by,
                "groups": found,
                "comparisons": [
                    {
                        "version": each.version,
                        "before": each.before,
                        "rate": each.rate,
                        "difference": each.interval and each.interval._asdict(),
                        "verdict": each.verdict,
                        "sentence": each.sentence,
                        "observational": True,
                    }
                    for each in comparisons(by_version)
                ],
                "source": "statuses",
                "meta": await self._meta(asked, named["waba_id"], template_id),
                "as_of": now,
            }
        )

    async def _meta(self, asked: Asked, waba_id: str, template_id: str) -> dict[str, Any]:
        state = await insights.state(self.pool(), asked.org_id, waba_id) or "unknown"
        days = await insights.shown(self.pool(), asked.org_id, waba_id, template_id, asked.first, asked.last)
        return {"source": "template_analytics", "state": state, "sentence": _META[state], "days": days}

    async def failures(self, request: web.Request) -> web.Response:
        """GET /performance/templates/{template_id}/failures"""
        caller = await authorise(request)
        template_id = checked(TemplatePath, dict(request.match_info)).template_id
        now = datetime.now(UTC)
        query = checked(PeriodQuery, query_of(request))
        named = await self._template(caller.org_id, template_id)
        zones = self._zones(named)
        asked = _asked(caller.org_id, query, now, zones)
        total = await reading.total(self.pool(), asked, template_id)
        found = [_failure(*each, total["failed"]) for each in await reading.failures(self.pool(), asked, template_id)]
        if wants_csv(request):
            return csv_response(("code", "count", "share", "kind", "sentence", "remedy"), found, "failures")
        return json_response(
            {
                "template": named,
                "period": _period(asked, zones),
                "accepted": total["accepted"] or 0,
                "failed": total["failed"] or 0,
                "failures": found,
                "as_of": now,
            }
        )

    async def _template(self, org_id: str, template_id: str) -> dict[str, Any]:
        row = await reading.template(self.pool(), org_id, template_id)
        if row is None:
            raise Problem(404, "template_not_found", "Unknown template", "Nothing was ever sent with this template.")
        return _named(row)

    def _zones(self, template: Mapping[str, Any]) -> Zones:
        account = self.directory.account(template["waba_id"])
        return {account.time_zone if account else None}


def _asked(org_id: str, query: PeriodQuery, now: datetime, zones: Zones) -> Asked:
    last = query.last or max((local_day(now, zone) for zone in zones), default=now.date())
    first = query.first or max(last, date.min + timedelta(days=USUAL)) - timedelta(days=USUAL - 1)
    if first > last:
        raise Problem(422, "invalid_period", "Unusable period", "`from` is after `to`.")
    if (last - first).days >= DAYS_MAX:
        raise _too_long(DAYS_MAX, "at once")
    if last > (now + FUTURE).date() or first < EARLIEST:
        raise Problem(422, "invalid_period", "Unusable period", "Nothing was counted then: ask for days until today.")
    return Asked(org_id, query.number, query.country, first, last)


def _too_long(days: int, how: str) -> Problem:
    return Problem(422, "period_too_long", "Too many days", f"At most {days} days can be asked for {how}.")


def _period(asked: Asked, zones: Zones) -> dict[str, Any]:
    zone = next(iter(zones), None) or "UTC" if len(zones) <= 1 else None
    return {"from": asked.first, "to": asked.last, "time_zone": zone}


def _named(row: Row) -> dict[str, Any]:
    # Of a template that nobody has told of the words are empty.
    return {name: row[name] if row[name] != "" else None for name in _NAMES}


def _counted(row: Row) -> dict[str, Any]:
    counts = {name: row[name] or 0 for name in COUNTS}
    return counts | rates(counts)


def _sum(rows: Sequence[Row]) -> dict[str, int]:
    return {name: sum(row[name] for row in rows) for name in COUNTS}


def _spent(of: Mapping[tuple[str, str], Sequence[Cost]]) -> Iterator[Spent]:
    for key, rows in of.items():
        for row in rows:
            yield Spent(*key, row.currency, row.volume, None if row.amount is None else Decimal(row.amount))


def _group(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def _time_to_read(times: Sequence[tuple[int, int]]) -> dict[str, Any]:
    return {
        "read": sum(count for _, count in times),
        "median_seconds": read_quantile(times, 0.5),
        "ninety_percent_seconds": read_quantile(times, 0.9),
        "histogram": [{"from_seconds": read_after(bucket), "read": count} for bucket, count in times],
    }


def _failure(code: int, count: int, failed: int) -> dict[str, Any]:
    known = ERRORS.get(code)
    return {
        "code": code,
        "count": count,
        "share": min(1.0, count / failed) if failed else 1.0,
        "kind": kind_of(code),
        "sentence": meaning(code) or f"Not delivered: Meta gave the error {code}, which is not known here.",
        "remedy": known.remedy if known else "Look the code up in Meta's “WhatsApp error codes”.",
    }
