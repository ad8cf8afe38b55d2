"""What people do with conversations, by the API, over Kafka and the tables."""

import asyncio
from datetime import UTC, datetime, timedelta

from conversations_world import Client
from test_feed import following
from threads import ANNA, BEN, received
from wabus_conversations.worker.work import projector
from wabus_runtime.projection.replay_over import replay_over
from work_world import Desk

pytest_plugins = ["work_world"]


async def test_of_two_agents_at_two_processes_one_has_it_and_nobody_takes_it_from_them_unawares(
    desk: Desk, other_process: Client
) -> None:
    await desk.inbox.fold(received("hello", 1, ANNA))

    answers = await asyncio.gather(
        *(
            desk.act("assign", {"agent": "me"}, sub=sub, status=None, client=client)
            for sub, client in (("anna", desk.inbox.client), ("ben", other_process))
        )
    )

    assert sorted(status for status, _ in answers) == [200, 409]
    (won,) = (body for status, body in answers if status == 200)
    (lost,) = (body for status, body in answers if status == 409)
    assert lost["code"] == "taken"
    assert lost["work"]["agent"] == won["work"]["agent"] == (await desk.work())["agent"]

    await desk.act("assign", {}, sub=won["work"]["agent"])
    await desk.act("assign", {"agent": "me"}, sub="anna")
    refused = await desk.act("assign", {"agent": "me"}, sub="ben", status=409)
    assert refused["work"]["agent"] == "anna"
    assert (await desk.act("assign", {"agent": "ben"}, sub="anna"))["work"]["agent"] == "ben"
    knowingly = await desk.act("assign", {"agent": "cleo", "instead_of": "ben"}, sub="cleo")
    assert knowingly["work"]["agent"] == "cleo"
    assert (await desk.act("assign", {}, sub="cleo"))["work"]["agent"] is None


async def test_a_closed_conversation_is_free_and_open_again_when_the_person_writes(desk: Desk) -> None:
    await desk.inbox.fold(received("hello", 1, ANNA))
    await desk.act("assign", {"agent": "me"})
    closed = (await desk.act("close"))["work"]
    assert (closed["state"], closed["agent"], closed["put_by"], closed["last_agent"]) == (
        "closed",
        None,
        "anna",
        "anna",
    )

    await desk.inbox.fold(received("again", 2, ANNA))

    assert (await desk.work())["state"] == "open"
    # What came while somebody closed what they saw keeps it open.
    seen = (await desk.inbox.messages())[-1]["message_id"]

    assert (await desk.act("close", {"message_id": seen}))["work"]["state"] == "open"
    assert (await desk.act("close"))["work"]["state"] == "closed"


async def test_lists_show_what_somebody_has_and_what_is_to_be_done(desk: Desk) -> None:
    inbox = desk.inbox
    await inbox.fold(received("a", 1, ANNA), received("b", 2, BEN))
    ben, anna = (each["conversation_id"] for each in await inbox.conversations())
    await desk.call("POST", f"/conversations/{anna}/assign", {"agent": "me"})
    await desk.call("POST", f"/conversations/{anna}/tags", {"add": ["vip", "new"]})
    await desk.call("POST", f"/conversations/{ben}/close", {})

    async def ids(**query: str) -> list[str]:
        headers = desk.bearer("shop", "agent", sub="anna")
        async with inbox.client.get("/conversations", params=query, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            return [each["conversation_id"] for each in (await answer.json())["conversations"]]

    assert await ids(assignee="me") == await ids(assignee="anna") == await ids(state="open") == [anna]
    assert await ids(assignee="none") == await ids(state="closed") == [ben]
    assert await ids(assignee="none", state="open") == await ids(assignee="ben") == await ids(team="orders") == []
    assert await ids(tag="vip") == await ids(tag="vip", assignee="me", state="open", unread="true") == [anna]
    await desk.call("POST", f"/conversations/{anna}/tags", {"remove": ["vip"]})
    assert await ids(tag="vip") == []


async def test_what_was_read_is_not_unread_until_more_comes_or_somebody_marks_it(desk: Desk) -> None:
    await desk.inbox.fold(received("one", 1, ANNA), received("two", 2, ANNA))
    first = (await desk.inbox.messages())[-1]["message_id"]
    assert (await desk.act("read", {"message_id": first}))["unread"] == 1
    assert (await desk.act("read"))["unread"] == 0
    assert (await desk.act("unread"))["unread"] == 1
    assert (await desk.act("read"))["unread"] == 0

    await desk.inbox.fold(received("three", 3, ANNA))

    assert [each["unread"] for each in await desk.inbox.conversations()] == [1]


async def test_notes_are_for_colleagues_who_are_told_and_only_who_wrote_one_deletes_it(desk: Desk) -> None:
    await desk.inbox.fold(received("hello", 1, ANNA))
    once = {"Idempotency-Key": "note-1"}
    note = await desk.act("notes", {"text": "calls back"}, status=201, headers=once)
    assert await desk.act("notes", {"text": "calls back"}, status=201, headers=once) | {"at": 0} == note | {"at": 0}
    path = f"/conversations/{await desk.inbox.only_conversation()}/notes"
    assert [each["text"] for each in (await desk.call("GET", path))["notes"]] == ["calls back"]
    assert (await desk.work())["notes"] == 1

    await desk.call("DELETE", f"{path}/{note['note_id']}", sub="ben", status=403)
    await desk.call("DELETE", f"{path}/{note['note_id']}", sub="anna")

    assert (await desk.call("GET", path))["notes"] == []
    await desk.call("DELETE", f"{path}/{note['note_id']}", sub="anna", status=404)
    # Who follows is told.
    async with following(desk.inbox) as events:
        await events.until("hello")
        await desk.act("assign", {"agent": "me"}, sub="ben")
        told = await events.until("change")

    assert told["conversation"]["work"]["agent"] == "ben"
    assert (told["messages"], told["reload"]) == ([], False)


async def test_what_does_not_fit_is_refused_before_it_is_in_the_log(desk: Desk) -> None:
    await desk.inbox.fold(received("hello", 1, ANNA))
    for what, body in (
        ("assign", {"agent": "a", "bot": "b"}),
        ("assign", {"team": "nobody-knows"}),
        ("snooze", {"until": (datetime.now(UTC) - timedelta(minutes=1)).isoformat()}),
        ("snooze", {}),
        ("tags", {}),
        ("tags", {"add": ["x"], "remove": ["x"]}),
        ("notes", {"text": ""}),
        ("notes", {"text": "\u0000"}),
    ):
        await desk.act(what, body, status=422)
    assert await desk.inbox.pool.fetchval("SELECT count(*) FROM work_events") == 0


async def test_a_rebuild_keeps_what_was_done_and_makes_it_anew_where_it_is_missing(desk: Desk) -> None:
    await desk.inbox.fold(received("hello", 1, ANNA))
    await desk.act("assign", {"agent": "me"}, sub="ben")
    await desk.act("assign", {"agent": "me"}, sub="anna", status=409)
    await desk.act("tags", {"add": ["vip"]})
    await desk.act("notes", {"text": "likes tea"}, status=201)
    before = await desk.work()

    await replay_over(projector.TABLES, lambda _: None)
    assert await desk.work() == before
    for table in ("conversation_work", "work_events", "notes"):
        await desk.inbox.pool.execute(f"TRUNCATE {table}")
    await desk.inbox.pool.execute("UPDATE conversations SET agent = NULL, tags = '{}'")
    await replay_over(projector.TABLES, lambda _: None)

    assert await desk.work() == before
    outcomes = await desk.inbox.pool.fetch("SELECT outcome FROM work_events ORDER BY at")
    assert [row["outcome"] for row in outcomes] == ["done", "taken", "done", "done"]
