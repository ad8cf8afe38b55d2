"""Why messages failed, of all templates together, as the caller's organisation is told."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any

import asyncpg
from aiohttp import web
from wabus_runtime.directory.directory import Directory
from wabus_runtime.http.answers import checked, json_response, query_of
from wabus_runtime.http.auth import authorise
from wabus_runtime.http.formats.csv_answers import csv_response, wants_csv
from wabus_whatsapp.sending.errors import ERRORS, kind_of, meaning

from wabus_insights.api.performance.asked import asked_of, check_length, period_of, zones_of
from wabus_insights.api.performance.models import PeriodQuery
from wabus_insights.tables.performance.failing import Failing, failures

FAILURE = ("code", "count", "share", "kind", "sentence", "remedy")
TEMPLATES_SHOWN = 3
DAYS_MAX = 92
"""Reasons are kept by the hour: of so many days a million rows are read in two seconds, of 400 in seven."""


@dataclass(frozen=True)
class FailingApi:
    """What the handler needs; it is its method."""

    pool: Callable[[], asyncpg.Pool]
    directory: Directory

    async def all(self, request: web.Request) -> web.Response:
        """GET /performance/failures"""
        caller = await authorise(request)
        query = checked(PeriodQuery, query_of(request))
        now = datetime.now(UTC)
        zones = zones_of(self.directory, caller.org_id)
        asked = asked_of(caller.org_id, query, now, zones)
        check_length(asked.first, asked.last, DAYS_MAX, "of all templates together")
        accepted, rows = await failures(self.pool(), asked)
        failed = sum(row.failed for row in rows)
        by_code = [(sum(row.failed for row in some), some) for some in _by_code(rows)]
        found = [
            failure(some[0].code, count, failed) | {"templates": [_template(row) for row in some[:TEMPLATES_SHOWN]]}
            for count, some in sorted(by_code, key=itemgetter(0), reverse=True)
        ]
        if wants_csv(request):
            lines = [{**each, "templates": ", ".join(map(_name, each["templates"]))} for each in found]
            return csv_response((*FAILURE, "templates"), lines, "failures")
        return json_response(
            {
                "period": period_of(asked, zones),
                "accepted": accepted,
                "failed": failed,
                "failures": found,
                "as_of": now,
            }
        )


def _by_code(rows: Iterable[Failing]) -> Iterable[list[Failing]]:
    return (list(some) for _, some in groupby(rows, attrgetter("code")))


def failure(code: int, count: int, failed: int) -> dict[str, Any]:
    """A `FailureView` of one of Meta's codes."""
    known = ERRORS.get(code)
    return {
        "code": code,
        "count": count,
        "share": min(1.0, count / failed) if failed else 1.0,
        "kind": kind_of(code),
        "sentence": meaning(code) or f"Not delivered: Meta gave the error {code}, which is not known here.",
        "remedy": known.remedy if known else "Look the code up in Meta's “WhatsApp error codes”.",
    }


def _template(row: Failing) -> dict[str, Any]:
    return {name: value for name, value in row._asdict().items() if name != "code"}


def _name(template: dict[str, Any]) -> str:
    return template["name"] or template["template_id"]
