"""Whatever callers and customers say, in whatever words: it is refused, or it is an event that every consumer folds."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.metadata import entry_points
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import jwt
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from local_stack import free_ports
from sign_up import APP_SECRET, Serve
from simulated_meta import Store, new_world
from simulated_meta.seed import new_waba, template
from structlog.testing import capture_logs
from support.meta_openapi import create_meta
from wabus_cli.dead_letters import read_letters
from wabus_events import ACCOUNTS, TEMPLATES, Event, Topic
from wabus_runtime.http.auth import ORG_ID_MAX, SUBJECT_MAX
from wabus_runtime.service.process import Service, build_app, serving
from wabus_runtime.settings import AuthSettings, KafkaSettings, load
from waiting import Eventually
from webhooks import conversation, encoded, signed, text, webhook

EventsIn = Callable[[Topic], Awaitable[list[Event]]]
EXAMPLES = 12
ODD = (
    *(
        "acme",
        "ÄÖ ß",
        "日本",
        "'; DROP TABLE waba_health;--",
        '"',
        "\\",
        "%00%s{}",
        "<script>",
        "a" * ORG_ID_MAX,
        "null",
    ),
    *("😀" * 50, "a\u0301", "\u00e9", "0", "-", "a,b", "a b", " a", "a ", "../..", "$ne", "organisation a", "$1"),
    *("\ufeffa", "\u200bx", "a\u00a0b", "x\u2028", "\u202ea", "a\0", "\ud800", "a\nb", "", " ", "u" * 300),
)
TAKEN = ({"orgId": "日本 ÄÖ"}, {"orgId": "'; DROP TABLE waba_health;--", "sub": "a,b"}, {"orgId": "a" * ORG_ID_MAX})
names = st.sampled_from(ODD) | st.text(max_size=30) | st.text("a\\'\"%\u0301😀\0\ud800 ", max_size=12)
claims = st.fixed_dictionaries(
    {"orgId": names | st.none() | st.integers() | st.lists(st.text())},
    optional={"sub": names | st.integers(), "role": st.sampled_from(["admin", "member", "Admin"]), "jti": names},
)
visible = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)
headers = st.fixed_dictionaries(
    {}, optional={"Idempotency-Key": visible | names, "traceparent": visible, "Prefer": visible, "X-Org-Id": visible}
)
words = st.sampled_from(ODD) | st.text(max_size=20)
values = st.recursive(
    st.none() | st.booleans() | words | st.sampled_from([0, -1, 10**400, 1e308, 2**63, 0.1]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
fields = st.sampled_from(
    [
        *("messages", "message_template_status_update", "account_update", "phone_number_quality_update"),
        *("account_alerts", "business_capability_update", "security", "account_review_update", "flows"),
    ]
)


@pytest.fixture
async def world(
    topics: KafkaSettings, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Store, str, aiohttp.ClientSession]]:
    """All services in one process, with everything that folds, beside a simulated Meta."""
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    store = Store(new_world("1234567890", [APP_SECRET]))
    store.world.redirect_uris = [url]
    store.world.callback_url, store.world.verify_token = f"{url}/webhooks/whatsapp", "a-verify-token-for-tests"
    meta = await serve(create_meta(store, delay_scale=0.001))
    monkeypatch.setenv("META_GRAPH_URL", str(meta.make_url("")))
    monkeypatch.setenv("PUBLIC_URL", url)
    services: list[Service] = [entry.load() for entry in sorted(entry_points(group="wabus.services"))]
    app = build_app([(service, load(service.settings["all"])) for service in services], "all")
    async with (
        serving(app, "127.0.0.1", port),
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as http,
    ):
        yield store, url, http


def drawn(strategy: st.SearchStrategy[Any], count: int) -> list[Any]:
    """So many examples, for one running system rather than a new one each."""
    found: list[Any] = []

    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    @given(strategy)
    def draw(example: Any) -> None:
        found.append(example)

    draw()
    return found


def bearer(claimed: dict[str, Any]) -> dict[str, str]:
    secret = load(AuthSettings).jwt_secret
    assert secret is not None
    token = jwt.encode({**claimed, "exp": time.time() + 600}, secret.get_secret_value(), algorithm="HS256")
    return {"Authorization": f"Bearer {token}"}


def can_be_sent(headers: dict[str, str]) -> bool:
    """Whether a client library puts them into a request at all; the rest is for `test_bad_calls.py`."""
    return all(value.isprintable() and value.encode("utf-8", "replace").decode() == value for value in headers.values())


async def live(store: Store, url: str, claimed: dict[str, Any], extra: dict[str, str]) -> str | None:
    """Connect an account, ask for syncs and checks, and now and then give it up. None where the caller is refused."""
    authorised = bearer(claimed)
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar, timeout=aiohttp.ClientTimeout(total=60)) as browser:
        async with browser.get(f"{url}/whatsapp/connect", headers=authorised) as begun:
            assert begun.status in (200, 401), begun.status
            if begun.status == 401:
                return None
            dialog = (await begun.json())["authorization_url"]
        assert parse_qs(urlsplit(dialog).query)["state"]
        waba = new_waba(store.world, name=str(claimed["orgId"])[:50])
        waba.templates = {each: template(each, "hello") for each in [store.world.new_id()]}
        form = {"decision": "allow", "waba": waba.id}
        async with browser.post(dialog, data=form, allow_redirects=False) as decided:
            back = decided.headers["Location"]
        async with browser.get(back, allow_redirects=False) as finished:
            assert finished.status == 303, await finished.text()
            sealed = finished.headers["Location"].removeprefix("/#setup=")
        async with browser.post(f"{url}/whatsapp/setup", json={"setup": sealed}) as granted:
            assert granted.status == 200, await granted.text()
            sealed = (await granted.json())["setup"]
        async with browser.post(f"{url}/whatsapp/setup/{waba.id}", json={"setup": sealed}) as connected:
            assert connected.status == 201, await connected.text()
        for method, path, body in (
            ("POST", "/templates/sync", {"waba_id": waba.id}),
            ("POST", "/templates/sync", {}),
            ("POST", "/webhook/health/check", {}),
            ("GET", "/webhook/health/detailed", None),
            ("GET", "/templates?status=all", None),
        ):
            async with browser.request(method, url + path, json=body, headers={**extra, **authorised}) as answer:
                assert answer.status in (200, 202, 403, 404, 422), (path, answer.status, await answer.text())
        return waba.id


@pytest.mark.long
async def test_nothing_that_anybody_says_becomes_a_record_that_a_consumer_cannot_fold(
    world: tuple[Store, str, aiohttp.ClientSession],
    topics: KafkaSettings,
    events_in: EventsIn,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, url, http = world
    with capture_logs() as logged:
        wabas: list[str] = []
        for claimed, extra in [*((each, {}) for each in TAKEN), *drawn(st.tuples(claims, headers), EXAMPLES)]:
            waba_id = await live(store, url, claimed, extra if can_be_sent(extra) else {})
            taken = claimed.get("orgId")
            if waba_id is not None:
                wabas.append(waba_id)
                assert isinstance(taken, str)
                assert 0 < len(taken) <= ORG_ID_MAX
                assert len(str(claimed.get("sub", "x"))) <= SUBJECT_MAX
        assert len(wabas) >= len(TAKEN)
        changes = st.fixed_dictionaries({"field": fields, "value": values})
        for number, drawn_changes in enumerate(drawn(st.lists(changes, max_size=3), 3 * EXAMPLES)):
            payload = webhook(*drawn_changes, conversation(messages=[text(f"wamid.{number}")]))
            payload["entry"][0]["id"] = wabas[number % len(wabas)]
            body = encoded(payload) if "\\ud" not in json.dumps(payload) else json.dumps(payload).encode()
            async with http.post(f"{url}/webhooks/whatsapp", data=body, headers=signed(body)) as answer:
                assert answer.status == 200

        async def folded() -> bool:
            async with http.get(f"{url}/metrics") as answer:
                lines = [line for line in (await answer.text()).splitlines() if "_lag_records{" in line]
            async with http.get(f"{url}/readyz") as answer:
                return answer.status == 200 and bool(lines) and all(line.endswith(" 0.0") for line in lines)

        await asyncio.sleep(0)
        await eventually(folded)
    assert len(await events_in(ACCOUNTS)) >= 2 * len(wabas)
    assert len(await events_in(TEMPLATES)) >= len(wabas)
    assert [letter.line for letter in await read_letters(topics)] == []
    bad = {"batch_refused", "record_skipped", "dead_letter", "loop_failed", "request_failed", "sync_broke", "evaluator"}
    assert [line for line in logged if line.get("action") in bad] == []
