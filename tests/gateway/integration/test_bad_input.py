"""Nothing that anybody sends answers 500, ends a process, stops a consumer, or brings its words into a log."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from local_stack import free_ports
from raw_http import MARK, ODD, PATH, SENTINEL, answered, answers, request
from sign_up import sign
from structlog.testing import capture_logs
from system import MODULES, System, ended
from wabus_cli.dead_letters import read_letters
from wabus_events import ACCOUNTS, EVENTS, MESSAGES, TEMPLATES, Event, Record, Topic, fact_id
from wabus_gateway.app import GatewaySettings, create_app
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.service.process import MAX_BODY, serving
from wabus_runtime.settings import KafkaSettings, load
from waiting import Eventually
from webhooks import SECRET, WABA, conversation, encoded, signed, text, webhook

Serve = Callable[[web.Application], Awaitable[TestClient[web.Request, web.Application]]]
EventsIn = Callable[[Topic], Awaitable[list[Event]]]
NUMBER = "4915112345678"

words = st.sampled_from([MARK, NUMBER, "\0", "\ud800", "é", "😀", "", "1" * 400, "a" * 5_000, "messages", WABA])
numbers = st.sampled_from([0, -1, 1e308, 2**53 + 1, 2**64, -(2**63) - 1, 10**400, 0.1, float("inf"), float("nan")])
anything = st.recursive(
    st.none() | st.booleans() | numbers | words | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words | st.text(max_size=8), inner, max_size=4),
    max_leaves=15,
)


def with_changes(changes: list[Any]) -> dict[str, Any]:
    return webhook(*changes)


def drawn(strategy: st.SearchStrategy[Any], count: int) -> list[Any]:
    """So many examples, to be sent to one running system rather than to a new one each."""
    found: list[Any] = []

    @settings(
        max_examples=count,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.large_base_example,
            HealthCheck.filter_too_much,
            HealthCheck.data_too_large,
        ],
        deadline=None,
    )
    @given(strategy)
    def draw(example: Any) -> None:
        found.append(example)

    draw()
    return found


@asynccontextmanager
async def running(home: Path, *modules: str) -> AsyncGenerator[System]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15)) as http:
        system = System(http, home, dict(zip(modules, free_ports(len(modules)), strict=True)))
        async with ended(system):
            for module in modules:
                await system.start(module)
            yield system


@pytest.fixture(autouse=True)
def talkative(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every line that there is, and no limit that the tests would meet."""
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    monkeypatch.setenv("DEAD_LETTERS_ALLOWED", "10000")
    monkeypatch.setenv("GATEWAY_BAD_SIGNATURES_A_MINUTE", "100000")


@pytest.fixture
async def gateway(topics: KafkaSettings, talkative: None, tmp_path: Path) -> AsyncIterator[System]:
    async with running(tmp_path, "wabus_gateway") as system:
        yield system


@pytest.fixture
async def system(topics: KafkaSettings, talkative: None, tmp_path: Path) -> AsyncIterator[System]:
    async with running(tmp_path, *MODULES) as system:
        yield system


async def ready(system: System, eventually: Eventually) -> None:
    """Three processes at once take longer to start than anything else may take."""
    for _ in range(3):
        with contextlib.suppress(AssertionError):
            await eventually(system.ready)
            return
    await eventually(system.ready)


def said(system: System) -> str:
    return "".join(path.read_text(errors="replace") for path in system.home.glob("*.log"))


def assert_alive_and_discreet(system: System) -> None:
    assert [name for name, process in system.processes.items() if process.returncode is not None] == []
    logs = said(system)
    assert "request_failed" not in logs
    assert "loop_failed" not in logs
    assert "Traceback" not in logs
    private = [SECRET, "a-verify-token-for-tests", "a-secret-of-at-least-32", MARK, NUMBER, "16505551234", "Hello"]
    assert [word for word in private if word in logs] == []


async def test_odd_requests_are_refused_and_leave_no_trace(gateway: System, eventually: Eventually) -> None:
    await ready(gateway, eventually)
    port = gateway.ports["wabus_gateway"]
    wrong: dict[str, list[int]] = {}
    for odd in ODD:
        got = await answered(port, odd)
        if len(got) > 2 or (got[0] if got else None) not in odd.allowed:
            wrong[odd.name] = got
    assert wrong == {}
    assert await answers(port, request() + SENTINEL) == [200, 200]
    assert_alive_and_discreet(gateway)


async def test_any_cut_and_mutation_of_a_request_is_survived(gateway: System, eventually: Eventually) -> None:
    await ready(gateway, eventually)
    port, whole = gateway.ports["wabus_gateway"], request()
    cut = st.integers(0, len(whole))
    pieces = st.binary(max_size=30) | st.sampled_from(
        [b"\r\n", b"\0", b"\n", b"Transfer-Encoding: chunked\r\n", b"\r\n\r\n"]
    )
    for start, end, piece in drawn(st.tuples(cut, cut, pieces), 150):
        got = await answers(port, whole[: min(start, end)] + piece + whole[max(start, end) :] + SENTINEL, wait=0.2)
        assert not any(status >= 500 for status in got), (start, end, piece)
    assert await answers(port, request() + SENTINEL) == [200, 200]
    assert_alive_and_discreet(gateway)


async def test_a_source_of_bad_signatures_is_told_to_wait_and_what_is_signed_never_is(
    topics: KafkaSettings, monkeypatch: pytest.MonkeyPatch, serve: Serve
) -> None:
    monkeypatch.setenv("GATEWAY_BAD_SIGNATURES_A_MINUTE", "3")
    monkeypatch.setenv("GATEWAY_SOURCE_HEADER", "X-Forwarded-For")
    client = await serve(create_app(load(GatewaySettings)))
    body = encoded(webhook(conversation(messages=[text("wamid.1")])))

    async def post(source: str, headers: dict[str, str]) -> tuple[int, bool]:
        async with client.post(PATH.decode(), data=body, headers={**headers, "X-Forwarded-For": source}) as answer:
            return answer.status, "Retry-After" in answer.headers

    with capture_logs() as logged:
        forged = [await post("203.0.113.1, 198.51.100.7", signed(body, "guessed")) for _ in range(6)]
    assert [line["source"] for line in logged if line["action"] == "not_from_meta"] == ["198.51.100.7"] * 3
    assert forged == [(403, False)] * 3 + [(429, True)] * 3
    assert await post("198.51.100.7", {}) == (429, True)
    assert await post("198.51.100.8", signed(body, "guessed")) == (403, False)
    assert await post("198.51.100.7", signed(body)) == (200, False)


async def test_who_guesses_verify_tokens_is_told_to_wait_and_meta_never_is(
    topics: KafkaSettings, monkeypatch: pytest.MonkeyPatch, serve: Serve
) -> None:
    monkeypatch.setenv("GATEWAY_BAD_SIGNATURES_A_MINUTE", "3")
    settings = load(GatewaySettings)
    client = await serve(create_app(settings))

    async def ask(token: str) -> int:
        query = {"hub.mode": "subscribe", "hub.verify_token": token, "hub.challenge": "1"}
        async with client.get(PATH.decode(), params=query) as answer:
            return answer.status

    assert [await ask(f"guess {number}") for number in range(5)] == [403] * 3 + [429] * 2
    assert await ask(settings.meta_verify_token.get_secret_value()) == 200


@pytest.mark.parametrize("fast_path", ["true", "false"])
async def test_what_meta_signs_for_a_person_who_signs_in_is_no_webhook(
    topics: KafkaSettings, monkeypatch: pytest.MonkeyPatch, serve: Serve, events_in: EventsIn, fast_path: str
) -> None:
    monkeypatch.setenv("GATEWAY_FAST_PATH", fast_path)
    signature, _, payload = sign({"user_id": "7", "code": "x", "issued_at": 1}, SECRET).partition(".")
    claimed = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4)).hex()
    assert signed(payload.encode())["X-Hub-Signature-256"] == f"sha256={claimed}"
    async with serving(create_app(load(GatewaySettings)), "127.0.0.1", 0) as (port,):
        posted = request(payload.encode(), signature=b"sha256=" + claimed.encode())
        assert await answers(port, posted + request() + SENTINEL) == [403, 200, 200]
    assert [event.type for event in await events_in(MESSAGES)] == ["wabus.MessageReceived.v1"]


async def test_forged_signed_requests_and_states_are_answered_and_logged_so_often_and_no_more(
    topics: KafkaSettings, monkeypatch: pytest.MonkeyPatch, serve: Serve
) -> None:
    monkeypatch.setenv("GATEWAY_BAD_SIGNATURES_A_MINUTE", "3")
    client = await serve(create_app(load(GatewaySettings)))

    async def forged(path: str) -> int:
        if path == "callback":
            async with client.get("/whatsapp/callback", params={"state": MARK, "code": "x"}) as answer:
                return answer.status
        if path.startswith("setup"):
            async with client.post(f"/whatsapp/{path}", json={"setup": MARK}) as answer:
                return answer.status
        async with client.post(f"/whatsapp/{path}", data={"signed_request": f"{MARK}.{MARK}"}) as answer:
            return answer.status

    for path, action in (
        ("deauthorize", "not_from_meta"),
        ("data-deletion", "not_from_meta"),
        ("callback", "state_refused"),
        ("setup", "state_refused"),
        ("setup/102290129340398", "state_refused"),
    ):
        with capture_logs() as logged:
            assert sorted([await forged(path) for _ in range(150)])[3:] == [429] * 147
        lines = [line for line in logged if line["action"] == action]
        assert len(lines) <= 3
        assert MARK not in str(logged)


@pytest.mark.long
async def test_a_slow_body_is_given_up_and_others_are_not_held_up(gateway: System, eventually: Eventually) -> None:
    await ready(gateway, eventually)
    port = gateway.ports["wabus_gateway"]
    slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(50)]
    for _, writer in slow:
        writer.write(request(length=b"Content-Length: 100000")[:400])
    assert await answers(port, request() + SENTINEL) == [200, 200]
    first = await asyncio.wait_for(asyncio.gather(*(reader.readline() for reader, _ in slow)), 30)
    assert {line[:12] for line in first} == {b"HTTP/1.1 408"}
    for _, writer in slow:
        writer.close()


async def test_bodies_announced_but_never_sent_keep_no_webhook_out(
    topics: KafkaSettings, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    monkeypatch.setenv("GATEWAY_MAX_BYTES_IN_FLIGHT", str(MAX_BODY))
    async with serving(create_app(load(GatewaySettings)), "127.0.0.1", 0) as (port,):

        async def taken(size: int) -> list[int]:
            body = encoded(webhook(conversation(messages=[text("wamid.1", body="x" * size)])))
            return await answers(port, request(body) + SENTINEL)

        async def ready() -> bool:
            return await taken(10) == [200, 200]

        await eventually(ready)
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        for reader, writer in idle:
            writer.write(request(b"", b"Expect: 100-continue", length=b"Content-Length: %d" % MAX_BODY))
            assert (await reader.readline()).startswith(b"HTTP/1.1 100")
        for size in (10, 100_000):
            assert await taken(size) == [200, 200]
        for _, writer in idle:
            writer.close()


@pytest.mark.parametrize("sent", [0, 1_000_000], ids=["many bodies", "large bodies"])
async def test_bodies_that_do_not_go_on_keep_no_webhook_out(
    topics: KafkaSettings, monkeypatch: pytest.MonkeyPatch, eventually: Eventually, sent: int
) -> None:
    monkeypatch.setenv("GATEWAY_MAX_IN_FLIGHT", "4")
    monkeypatch.setenv("GATEWAY_MAX_BYTES_IN_FLIGHT", str(MAX_BODY))
    async with serving(create_app(load(GatewaySettings)), "127.0.0.1", 0) as (port,):

        async def taken(size: int) -> bool:
            body = encoded(webhook(conversation(messages=[text("wamid.1", body="x" * size)])))
            return await answers(port, request(body) + SENTINEL) == [200, 200]

        await eventually(lambda: taken(10))
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
        for reader, writer in idle:
            writer.write(request(b"", b"Expect: 100-continue", length=b"Content-Length: %d" % MAX_BODY))
            assert (await reader.readline()).startswith(b"HTTP/1.1 100")
            writer.write(b"x" * sent)
        for size in (20_000, 1_000_000):
            await eventually(partial(taken, size))  # as soon as none of the others is fresh any more
        given_up = [asyncio.create_task(reader.read()) for reader, _ in idle]
        done, _ = await asyncio.wait(given_up, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        assert done
        assert all(b" 408 " in each.result() for each in done)
        for _, writer in idle:
            writer.close()
        await asyncio.wait(given_up)


async def test_whatever_a_signed_body_holds_is_kept_and_counted_by_nobody_wrongly(
    system: System, events_in: EventsIn, eventually: Eventually
) -> None:
    await ready(system, eventually)
    change = st.fixed_dictionaries({"field": words, "value": anything}) | anything
    message = st.dictionaries(
        st.sampled_from(["from", "id", "timestamp", "type", "text", "errors"]), anything, max_size=6
    )
    items = st.lists(message | anything, max_size=3)
    talk = items.map(lambda some: conversation(messages=some, statuses=some))
    payloads = anything | st.lists(change | talk, max_size=3).map(with_changes)
    bodies = [json.dumps(payload).encode() for payload in drawn(payloads, 150)]
    bodies += [
        *(
            b'{"a":1,"a":2}',
            b'{"object":"whatsapp_business_account","entry":[],"entry":[1]}',
            b"",
            b"null",
            b"\xff\xfe{\0}\0",
        ),
        *(
            b"\xef\xbb\xbf{}",
            b"[" * 100_000,
            b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
            b"1" * 100_000,
            b'"\\ud800"',
            b"{" * 9,
        ),
        *(MARK.encode("utf-16"), b'{"object": "\\u0000"}', b"[" + b"0," * 200_000 + b"0]", b'{"entry": NaN}'),
    ]

    async def post(body: bytes) -> int:
        url = system.url("wabus_gateway", PATH.decode())
        async with system.http.post(url, data=body, headers=signed(body)) as answer:
            return answer.status

    for body in bodies:
        assert await post(body) == (200 if body.lstrip(b" \t\r\n").startswith(b"{") else 403), body[:300]
    good = webhook(conversation(messages=[text("wamid.good")]))
    assert await system.deliver(good) == 200
    kept = len(await events_in(MESSAGES))
    assert kept >= len({bytes(body) for body in bodies if body.startswith(b"{")}) // 2
    await eventually(lambda: caught_up(system))
    assert_alive_and_discreet(system)


async def test_whatever_is_in_the_topics_no_consumer_ends(
    system: System, topics: KafkaSettings, eventually: Eventually
) -> None:
    await ready(system, eventually)
    publisher = Publisher(topics, "/wabus/test")
    await publisher.start()
    names = st.sampled_from([*EVENTS, "wabus.Unheard.v1", "", MARK])
    header = st.tuples(
        st.sampled_from(["ce_id", "ce_time", "ce_source", "ce_orgid", "ce_traceparent"]), st.binary(max_size=30)
    )
    value = st.none() | st.binary(max_size=50) | anything.map(lambda part: json.dumps(part).encode())
    topic = st.sampled_from([ACCOUNTS.name, MESSAGES.name, TEMPLATES.name])
    records = [
        Record(where, b"key", body, [*base_headers(name), *more])
        for where, name, body, more in drawn(st.tuples(topic, names, value, st.lists(header, max_size=3)), 300)
    ]
    try:
        await publisher.publish_records(records)
    finally:
        await publisher.stop()
    await eventually(lambda: caught_up(system))
    letters = await read_letters(topics)
    assert letters
    assert {letter.about["reason"] for letter in letters} <= {"UndecodableRecord"}
    assert_alive_and_discreet(system)


def base_headers(event_type: str) -> list[tuple[str, bytes]]:
    return [
        ("ce_type", event_type.encode()),
        ("ce_id", fact_id(event_type, "1").encode()),
        ("ce_time", b"2026-01-01T00:00:00Z"),
        ("ce_source", b"/wabus/test"),
    ]


async def caught_up(system: System) -> bool:
    """Whether every projection has folded what there is, and every loop does its work."""
    for module in MODULES[1:]:
        async with system.http.get(system.url(module, "/metrics")) as answer:
            metrics = await answer.text()
        behind = [line for line in metrics.splitlines() if line.startswith("wabus_projection_lag_records")]
        if not behind or any(float(line.rpartition(" ")[2]) for line in behind):
            return False
    return await system.ready()
