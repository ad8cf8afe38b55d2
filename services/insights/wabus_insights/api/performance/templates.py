"""What one template achieves, as the caller's organisation is told."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import asyncpg
from aiohttp import web
from wabus_runtime.directory.directory import Directory
from wabus_runtime.http.answers import Problem, checked, json_response, query_of
from wabus_runtime.http.auth import authorise
from wabus_runtime.http.formats.csv_answers import csv_response, wants_csv

from wabus_insights.api.performance.asked import Zones, asked_of, check_length, counted, named, period_of
from wabus_insights.api.performance.failing import FAILURE, failure
from wabus_insights.api.performance.models import PeriodQuery, TemplatePath, TemplateQuery
from wabus_insights.performance.counting import COUNTS, read_after, read_quantile
from wabus_insights.performance.summary import RATES, comparisons, funnel
from wabus_insights.tables.performance import insights, reading
from wabus_insights.tables.performance.reading import Asked, Row

HOURS_MAX = 31  # days, by the hour

_META = {
    "on": "Meta counts, and is asked each day.",
    "off": "Meta does not count yet. An administrator can have it begin, which can't be undone.",
    "unavailable": "For accounts of the European Union, the United Kingdom and Japan Meta counts nothing.",
    "refused": "Meta refused to tell what it counts. It is asked again in a week.",
    "unknown": "Meta was not asked yet.",
}


@dataclass(frozen=True)
class TemplatesApi:
    """What the handlers need; they are its methods."""

    pool: Callable[[], asyncpg.Pool]
    directory: Directory

    async def one(self, request: web.Request) -> web.Response:
        """GET /performance/templates/{template_id}"""
        caller = await authorise(request)
        template_id = checked(TemplatePath, dict(request.match_info)).template_id
        query = checked(TemplateQuery, query_of(request))
        now = datetime.now(UTC)
        template = await self._template(caller.org_id, template_id)
        zones = self._zones(template)
        asked = asked_of(caller.org_id, query, now, zones)
        if query.by == "hour":
            check_length(asked.first, asked.last, HOURS_MAX, "by the hour")
        groups = await reading.groups(self.pool(), asked, template_id, query.by)
        found = [{"group": _group(row["group"]), **counted(row)} for row in groups]
        if wants_csv(request):
            return csv_response(("group", *COUNTS, *RATES), found, f"template-by-{query.by}")
        total = _sum(groups)
        times = await reading.read_times(self.pool(), asked, template_id)
        by_version = [(row["group"], row) for row in groups] if query.by == "version" else []
        return json_response(
            {
                "template": template,
                "period": period_of(asked, zones),
                "total": counted(total),
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
                "meta": await self._meta(asked, template["waba_id"], template_id),
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
        template = await self._template(caller.org_id, template_id)
        zones = self._zones(template)
        asked = asked_of(caller.org_id, query, now, zones)
        total = await reading.total(self.pool(), asked, template_id)
        found = [failure(*each, total["failed"]) for each in await reading.failures(self.pool(), asked, template_id)]
        if wants_csv(request):
            return csv_response(FAILURE, found, "failures")
        return json_response(
            {
                "template": template,
                "period": period_of(asked, zones),
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
        return named(row)

    def _zones(self, template: Mapping[str, Any]) -> Zones:
        account = self.directory.account(template["waba_id"])
        return {account.time_zone if account else None}


def _sum(rows: Sequence[Row]) -> dict[str, int]:
    return {name: sum(row[name] for row in rows) for name in COUNTS}


def _group(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def _time_to_read(times: Sequence[tuple[int, int]]) -> dict[str, Any]:
    return {
        "read": sum(count for _, count in times),
        "median_seconds": read_quantile(times, 0.5),
        "ninety_percent_seconds": read_quantile(times, 0.9),
        "histogram": [{"from_seconds": read_after(bucket), "read": count} for bucket, count in times],
    }
