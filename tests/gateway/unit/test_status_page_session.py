"""The pages as they are served: what the browser is allowed, how much they load, and who gets a session."""

import asyncio
import gzip
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from posixpath import normpath
from typing import Any

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from wabus_gateway.api.status_page import PAGES, UiSettings, canonical_address, install_ui, is_at_this_machine
from wabus_pages.assets import Assets, read_assets
from wabus_runtime.http.answers import problems

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]

SECRET = "a-secret-of-at-least-32-characters-for-tests"
FIRST_LOAD_MAX = {"status": 60_000, "inbox": 80_000, "insights": 50_000}  # bytes, compressed


def settings(**changes: Any) -> UiSettings:
    given = {
        "meta_app_id": "1234567890",
        "meta_app_secrets": "an-app-secret-for-tests",
        "meta_verify_token": "a-verify-token-for-tests",
        "public_url": "http://127.0.0.1:8080",
        "jwt_secret": SECRET,
    }
    return UiSettings.model_validate(given | changes)


@pytest.fixture
def page(serve: Serve) -> Callable[..., Awaitable[Client]]:
    async def start(**changes: Any) -> Client:
        app = web.Application(middlewares=[problems])
        install_ui(app, settings(**changes))
        return await serve(app)

    return start


async def test_the_page_and_its_parts_are_served_under_a_strict_policy(page: Callable[..., Awaitable[Client]]) -> None:
    client = await page()

    for path in (*PAGES, *(f"/ui/{name}" for name in read_assets().files)):
        async with client.get(path) as answer:
            policy = answer.headers["Content-Security-Policy"].split("; ")
            assert answer.status == 200
            assert policy[0] == "default-src 'none'"
            assert {"script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"} <= {*policy}
            assert "unsafe" not in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "no-referrer"


async def test_a_file_that_has_not_changed_is_not_sent_again(page: Callable[..., Awaitable[Client]]) -> None:
    client = await page()

    async with client.get("/ui/status/app.js") as first:
        tag = first.headers["ETag"]
    async with client.get("/ui/status/app.js", headers={"If-None-Match": tag}) as again:
        assert (again.status, again.headers["ETag"], await again.read()) == (304, tag, b"")
    async with client.get("/ui/status/app.js", headers={"If-None-Match": 'W/"another"'}) as changed:
        assert changed.status == 200


async def test_files_are_sent_compressed_to_those_who_can_read_that(page: Callable[..., Awaitable[Client]]) -> None:
    client = await page()

    async with client.get("/ui/shared/base.css", headers={"Accept-Encoding": "gzip"}) as small:
        assert (small.headers["Content-Encoding"], small.headers["Vary"]) == ("gzip", "Accept-Encoding")
        compressed = await small.text()
    async with client.get("/ui/shared/base.css", headers={"Accept-Encoding": "identity"}) as plain:
        assert "Content-Encoding" not in plain.headers
        assert await plain.text() == compressed


@pytest.mark.parametrize(
    "name",
    [
        "../assets.py",
        "..%2fassets.py",
        "%2e%2e/app.py",
        "assets.py",
        "status",
        "status/nothing.js",
        "status/../assets.py",
        "shared/..%2fassets.py",
        "shared/__init__.py",
        ".",
    ],
)
async def test_nothing_but_the_pages_own_files_can_be_had(page: Callable[..., Awaitable[Client]], name: str) -> None:
    client = await page()

    async with client.get(f"/ui/{name}") as answer:
        assert answer.status == 404


def asked_for(assets: Assets, page: str) -> set[str]:
    """The files that a browser asks for when it opens a page for the first time."""
    html = assets.files[f"{page}/index.html"].plain.decode()
    return set(re.findall(rf'(?:href|src)="/ui/{assets.release}/(\w+/[\w.]+)"', html)) | {f"{page}/index.html"}


@pytest.mark.parametrize("page", PAGES.values())
def test_a_first_load_is_small(page: str) -> None:
    assets = read_assets()
    asked = asked_for(assets, page)

    assert {f"{page}/app.js", "shared/base.css", f"{page}/{page}.css", "shared/icon.svg"} <= asked
    assert sum(len(assets.files[name].compressed) for name in asked) < FIRST_LOAD_MAX[page]
    assert all(gzip.decompress(asset.compressed) == asset.plain for asset in assets.files.values())


def test_comments_are_not_sent_and_all_else_is_in_its_line() -> None:
    for name, asset in read_assets().files.items():
        if not name.endswith((".js", ".css")):
            continue
        source = files("wabus_pages").joinpath(name).read_text().split("\n")
        sent = asset.plain.decode().split("\n")
        assert len(sent) == len(source), name
        for line, was in zip(sent, source, strict=True):
            assert line == was or (not line and was.strip().startswith(("//", "/*", "*"))), f"{name}: {was}"


@pytest.mark.parametrize("page", PAGES.values())
def test_the_page_holds_no_script_or_style_and_asks_nobody_else(page: str) -> None:
    assets = {name: asset.plain.decode() for name, asset in read_assets().files.items()}
    html = assets[f"{page}/index.html"]

    assert re.findall(r"<script(?![^>]*\bsrc=)", html) == []
    assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:", html) == []
    for name, text in assets.items():
        namespaces = text.replace("http://www.w3.org/2000/svg", "")
        assert re.findall(r"(?:https?:)?//[a-z0-9-]+\.[a-z]{2,}", namespaces) == [], name
    assert [
        name for name, text in assets.items() if re.search(r"innerHTML|outerHTML|insertAdjacent|eval\(", text)
    ] == []


@pytest.mark.parametrize("page", PAGES.values())
def test_every_module_is_loaded_ahead(page: str) -> None:
    assets = read_assets()

    found, looked_at = {f"{page}/app.js"}, set[str]()
    while more := found - looked_at:
        for name in more:
            looked_at.add(name)
            text = assets.files[name].plain.decode()
            imported = re.findall(r'from "(\.{1,2}/[\w./]+\.js)"', text)
            found |= {normpath(f"{name.partition('/')[0]}/{each}") for each in imported}

    assert {name for name in asked_for(assets, page) if name.endswith(".js")} == found | {"shared/again.js"}


async def test_a_page_that_is_opened_again_asks_for_nothing_that_it_has(page: Callable[..., Awaitable[Client]]) -> None:
    client, release = await page(), read_assets().release

    async with client.get("/") as answer:
        assert answer.headers["Cache-Control"] == "no-cache"
        assert f'src="/ui/{release}/status/app.js"' in await answer.text()
    async with client.get(f"/ui/{release}/status/app.js") as answer:
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    async with client.get("/ui/another/status/app.js") as answer:
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-cache")


async def test_a_person_at_this_machine_is_an_administrator_of_the_local_organisation(
    page: Callable[..., Awaitable[Client]],
) -> None:
    client = await page(ui_local_org="demo")

    async with client.get("/ui/session") as answer:
        claims = jwt.decode((await answer.json())["token"], SECRET, algorithms=["HS256"])
        assert answer.headers["Cache-Control"] == "private, no-store"
    left = datetime.fromtimestamp(claims["exp"], UTC) - datetime.now(UTC)
    assert (claims["orgId"], claims["role"]) == ("demo", "admin")
    assert timedelta(minutes=59) < left <= timedelta(hours=1)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "wabus.example"},
        {"Host": "127.0.0.1.nip.example:8080"},
        {"Host": "localhost.example"},
        {"Host": "localhost@wabus.example"},
        {"Host": "10.0.0.1"},
        {"X-Forwarded-For": "203.0.113.9"},
        {"Forwarded": "for=203.0.113.9"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_a_request_that_may_come_from_elsewhere_gets_no_session(
    page: Callable[..., Awaitable[Client]], headers: dict[str, str]
) -> None:
    client = await page(ui_local_org="demo")

    async with client.get("/ui/session", headers=headers) as answer:
        assert answer.status == 403
        assert "token" not in await answer.text()


async def test_a_stranger_behind_a_tunnel_is_no_administrator(page: Callable[..., Awaitable[Client]]) -> None:
    client = await page(ui_local_org="demo", public_url="https://wabus.example")

    async with client.get("/ui/session", headers={"Host": "localhost:8080"}) as answer:
        assert answer.status == 403
        assert "token" not in await answer.text()


async def test_there_is_no_session_for_who_does_not_say_which_host_they_mean(
    page: Callable[..., Awaitable[Client]],
) -> None:
    client = await page(ui_local_org="demo")

    reader, writer = await asyncio.open_connection(client.server.host, client.server.port)
    writer.write(b"GET /ui/session HTTP/1.0\r\n\r\n")
    answer = await reader.read()
    writer.close()
    assert b" 403 " in answer.splitlines()[0]
    assert b"token" not in answer


async def test_there_is_no_session_without_a_local_organisation(page: Callable[..., Awaitable[Client]]) -> None:
    client = await page()

    async with client.get("/ui/session") as answer:
        assert answer.status == 404


@pytest.mark.parametrize(
    ("peer", "host", "local"),
    [
        ("127.0.0.1", "localhost:8080", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("::1", "[::1]:8080", True),
        ("::ffff:127.0.0.1", "localhost", True),
        ("192.168.1.7", "localhost", False),
        (None, "localhost", False),
        ("127.0.0.1", "", False),
        ("127.0.0.1", "[::1", False),
    ],
)
def test_both_ends_must_be_on_this_machine(peer: str | None, host: str, local: bool) -> None:
    assert is_at_this_machine(peer, host, set()) is local


def test_only_another_name_of_this_machine_is_sent_to_the_address_that_sign_ups_come_back_to() -> None:
    assert canonical_address("localhost:8080", "http://127.0.0.1:8080") == "http://127.0.0.1:8080"
    assert canonical_address("127.0.0.1:8080", "http://127.0.0.1:8080") is None
    assert canonical_address("localhost:9999", "http://127.0.0.1:8080") is None
    assert canonical_address("[::1", "http://127.0.0.1:8080") is None
    assert canonical_address("wabus.example:8080", "http://127.0.0.1:8080") is None
    assert canonical_address("localhost:8080", "https://wabus.example") is None
