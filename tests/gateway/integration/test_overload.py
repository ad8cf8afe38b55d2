"""More than the gateway can hold: it says so at once, holds no more, and goes on when Kafka does."""

import asyncio
import signal
from collections.abc import AsyncIterator
from dataclasses import replace

import aiohttp
import psutil
import pytest
from local_stack import free_ports
from wabus_gateway.app import GatewaySettings, create_app
from wabus_local.kafka import EmbeddedKafka
from wabus_runtime.kafka.publisher import Patience
from wabus_runtime.service.process import serving
from wabus_runtime.settings import load
from waiting import Eventually
from webhooks import conversation, encoded, signed, text, webhook

MOST = 40
MEGABYTE = 1024 * 1024
PATIENT = Patience(publish=60.0, acknowledge=60.0, stalled=60.0)


@pytest.fixture
async def broker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedKafka]:
    """One that a test may halt."""
    port, controller_port = free_ports(2)
    started = EmbeddedKafka(tmp_path_factory.mktemp("kafka"), port, controller_port=controller_port)
    await started.start(120)
    yield started
    halt(started, signal.SIGCONT)
    await started.stop()


def halt(broker: EmbeddedKafka, number: signal.Signals = signal.SIGSTOP) -> None:
    assert broker.child is not None
    psutil.Process(broker.child.pid).send_signal(number)


@pytest.fixture
def patience() -> Patience:
    return PATIENT


@pytest.fixture
async def gateway(
    environment: dict[str, str], broker: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch, patience: Patience
) -> AsyncIterator[aiohttp.ClientSession]:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", broker.bootstrap_servers)
    monkeypatch.setenv("GATEWAY_MAX_IN_FLIGHT", str(MOST))
    monkeypatch.setenv("GATEWAY_MAX_BYTES_IN_FLIGHT", str(3 * MEGABYTE))
    async with serving(create_app(load(GatewaySettings), patience=patience), "127.0.0.1", 0) as ports:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{ports[0]}", connector=connector) as client:
            yield client


async def deliver(gateway: aiohttp.ClientSession, wamid: str, size: int = 10) -> int:
    body = encoded(webhook(conversation(messages=[text(wamid, body="x" * size)])))
    async with gateway.post("/webhooks/whatsapp", data=body, headers=signed(body)) as answer:
        return answer.status


@pytest.mark.long
@pytest.mark.parametrize(("size", "most", "beyond"), [(10, MOST, 30), (MEGABYTE, 2, 3)], ids=["webhooks", "bytes"])
async def test_beyond_its_capacity_it_answers_503_at_once_and_afterwards_serves_again(
    gateway: aiohttp.ClientSession, broker: EmbeddedKafka, eventually: Eventually, size: int, most: int, beyond: int
) -> None:
    assert await deliver(gateway, "wamid.before") == 200
    halt(broker)
    left = {asyncio.create_task(deliver(gateway, f"wamid.{number}", size)) for number in range(most + beyond)}
    refused: list[int] = []
    async with asyncio.timeout(30):
        while len(refused) < beyond:
            done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
            refused += [task.result() for task in done]
    # While the others still wait for Kafka: that is what "at once" means.
    assert refused == [503] * beyond
    assert len(left) == most
    halt(broker, signal.SIGCONT)
    assert set(await asyncio.gather(*left)) == {200}

    async def taken() -> bool:
        return await deliver(gateway, "wamid.after", size) == 200

    assert await eventually(taken)


@pytest.mark.long
@pytest.mark.parametrize("patience", [replace(PATIENT, stalled=3.0)])
async def test_when_kafka_is_silent_nothing_more_is_let_in_to_wait(
    gateway: aiohttp.ClientSession, broker: EmbeddedKafka, eventually: Eventually
) -> None:
    assert await deliver(gateway, "wamid.before") == 200
    halt(broker)
    waiting = [asyncio.create_task(deliver(gateway, "wamid.first"))]

    async def refused() -> bool:
        another = asyncio.create_task(deliver(gateway, "wamid.more"))
        done, _ = await asyncio.wait([another], timeout=0.2)
        if not done:
            waiting.append(another)
        return bool(done) and another.result() == 503

    assert await eventually(refused)
    # "At once": while what came before still waits.
    assert [await deliver(gateway, f"wamid.{number}") for number in range(20)] == [503] * 20
    assert not any(task.done() for task in waiting)
    halt(broker, signal.SIGCONT)
    assert set(await asyncio.gather(*waiting)) == {200}


@pytest.mark.long
@pytest.mark.parametrize("size", [10, MEGABYTE // 2], ids=["plain", "large"])
async def test_what_kafka_does_not_take_in_time_is_answered_503_and_can_be_delivered_again(
    environment: dict[str, str],
    broker: EmbeddedKafka,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
    size: int,
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", broker.bootstrap_servers)
    in_a_hurry = Patience(publish=1.0, acknowledge=120.0, stalled=120.0)
    async with (
        serving(create_app(load(GatewaySettings), patience=in_a_hurry), "127.0.0.1", 0) as ports,
        aiohttp.ClientSession(f"http://127.0.0.1:{ports[0]}") as client,
    ):

        async def taken() -> bool:
            return await deliver(client, "wamid.A", size) == 200

        assert await eventually(taken)
        halt(broker)
        async with asyncio.timeout(60):  # Kafka itself would be waited for twice as long
            answers = await asyncio.gather(*(deliver(client, f"wamid.{number}", size) for number in range(5)))
        assert set(answers) == {503}
        halt(broker, signal.SIGCONT)
        assert await eventually(taken)
