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

    async def connections(self, headers: dict[str, str]) -> list[str]:
        async with self.browser.get(f"{self.gateway}/whatsapp/connection", headers=headers) as answer:
            return [connection["waba_id"] for connection in (await answer.json())["connections"]]


@pytest.fixture
async def world(topics: KafkaSettings, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SignUp]:
    port = free_ports(1)[0]
    url = f"http://127.0.0.1:{port}"
    store = Store(new_world("1234567890", [APP_SECRET]))
    store.world.redirect_uris = [url]
    meta = await serve(create_meta(store))
    monkeypatch.setenv("META_GRAPH_URL", str(meta.make_url("")))
    monkeypatch.setenv("PUBLIC_URL", url)
    runner = web.AppRunner(create_gateway(load(GatewaySettings)), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        yield SignUp(store, url, browser)
    await runner.cleanup()


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
