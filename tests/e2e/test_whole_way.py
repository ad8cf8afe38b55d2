"""The three services as processes of their own: from connect and webhook to health, through kills."""

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from simulated_meta.seed import DEMO_TEMPLATE
from system import MODULES, System, connect_demo, wabus
from wabus_events import ACCOUNTS, MESSAGES, Event, MessageReceived, MessageStatusChanged, Topic
from waiting import Eventually
from webhooks import conversation, encoded, signed, status, template_status, text, webhook

pytestmark = pytest.mark.timeout(240)

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]
EventsIn = Callable[[Topic], Awaitable[list[Event]]]


@pytest.fixture
async def system(idle_system: System, eventually: Eventually) -> System:
    for module in MODULES:
        await idle_system.start(module)
    await eventually(idle_system.ready)
    return idle_system


async def test_a_connected_account_turns_green_and_a_webhook_leaves_its_trace_in_health(
    system: System, events_in: EventsIn, eventually: Eventually
) -> None:
    headers = await connect_demo()

    async def green() -> bool:
        health = await system.get("wabus_health_projector", "/webhook/health", headers)
        return (
            health["status"] == "healthy" and health["webhook_verified"] and health["template_sync_status"] == "synced"
        )

    await eventually(green)
    listed = await system.get("wabus_template_sync", "/templates", headers)
    assert {template["status"] for template in listed["templates"]} == {"APPROVED"}

    assert await system.deliver(webhook(conversation(messages=[text("wamid.A"), text("wamid.B")]))) == 200

    assert [type(event) for event in await events_in(MESSAGES)] == [MessageReceived, MessageReceived]

    async def heard() -> object:
        return (await system.get("wabus_health_projector", "/webhook/health", headers))["last_webhook_at"]

    await eventually(heard)


async def test_a_paused_template_is_a_reason_at_once(system: System, eventually: Eventually) -> None:
    headers = await connect_demo()

    async def synced() -> bool:
        health = await system.get("wabus_health_projector", "/webhook/health", headers)
        return health["template_sync_status"] == "synced"

    await eventually(synced)
    paused = template_status("PAUSED", template_id=int(DEMO_TEMPLATE))
    assert await system.deliver(webhook(paused, time=int(time.time()) + 1)) == 200

    async def told() -> bool:
        health = await system.get("wabus_health_projector", "/webhook/health", headers)
        return health["status"] == "degraded" and "template_paused" in [reason["code"] for reason in health["reasons"]]

    await eventually(told)


async def test_a_tampered_webhook_gets_403_and_leaves_no_event(system: System, events_in: EventsIn) -> None:
    body = encoded(webhook(conversation(messages=[text("wamid.A")])))
    url = system.url("wabus_gateway", "/webhooks/whatsapp")
    async with system.http.post(url, data=body + b" ", headers=signed(body)) as answer:
        assert answer.status == 403
    assert await events_in(MESSAGES) == []
    assert await events_in(ACCOUNTS) == []


async def test_another_organisation_sees_nothing(system: System, eventually: Eventually) -> None:
    headers = await connect_demo()
    stranger = {"Authorization": f"Bearer {await wabus('token', '--org', 'other', '--role', 'admin')}"}

    async def synced() -> bool:
        return bool((await system.get("wabus_template_sync", "/templates", headers))["templates"])

    await eventually(synced)
    assert (await system.get("wabus_template_sync", "/templates", stranger))["templates"] == []
    assert (await system.get("wabus_health_projector", "/webhook/health", stranger))["status"] == "pending"


@pytest.mark.long
async def test_killed_at_any_moment_nothing_acknowledged_is_lost_or_counted_twice(
    system: System, events_in: EventsIn, eventually: Eventually
) -> None:
    headers = await connect_demo()
    dice = random.Random(7)
    moment = str(int(time.time()))
    acknowledged: set[str] = set()
    stop = asyncio.Event()

    async def meta_delivers(lane: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            wamids = [f"wamid.{lane}.{number}.{part}" for part in range(3)]
            payload = webhook(
                conversation(
                    messages=[
                        {**text(wamid, sender=f"{lane}{number % 9}"), "timestamp": moment} for wamid in wamids[:2]
                    ]
                ),
                conversation(statuses=[{**status(wamids[2]), "timestamp": moment}]),
            )
            while await system.deliver(payload) != 200:  # noqa: ASYNC110 - as Meta does: until it is taken
                await asyncio.sleep(0.05)
            if dice.random() < 0.2:
                await system.deliver(payload)
            acknowledged.update(wamids)

    senders = [asyncio.create_task(meta_delivers(lane)) for lane in range(4)]
    for _ in range(6):
        await asyncio.sleep(dice.uniform(0.2, 1.2))
        module = dice.choice(MODULES)
        await system.end(module, signal.SIGKILL)
        await system.start(module)
        await eventually(system.ready)
    stop.set()
    await asyncio.gather(*senders)

    published = await events_in(MESSAGES)
    seen = {event.wamid for event in published if isinstance(event, MessageReceived | MessageStatusChanged)}
    assert acknowledged <= seen

    async def counted() -> tuple[int, int]:
        health = await system.get("wabus_health_projector", "/webhook/health/detailed", headers)
        counts = health["wabas"][0]["counts"]["last_24h"]
        return counts["received"], counts["delivered"]

    async def all_counted() -> bool:
        received, delivered = await counted()
        return received + delivered >= len(seen)

    await eventually(all_counted)
    received = {event.wamid for event in published if isinstance(event, MessageReceived)}
    assert await counted() == (len(received), len(seen - received))


@pytest.mark.long
async def test_sigterm_drains_and_ends_every_service(system: System) -> None:
    for module in MODULES:
        assert await system.end(module, signal.SIGTERM) == 0
