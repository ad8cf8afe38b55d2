"""Several gateways behind one port: a worker that dies is replaced, and all are drained together."""

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import aiohttp
import psutil
import pytest
from local_stack import free_ports, lives
from wabus_events import MESSAGES, Event, MessageReceived, Topic
from wabus_runtime.settings import KafkaSettings
from waiting import Eventually
from webhooks import conversation, encoded, signed, text, webhook

pytestmark = pytest.mark.long

EventsIn = Callable[[Topic], Awaitable[list[Event]]]
COUNT = 2
STARTED = 90.0  # seconds for three processes to start, where many others do too


@dataclass
class Workers:
    process: asyncio.subprocess.Process
    port: int
    own_ports: list[int]
    http: aiohttp.ClientSession

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    async def ready(self) -> bool:
        """Whether each worker answers on its own port."""
        for port in self.own_ports:
            try:
                async with self.http.get(f"http://127.0.0.1:{port}/readyz") as answer:
                    if answer.status != 200:
                        return False
            except aiohttp.ClientError:
                return False
        return True

    async def deliver(self, wamid: str) -> bool:
        """Whether a webhook was taken, on a connection of its own."""
        body = encoded(webhook(conversation(messages=[text(wamid)])))
        headers = signed(body) | {"Connection": "close"}
        try:
            url = f"http://127.0.0.1:{self.port}/webhooks/whatsapp"
            async with self.http.post(url, data=body, headers=headers) as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def in_flight(self) -> int:
        total = 0
        for port in self.own_ports:
            async with self.http.get(f"http://127.0.0.1:{port}/metrics") as answer:
                found = re.search(r"^wabus_webhooks_in_flight (\S+)$", await answer.text(), re.MULTILINE)
                total += int(float(found[1])) if found else 0
        return total


@pytest.fixture
async def workers(
    topics: KafkaSettings, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> AsyncIterator[Workers]:
    port, first = free_ports(2)
    monkeypatch.setenv("HTTP_PORT", str(port))
    arguments = ["-m", "wabus_gateway", "--workers", str(COUNT), "--worker-ports", str(first)]
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments)
    async with aiohttp.ClientSession() as http:
        started = Workers(process, port, [first + number for number in range(COUNT)], http)
        children: list[psutil.Process] = []
        try:
            async with asyncio.timeout(STARTED):
                while not await started.ready():  # noqa: ASYNC110 - until they are
                    await asyncio.sleep(0.1)
            children = started.children()
            yield started
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

            async def gone() -> bool:
                return not any(lives(child) for child in children)

            await eventually(gone)


async def test_a_worker_that_is_killed_is_replaced_while_the_others_serve(
    workers: Workers, events_in: EventsIn, eventually: Eventually
) -> None:
    before = {child.pid for child in workers.children()}
    assert len(before) == COUNT
    victim = workers.children()[0]
    victim.send_signal(signal.SIGKILL)

    async def dead() -> bool:
        return not lives(victim)

    await eventually(dead)
    sent = [f"wamid.{number}" for number in range(20)]
    taken = {wamid for wamid in sent if await workers.deliver(wamid)}
    assert len(taken) >= len(sent) - 1  # each at once, by those that live, but for one that the dead had been handed

    async def replaced() -> bool:
        now = {child.pid for child in workers.children() if lives(child)}
        return len(now) == COUNT and victim.pid not in now and await workers.ready()

    await eventually(replaced)
    assert await workers.deliver("wamid.after")
    stored = {event.wamid for event in await events_in(MESSAGES) if isinstance(event, MessageReceived)}
    assert taken | {"wamid.after"} <= stored


async def test_at_sigterm_what_is_under_way_is_answered_and_every_worker_ends(
    workers: Workers, events_in: EventsIn, eventually: Eventually
) -> None:
    body = encoded(webhook(conversation(messages=[text("wamid.A", body="x" * 40_000)])))
    fields = {"Host": "wabus", "Content-Length": str(len(body)), **signed(body)}
    lines = ["POST /webhooks/whatsapp HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    reader, writer = await asyncio.open_connection("127.0.0.1", workers.port)
    writer.write("\r\n".join([*lines, "", ""]).encode() + body[:100])

    async def under_way() -> bool:
        return await workers.in_flight() == 1

    await eventually(under_way)
    children = workers.children()
    workers.process.send_signal(signal.SIGTERM)

    async def no_longer_accepting() -> bool:
        return not await workers.deliver("wamid.late")

    await eventually(no_longer_accepting)
    writer.write(body[100:])
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()
    assert await asyncio.wait_for(workers.process.wait(), 20) == 0
    assert not any(lives(child) for child in children)
    assert "wamid.A" in {event.wamid for event in await events_in(MESSAGES) if isinstance(event, MessageReceived)}


async def test_workers_end_when_their_supervisor_is_killed(workers: Workers, eventually: Eventually) -> None:
    children = workers.children()
    workers.process.send_signal(signal.SIGKILL)

    async def gone() -> bool:
        return not any(lives(child) for child in children)

    assert await eventually(gone)
