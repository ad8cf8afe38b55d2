"""Three brokers as in production: what was acknowledged outlives each of them, in its order and once, and all goes on.

`make test` halts one, kills one and restarts one; `make chaos` rolls all of them, and takes two away at once.
"""

import asyncio
import os
import secrets
import signal
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from cluster import Cluster
from local_stack import free_ports
from system import MODULES, Serve, System, beside_meta, connect_demo
from wabus_events import MESSAGES, TEMPLATES, Event, MessageReceived, TemplatesSynced, Topic
from wabus_local.postgres import EmbeddedPostgres
from wabus_runtime.kafka.clients import client_options, topic_name
from wabus_runtime.settings import KafkaSettings
from waiting import Eventually
from webhooks import conversation, text, webhook

ALL = int(os.environ.get("CHAOS_ROUNDS", "3")) > 9
SENDERS = 6
BACK_WITHIN = 20.0  # seconds; on a quiet machine it is 1 to 3 after the first 503

pytestmark = pytest.mark.timeout(300)

EventsIn = Callable[[Topic], Awaitable[list[Event]]]


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("kafka"))
    asyncio.run(cluster.start())
    yield cluster
    asyncio.run(cluster.end())


@pytest.fixture(scope="module")
def postgres() -> Iterator[EmbeddedPostgres]:
    """One of these tests' own, for this folder's is killed again and again."""
    with tempfile.TemporaryDirectory(prefix="wabus-brokers-", ignore_cleanup_errors=True) as home:
        embedded = EmbeddedPostgres(Path(home), free_ports(1)[0], secrets.token_hex(16), durable=False)
        asyncio.run(embedded.start(60))
        yield embedded
        asyncio.run(embedded.stop())


@pytest.fixture
def environment(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("TOPIC_REPLICATION", "3")
    return environment | {"TOPIC_REPLICATION": "3"}


@pytest.fixture
async def system(
    topics: KafkaSettings, serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, eventually: Eventually
) -> AsyncIterator[System]:
    async with beside_meta(serve, monkeypatch, tmp_path) as system:
        for module in MODULES:
            await system.start(module)
        await eventually(system.ready)
        yield system


class Load:
    """Messages of several senders at once, every third webhook with several of them. Nothing is delivered again."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._stop = asyncio.Event()
        self.delivered: list[tuple[str, str, int]] = []
        """Sender, message and answer, in the order of the sender's messages."""
        self.answers: Counter[int] = Counter()
        self._lanes = [asyncio.create_task(self._deliver(lane)) for lane in range(SENDERS)]

    async def end(self) -> None:
        self._stop.set()
        await asyncio.gather(*self._lanes)

    async def answered(self, status: int) -> float:
        """Seconds until this is answered to what is delivered from now on."""
        begun, before = time.monotonic(), self.answers[status]
        # What is under way now was delivered before.
        while self.answers[status] <= before + SENDERS:
            assert time.monotonic() - begun < BACK_WITHIN, f"no {status} within {BACK_WITHIN} s: {self.answers}"
            await asyncio.sleep(0.02)
        return time.monotonic() - begun

    async def _deliver(self, lane: int) -> None:
        moment, number = str(int(time.time())), 0
        while not self._stop.is_set():
            number += 1
            parts = 4 if number % 3 == 0 else 1
            told = [(f"1650{lane}{part}", f"wamid.{lane}.{number}.{part}") for part in range(parts)]
            messages = [{**text(wamid, sender=sender), "timestamp": moment} for sender, wamid in told]
            status = await self._system.deliver(webhook(conversation(messages=messages)))
            self.answers[status] += 1
            self.delivered += [(sender, wamid, status) for sender, wamid in told]
            await asyncio.sleep(0.02)


async def test_topics_acknowledge_nothing_on_one_replica_alone(topics: KafkaSettings, eventually: Eventually) -> None:
    admin = AIOKafkaAdminClient(**client_options(topics))
    await admin.start()
    wanted = ConfigResource(ConfigResourceType.TOPIC, topic_name(topics, MESSAGES), {"min.insync.replicas": ""})

    async def told() -> list[tuple[str, str]]:
        """Nothing from a broker that has not heard of the topic yet."""
        answers: list[Any] = await admin.describe_configs([wanted])
        ((*_, entries),) = answers[0].resources
        return [(name, value) for name, value, *_ in entries]

    try:
        assert await eventually(told) == [("min.insync.replicas", "2")]
    finally:
        await admin.close()


async def test_brokers_that_hang_die_and_restart_lose_and_repeat_nothing_and_the_workers_go_on(
    system: System, kafka: Cluster, topics: KafkaSettings, events_in: EventsIn, eventually: Eventually
) -> None:
    messages = topic_name(topics, MESSAGES)

    async def whole() -> bool:
        return await kafka.in_sync(messages)

    headers = await connect_demo()
    load = Load(system)
    await load.answered(200)
    hanging = await kafka.coordinator(f"{topics.topic_prefix}template-sync-projection")
    kafka.halt(hanging)
    await load.answered(503)
    print(f"while broker {hanging} hangs webhooks are taken again in 2 s and {await load.answered(200):.1f} s")
    kafka.halt(hanging, signal.SIGCONT)
    await eventually(whole)

    # It leads some partitions of every topic too.
    killed = await kafka.coordinator(f"{topics.topic_prefix}health-projector")
    await kafka.nodes[killed].kill()
    await load.answered(503)
    print(f"after the death of broker {killed} webhooks are taken again in 2 s and {await load.answered(200):.1f} s")
    async with system.http.post(system.url("wabus_template_sync", "/templates/sync"), headers=headers) as answer:
        assert answer.status == 202, await answer.text()
    await kafka.nodes[killed].start()
    await eventually(whole)

    before = load.answers.copy()
    for node in kafka.nodes if ALL else [killed % 3 + 1]:
        await kafka.nodes[node].stop(30)
        await load.answered(200)
        await kafka.nodes[node].start()
        await eventually(whole)
    rolling = load.answers - before
    assert set(rolling) <= {200, 503}
    assert rolling[503] <= rolling[200] / 10

    await load.end()
    await everything_is_there_once(load, system, headers, events_in, eventually)
    listed = await system.get("wabus_template_sync", "/templates", headers)

    async def synced_again() -> bool:
        return sum(isinstance(event, TemplatesSynced) for event in await events_in(TEMPLATES)) >= 2

    await eventually(synced_again)
    assert await system.get("wabus_template_sync", "/templates", headers) == listed


@pytest.mark.skipif(not ALL, reason="takes too long for `make test`: `make chaos` runs it")
async def test_with_one_broker_of_three_nothing_is_acknowledged(
    system: System, kafka: Cluster, topics: KafkaSettings, events_in: EventsIn, eventually: Eventually
) -> None:
    headers = await connect_demo()
    load = Load(system)
    await load.answered(200)
    await asyncio.gather(*(kafka.nodes[node].kill() for node in (1, 2)))
    await load.answered(503)
    taken = load.answers[200]
    await load.answered(503)
    assert load.answers[200] == taken
    await asyncio.gather(*(kafka.nodes[node].start() for node in (1, 2)))
    print(f"with two brokers more webhooks are taken again in {await load.answered(200):.1f} s")
    await load.end()
    await everything_is_there_once(load, system, headers, events_in, eventually)


async def everything_is_there_once(
    load: Load, system: System, headers: dict[str, str], events_in: EventsIn, eventually: Eventually
) -> None:
    print(f"answers: {load.answers}")
    published = [event for event in await events_in(MESSAGES) if isinstance(event, MessageReceived)]
    # What was refused may be there too: each webhook was delivered once.
    assert max(Counter(event.wamid for event in published).values()) == 1
    for sender in {sender for sender, _, _ in load.delivered}:
        acknowledged = [wamid for one, wamid, status in load.delivered if one == sender and status == 200]
        there = [event.wamid for event in published if event.contact == sender]
        assert [wamid for wamid in there if wamid in set(acknowledged)] == acknowledged

    async def all_counted() -> bool:
        health = await system.get("wabus_health_projector", "/webhook/health/detailed", headers)
        counted = health["wabas"][0]["counts"]["last_24h"]["received"]
        assert counted == len(published)
        return True

    await eventually(all_counted)
