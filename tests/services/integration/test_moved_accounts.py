"""An account that moves to another organisation takes nothing along: each route tells of it what it tells of a twin.

The twin is an account of a third organisation that never was anybody else's and to which the same happened since.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib.metadata import entry_points
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from pydantic import SecretStr
from wabus_events import (
    ACCOUNTS,
    EVENTS,
    TEMPLATES,
    AccountConnected,
    AccountDisconnected,
    CallbackVerified,
    CredentialStored,
    Event,
    MessageReceived,
    TemplateChanged,
    TemplatesSynced,
    TemplateSyncRequested,
    WabaEvent,
    fact_id,
)
from wabus_events.testing import example
from wabus_health_projector.worker import projector
from wabus_runtime.credentials.sealing import Keyring
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.postgres.offsets import wait_for
from wabus_runtime.projection.engine import project
from wabus_runtime.service.process import Service, build_app
from wabus_runtime.settings import CredentialSettings, DatabaseSettings, IdentitySettings, KafkaSettings, load
from wabus_template_sync.worker import projector as templates_projector

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]
Bearer = Callable[..., dict[str, str]]

EARLIER, OWNER, TWIN = "earlier", "owner", "the-twin"
MOVED_WABA, TWIN_WABA = "900000000000001", "900000000000002"
SPECIAL = (AccountConnected, AccountDisconnected, CredentialStored, CallbackVerified)
KINDS = [kind for kind in EVENTS.values() if issubclass(kind, WabaEvent) and kind not in SPECIAL]
LOGGED = {"checked_at", "lag", "created_at", "updated_at", "last_webhook_at", "webhook_at"}
"""What health says of when Kafka had what its answer rests on: never the same of two accounts."""
TICK = timedelta(milliseconds=1)  # Kafka has no more of a time


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + TICK * (datetime.now(UTC).microsecond // 1000)


def life(org_id: str, waba_id: str, begin: datetime, *, who: str, times: int, number: int) -> list[Event]:
    """Everything that can be told of an account, several times; `who` is in what it is told by."""
    events: list[Event] = []
    for turn in range(times):
        for kind in KINDS:
            at = begin + turn * TICK
            changed: dict[str, Any] = {
                "id": fact_id(kind.type, waba_id, who, turn),
                "time": at,
                "org_id": org_id,
                "waba_id": waba_id,
                "started_at": begin,
                "sync_id": f"{who}-sync-{waba_id}",
                "version_number": number + turn,
                "wamid": f"wamid.{who}.{turn}",
                "day": at.date(),
            }
            event = example(kind)
            event = event.model_copy(update={name: new for name, new in changed.items() if name in kind.model_fields})
            if isinstance(event, TemplateChanged):
                named = {"template_id": f"{who}-{event.template.template_id}", "name": f"{who}_template_{turn}"}
                event = event.model_copy(update={"template": event.template.model_copy(update=named)})
            elif "template_id" in kind.model_fields:
                event = event.model_copy(update={"template_id": f"{who}-gone"})
            events.append(event)
    return events


def connected(org_id: str, waba_id: str, at: datetime) -> list[Event]:
    about: dict[str, Any] = {"time": at, "org_id": org_id, "waba_id": waba_id}
    sealed = Keyring(load(CredentialSettings)).seal(SecretStr("EAAtoken"), org_id=org_id, waba_id=waba_id)
    secret: dict[str, Any] = {"key_id": sealed.key_id, "nonce": sealed.nonce, "ciphertext": sealed.ciphertext}
    handshake: dict[str, Any] = {**about, "org_id": None, "time": at - TICK}
    return [
        CallbackVerified(id=fact_id("h", waba_id, org_id), **handshake, callback_url="https://us.example"),
        CredentialStored(id=fact_id("c", waba_id, org_id), **about, **secret, expires_at=at + timedelta(days=60)),
        example(AccountConnected).model_copy(update={**about, "id": fact_id("a", waba_id, org_id)}),
    ]


@pytest.fixture
async def told(topics: KafkaSettings) -> AsyncIterator[Callable[[Sequence[Any]], Awaitable[None]]]:
    """Publishes events and returns when both projections have folded them."""
    settings, identity = load(DatabaseSettings), load(IdentitySettings)
    publisher = Publisher(topics, "/wabus/test")
    await publisher.start()
    async with (
        migrated_pool(settings, "wabus_health_projector") as pool,
        migrated_pool(settings, "wabus_template_sync"),
    ):
        folding = [
            asyncio.create_task(project(identity, pool, projection, lambda: None))
            for projection in (projector.PROJECTION, templates_projector.PROJECTION)
        ]

        async def tell(events: Sequence[Any]) -> None:
            reached: dict[tuple[str, int], int] = {}
            for position in await publisher.publish(events):
                place = position.topic, position.partition
                reached[place] = max(reached.get(place, 0), position.offset + 1)
            topics_folded = {topic.name for topic in projector.TOPICS}
            folded = {place: end for place, end in reached.items() if place[0] in topics_folded}
            assert await wait_for(pool, projector.NAME, folded, 60)
            of_templates = {place: end for place, end in folded.items() if place[0] in (ACCOUNTS.name, TEMPLATES.name)}
            assert await wait_for(pool, templates_projector.NAME, of_templates, 60)

        yield tell
        for task in folding:
            task.cancel()
        for task in folding:
            with suppress(asyncio.CancelledError):
                await task
    await publisher.stop()


@pytest.fixture
async def client(topics: KafkaSettings, serve: Serve) -> Client:
    services: list[Service] = [entry.load() for entry in sorted(entry_points(group="wabus.services"))]
    return await serve(build_app([(service, load(service.settings["api"])) for service in services], "api"))


def routes(client: Client, waba_id: str, who: str) -> list[tuple[str, str]]:
    """Every guarded route that reads, with the ids of somebody's template and sync filled in."""
    found: set[tuple[str, str]] = set()
    template = f"{who}-{example(TemplateChanged).template.template_id}"
    assert client.app is not None
    for route in client.app.router.routes():
        canonical = route.resource.canonical if route.resource else ""
        if canonical.startswith(("/webhook/", "/templates", "/whatsapp/connection")):
            path = canonical.replace("{template_id}", template).replace("{sync_id}", f"{who}-sync-{waba_id}")
            assert "{" not in path, f"the test does not know how to fill {path}"
            if route.method == "GET" or path.endswith("/render"):
                found.add((route.method, path))
    return sorted(found)


async def answer(client: Client, method: str, path: str, headers: dict[str, str], body: Any = None) -> tuple[int, str]:
    """Status and text; of a stream all until its first event is whole."""
    async with client.request(method, path, headers=headers, json=body) as response:
        if response.content_type != "text/event-stream":
            return response.status, await response.text()
        text = b""
        while b"data:" not in text:
            text += await response.content.readuntil(b"\n\n")
        return response.status, text.decode()


def comparable(text: str, org_id: str, waba_id: str, since: datetime) -> Any:
    """What an answer says, without what is another's name or another moment's, which must be after the move."""
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "an-id", text)
    text = text.replace(waba_id, "a-waba").replace(org_id, "an-organisation")
    found = re.search(r"^data: (.*)$", text, re.MULTILINE)
    said = orjson.loads(found[1] if found else text)
    if "checked_at" in said:
        for answered in (said, *(account["last_events"] for account in said.get("wabas", ()))):
            for name in LOGGED & answered.keys():
                at = answered.pop(name)
                assert name == "lag" or at is None or datetime.fromisoformat(at) >= since, name
    return said


def differences(one: Any, other: Any, place: str = "") -> Iterator[str]:
    """Where two answers differ."""
    match one, other:
        case dict(), dict():
            for name in sorted(one.keys() | other.keys()):
                yield from differences(one.get(name), other.get(name), f"{place}.{name}")
        case list(), list() if len(one) == len(other):
            for number, pair in enumerate(zip(one, other, strict=True)):
                yield from differences(*pair, f"{place}[{number}]")
        case _:
            if one != other:
                yield f"{place}: {one!r} and of the twin {other!r}"


async def test_each_route_tells_of_a_moved_account_what_it_tells_of_one_that_never_was_anybody_elses(
    client: Client, told: Callable[[Sequence[Any]], Awaitable[None]], bearer: Bearer
) -> None:
    await told(connected(EARLIER, MOVED_WABA, now()))
    await told(life(EARLIER, MOVED_WABA, now(), who="theirs", times=3, number=1))
    about: dict[str, Any] = {"time": now(), "org_id": EARLIER, "waba_id": MOVED_WABA}
    await told([AccountDisconnected(id=fact_id("d", MOVED_WABA), **about, reason="asked")])
    since = now()
    taken = since + TICK
    for org_id, waba_id in ((OWNER, MOVED_WABA), (TWIN, TWIN_WABA)):
        await told(connected(org_id, waba_id, taken))

    await compare(client, bearer, since)  # with nothing of its own yet
    begin = now()
    for org_id, waba_id in ((OWNER, MOVED_WABA), (TWIN, TWIN_WABA)):
        await told(life(org_id, waba_id, begin, who="own", times=2, number=10))
    answers = await compare(client, bearer, since)

    health = answers["GET", "/webhook/health/detailed"]
    (account,) = health["wabas"]
    assert account["counts"]["last_24h"]["received"] == 2
    assert {proof["kind"] for proof in account["evidence"]} == {"callback_handshake", "signed_webhook"}
    (listed,) = answers["GET", "/templates"]["templates"]
    assert listed["name"] == "own_template_1"
    assert len(answers["GET", f"/templates/{listed['template_id']}/versions"]["versions"]) == 2


async def compare(client: Client, bearer: Bearer, since: datetime) -> dict[tuple[str, str], Any]:
    """All that the owner is told of the moved account, which is what the twin is told of theirs."""
    found: dict[tuple[str, str], Any] = {}
    mine, twins = (routes(client, waba_id, "own") for waba_id in (MOVED_WABA, TWIN_WABA))
    assert len(mine) == len(twins) >= 10
    for (method, path), (_, same) in zip(mine, twins, strict=True):
        body = {} if method == "POST" else None
        status, text = await answer(client, method, path, bearer(OWNER), body)
        twin = await answer(client, method, same, bearer(TWIN), body)
        assert "theirs" not in text, path
        found[method, path] = comparable(text, OWNER, MOVED_WABA, since)
        assert status == twin[0], path
        other = comparable(twin[1], TWIN, TWIN_WABA, since)
        assert list(differences(found[method, path], other)) == [], path
    for method, path in routes(client, MOVED_WABA, "theirs"):
        if "theirs" in path:
            status, _ = await answer(client, method, path, bearer(OWNER), {} if method == "POST" else None)
            assert status == 404, path
    return found


async def test_who_gave_an_account_up_is_told_nothing_of_it_any_more(
    client: Client, told: Callable[[Sequence[Any]], Awaitable[None]], bearer: Bearer
) -> None:
    await told(connected(EARLIER, MOVED_WABA, now()))
    about: dict[str, Any] = {"time": now(), "org_id": EARLIER, "waba_id": MOVED_WABA}
    await told([AccountDisconnected(id=fact_id("d", MOVED_WABA), **about, reason="asked")])
    await told(connected(OWNER, MOVED_WABA, now() + TICK))
    await told(life(OWNER, MOVED_WABA, now(), who="own", times=1, number=10))
    for method, path in routes(client, MOVED_WABA, "own"):
        status, text = await answer(client, method, path, bearer(EARLIER), {} if method == "POST" else None)
        assert "own" not in text or status == 404, path
        assert MOVED_WABA not in text or status == 404, path


async def test_what_is_asked_for_is_told_of_every_kind_of_event(
    told: Callable[[Sequence[Any]], Awaitable[None]],
) -> None:
    made = {type(event) for event in life(OWNER, MOVED_WABA, now(), who="own", times=1, number=1)}
    assert {MessageReceived, TemplatesSynced, TemplateSyncRequested, TemplateChanged} <= made
    assert made | set(SPECIAL) == {kind for kind in EVENTS.values() if issubclass(kind, WabaEvent)}
