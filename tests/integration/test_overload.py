"""More than the gateway can hold: it says so at once, holds no more, and goes on when Kafka does."""

import asyncio
import signal
from collections.abc import AsyncIterator

import aiohttp
import psutil
import pytest
from local_stack import free_ports
from wabus_gateway.app import GatewaySettings, create_app
from wabus_local.kafka import EmbeddedKafka
from wabus_runtime.service import serving
from wabus_runtime.settings import load
from waiting import Eventually
from webhooks import conversation, encoded, signed, text, webhook

MOST = 40
MEGABYTE = 1024 * 1024


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
async def gateway(
    environment: dict[str, str], broker: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[aiohttp.ClientSession]:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", broker.bootstrap_servers)
    monkeypatch.setenv("GATEWAY_MAX_IN_FLIGHT", str(MOST))
    monkeypatch.setattr("wabus_runtime.produce.ACK_TIMEOUT", 60.0)
    monkeypatch.setenv("GATEWAY_MAX_BYTES_IN_FLIGHT", str(3 * MEGABYTE))
    async with serving(create_app(load(GatewaySettings)), "127.0.0.1", 0) as ports:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{ports[0]}", connector=connector) as client:
            yield client


async def deliver(gateway: aiohttp.ClientSession, wamid: str, size: int = 10) -> int:
    body = encoded(webhook(conversation(messages=[text(wamid, body="x" * size)])))
    async with gateway.post("/webhooks/whatsapp", data=body, headers=signed(body)) as answer:
        return answer.status


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
