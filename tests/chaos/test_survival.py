"""Everything is killed in random order while Meta delivers; afterwards nothing acknowledged is lost or counted twice.

`make chaos` runs more rounds than `make test` (`CHAOS_ROUNDS`); a failing run names its seed (`CHAOS_SEED`).
"""

import asyncio
import os
import random
import secrets
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from local_stack import free_ports
from system import MODULES, System, connect_demo
from wabus_events import MESSAGES, Event, MessageReceived, MessageStatusChanged, Topic
from wabus_local.kafka import EmbeddedKafka
from wabus_local.meta import Store, create_app, new_world
from wabus_local.postgres import EmbeddedPostgres
from webhooks import conversation, encoded, signed, status, text, webhook

ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "8"))
SEED = int(os.environ.get("CHAOS_SEED", str(secrets.randbelow(1_000_000))))
HEALED = 60.0  # seconds for everything to be well again after the last blow
TABLES = ("waba_health", "webhook_health", "message_counts", "message_errors", "counted_events", "templates")

pytestmark = pytest.mark.timeout(120 + 40 * ROUNDS)

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]
EventsIn = Callable[[Topic], Awaitable[list[Event]]]


@pytest.fixture(scope="module")
def kafka() -> Any:
    """A broker of this module's own, under the name that the other fixtures know: it will be killed."""
    with tempfile.TemporaryDirectory(prefix="wabus-chaos-", ignore_cleanup_errors=True) as home:
        port, controller_port = free_ports(2)
        broker = EmbeddedKafka(Path(home), port, controller_port=controller_port)
        asyncio.run(broker.start(120))
        yield broker
        asyncio.run(broker.stop())


@pytest.fixture(scope="module")
def postgres() -> Any:
    """A durable PostgreSQL of this module's own."""
    with tempfile.TemporaryDirectory(prefix="wabus-chaos-", ignore_cleanup_errors=True) as home:
        server = EmbeddedPostgres(Path(home), free_ports(1)[0], secrets.token_hex(16))
        asyncio.run(server.start(60))
        yield server
        asyncio.run(server.stop())


@pytest.fixture
async def system(
    topics: object, serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[System]:
    ports = dict(zip(MODULES, free_ports(3), strict=True))
    url = f"http://127.0.0.1:{ports['wabus_gateway']}"
    store = Store(new_world("1234567890", ["an-app-secret-for-tests"]))
    meta = await serve(create_app(store, delay_scale=0.01))
    monkeypatch.setenv("META_GRAPH_URL", str(meta.make_url("")))
    monkeypatch.setenv("PUBLIC_URL", url)
    monkeypatch.setenv("META_TOKEN", next(iter(store.world.tokens)))
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:
        system = System(http, tmp_path, ports)
        try:
            for module in MODULES:
                await system.start(module)
            await healed(system)
            yield system
        finally:
            for process in system.processes.values():
                if process.returncode is None:
                    process.kill()
                    await process.wait()


@dataclass
class Meta:
    """Delivers as Meta does: several at once, again until it is taken, sometimes twice, sometimes forged."""

    system: System
    dice: random.Random
    acknowledged: set[str] = field(default_factory=set[str])
    refused: set[str] = field(default_factory=set[str])
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def deliver(self, lane: int) -> None:
        moment, number = str(int(time.time())), 0
        while not self.stop.is_set():
            number += 1
            wamids = [f"wamid.{lane}.{number}.{part}" for part in range(3)]
            payload = webhook(
                conversation(
                    messages=[{**text(one, sender=f"{lane}{number % 9}"), "timestamp": moment} for one in wamids[:2]]
                ),
                conversation(statuses=[{**status(wamids[2]), "timestamp": moment}]),
            )
            while await self.system.deliver(payload) != 200:  # noqa: ASYNC110 - until it is taken
                await asyncio.sleep(0.1)
            self.acknowledged.update(wamids)
            if self.dice.random() < 0.2:
                await self.system.deliver(payload)
            if self.dice.random() < 0.1:
                await self.forge(f"forged.{lane}.{number}")

    async def forge(self, wamid: str) -> None:
        body = encoded(webhook(conversation(messages=[text(wamid)])))
        self.refused.add(wamid)
        try:
            url = self.system.url("wabus_gateway", "/webhooks/whatsapp")
            async with self.system.http.post(url, data=body, headers=signed(body, "guessed")) as answer:
                assert answer.status in (403, 503)
        except (aiohttp.ClientError, TimeoutError):
            return


async def test_whatever_is_killed_every_acknowledged_fact_counts_exactly_once(
    system: System, kafka: EmbeddedKafka, postgres: EmbeddedPostgres, events_in: EventsIn, environment: dict[str, str]
) -> None:
    print(f"CHAOS_SEED={SEED}")
    dice = random.Random(SEED)
    headers = await connect_demo()
    meta = Meta(system, dice)
    senders = [asyncio.create_task(meta.deliver(lane)) for lane in range(3)]
    blows = ["service", "kafka", "postgres", "connections"]
    for round_ in range(ROUNDS):
        await asyncio.sleep(dice.uniform(0.1, 1.5))
        blow = blows[round_ % len(blows)] if round_ < len(blows) else dice.choice(blows)
        match blow:
            case "service":
                module = dice.choice(MODULES)
                await system.end(module, signal.SIGKILL)
                await system.start(module)
            case "kafka":
                await kafka.kill()
                await asyncio.sleep(dice.uniform(0, 2))
                await kafka.start()
            case "postgres":
                await postgres.kill()
                await asyncio.sleep(dice.uniform(0, 2))
                await postgres.start()
            case _:
                await cut_connections(postgres.url)
    await healed(system)
    await asyncio.sleep(0.5)
    meta.stop.set()
    await asyncio.wait_for(asyncio.gather(*senders), HEALED)

    published = await events_in(MESSAGES)
    received = {event.wamid for event in published if isinstance(event, MessageReceived)}
    delivered = {event.wamid for event in published if isinstance(event, MessageStatusChanged)}
    assert meta.acknowledged <= received | delivered
    assert not meta.refused & received
    await within(HEALED, lambda: counts(system, headers), (len(received), len(delivered)))

    before = await dump(environment["DATABASE_URL"])
    await rebuild(system, environment["DATABASE_URL"])
    await within(HEALED, lambda: counts(system, headers), (len(received), len(delivered)))
    await within(HEALED, lambda: dump(environment["DATABASE_URL"]), before)


async def healed(system: System) -> None:
    await within(HEALED, system.ready, True)


async def within(seconds: float, look: Callable[[], Awaitable[Any]], expected: object) -> None:
    """Wait until looking gives what is expected; otherwise show what it gave."""
    deadline = time.monotonic() + seconds
    seen: object = None
    while time.monotonic() < deadline:
        try:
            seen = await look()
        except (aiohttp.ClientError, AssertionError, OSError) as error:
            seen = error
        if seen == expected:
            return
        await asyncio.sleep(0.2)
    assert seen == expected


async def counts(system: System, headers: dict[str, str]) -> tuple[int, int]:
    health = await system.get("wabus_health_projector", "/webhook/health/detailed", headers)
    window = health["wabas"][0]["counts"]["last_24h"]
    return window["received"], window["delivered"]


async def cut_connections(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    finally:
        await connection.close()


async def dump(url: str) -> dict[str, list[str]]:
    """Every row of every table that is a fold, as text."""
    connection = await asyncpg.connect(url)
    try:
        return {
            table: sorted(row[0] for row in await connection.fetch(f"SELECT {table}::text FROM {table}"))
            for table in TABLES
        }
    finally:
        await connection.close()


async def rebuild(system: System, url: str) -> None:
    """Drop the rows and the offsets, and let the projections read the log from its beginning."""
    for module in ("wabus_template_sync", "wabus_health_projector"):
        assert await system.end(module, signal.SIGTERM) == 0
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"TRUNCATE {', '.join(TABLES)}, template_accounts, template_syncs, projection_offsets")
    finally:
        await connection.close()
    for module in ("wabus_template_sync", "wabus_health_projector"):
        await system.start(module)
    await healed(system)
