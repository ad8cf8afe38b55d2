"""How a number sends, for people who wonder why nothing goes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg
from aiohttp import web
from wabus_events.models.messaging_limit import UNLIMITED
from wabus_runtime.http.answers import Problem, checked, json_response
from wabus_runtime.http.auth import authorise
from wabus_whatsapp.sending.errors import ERRORS, meaning

from wabus_sender.api.models import NumberPath
from wabus_sender.sending.budgets import NumberBudget, level_of, set_aside
from wabus_sender.sending.reach import Reach
from wabus_sender.tables import facts, numbers, reach


@dataclass(frozen=True)
class NumbersApi:
    """What the handler needs; it is its method."""

    pool: Callable[[], asyncpg.Pool]

    async def sending(self, request: web.Request) -> web.Response:
        """GET /numbers/{phone_number_id}/sending"""
        caller = await authorise(request)
        phone_number_id = checked(NumberPath, dict(request.match_info)).phone_number_id
        pool, now = self.pool(), datetime.now(UTC)
        number = await facts.number(pool, phone_number_id)
        if number is None or number.org_id != caller.org_id:
            raise number_not_found()
        known = await facts.levels(pool, [phone_number_id])
        throughput, coexistence = known.get(phone_number_id, (None, False))
        level = level_of(throughput, coexistence=coexistence)
        came_in = await numbers.arrived_lately(pool, [phone_number_id], now)
        comes_in = set_aside(came_in.get(phone_number_id, 0), numbers.ARRIVAL_SPAN)
        lanes = await numbers.waiting(pool, phone_number_id, caller.org_id)
        paused = await numbers.paused(pool, phone_number_id, now)
        content = {
            "phone_number_id": phone_number_id,
            "level": level,
            "rate": NumberBudget(level, comes_in).rate(0),
            "comes_in": comes_in,
            "lanes": [{"lane": row["lane"], "waiting": row["number"], "oldest": row["oldest"]} for row in lanes],
            "paused": _pause(paused) if paused else None,
            "reach": _reach(await reach.reach(pool, [phone_number_id], now), phone_number_id),
        }
        return json_response(content)


def number_not_found() -> Problem:
    """Of a number that is not the organisation's, or nobody's."""
    return Problem(404, "number_not_found", "No such number", "There is no number of yours with this id.")


def _reach(found: Mapping[str, Reach], phone_number_id: str) -> dict[str, object]:
    known = found.get(phone_number_id, Reach(0, None))
    limit = None if known.limit == UNLIMITED else known.limit
    return {"people": known.people, "limit": limit, "holds_marketing": known.for_marketing <= 0}


def _pause(row: asyncpg.Record) -> dict[str, object]:
    code = row["error_code"]
    known = ERRORS.get(code) if code is not None else None
    return {
        "until": row["until"],
        "reason": row["reason"],
        "error_code": code,
        "message": meaning(code) if code is not None else None,
        "remedy": known.remedy if known else None,
    }
