"""What tests of budgets, of Meta's own account and of advice have in common: insights beside real Kafka and PostgreSQL.

PYTEST_DONT_REWRITE: it is imported as a plugin and by name.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import asyncpg
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from wabus_events import INSIGHTS, AccountConnected, BudgetAlerted, Event, MessageStatusChanged, Topic
from wabus_insights.app import create_app
from wabus_insights.settings import InsightsSettings
from wabus_insights.worker import projector
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.settings import KafkaSettings, load
from waiting import Eventually

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]
Bearer = Callable[..., dict[str, str]]
EventsIn = Callable[[Topic], Awaitable[list[Event]]]

WABA, ORG = "102290129340398", "demo"


@dataclass
class World:
    """The service, its caller, its tables, and what is published."""

    client: Client
    bearer: Bearer
    publisher: Publisher
    pool: asyncpg.Pool
    settings: KafkaSettings
    eventually: Eventually
    events_in: EventsIn
    counted: dict[bool, int] = field(default_factory=dict[bool, int])
    """Messages that were delivered here, by whether their price is not told."""

    async def asked(self, method: str, path: str, status: int = 200, body: object = None, **caller: Any) -> Any:
        headers = self.bearer(**{"org": ORG, **caller})
        async with self.client.request(method, path, headers=headers, json=body) as answer:
            content = await answer.text()
            assert answer.status == status, content
            return orjson.loads(content) if content else None

    async def connect(self, waba_id: str = WABA, org_id: str = ORG) -> None:
        connected = AccountConnected(
            id=str(uuid4()), time=datetime.now(UTC), org_id=org_id, waba_id=waba_id, time_zone="UTC", currency="EUR"
        )
        await self.publisher.publish([connected])

        async def is_known() -> bool:
            return bool(await self.pool.fetchval("SELECT true FROM planned_accounts WHERE waba_id = $1", waba_id))

        await self.eventually(is_known)

    async def deliver(self, cost: str | None) -> None:
        """Let a status say that a message was delivered, for so much; for None it does not say for how much."""
        wamid, now = f"wamid.{uuid4().hex}", datetime.now(UTC)
        pricing: dict[str, Any] = {"billable": True, "pricing_model": "PMP", "category": "marketing", "type": "regular"}
        if cost is not None:
            pricing["cost"] = {"amount": float(cost), "currency": "EUR"}
        item = {"id": wamid, "status": "delivered", "timestamp": str(int(now.timestamp())), "pricing": pricing}
        about: dict[str, Any] = {"org_id": ORG, "waba_id": WABA, "phone_number_id": "1", "contact": "4915123456789"}
        told = MessageStatusChanged(
            id=str(uuid4()), time=now, wamid=wamid, status="delivered", value={"statuses": [item]}, **about
        )
        await self.publisher.publish([told])

        async def is_counted() -> bool:
            row = "SELECT sum(volume) FROM cost_days WHERE org_id = $1 AND basis = $2"
            counted = await self.pool.fetchval(row, ORG, "card" if cost is None else "reported")
            return (counted or 0) > self.counted.get(cost is None, 0)

        await self.eventually(is_counted)
        self.counted[cost is None] = self.counted.get(cost is None, 0) + 1

    async def spend(self, amounts: dict[date, str], known: str = "rated", waba_id: str = WABA) -> None:
        """Let rows say what was spent: a message a day."""
        await self.pool.executemany(
            """
            INSERT INTO cost_days (cell_id, band, org_id, waba_id, phone_number_id, market, country, sure, category,
                pricing_type, template_id, campaign, day, currency, basis, scope, known, volume, reported, rate)
            VALUES ($1, 0, $2, $3, '1', 'germany', 'DE', true, 'marketing', 'regular', '', '', $4, 'EUR', 'card', '',
                $5, 1, 0, $6)
            """,
            [
                (uuid4(), ORG, waba_id, day, known, None if known == "unknown" else Decimal(amount))
                for day, amount in amounts.items()
            ],
        )

    async def alerts(self) -> list[BudgetAlerted]:
        return [event for event in await self.events_in(INSIGHTS) if isinstance(event, BudgetAlerted)]

    async def until_told(self, thresholds: Sequence[tuple[str, int]]) -> None:
        """Wait until exactly these were told, in this order."""

        async def told() -> list[tuple[str, int]]:
            found = [(one.alert, one.threshold) for one in await self.alerts()]
            return found if len(found) >= len(thresholds) else []

        assert await self.eventually(told) == list(thresholds)

    async def look_now(self) -> None:
        """Let the worker look at the organisation's budgets, and wait until it has."""
        await self.pool.execute("UPDATE budget_checks SET due_at = '-infinity'")

        async def looked() -> bool:
            return bool(await self.pool.fetchval("SELECT min(due_at) > '-infinity' FROM budget_checks"))

        await self.eventually(looked)


@pytest.fixture
async def world(
    publisher: Publisher,
    topics: KafkaSettings,
    serve: Serve,
    bearer: Bearer,
    eventually: Eventually,
    events_in: EventsIn,
) -> AsyncIterator[World]:
    settings = load(InsightsSettings)
    client = await serve(create_app(settings))

    async def ready() -> bool:
        return (await client.get("/readyz")).status == 200

    await eventually(ready)
    async with migrated_pool(settings, projector.PACKAGE) as pool:
        yield World(client, bearer, publisher, pool, settings, eventually, events_in)
