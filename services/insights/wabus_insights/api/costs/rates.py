"""GET /rates: Meta's rate cards as they were published here, and the rules by which they apply. Nobody's secret."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg
from aiohttp import web
from wabus_runtime.http.answers import checked, json_response, query_of
from wabus_runtime.http.auth import authorise
from wabus_whatsapp.prices.markets import market_key

from wabus_insights.api.costs.models import RatesQuery
from wabus_insights.tables.costs import prices


@dataclass(frozen=True)
class RatesApi:
    """What the handler needs; it is its method."""

    pool: Callable[[], asyncpg.Pool]

    async def rates(self, request: web.Request) -> web.Response:
        """GET /rates"""
        await authorise(request)
        asked = checked(RatesQuery, query_of(request))
        rows = await prices.cards(self.pool(), asked.currency)
        book = await prices.load(self.pool())
        return json_response(
            {
                "cards": [
                    {
                        "currency": row["currency"],
                        "effective": row["effective"],
                        "published_at": row["published_at"],
                        "origin": row["origin"],
                        "rates": _rates(row["rates"], asked.market) if asked.currency else None,
                    }
                    for row in rows
                ],
                "rules": [asdict(rules) for rules in book.rules],
                "as_of": datetime.now(UTC),
            }
        )


def _rates(rates: list[dict[str, Any]], market: str | None) -> list[dict[str, Any]]:
    wanted = market and market_key(market)
    return [rate for rate in rates if not wanted or market_key(str(rate["market"])) == wanted]
