"""The whole system for tests that start, stop and exchange its services themselves."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from local_stack import free_ports
from system import MODULES, System
from wabus_local.meta import Store, create_app, new_world
from wabus_runtime.settings import KafkaSettings

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]


@pytest.fixture
async def idle_system(
    topics: KafkaSettings, serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[System]:
    """A system of which nothing runs yet, on topics and a database of its own, beside a simulated Meta."""
    ports = dict(zip(MODULES, free_ports(3), strict=True))
    url = f"http://127.0.0.1:{ports['wabus_gateway']}"
    store = Store(new_world("1234567890", ["an-app-secret-for-tests"]))
    store.world.callback_url, store.world.verify_token = f"{url}/webhooks/whatsapp", "a-verify-token-for-tests"
    meta = await serve(create_app(store, delay_scale=0.01))
    monkeypatch.setenv("META_GRAPH_URL", str(meta.make_url("")))
    monkeypatch.setenv("PUBLIC_URL", url)
    monkeypatch.setenv("META_TOKEN", next(iter(store.world.tokens)))
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:
        system = System(http, tmp_path, ports)
        try:
            yield system
        finally:
            for process in system.processes.values():
                if process.returncode is None:
                    process.kill()
                    await process.wait()
