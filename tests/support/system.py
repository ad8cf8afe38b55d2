"""The services as processes of their own, for tests that start them, talk to them and kill them."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from local_stack import free_ports
from simulated_meta import Store, new_world
from simulated_meta.seed import DEMO_WABA
from wabus_runtime.service.deadline import STOPPED_WITHIN
from webhooks import encoded, signed

from support.meta_openapi import create_meta

Serve = Callable[[web.Application], Awaitable[TestClient[web.Request, web.Application]]]
MODULES: tuple[str, ...] = ("wabus_gateway", "wabus_template_sync", "wabus_health_projector")


@dataclass
class System:
    """The services' processes, each on a port of its own, and a client to talk to them.

    A second process of a service has a name such as `wabus_gateway:2`. `env` goes over our own environment.
    """

    http: aiohttp.ClientSession
    home: Path
    ports: dict[str, int]
    processes: dict[str, asyncio.subprocess.Process] = field(default_factory=dict[str, asyncio.subprocess.Process])
    env: dict[str, str] = field(default_factory=dict[str, str])

    def url(self, module: str, path: str) -> str:
        return f"http://127.0.0.1:{self.ports[module]}{path}"

    async def start(self, module: str, *arguments: str) -> None:
        with (self.home / f"{module}.log").open("ab") as log:
            self.processes[module] = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                module.partition(":")[0],
                *arguments,
                env={**os.environ, **self.env, "HTTP_PORT": str(self.ports[module])},
                stdout=log,
                stderr=log,
            )

    async def end(self, module: str, number: signal.Signals) -> int:
        process = self.processes[module]
        process.send_signal(number)
        return await asyncio.wait_for(process.wait(), STOPPED_WITHIN + 3)

    async def ready(self) -> bool:
        return not await self.unready()

    async def unready(self) -> dict[str, str]:
        """The processes that are not ready, each with what it says."""
        said: dict[str, str] = {}
        for module in self.ports:
            try:
                async with self.http.get(self.url(module, "/readyz")) as answer:
                    if answer.status != 200:
                        said[module] = await answer.text()
            except (aiohttp.ClientError, TimeoutError) as error:
                said[module] = type(error).__name__
        return said

    async def get(self, module: str, path: str, headers: dict[str, str]) -> Any:
        async with self.http.get(self.url(module, path), headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def deliver(self, payload: dict[str, Any]) -> int:
        """Post a signed webhook once; 0 stands for no answer."""
        body = encoded(payload)
        try:
            async with self.http.post(
                self.url("wabus_gateway", "/webhooks/whatsapp"), data=body, headers=signed(body)
            ) as answer:
                return answer.status
        except (aiohttp.ClientError, TimeoutError):
            return 0


async def wabus(*arguments: str) -> str:
    """Run the `wabus` command and return what it printed."""
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "wabus"),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, (out + err).decode()
    return out.decode().strip()


async def connect_demo() -> dict[str, str]:
    """Connect the demo organisation and return an administrator's header."""
    await wabus("connect", "--org", "demo", "--waba", DEMO_WABA, "--token", os.environ["META_TOKEN"])
    return {"Authorization": f"Bearer {await wabus('token', '--org', 'demo', '--role', 'admin')}"}


@asynccontextmanager
async def beside_meta(serve: Serve, monkeypatch: pytest.MonkeyPatch, home: Path) -> AsyncGenerator[System]:
    """A system of which nothing runs yet, beside a simulated Meta that knows where its gateway will be."""
    ports = dict(zip(MODULES, free_ports(3), strict=True))
    url = f"http://127.0.0.1:{ports['wabus_gateway']}"
    store = Store(new_world("1234567890", ["an-app-secret-for-tests"]))
    store.world.callback_url, store.world.verify_token = f"{url}/webhooks/whatsapp", "a-verify-token-for-tests"
    meta = await serve(create_meta(store, delay_scale=0.01))
    monkeypatch.setenv("META_GRAPH_URL", str(meta.make_url("")))
    monkeypatch.setenv("PUBLIC_URL", url)
    monkeypatch.setenv("META_TOKEN", next(iter(store.world.tokens)))
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:
        system = System(http, home, ports)
        async with ended(system):
            yield system


@asynccontextmanager
async def ended(system: System) -> AsyncGenerator[None]:
    """Leave no process behind, however the test ends."""
    try:
        yield
    finally:
        for process in system.processes.values():
            if process.returncode is None:
                process.kill()
                await process.wait()
