"""Attacks on connecting: states, redirects, headers, bodies, markup and what could give a secret away."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from http.cookies import Morsel
from itertools import product
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import ClientResponse
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sign_up import APP_SECRET, Bearer, Serve, SignUp, connected, sign
from simulated_meta.seed import DEMO_WABA, new_waba
from wabus_gateway.app import GatewaySettings, create_app
from wabus_gateway.worker import oauth
from wabus_gateway.worker.connect import ConnectSettings
from wabus_runtime.credentials.sealing import Keyring
from wabus_runtime.settings import KafkaSettings, load
from waiting import Eventually

pytest_plugins = ["sign_up"]

CALLBACK = "/whatsapp/callback"


async def come_back(world: SignUp, state: str, cookie: str | None, code: str = "x") -> int:
    """The status of the way back and the step after it, in a browser that has this cookie alone."""
    world.browser.cookie_jar.clear()
    cookies = {} if cookie is None else {"Cookie": f"wabus_connect={cookie}"}
    async with world.browser.get(
        f"{world.gateway}{CALLBACK}", params={"state": state, "code": code}, headers=cookies, allow_redirects=False
    ) as answer:
        status, target = answer.status, answer.headers.get("Location", "")
    return (await world.step("", target.removeprefix("/#setup="), cookies))[0] if status == 303 else status


def one_cookie(answer: ClientResponse) -> Morsel[str]:
    """The one cookie that an answer sets."""
    [morsel] = answer.cookies.values()
    return morsel


async def begun(world: SignUp, headers: dict[str, str]) -> tuple[str, str]:
    """State and cookie of a new sign-up."""
    async with world.browser.get(f"{world.gateway}/whatsapp/connect", headers=headers) as answer:
        dialog = (await answer.json())["authorization_url"]
        return parse_qs(urlsplit(dialog).query)["state"][0], one_cookie(answer).value


async def raw(world: SignUp, request: bytes) -> bytes:
    """What comes for these very bytes, until the connection is closed."""
    parts = urlsplit(world.gateway)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(request)
    try:
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


async def choosing(world: SignUp, bearer: Bearer, name: str = "Second") -> dict[str, Any]:
    """What is offered to somebody who gave access to two accounts."""
    second = new_waba(world.store.world, name=name)
    back = await world.decide(await world.start(bearer()))
    next(iter(world.store.world.codes.values())).waba_ids = [DEMO_WABA, second.id]
    status, found = await world.granted((await world.visit(back))[2])
    assert status == 200
    return found


async def test_a_used_state_stays_used_however_it_is_written_and_whatever_the_browser_keeps(
    world: SignUp, bearer: Bearer
) -> None:
    state, cookie = await begun(world, bearer())
    assert await come_back(world, state, cookie) == 422
    assert await come_back(world, state, cookie) == 410
    head, last = state[:-1], state[-1]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twins = [head + alphabet[alphabet.index(last) ^ bit] for bit in (1, 2, 3)]
    for written in (state + "=", state + "!", head + "\n" + last, state + "====", *twins):
        assert await come_back(world, written, cookie) in (403, 410), written


async def test_a_state_ends_after_ten_minutes(world: SignUp) -> None:
    settings = load(ConnectSettings)
    for age, status in ((oauth.STATE_LIFETIME.total_seconds() + 1, 410), (60, 422)):
        then = datetime.fromtimestamp(datetime.now(UTC).timestamp() - age, UTC)
        pending = oauth.begin(org_id="demo", subject="", cookie="a-cookie", now=then)
        assert await come_back(world, pending.seal(Keyring(settings)), "a-cookie") == status


async def test_a_state_belongs_to_its_browser_and_to_nothing_else_that_we_sealed(world: SignUp, bearer: Bearer) -> None:
    mine, cookie = await begun(world, bearer())
    theirs, their_cookie = await begun(world, bearer("other"))
    receipt = Keyring(load(ConnectSettings)).seal_text(json.dumps({"org_id": "demo"}), purpose="data deletion")

    assert await come_back(world, theirs, cookie) == 403
    assert await come_back(world, mine, their_cookie) == 403
    assert await come_back(world, mine, None) == 403
    assert await come_back(world, receipt, cookie) == 403
    assert await come_back(world, mine, cookie) == 422
    no_text = b"Host: a\r\nConnection: close\r\nCookie: wabus_connect=\xff\r\n\r\n"
    answer = await raw(world, f"GET {CALLBACK}?state={theirs}&code=x HTTP/1.1\r\n".encode() + no_text)
    assert answer.startswith(b"HTTP/1.1 403 ")


async def test_a_choice_counts_in_its_own_browser_and_only_after_consent(world: SignUp, bearer: Bearer) -> None:
    first, cookie = await begun(world, bearer())
    own = {"Cookie": f"wabus_connect={cookie}"}
    assert (await world.step("", first, own))[0] == 410
    assert (await world.step(f"/{DEMO_WABA}", first, own))[0] == 410
    world.browser.cookie_jar.clear()
    found = await choosing(world, bearer)
    kept = [cookie.value for cookie in world.browser.cookie_jar]
    world.browser.cookie_jar.clear()
    for foreign in ({}, own, {"Cookie": "wabus_connect=x"}, bearer()):
        status, problem = await world.step(f"/{DEMO_WABA}", found["setup"], foreign)
        assert (status, problem["code"]) == (403, "sign_up_not_ours")
    again = {"Cookie": f"wabus_connect={kept[0]}"}
    assert (await world.step(f"/{DEMO_WABA}", found["setup"], again))[0] == 201


async def test_another_site_cannot_make_a_browser_go_on_with_a_sign_up(world: SignUp, bearer: Bearer) -> None:
    found = await choosing(world, bearer)
    url, body = f"{world.gateway}/whatsapp/setup/{DEMO_WABA}", json.dumps({"setup": found["setup"]})
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        async with world.browser.post(url, data=body, headers={"Content-Type": kind}) as answer:
            assert answer.status == 415
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    async with world.browser.options(url, headers=asked) as answer:
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
    assert await world.connections(bearer()) == []


async def test_no_request_says_where_a_browser_is_sent(world: SignUp, bearer: Bearer) -> None:
    evil = "https://evil.example/"
    asked = {"redirect_uri": evil, "return_to": evil, "next": evil, "url": evil}
    told = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    async with world.browser.get(
        f"{world.gateway}/whatsapp/connect", params=asked, headers={**bearer(), **told}
    ) as answer:
        dialog = (await answer.json())["authorization_url"]
    assert parse_qs(urlsplit(dialog).query)["redirect_uri"] == [f"{world.gateway}{CALLBACK}"]
    assert "evil" not in dialog
    _, _, target = await world.visit(
        await world.decide(dialog) + "&redirect_uri=https%3A%2F%2Fevil.example&next=//evil"
    )
    assert target.startswith("/#setup=")
    assert "evil" not in target


async def test_the_end_of_a_line_in_a_query_makes_no_header(world: SignUp) -> None:
    targets = (
        "/?a=%0d%0aSet-Cookie:%20evil=1",
        "/whatsapp/callback?state=%0d%0aSet-Cookie:%20evil=1&code=x",
        "/whatsapp/callback?error=%0d%0a%0d%0a<script>alert(1)</script>",
        "/whatsapp/data-deletion?receipt=%0d%0aSet-Cookie:%20evil=1",
        "/webhooks/whatsapp?hub.mode=%0d%0aSet-Cookie:%20evil=1",
    )
    port = urlsplit(world.gateway).port
    for target, host in product(targets, (f"127.0.0.1:{port}", f"localhost:{port}")):
        answer = await raw(world, f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 307", b"HTTP/1.1 4")), target
        assert b"\nset-cookie: evil" not in head.lower()
        assert b"<script>alert" not in body


async def test_a_body_too_large_or_unreadable_is_refused(world: SignUp, bearer: Bearer) -> None:
    form = "application/x-www-form-urlencoded"

    async def status(path: str, data: Any, kind: str = form) -> int:
        headers = {**bearer(), "Content-Type": kind}
        async with world.browser.post(f"{world.gateway}/whatsapp/{path}", data=data, headers=headers) as answer:
            return answer.status

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"a" * 1024

    unreadable = (b"state=\xff\xfe", b"%ff%fe=1", b"[" * 60_000, b"\x00", b"&" * 60_000)
    multipart = b'--x\r\nContent-Disposition: form-data; name="a"; filename="b"\r\n\r\nc\r\n--x--'
    for path in ("connect", "setup", "setup/1", "deauthorize", "data-deletion"):
        assert await status(path, b"a" * 70_000) == 413
        assert await status(path, endless()) == 413
        for data, kind in product(unreadable, (form, f"{form}; charset=nonsense")):
            expected = (400, 403) if path in ("deauthorize", "data-deletion") else (415,)
            assert await status(path, data, kind) in expected
        assert await status(path, multipart, "multipart/form-data; boundary=x") == 415


@pytest.mark.long
async def test_a_body_that_never_ends_is_given_up(world: SignUp) -> None:
    parts = urlsplit(world.gateway)

    async def first_line(path: str) -> bytes:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        head = f"POST /whatsapp/{path} HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n"
        writer.write(f"{head}Content-Type: application/x-www-form-urlencoded\r\n\r\nstate=".encode())
        try:
            return await asyncio.wait_for(reader.readline(), 60)
        finally:
            writer.close()

    lines = await asyncio.gather(*(first_line(path) for path in ("setup", "deauthorize", "data-deletion")))
    assert lines == [b"HTTP/1.1 408 Request Timeout\r\n"] * 3


async def test_no_page_on_the_way_back_can_be_framed_or_run_anything(world: SignUp, bearer: Bearer) -> None:
    denied = await world.decide(await world.start(bearer()), "deny")
    for url, status in ((denied, 403), (denied, 410), (f"{world.gateway}{CALLBACK}?state=forged", 403)):
        async with world.browser.get(url, allow_redirects=False) as answer:
            policy = answer.headers["Content-Security-Policy"].split("; ")
            assert answer.status == status
            assert {"default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"} <= {
                *policy
            }
            assert "script-src" not in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Frame-Options"] == "DENY"
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert answer.headers["Cache-Control"] == "no-store"


async def test_the_cookie_is_for_this_way_alone(world: SignUp, bearer: Bearer) -> None:
    async with world.browser.get(f"{world.gateway}/whatsapp/connect", headers=bearer()) as answer:
        morsel = one_cookie(answer)
    assert (morsel["samesite"], morsel["httponly"], morsel["max-age"]) == ("Lax", True, "600")


async def test_over_tls_no_other_host_of_the_domain_can_plant_the_cookie(
    topics: KafkaSettings, serve: Serve, bearer: Bearer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUBLIC_URL", "https://wabus.example.com")
    gateway = await serve(create_app(load(GatewaySettings)))

    async with gateway.get("/whatsapp/connect", headers=bearer()) as answer:
        [(name, morsel)] = answer.cookies.items()
        state = parse_qs(urlsplit((await answer.json())["authorization_url"]).query)["state"][0]
    assert name.startswith("__Host-wabus_connect_")
    assert (morsel["secure"], morsel["path"], morsel["domain"]) == (True, "/", "")

    planted = {"Cookie": f"wabus_connect={morsel.value}"}
    async with gateway.get(CALLBACK, params={"state": state, "code": "x"}, headers=planted) as answer:
        assert answer.status == 403
    own = {"Cookie": f"{name}={morsel.value}"}
    async with gateway.get(CALLBACK, params={"state": state, "error": "access_denied"}, headers=own) as answer:
        assert (answer.status, "consent" in await answer.text()) == (403, True)
        deleted = answer.headers["Set-Cookie"]
    assert deleted.startswith(f"{name}=")
    assert {"Secure", "Path=/", "Max-Age=0"} <= {*deleted.split("; ")}


async def test_who_has_no_access_to_an_account_learns_nothing_of_whose_it_is(
    world: SignUp, bearer: Bearer, eventually: Eventually
) -> None:
    await world.come_back(await world.decide(await world.start(bearer())))
    await eventually(connected(world, bearer()))
    own = new_waba(world.store.world)
    unknown = "900000000000009"

    async def attempt(waba_id: str) -> dict[str, Any]:
        await world.decide(await world.start(bearer("other")), waba=own.id)
        code = list(world.store.world.codes.values())[-1]
        code.redirect_uri = ""
        signup = {"code": code.value, "waba_id": waba_id}
        async with world.browser.post(
            f"{world.gateway}/whatsapp/connect", json=signup, headers=bearer("other")
        ) as answer:
            return await answer.json()

    taken, free = await attempt(DEMO_WABA), await attempt(unknown)
    assert taken["code"] == free["code"] == "account_not_shared"
    assert taken["detail"].replace(DEMO_WABA, unknown) == free["detail"]
    assert await world.connections(bearer()) == [DEMO_WABA]


async def test_no_token_code_or_secret_is_ever_logged_traced_or_answered(
    world: SignUp,
    bearer: Bearer,
    eventually: Eventually,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    spans: InMemorySpanExporter,
) -> None:
    caplog.set_level(logging.DEBUG)
    answered: list[str] = []
    answered += (await world.visit(await world.decide(await world.start(bearer()), "deny")))[1:]
    back = await world.decide(await world.start(bearer()))
    codes = list(world.store.world.codes)
    _, _, target = await world.visit(back)
    answered.append(target)
    _, found = await world.granted(target)
    _, account = await world.connect(found["setup"], DEMO_WABA)
    answered += [json.dumps(found), json.dumps(account)]
    await eventually(connected(world, bearer()))
    tokens = list(world.store.world.tokens)
    for spoilt in (back, back.replace("code=", "code=x")):
        answered.append((await world.come_back(spoilt))[1])
    for token in world.store.world.tokens.values():
        token.revoked = True
    async with world.browser.delete(
        f"{world.gateway}/whatsapp/connection", params={"waba_id": DEMO_WABA}, headers=bearer()
    ) as answer:
        assert answer.status == 200
        answered.append(await answer.text())
    async with world.browser.post(
        f"{world.gateway}/whatsapp/deauthorize", data={"signed_request": sign({"user_id": "1"})}
    ) as answer:
        answered.append(await answer.text())
    answered += (await world.visit(f"{world.gateway}/metrics"))[1:]

    traced = [span.to_json() for span in spans.get_finished_spans()]
    assert any("/whatsapp/callback" in span for span in traced)
    out, err = capfd.readouterr()
    # The simulated Meta writes an access log, as no gateway does.
    said = out + err + "\n".join(line.getMessage() for line in caplog.records if line.name != "aiohttp.access")
    assert "account_connected" in said
    assert "unsubscribe_failed" in said
    keys = load(ConnectSettings).credential_keys.get_secret_value().partition(":")[2]
    secrets = [*tokens, *codes, APP_SECRET, keys]
    assert len(secrets) >= 4
    assert [secret for secret in secrets if secret in said] == []
    assert [secret for secret in secrets if any(secret in text for text in (*answered, *traced))] == []
