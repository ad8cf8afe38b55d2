"""What tests of connecting over HTTP have in common: a gateway, the simulated Meta, and a person's browser.

PYTEST_DONT_REWRITE: it is imported as a plugin and by name.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from local_stack import free_ports
from simulated_meta import Store, new_world
from simulated_meta.seed import DEMO_WABA
from wabus_gateway.app import GatewaySettings
from wabus_gateway.app import create_app as create_gateway
from wabus_runtime.settings import KafkaSettings, load

from support.meta_openapi import create_meta

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]
Bearer = Callable[..., dict[str, str]]
APP_SECRET = "an-app-secret-for-tests"


@dataclass
class SignUp:
    """A gateway, the simulated Meta, and a person's browser."""

    store: Store
    gateway: str
    browser: aiohttp.ClientSession
    meta: Client
    runner: web.AppRunner | None = None

    async def start(self, headers: dict[str, str]) -> str:
        """The address of Meta's dialog."""
        async with self.browser.get(f"{self.gateway}/whatsapp/connect", headers=headers) as answer:
            assert answer.status == 200
            return (await answer.json())["authorization_url"]

    async def decide(self, dialog: str, decision: str = "allow", waba: str = DEMO_WABA) -> str:
        """Where Meta sends the browser after the person has decided."""
        form = {"decision": decision, "waba": waba}
        async with self.browser.post(dialog, data=form, allow_redirects=False) as answer:
            assert answer.status == 302
            return answer.headers["Location"]

    async def visit(self, url: str) -> tuple[int, str, str]:
        """Status, text, and where a redirect points."""
        async with self.browser.get(url, allow_redirects=False) as answer:
            return answer.status, await answer.text(), answer.headers.get("Location", "")

    async def come_back(self, url: str) -> tuple[int, str, list[str]]:
        """What comes of the way back from Meta as the status page goes on with it: each account that was granted is
        connected. The status, what a person reads, and which accounts were connected.
        """
        status, text, target = await self.visit(url)
        if status != 303:
            return status, text, []
        status, found = await self.granted(target)
        if status != 200:
            return status, _words(found), []
        connected: list[str] = []
        for account in found["accounts"]:
            status, answer = await self.connect(found["setup"], account["waba_id"])
            if status != 201:
                return status, _words(answer), connected
            connected.append(account["waba_id"])
        return status, "", connected

    async def granted(self, target: str) -> tuple[int, Any]:
        """The first step after the way back, which led to `target`."""
        return await self.step("", target.removeprefix("/#setup="))

    async def connect(self, setup: str, waba_id: str) -> tuple[int, Any]:
        """The second step, for one account."""
        return await self.step(f"/{waba_id}", setup)

    async def step(self, path: str, setup: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        url = f"{self.gateway}/whatsapp/setup{path}"
        async with self.browser.post(url, json={"setup": setup}, headers=headers) as answer:
            return answer.status, await answer.json()

    async def trouble(self, **faults: Any) -> None:
        """What goes wrong at Meta from now on; nothing, if nothing is given."""
        async with self.meta.request("POST" if faults else "DELETE", "/_control/faults", json=faults) as answer:
            assert answer.status == 200

    async def replace_gateway(self) -> None:
        """End the gateway's process, so to say, and let another one answer at the same address."""
        if self.runner:
            await self.runner.cleanup()
        self.runner = web.AppRunner(create_gateway(load(GatewaySettings)), access_log=None)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", int(self.gateway.rpartition(":")[2])).start()

    async def connections(self, headers: dict[str, str]) -> list[str]:
        async with self.browser.get(f"{self.gateway}/whatsapp/connection", headers=headers) as answer:
            return [connection["waba_id"] for connection in (await answer.json())["connections"]]


def _words(problem: Any) -> str:
    return " ".join(problem.get(name, "") for name in ("title", "detail", "way_on"))


@pytest.fixture
async def world(topics: KafkaSettings, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SignUp]:
    port = free_ports(1)[0]
    url = f"http://127.0.0.1:{port}"
    store = Store(new_world("1234567890", [APP_SECRET]))
    store.world.redirect_uris = [url]
    meta = await serve(create_meta(store))
    monkeypatch.setenv("META_GRAPH_URL", str(meta.make_url("")))
    monkeypatch.setenv("PUBLIC_URL", url)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        world = SignUp(store, url, browser, meta)
        await world.replace_gateway()
        yield world
        if world.runner:
            await world.runner.cleanup()


def connected(world: SignUp, bearer: dict[str, str], waba_id: str = DEMO_WABA) -> Callable[[], Awaitable[object]]:
    async def seen() -> bool:
        return waba_id in await world.connections(bearer)

    return seen


def sign(payload: dict[str, Any], secret: str = APP_SECRET) -> str:
    encoded = (
        base64.urlsafe_b64encode(json.dumps({"algorithm": "HMAC-SHA256", **payload}).encode()).decode().rstrip("=")
    )
    signature = hmac.new(secret.encode(), encoded.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(signature).decode().rstrip("=") + "." + encoded
