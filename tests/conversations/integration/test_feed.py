"""Following conversations by both doors, over rows as the worker writes them, and over two processes."""

import asyncio
import json
import os
import random
import shutil
import socket as sockets
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from aiohttp import ClientResponse, ClientSession, ClientWebSocketResponse, WSMsgType, WSServerHandshakeError
from conversations_world import Client, Inbox, Serve
from local_stack import free_ports
from standby import Standby
from threads import ANNA, ANNA_ID, BEN, BEN_ID, ORG, facts, identity, imported, received
from wabus_conversations.app import create_app
from wabus_conversations.settings import ConversationsSettings
from wabus_conversations.threads.ids import message_id
from wabus_conversations.worker.changed import Changed, Marks
from wabus_local.postgres import EmbeddedPostgres
from wabus_runtime.feed.changes import Change, Mark, begin_epoch, changed, write
from wabus_runtime.feed.cursor import Cursor
from wabus_runtime.http.auth import make_token
from wabus_runtime.service.process import serving
from wabus_runtime.settings import AuthSettings, load
from waiting import WAIT, Eventually

pytest_plugins = ["conversations_world"]

Frame = dict[str, Any]


class Events:
    """The events of a stream, one after the other."""

    def __init__(self, answer: ClientResponse) -> None:
        self._answer = answer
        self.last_id: str | None = None

    async def next(self) -> Frame:
        """The next frame; raises `AssertionError` where the stream ends before it."""
        data: str | None = None
        while True:
            line = (await self._answer.content.readline()).decode()
            assert line, "the stream has ended"
            name, _, value = line.rstrip("\n").partition(": ")
            if name == "id":
                self.last_id = value
            elif name == "data":
                data = value
            elif not name and data is not None:
                return json.loads(data)

    async def until(self, kind: str) -> Frame:
        """The next frame of a type; others are passed over."""
        while (frame := await self.next())["type"] != kind:
            pass
        return frame


@asynccontextmanager
async def following(
    inbox: Inbox, client: Client | None = None, *, org_id: str = "shop", last_id: str | None = None, **params: str
) -> AsyncGenerator[Events]:
    headers = inbox.bearer(org_id, "agent") | ({"Last-Event-ID": last_id} if last_id else {})
    async with (client or inbox.client).get("/conversations/stream", params=params, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        yield Events(answer)


async def next_frame(socket: ClientWebSocketResponse) -> Frame:
    message = await socket.receive()
    assert message.type is WSMsgType.TEXT, message
    return json.loads(message.data)


async def ticket(inbox: Inbox) -> str:
    return (await inbox.ask("/stream-tickets", method="POST"))["ticket"]


def id_of(wamid: str) -> str:
    return message_id("shop", "number-1", wamid)


async def test_a_message_comes_by_both_doors_as_the_inbox_has_it(inbox: Inbox) -> None:
    async with (
        following(inbox) as events,
        inbox.client.ws_connect("/conversations/ws", params={"ticket": await ticket(inbox)}) as socket,
    ):
        assert (await events.next())["resumed"] is (await next_frame(socket))["resumed"] is False
        await inbox.fold(received("hello", 1, ANNA, ANNA_ID, name="Anna"))
        by_event, by_socket = await events.next(), await next_frame(socket)

    assert by_event == by_socket
    assert by_event["cursor"] == events.last_id is not None
    (conversation,) = await inbox.conversations()
    assert by_event["conversation"] == conversation
    assert by_event["messages"] == await inbox.messages()
    assert by_event["reload"] is False


async def test_a_ticket_is_good_once_and_at_every_process(inbox: Inbox, serve: Serve) -> None:
    other = await serve(create_app(load(ConversationsSettings), "api"))
    good = await ticket(inbox)
    async with other.ws_connect("/conversations/ws", params={"ticket": good}) as socket:
        assert (await next_frame(socket))["type"] == "hello"
    async with inbox.client.get("/conversations/stream", params={"ticket": good}) as answer:
        assert (answer.status, (await answer.json())["code"]) == (401, "ticket_not_good")


async def test_who_was_cut_off_is_told_what_they_missed_by_whichever_process(inbox: Inbox, serve: Serve) -> None:
    other = await serve(create_app(load(ConversationsSettings), "api"))
    seen: set[str] = set()
    last_id = None
    for number in range(6):
        async with following(inbox, (inbox.client, other)[number % 2], last_id=last_id) as events:
            hello = await events.next()
            assert hello["resumed"] is (last_id is not None)
            while len(seen) < 5 * number:
                frame = await events.next()
                seen |= {each["text"] for each in frame["messages"]}
            last_id = events.last_id
        # While nobody follows.
        await inbox.fold(*(received(f"{number}-{each}", number * 10 + each, f"1650555000{each}") for each in range(5)))
    async with following(inbox, last_id=last_id) as events:
        await events.next()
        while len(seen) < 30:
            seen |= {each["text"] for each in (await events.next())["messages"]}
    assert seen == {f"{number}-{each}" for number in range(6) for each in range(5)}


async def test_who_is_cut_off_at_any_moment_by_either_door_misses_nothing(inbox: Inbox, serve: Serve) -> None:
    other = await serve(create_app(load(ConversationsSettings), "api"))
    rules = random.Random(88)
    wanted = {str(number) for number in range(60)}

    async def write() -> None:
        for first in range(0, len(wanted), 4):
            await inbox.fold(*(received(str(each), each, f"1650555000{each % 7}") for each in range(first, first + 4)))

    async def listen(cursor: str, by_socket: bool) -> int:
        seen, cuts = set[str](), 0
        while seen != wanted:
            client, params = rules.choice((inbox.client, other)), {"cursor": cursor}
            async with AsyncExitStack() as stack:
                if by_socket:
                    params["ticket"] = await ticket(inbox)
                    socket = await stack.enter_async_context(client.ws_connect("/conversations/ws", params=params))
                    following_frame = partial(next_frame, socket)
                else:
                    events = await stack.enter_async_context(following(inbox, client, **params))
                    following_frame = events.next
                for _ in range(rules.randint(1, 12)):
                    frame = await following_frame()
                    assert frame["type"] != "reset"
                    seen |= {each["text"] for each in frame.get("messages") or ()}
                    cursor = frame["cursor"] or cursor
                    if seen == wanted:
                        break
            cuts += 1
        return cuts

    async with following(inbox) as events:
        begin = (await events.next())["cursor"]
    writing = asyncio.create_task(write())
    cuts = await asyncio.gather(*(listen(begin, by_socket) for by_socket in (True, False, True, False)))
    await writing
    assert sum(cuts) > len(cuts)


async def test_people_who_turn_out_to_be_one_have_one_conversation_left(inbox: Inbox) -> None:
    await inbox.fold(received("by number", 1, ANNA))
    await inbox.fold(received("by id", 2, None, ANNA_ID))
    by_id, by_number = [each["conversation_id"] for each in await inbox.conversations()]
    async with following(inbox) as events:
        await events.next()
        await inbox.fold(identity(3, (ANNA, None), (ANNA, ANNA_ID)))
        frames = {frame["type"]: frame for frame in (await events.next(), await events.next())}
    assert frames["removed"]["conversation_id"] == by_id
    assert frames["removed"]["merged_into"] == by_number == frames["change"]["conversation"]["conversation_id"]
    assert frames["change"]["reload"] is True


async def test_each_organisation_and_each_filter_gets_its_own(inbox: Inbox) -> None:
    await inbox.fold(received("first", 1, ANNA, ANNA_ID))
    conversation_id = await inbox.only_conversation()
    async with (
        following(inbox, org_id="other") as others,
        following(inbox, conversation_id=conversation_id) as of_one,
        following(inbox, phone_number_id="number-2") as of_number,
    ):
        for events in (others, of_one, of_number):
            await events.next()
        await inbox.fold(received("ben's", 2, BEN, BEN_ID))
        await inbox.fold(received("elsewhere", 3, BEN, BEN_ID, number="number-2"))
        await inbox.fold(received("second", 4, ANNA, ANNA_ID))
        assert [each["text"] for each in (await of_one.next())["messages"]] == ["second"]
        assert [each["text"] for each in (await of_number.next())["messages"]] == ["elsewhere"]
        await inbox.fold(received("theirs", 5, ANNA, ANNA_ID, number="number-9"), org_id="other")
        assert [each["text"] for each in (await others.next())["messages"]] == ["theirs"]


async def test_a_burst_is_told_as_one_and_a_flood_as_something_to_load(inbox: Inbox) -> None:
    async with following(inbox) as events:
        await events.next()
        await inbox.fold(*(imported(f"old {number}", -1000 + number, ANNA, ANNA_ID) for number in range(200)))
        frame = await events.next()
        assert (frame["reload"], frame["messages"]) == (True, [])
        await inbox.fold(*(received(f"new {number}", number, ANNA, ANNA_ID) for number in range(5)))
        frame = await events.next()
        assert (frame["reload"], len(frame["messages"])) == (False, 5)


def token(inbox: Inbox, lifetime: float, *, org_id: str = "shop", role: str = "agent") -> str:
    """A token that is good for so many seconds."""
    now, lasts = datetime.now(UTC), timedelta(seconds=lifetime)
    return make_token(load(AuthSettings), org_id=org_id, role=role, now=now, lifetime=lasts)


async def test_a_stream_ends_with_its_token_and_says_so(inbox: Inbox) -> None:
    headers = {"Authorization": f"Bearer {token(inbox, 3)}"}
    async with inbox.client.get("/conversations/stream", headers=headers) as answer:
        events = Events(answer)
        hello, bye = await events.next(), await events.next()
        assert (bye["type"], bye["reason"], bye["cursor"]) == ("bye", "token_expired", hello["cursor"])
        rest = await answer.content.read()
    assert b"data:" not in rest


async def test_a_socket_goes_on_with_another_token_of_the_same_caller_and_no_other(inbox: Inbox) -> None:
    headers = {"Authorization": f"Bearer {token(inbox, 4)}"}
    async with inbox.client.ws_connect("/conversations/ws", headers=headers) as socket:
        assert (await next_frame(socket))["type"] == "hello"
        await socket.send_json({"type": "auth", "token": token(inbox, 600)})
        assert (await next_frame(socket))["expires_at"] > time.time() + 500
        await socket.send_json({"type": "something newer"})
        await socket.send_json({"type": "ping"})
        assert (await next_frame(socket))["type"] == "alive"
    for bad in (token(inbox, 600, org_id="other"), token(inbox, 600, role="member"), "no token"):
        async with inbox.client.ws_connect("/conversations/ws", headers=inbox.bearer("shop", "agent")) as socket:
            assert (await next_frame(socket))["type"] == "hello"
            await socket.send_json({"type": "auth", "token": bad})
            assert (await next_frame(socket))["reason"] == "not_allowed"
            assert (await socket.receive()).type is WSMsgType.CLOSE
            assert socket.close_code == 1008


async def test_a_token_that_ends_sooner_than_the_one_before_ends_the_socket_sooner(inbox: Inbox) -> None:
    headers = {"Authorization": f"Bearer {token(inbox, 3_600)}"}
    async with (
        asyncio.timeout(60),
        inbox.client.ws_connect("/conversations/ws", headers=headers) as opened_before,
        inbox.client.ws_connect("/conversations/ws", headers=headers) as socket,
    ):
        assert (await next_frame(opened_before))["type"] == (await next_frame(socket))["type"] == "hello"
        await socket.send_json({"type": "auth", "token": token(inbox, 3)})
        beat = asyncio.create_task(next_frame(opened_before))
        frames = [await next_frame(socket), await next_frame(socket)]
        assert not beat.done()  # not only when the socket would have shown that it is alive
        beat.cancel()
    assert [frame["type"] for frame in frames] == ["authorised", "bye"]
    assert frames[-1]["reason"] == "token_expired"


async def test_a_page_of_another_origin_opens_no_socket(inbox: Inbox) -> None:
    for origin in ("https://evil.example", "null"):
        with pytest.raises(WSServerHandshakeError) as refused:
            await inbox.client.ws_connect("/conversations/ws", params={"ticket": await ticket(inbox)}, origin=origin)
        assert refused.value.status == 403
    async with inbox.client.get("/conversations/ws", headers=inbox.bearer("shop", "agent")) as answer:
        assert (answer.status, (await answer.json())["code"]) == (426, "websocket_wanted")


async def test_whose_tables_were_made_anew_or_restored_loads_everything_again(inbox: Inbox) -> None:
    await inbox.fold(received("1", 1))
    async with following(inbox) as events:
        first = await events.next()
        await begin_epoch(inbox.pool, "conversations")
        reset = await events.next()
        assert (reset["type"], reset["reason"]) == ("reset", "epoch")
        await inbox.fold(received("2", 2))
        latest = (await events.next())["cursor"]
    for cursor in (first["cursor"], "nonsense"):
        async with following(inbox, cursor=cursor) as events:
            hello, reset = await events.next(), await events.next()
            assert (hello["resumed"], reset["reason"]) == (False, "epoch")
    # A backup of before is put back: what the client has seen is not in the tables yet.
    await inbox.pool.execute("UPDATE projection_offsets SET next_offset = next_offset - 1")
    async with following(inbox, cursor=latest) as events:
        assert ((await events.next())["resumed"], (await events.next())["reason"]) == (False, "epoch")


async def test_who_follows_is_told_as_fast_on_a_day_of_many_changes(pool: asyncpg.Pool) -> None:
    """What others have changed is not read for it: PostgreSQL counts the rows that it reads without an index."""
    places = [("messages.v1", partition) for partition in range(12)]

    def some(org_id: str, count: int) -> list[Change]:
        return [Change(org_id, str(uuid4()), [], [Mark(*places[at % 12], at // 12)]) for at in range(count)]

    async with pool.acquire() as connection, connection.transaction():
        await write(connection, "conversations", [*some("others", 5_000), *some("shop", 24)])
    await pool.execute("ANALYZE changes")
    shops = {org_id: Cursor(datetime.now(UTC), dict.fromkeys(places, 0)) for org_id in ("shop", "of", "many", "more")}

    async with pool.acquire() as connection, connection.transaction():
        found = await changed(connection, shops, dict.fromkeys(places, 2))
        read = await connection.fetchval(
            "SELECT sum(seq_tup_read) FROM pg_stat_xact_user_tables WHERE relname LIKE 'changes%'"
        )

    assert len(found["shop"]) == 24
    assert read == 0


async def test_a_conversation_that_a_batch_changes_often_is_one_change_for_whoever_has_some_of_it(
    pool: asyncpg.Pool,
) -> None:
    place, marks, conversation_id = ("messages.v1", 3), Marks(), str(uuid4())
    for offset, fact in enumerate(facts([received(str(number), number) for number in range(4)])):
        marks.note(fact, Mark(*place, offset))
    noted = Changed(marks)
    for message in marks.of_messages:
        noted.message(ORG, conversation_id, message)
    async with pool.acquire() as connection, connection.transaction():
        await noted.write(connection)

    async def since(offset: int) -> int:
        found = await changed(pool, {ORG: Cursor(datetime.now(UTC), {place: offset})}, {place: 4})
        return sum(len(parts or ()) for _, parts in found.get(ORG, []))

    assert await pool.fetchval("SELECT count(*) FROM changes") == 1
    assert [await since(offset) for offset in (0, 2, 3, 4)] == [4, 4, 4, 0]


@pytest.mark.long
async def test_what_people_decide_is_told_at_once_where_a_replica_lags(
    inbox: Inbox,
    serve: Serve,
    postgres: EmbeddedPostgres,
    stack_home: Path,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    eventually: Eventually,
) -> None:
    """It is no record of messages: how far the replica has those says nothing of it."""
    home = stack_home / "postgres" / "of the feed"
    home.mkdir()
    shutil.copystat(home.parent, home)
    os.chown(home, home.parent.stat().st_uid, home.parent.stat().st_gid)
    standby = Standby(postgres, home, free_ports(1)[0])
    await standby.make()
    await standby.start()
    try:
        monkeypatch.setenv("READ_DATABASE_URL", standby.url_of(database_url.rpartition("/")[2]))
        reading = await serve(create_app(load(ConversationsSettings), "api"))

        async def by_the_replica() -> bool:
            await reading.get("/conversations", headers=inbox.bearer("shop", "agent"))
            metrics = await (await reading.get("/metrics")).text()
            return 'wabus_read_replica_used{projection="conversations"} 1.0' in metrics

        async with following(inbox, reading) as events:
            await events.next()
            await eventually(by_the_replica)
            await standby.pause()
            await inbox.fold(received("while it lags", 1, ANNA))
            told = await asyncio.wait_for(events.until("change"), WAIT)
            assert [each["text"] for each in told["messages"]] == ["while it lags"]
            await standby.resume()
            await inbox.fold(received("afterwards", 2, ANNA))
            told = await asyncio.wait_for(events.until("change"), WAIT)
            assert [each["text"] for each in told["messages"]] == ["afterwards"]
    finally:
        await standby.kill()


async def test_a_process_that_stops_sends_all_away_and_they_go_on_elsewhere(inbox: Inbox) -> None:
    app = create_app(load(ConversationsSettings), "api")
    headers = inbox.bearer("shop", "agent")
    ended: list[Frame] = []

    async def follow(client: ClientSession, port: int, begun: asyncio.Event) -> None:
        url = f"http://127.0.0.1:{port}/conversations/stream"
        async with client.get(url, headers=headers) as answer:
            events = Events(answer)
            await events.next()
            begun.set()
            ended.append(await events.until("bye"))

    async def talk(client: ClientSession, port: int, begun: asyncio.Event) -> None:
        async with client.ws_connect(f"http://127.0.0.1:{port}/conversations/ws", headers=headers) as socket:
            assert (await next_frame(socket))["type"] == "hello"
            await socket.send_json({"type": "ping"})
            assert (await next_frame(socket))["type"] == "alive"
            begun.set()
            ended.append(await next_frame(socket))
            assert (await socket.receive()).type is WSMsgType.CLOSE

    async with ClientSession() as client, asyncio.TaskGroup() as tasks, serving(app, "127.0.0.1", 0) as (port,):
        begun = [asyncio.Event() for _ in range(30)]
        for number, each in enumerate(begun):
            tasks.create_task((follow, talk)[number % 2](client, port, each))
        for each in begun:
            await each.wait()
    assert {frame["reason"] for frame in ended} == {"draining"}
    assert len({frame["retry_ms"] for frame in ended}) > 5
    await inbox.fold(received("meanwhile", 1))
    async with following(inbox, cursor=ended[0]["cursor"]) as events:
        await events.next()
        assert [each["text"] for each in (await events.next())["messages"]] == ["meanwhile"]


async def test_who_reads_slowly_costs_little_and_holds_up_nobody(inbox: Inbox) -> None:
    people, rounds = 60, 8

    def flood(number: int) -> list[Any]:
        body = f"{number} " + "x" * 4_000
        return [
            received(f"{number}-{each}", number, f"1650555{each:04}", text={"body": body}) for each in range(people)
        ]

    # With the least that a system lets wait for somebody who reads nothing.
    slow = sockets.socket()
    slow.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    slow.connect(("127.0.0.1", inbox.client.port))
    lines = ["GET /conversations/stream HTTP/1.1", "Host: x"]
    lines += [f"{name}: {value}" for name, value in inbox.bearer("shop", "agent").items()]
    slow.sendall("\r\n".join([*lines, "", ""]).encode())
    slow.setblocking(False)
    async with following(inbox) as fast:
        await fast.next()
        for number in range(rounds):
            await inbox.fold(*flood(number))
            seen: set[str] = set()
            while len(seen) < people:
                frame = await fast.next()
                if frame["messages"][-1]["text"].startswith(f"{number} "):
                    seen.add(frame["conversation"]["conversation_id"])
    newest: dict[str, str] = {}
    got = told = 0
    reader, writer = await asyncio.open_connection(sock=slow)
    while sum(text.startswith(f"{rounds - 1} ") for text in newest.values()) < people:
        line = await reader.readline()
        got += len(line)
        if line.startswith(b"data: "):
            frame = json.loads(line.removeprefix(b"data: "))
            if frame["type"] == "change":
                told += 1
                newest[frame["conversation"]["conversation_id"]] = frame["conversation"]["last_message"]["text"]
    writer.close()
    assert told < people * rounds


async def test_colleagues_see_at_every_process_who_looks_and_who_writes_and_others_do_not(
    inbox: Inbox, serve: Serve, eventually: Eventually
) -> None:
    await inbox.fold(received("1", 1))
    conversation_id = await inbox.only_conversation()
    other = await serve(create_app(load(ConversationsSettings), "api"))

    async def listens() -> bool:
        return (await other.get("/readyz")).status == 200

    async def say(doing: str, org_id: str, role: str, sub: str) -> int:
        headers = inbox.bearer(org_id, role, sub)
        path = f"/conversations/{conversation_id}/looking"
        async with inbox.client.post(path, json={"doing": doing}, headers=headers) as answer:
            return answer.status

    await eventually(listens)
    async with (
        following(inbox, other) as all_of_it,
        following(inbox, other, conversation_id=conversation_id) as one,
        following(inbox, other, org_id="else") as stranger,
    ):
        for events in (all_of_it, one, stranger):
            assert (await events.next())["type"] == "hello"
        assert await say("looking", "shop", "agent", "anna") == 204
        assert await say("writing", "shop", "admin", "ben") == 204
        for events in (all_of_it, one):
            for agent, doing in (("anna", "looking"), ("ben", "writing")):
                assert await events.next() == {
                    "type": "looking", "cursor": None,
                    "conversation_id": conversation_id, "agent": agent, "doing": doing,
                }  # fmt: skip
        assert await say("dancing", "shop", "agent", "anna") == 422
        assert await say("looking", "shop", "member", "mia") == 403
        assert await say("looking", "else", "agent", "eve") == 404
        assert [await say("looking", "shop", "agent", "carl") for _ in range(130)].count(429) >= 1
        await begin_epoch(inbox.pool, "conversations")
        assert (await stranger.next())["type"] == "reset"  # and nothing before it
