"""Whatever happens while Meta delivers, nothing acknowledged is lost or counted twice, and nothing refused is kept.

`make test-long` deals a few of the blows; `make chaos` deals each several times (`CHAOS_ROUNDS`), in another order each
time it runs. A failing run names its seed (`CHAOS_SEED`).
"""

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest
from blows import Blows, Stores
from healing import HEALED, ROUNDS, SEED, healed, within
from machine import Clock, Disk, Network
from system import MODULES, System, connect_demo
from traffic import Traffic
from wabus_events import MESSAGES, Event, MessageReceived, MessageStatusChanged, Topic

TABLES = (
    "waba_health",
    "webhook_health",
    "message_counts",
    "organisation_counts",
    "organisation_failures",
    "counted_messages",
    "templates",
)
READS = (("wabus_health_projector", "/webhook/health"), ("wabus_template_sync", "/templates"))

pytestmark = [pytest.mark.long, pytest.mark.timeout(180 + 40 * ROUNDS)]

EventsIn = Callable[[Topic], Awaitable[list[Event]]]


async def test_whatever_happens_every_acknowledged_fact_counts_exactly_once(
    system: System,
    stores: Stores,
    network: Network,
    disk: tuple[Path, Disk | None],
    clock: Clock,
    events_in: EventsIn,
    environment: dict[str, str],
) -> None:
    print(f"CHAOS_SEED={SEED}")
    await healed(system, stores)
    # Dice of its own: what the traffic takes from its depends on how fast answers come.
    dice = random.Random(SEED)
    headers = await connect_demo()
    traffic = Traffic(system, random.Random(SEED))
    senders = [asyncio.create_task(traffic.deliver(lane)) for lane in range(3)]
    blows, waiting = Blows(system, stores, network, disk[1], clock, dice), []
    for _ in range(ROUNDS):
        await asyncio.sleep(dice.uniform(0.1, 1))
        await stores.revive()
        waiting = waiting or blows.dealt()
        blow = waiting.pop()
        print(f"{time.monotonic():.1f} {blow.__name__}")
        await blow()
    await healed(system, stores)
    await asyncio.sleep(0.5)
    traffic.stop.set()
    await asyncio.wait_for(asyncio.gather(*senders), HEALED)
    await everything_counts_once(system, traffic, headers, events_in)

    before = await dump(environment["DATABASE_URL"])
    await rebuild(system, stores, environment["DATABASE_URL"])
    await within(HEALED, lambda: dump(environment["DATABASE_URL"]), before)


async def test_a_rolling_restart_refuses_nothing_for_good_and_a_stop_ends_in_time_whatever_is_stalled(
    system: System, stores: Stores, network: Network, events_in: EventsIn
) -> None:
    await healed(system, stores)
    headers = await connect_demo()
    traffic = Traffic(system, random.Random(SEED))
    under_way = [asyncio.create_task(traffic.deliver(lane)) for lane in range(2)]
    under_way += [asyncio.create_task(traffic.read(*where, headers)) for where in READS]
    few = ("wabus_gateway", random.Random(SEED).choice(MODULES[1:]))
    for name in list(system.ports) if ROUNDS > 9 else few:
        traffic.out_of_rotation = name
        finish = await traffic.begin(name) if name in ("wabus_gateway", "wabus_gateway:2") else None
        ending = asyncio.create_task(system.end(name, signal.SIGTERM))
        if finish:
            assert await finish() in (200, 503)
        assert await ending == 0
        await system.start(name)
        await healed(system, stores)
        traffic.out_of_rotation = None
    traffic.stop.set()
    await asyncio.wait_for(asyncio.gather(*under_way), HEALED)
    assert set(traffic.answers) <= {200, 503}
    assert traffic.answers[200] > 20
    await everything_counts_once(system, traffic, headers, events_in)

    network.kafka.stall()
    network.postgres.stall()
    # `end` waits no longer than the deadline of a stop allows.
    await asyncio.gather(*(system.end(name, signal.SIGTERM) for name in system.ports))


async def everything_counts_once(
    system: System, traffic: Traffic, headers: dict[str, str], events_in: EventsIn
) -> None:
    published = await events_in(MESSAGES)
    received = {event.wamid for event in published if isinstance(event, MessageReceived)}
    delivered = {event.wamid for event in published if isinstance(event, MessageStatusChanged)}
    assert traffic.acknowledged <= received | delivered
    assert not traffic.refused & received
    await within(HEALED, lambda: counts(system, headers), (len(received), len(delivered)))


async def counts(system: System, headers: dict[str, str]) -> tuple[int, int]:
    health = await system.get("wabus_health_projector", "/webhook/health/detailed", headers)
    window = health["wabas"][0]["counts"]["last_24h"]
    return window["received"], window["delivered"]


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


async def rebuild(system: System, stores: Stores, url: str) -> None:
    """Drop the rows and the offsets, and let the projections read the log from its beginning."""
    projecting = [name for name in system.ports if not name.startswith("wabus_gateway")]
    assert set(await asyncio.gather(*(system.end(name, signal.SIGTERM) for name in projecting))) == {0}
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"TRUNCATE {', '.join(TABLES)}, template_accounts, template_syncs, projection_offsets")
    finally:
        await connection.close()
    for name in projecting:
        await system.start(name)
    await healed(system, stores)
