"""Two workers with their default settings: no account is synced by both, and a killed one is taken over in time."""

import asyncio
import os
import signal
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from local_stack import free_ports
from template_world import Bearer, EventsIn, Meta, Publish, Serve, Until, all_of, connection
from wabus_events import TemplateChanged, TemplatesSynced, TemplateSyncRequested
from wabus_runtime.settings import KafkaSettings, load
from wabus_template_sync.app import TemplateSyncSettings, create_app
from waiting import Eventually

pytestmark = pytest.mark.long

pytest_plugins = ["template_world"]

TAKEN_OVER_WITHIN = 30.0  # seconds
ACCOUNTS = 12
TEMPLATES = 250
LATENCY = 0.4  # seconds of a call; an account has three pages

Process = asyncio.subprocess.Process


@pytest.fixture
async def start_worker(meta: Meta, topics: KafkaSettings) -> AsyncIterator[Callable[[int], Awaitable[Process]]]:
    """Start a worker as a process of its own, on a port."""
    processes: list[Process] = []

    async def start(port: int) -> Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "wabus_template_sync", "--role", "worker"),
            env={**os.environ, "HTTP_PORT": str(port), "LOG_LEVEL": "WARNING"},
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def metric(http: aiohttp.ClientSession, port: int, name: str) -> float:
    async with http.get(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


async def test_no_account_is_synced_by_two_at_once_and_a_killed_worker_is_taken_over_in_time_with_nothing_half_written(
    start_worker: Callable[[int], Awaitable[Process]],
    meta: Meta,
    publish: Publish,
    serve: Serve,
    bearer: Bearer,
    eventually: Eventually,
    until: Until,
    events_in: EventsIn,
) -> None:
    api = await serve(create_app(load(TemplateSyncSettings), "api"))
    made = await meta.control("POST", "/wabas", count=ACCOUNTS, templates=TEMPLATES)
    waba_ids = [waba["id"] for waba in made["wabas"]]
    await meta.control("POST", "/faults", latency_ms=int(LATENCY * 1000))
    ports = free_ports(2)
    workers = {port: await start_worker(port) for port in ports}
    clock = asyncio.get_running_loop().time

    async with aiohttp.ClientSession() as http:

        async def ready() -> bool:
            for port in ports:
                try:
                    async with http.get(f"http://127.0.0.1:{port}/readyz") as answer:
                        assert answer.status == 200, await answer.text()
                except aiohttp.ClientConnectionError:
                    return False
            return True

        await eventually(ready)
        for waba_id in waba_ids:
            about: dict[str, Any] = {"time": datetime.now(UTC), "org_id": "demo", "waba_id": waba_id}
            again = TemplateSyncRequested(id=str(uuid4()), sync_id=f"again {waba_id}", reason="manual", **about)
            await publish([*connection(made["token"], waba_id), again])

        async def at_work() -> list[int]:
            return [port for port in ports if await metric(http, port, "wabus_template_syncs_running") > 2]

        busy: Any = await eventually(at_work)
        workers[busy[0]].send_signal(signal.SIGKILL)
    killed = clock()
    unfinished = {event.waba_id for event in await all_of(events_in, TemplatesSynced)} ^ set(waba_ids)

    seen = defaultdict[str, set[int]](set)
    while True:
        status = await (await api.get("/templates/status", headers=bearer())).json()
        for account in status["accounts"]:
            seen[account["waba_id"]].add(account["total"])
        if len(status["accounts"]) == ACCOUNTS and {account["status"] for account in status["accounts"]} == {"synced"}:
            break
        assert clock() - killed < TAKEN_OVER_WITHIN, status
        await asyncio.sleep(0.1)

    assert unfinished
    assert set().union(*seen.values()) <= {0, TEMPLATES}
    added = [event.template.template_id for event in await all_of(events_in, TemplateChanged)]
    assert len(added) == len(set(added)) == ACCOUNTS * TEMPLATES
    ended = [event.sync_id for event in await until(TemplatesSynced, 2 * ACCOUNTS)]
    assert len(ended) == len(set(ended)) == 2 * ACCOUNTS
    answered = defaultdict[str, list[float]](list)
    for call in (await meta.control("GET", "/calls?path=message_templates"))["data"]:
        answered[call["path"]].append(call["at"])
    assert len(answered) == ACCOUNTS
    # A call that began before the one before it was answered would have come from another worker.
    assert min(later - earlier for times in answered.values() for earlier, later in pairwise(times)) > LATENCY * 0.9
