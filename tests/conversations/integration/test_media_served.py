"""Media as they are served: to their organisation, whole and in parts, by tickets, as nothing that a browser runs."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient
from media_world import MediaWorld, Serve, credential, event_of
from simulated_meta import Store
from simulated_meta.seed import DEMO_WABA
from threads import ORG
from wabus_conversations.app import create_app
from wabus_conversations.settings import ConversationsSettings
from wabus_conversations.tables.media.announcing import unannounced
from wabus_conversations.threads.ids import message_id
from wabus_conversations.worker.media.upkeep import event_of as told_of
from wabus_events import (
    MESSAGES,
    AccountConnected,
    ConversationAssigned,
    Event,
    MediumStored,
    Team,
    TeamMember,
    TeamsChanged,
    fact_id,
)
from wabus_runtime.credentials.sealing import Keyring
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.settings import CredentialSettings, load
from waiting import Eventually
from work_world import fold_work

pytest_plugins = ["media_world"]

Client = TestClient[web.Request, web.Application]
Bearer = Callable[..., dict[str, str]]
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01" + bytes(range(256)) * 40


@dataclass
class Served:
    """An API beside what fetches."""

    world: MediaWorld
    client: Client
    bearer: Bearer

    async def stored(self, content: bytes = JPEG, **body: Any) -> str:
        """The id of a medium that was sent and fetched."""
        told = await self.world.send(content=base64.b64encode(content).decode(), **body)
        await self.world.fetch()
        rows = [row for row in await self.world.rows() if row["wamid"] == told["id"]]
        return str(rows[0]["media_id"])

    async def get(
        self, path: str, status: int = 200, org: str | None = ORG, role: str = "agent", **headers: str
    ) -> tuple[ClientResponse, bytes]:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        given |= self.bearer(org, role) if org else {}
        async with self.client.get(path, headers=given) as answer:
            body = await answer.read()
            assert answer.status == status, body[:500]
            return answer, body

    async def tickets(self, *media_ids: str, org: str = ORG, status: int = 201, **more: Any) -> Any:
        body = {"media_ids": list(media_ids), **more}
        async with self.client.post("/media/tickets", json=body, headers=self.bearer(org, "agent")) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()

    async def message(self) -> dict[str, Any]:
        headers = self.bearer(ORG, "agent")
        async with self.client.get("/conversations", headers=headers) as answer:
            (found,) = (await answer.json())["conversations"]
        path = f"/conversations/{found['conversation_id']}/messages"
        async with self.client.get(path, headers=headers) as answer:
            return (await answer.json())["messages"][0]


@pytest.fixture
async def served(media_world: MediaWorld, serve: Serve, bearer: Bearer) -> Served:
    return Served(media_world, await serve(create_app(load(ConversationsSettings), "api")), bearer)


async def test_a_medium_is_in_its_thread_and_served_whole_and_in_parts(served: Served) -> None:
    await served.stored()
    medium = (await served.message())["medium"]
    assert (medium["state"], medium["kind"], medium["type"], medium["shown"]) == ("stored", "image", "image/jpeg", True)
    assert (medium["bytes"], medium["name"]) == (len(JPEG), "image.jpg")
    answer, body = await served.get(medium["link"])
    assert body == JPEG
    tag = answer.headers["ETag"]
    for asked, part in (("bytes=0-9", JPEG[:10]), ("bytes=-7", JPEG[-7:]), ("bytes=10000-", JPEG[10000:])):
        answer, body = await served.get(medium["link"], 206, Range=asked)
        assert body == part
    assert answer.headers["Content-Range"] == f"bytes 10000-{len(JPEG) - 1}/{len(JPEG)}"
    assert (await served.get(medium["link"], 206, Range="bytes=0-9", If_Range=tag))[1] == JPEG[:10]
    assert (await served.get(medium["link"], 200, Range="bytes=0-9", If_Range='"other"'))[1] == JPEG
    assert (await served.get(medium["link"], 304, If_None_Match=tag))[1] == b""
    answer, _ = await served.get(medium["link"], 416, Range=f"bytes={len(JPEG)}-")
    assert answer.headers["Content-Range"] == f"bytes */{len(JPEG)}"


@pytest.mark.parametrize(
    "content",
    [b"<!DOCTYPE html><script>alert(1)</script>", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"],
)
async def test_what_pretends_to_be_a_picture_is_bytes_under_a_plain_name(served: Served, content: bytes) -> None:
    name = "../../photo\u202egpj.html"
    media_id = await served.stored(content, type="document", mime_type="image/jpeg", filename=name)
    medium = (await served.message())["medium"]
    assert (medium["type_as_told"], medium["shown"], medium["name"]) == (False, False, "photogpj.html")
    answer, body = await served.get(f"/media/{media_id}")
    assert body == content
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="photogpj.html"')
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert "no-store" in answer.headers["Cache-Control"]


async def test_who_asks_only_how_large_it_is_gets_no_content(served: Served) -> None:
    media_id = await served.stored()
    (ticket,) = (await served.tickets(media_id))["tickets"]
    for path, headers in (
        (f"/media/{media_id}", served.bearer(ORG, "agent")),
        (ticket["link"], {"Range": "bytes=0-9"}),
    ):
        async with served.client.head(path, headers=headers) as answer:
            assert (answer.status, answer.content_length) == (200, len(JPEG))
            assert answer.headers["Content-Type"] == "image/jpeg"
            assert answer.headers["Accept-Ranges"] == "bytes"
    async with served.client.head(f"/media/{media_id}") as answer:
        assert answer.status == 401
    async with served.client.head(f"/media/{media_id}", headers=served.bearer(ORG, "member")) as answer:
        assert answer.status == 403


async def test_who_has_its_message_on_a_screen_is_told_that_it_is_stored(served: Served) -> None:
    await served.world.send()
    headers = served.bearer(ORG, "agent")
    async with served.client.ws_connect("/conversations/ws", headers=headers) as socket, asyncio.timeout(60):
        assert (await socket.receive_json())["type"] == "hello"
        await served.world.fetch()
        (row,) = await unannounced(served.world.pool, 10)
        told = told_of(row)
        await served.world.fold(told)
        frame = await socket.receive_json()
        # Of somebody else's message it says nothing, and of one that is not here neither.
        await served.world.fold(
            told.model_copy(update={"org_id": "rival"}), told.model_copy(update={"wamid": "wamid.of-nobody"})
        )
        await socket.send_json({"type": "ping"})
        assert (await socket.receive_json())["type"] == "alive"
    assert frame["type"] == "change"
    (message,) = frame["messages"]
    assert message == await served.message()
    assert message["medium"]["state"] == "stored"


async def test_nobody_else_gets_it(served: Served) -> None:
    media_id = await served.stored()
    await served.get(f"/media/{media_id}", 404, org="rival")
    await served.get(f"/media/{media_id}", 403, role="member")
    await served.get(f"/media/{media_id}", 401, org=None)
    await served.get(f"/media/{media_id}?ticket=guessed", 401, org=None)
    assert await served.tickets(media_id, org="rival") == {"tickets": []}


async def test_a_ticket_is_for_one_medium_and_a_short_time(served: Served) -> None:
    media_id, other = await served.stored(), await served.stored(JPEG + b"other")
    (ticket,) = (await served.tickets(media_id))["tickets"]
    await served.get(ticket["link"], 206, org=None, Range="bytes=0-9")
    # A browser asks for a film in parts.
    answer, body = await served.get(ticket["link"], 206, org=None, Range="bytes=10-19")
    assert body == JPEG[10:20]
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    _, _, secret = ticket["link"].partition("?")
    await served.get(f"/media/{other}?{secret}", 401, org=None)
    assert (
        await served.world.pool.fetchval("SELECT count(*) FROM tickets WHERE strpos(digest::text, $1) > 0", secret) == 0
    )
    await served.world.pool.execute("UPDATE tickets SET ends_at = ends_at - $1::interval", timedelta(minutes=5))
    await served.get(ticket["link"], 401, org=None)
    await served.tickets(media_id)
    assert await served.world.pool.fetchval("SELECT count(*) FROM tickets") == 1


async def test_a_link_that_was_asked_for_once_is_used_up_by_whoever_comes_first(served: Served) -> None:
    media_id = await served.stored()
    (ticket,) = (await served.tickets(media_id, once=True))["tickets"]
    await served.get(f"/media/{await served.stored(JPEG + b'other')}?{ticket['link'].partition('?')[2]}", 401, org=None)
    _, body = await served.get(ticket["link"], 200, org=None)
    assert body == JPEG
    await served.get(ticket["link"], 401, org=None)
    await served.get(ticket["link"], 401, org=None, Range="bytes=0-9")


async def test_what_is_not_there_says_why(served: Served) -> None:
    told = await served.world.send()
    media_id = str((await served.world.row())["media_id"])
    answer, _ = await served.get(f"/media/{media_id}", 409)
    assert answer.headers["Retry-After"]
    assert (await served.message())["medium"]["state"] == "wanted"
    assert await served.tickets(media_id) == {"tickets": []}
    served.world.clock.passes(days=9)
    await served.world.fetch()
    await served.get(f"/media/{media_id}", 410)
    medium = (await served.message())["medium"]
    assert (medium["state"], medium["reason"], medium["link"]) == ("lost", "id_ended", None)
    item = {**told["value"]["messages"][0], "id": "wamid.r", "type": "revoke"}
    item["revoke"] = {"original_message_id": told["id"]}
    await served.world.fold(event_of({**told["value"], "messages": [item]}))
    assert (await served.message())["medium"]["state"] == "gone"


async def test_a_medium_that_the_store_has_lost_is_no_empty_answer(served: Served) -> None:
    media_id = await served.stored()
    for path in served.world.stored_files():
        path.unlink()
    await served.get(f"/media/{media_id}", 404)
    served.world.folder.rename(served.world.folder.with_name("away"))
    served.world.folder.write_text("no folder")
    await served.get(f"/media/{media_id}", 503)


async def test_the_worker_fetches_what_a_record_tells_of_and_the_api_serves_it(
    environment: dict[str, str],
    publisher: Publisher,
    simulated: tuple[Client, Store],
    serve: Serve,
    bearer: Bearer,
    events_in: Callable[..., Awaitable[list[Event]]],
    eventually: Eventually,
) -> None:
    meta, store = simulated
    async with meta.post("/_control/media?webhook=false", json={"type": "video", "size": 2_000_000}) as answer:
        told = event_of((await answer.json())["value"])
    keyring = Keyring(load(CredentialSettings))
    since = told.time - timedelta(days=1)
    connected = AccountConnected(id=fact_id("c", DEMO_WABA), time=since, org_id=ORG, waba_id=DEMO_WABA)
    await publisher.publish([credential(keyring, next(iter(store.world.tokens))), connected, told])
    client = await serve(create_app(load(ConversationsSettings)))
    media_id = fact_id("medium", message_id(ORG, told.phone_number_id, told.wamid))

    async def bytes_of_it() -> int:
        async with client.get(f"/media/{media_id}", headers=bearer(ORG, "service")) as answer:
            return len(await answer.read()) if answer.status == 200 else 0

    async def stored() -> bool:
        return await bytes_of_it() == 2_000_000

    await eventually(stored)

    async def is_told() -> bool:
        return any(isinstance(event, MediumStored) for event in await events_in(MESSAGES))

    await eventually(is_told)


async def test_a_picture_of_another_teams_conversation_is_not_served_by_any_address(served: Served) -> None:
    medium_id = await served.stored()
    conversation = await served.world.pool.fetchrow("SELECT conversation_id::text, waba_id FROM conversations")
    assert conversation is not None
    link = (await served.tickets(medium_id))["tickets"][0]["link"]
    whose: dict[str, Any] = {"org_id": ORG, "time": datetime.now(UTC)}
    teams = [Team(team_id="orders", name="Orders", members=[TeamMember(sub="olga")])]
    assigned = ConversationAssigned(
        id=str(uuid4()), **whose, waba_id=conversation["waba_id"], phone_number_id="1",
        conversation_id=conversation["conversation_id"], contacts=[], team="orders", reason="asked",
    )  # fmt: skip

    await fold_work(
        served.world.pool, [TeamsChanged(id=str(uuid4()), **whose, teams=teams, agents_see="teams"), assigned]
    )

    assert (await served.tickets(medium_id))["tickets"] == []
    for path in (f"/media/{medium_id}", link):
        async with served.client.get(
            path, headers=served.bearer(ORG, "agent", sub="hugo") if path != link else {}
        ) as no:
            assert (no.status, (await no.json())["code"]) == (404, "medium_not_found")
    for role, sub in (("agent", "olga"), ("admin", "boss"), ("service", "program")):
        async with served.client.get(f"/media/{medium_id}", headers=served.bearer(ORG, role, sub=sub)) as answer:
            assert (answer.status, await answer.read()) == (200, JPEG)
