"""Who is exported has all that is kept of them, who is forgotten is gone, and neither their words nor numbers leak."""

import asyncio
import io
import json
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import structlog
from conversations_world import Bearer, Inbox, Serve
from threads import ANNA, ANNA_ID, BEN, NOW, ORG, WABA, echoed, in_book, preference, received, recent, status
from wabus_cli.forgetting.asked import Asked
from wabus_cli.forgetting.holders import all_holdings, opened_databases, rows, tables_there
from wabus_conversations.app import create_app
from wabus_conversations.settings import ConversationsSettings
from wabus_events import ERASURES, AccountConnected, ContactForgotten, Event
from wabus_runtime.http import answers
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.observe.telemetry import configure_logs
from wabus_runtime.settings import LogSettings, load
from waiting import Eventually

pytest_plugins = ["conversations_world"]


async def exported(inbox: Inbox, contact_id: str) -> list[dict[str, Any]]:
    headers = inbox.bearer(ORG, "admin")
    async with inbox.client.get(f"/contacts/{contact_id}/export", headers=headers) as answer:
        assert (answer.status, answer.content_type) == (200, "application/x-ndjson")
        return [json.loads(line) for line in (await answer.text()).splitlines()]


async def contact_of(inbox: Inbox, identifier: str) -> str:
    (found,) = (await inbox.ask("/contacts", identifier=identifier))["contacts"]
    return found["contact_id"]


async def test_an_export_has_everything_of_one_person_and_nothing_of_others(inbox: Inbox) -> None:
    await inbox.fold(
        received("1", 1, ANNA, ANNA_ID, name="Anna"),
        echoed("2", 2, ANNA, ANNA_ID),
        status("2", "read", 3, ANNA, ANNA_ID),
        received("3", 4, ANNA, ANNA_ID, number="another"),
        received("in the group", 5, ANNA, ANNA_ID, group="g"),
        received("of Ben in the group", 6, BEN, group="g"),
        received("of Ben", 7, BEN),
    )
    contact, *messages, end = await exported(inbox, await contact_of(inbox, ANNA))

    assert (contact["record"], contact["numbers"], contact["user_ids"]) == ("contact", [ANNA], [ANNA_ID])
    assert {each["wamid"] for each in messages} == {"1", "2", "3", "in the group"}
    (sent,) = (each for each in messages if each["wamid"] == "2")
    assert [each["status"] for each in sent["statuses"]] == ["read"]
    assert end == {"record": "end", "messages": 4}


async def held_by_the_commands(contact: str) -> dict[str, list[dict[str, Any]]]:
    """What `wabus export` has of somebody, by table."""
    found: dict[str, list[dict[str, Any]]] = {}
    asked = Asked(contact=contact, org_id=ORG)
    async with opened_databases() as pools:
        for where in await tables_there({"wabus_conversations": pools["wabus_conversations"]}, all_holdings()):
            if held := [row async for row in rows(where, asked, ())]:
                found[where.table.name] = held
    return found


async def test_an_export_has_what_the_commands_have_and_so_does_forgetting(
    running: Inbox, publisher: Publisher, eventually: Eventually
) -> None:
    told = (
        received("1", 1, ANNA, name="Anna"),
        received("2", 2, ANNA, ANNA_ID),
        echoed("3", 3, None, ANNA_ID),
        status("3", "read", 4, ANNA, ANNA_ID),
        received("in the group", 5, ANNA, ANNA_ID, group="g"),
        received("of Ben in the group", 6, BEN, group="g"),
        status("to the group", "read", 7, ANNA, ANNA_ID, group="g"),
        status("to the group", "read", 8, BEN, group="g"),
        in_book(9, "Anna in the book", ANNA, ANNA_ID),
        preference(10, "stop", ANNA, ANNA_ID),
        received("of Ben", 11, BEN),
    )
    await publisher.publish([recent(event) for event in told])

    async def all_there() -> bool:
        return await running.pool.fetchval("SELECT count(*) FROM contact_facts") == 1 and await running.pool.fetchval(
            "SELECT count(*) FROM messages"
        ) == 7  # fmt: skip

    await eventually(all_there)
    contact = await contact_of(running, ANNA)
    _, *records, _ = await exported(running, contact)
    held = await held_by_the_commands(ANNA_ID)

    messages = [each for each in records if each["record"] == "message"]
    statuses = [each for each in records if each["record"] == "status"]
    assert {each["message_id"] for each in messages} == {row["message_id"] for row in held["messages"]}
    assert {each["wamid"] for each in messages} == {"1", "2", "3", "in the group"}
    assert len(held["message_statuses"]) == len(statuses) + sum(len(each["statuses"]) for each in messages) == 2
    assert {row["value"] for row in held["identifiers"]} == {ANNA, ANNA_ID}
    assert held.keys() >= {"persons", "conversations", "contact_facts", "identity_evidence"}

    headers = {**running.bearer(ORG, "admin"), "Prefer": "wait=30"}
    async with running.client.delete(f"/contacts/{contact}", headers=headers) as answer:
        assert answer.status == 200
    assert await held_by_the_commands(ANNA_ID) == {}
    assert await held_by_the_commands(ANNA) == {}
    assert {row["wamid"] for row in (await held_by_the_commands(BEN))["messages"]} == {"of Ben", "of Ben in the group"}


async def test_an_export_of_many_messages_has_each_once(inbox: Inbox) -> None:
    await inbox.fold(*(received(f"m{number}", number // 7) for number in range(1_203)))
    _, *messages, end = await exported(inbox, await contact_of(inbox, ANNA))
    assert end["messages"] == len(messages) == len({each["wamid"] for each in messages}) == 1_203


@pytest.fixture
async def running(inbox: Inbox, serve: Serve, publisher: Publisher, bearer: Bearer) -> Inbox:
    """API and worker in one process; the organisation has the account."""
    await publisher.publish([AccountConnected(id="c", time=NOW - timedelta(days=1), org_id=ORG, waba_id=WABA)])
    inbox.client = await serve(create_app(load(ConversationsSettings), "all"))
    return inbox


async def test_who_is_forgotten_is_gone_from_every_answer_and_new_if_they_write_again(
    running: Inbox, publisher: Publisher, eventually: Eventually, events_in: Any
) -> None:
    await publisher.publish(
        [recent(received("1", 1, ANNA, ANNA_ID)), recent(echoed("2", 2, ANNA, ANNA_ID)), recent(received("3", 3, BEN))]
    )

    async def all_there() -> bool:
        return len(await running.conversations()) == 2

    await eventually(all_there)
    contact = await contact_of(running, ANNA)
    path = f"/contacts/{contact}"
    headers = {**running.bearer(ORG, "admin"), "Prefer": "wait=30"}
    async with running.client.delete(path, headers=headers) as answer:
        assert (answer.status, await answer.json()) == (200, {"contact_id": contact, "status": "forgotten"})

    assert (await running.ask(path, status=404))["code"] == "contact_not_found"
    (left,) = await running.conversations()
    assert left["contact"]["numbers"] == [BEN]
    assert (await running.ask("/contacts", identifier=ANNA))["contacts"] == []
    forgotten = await events_in(ERASURES)
    assert len(forgotten) == 2
    assert all(isinstance(each, ContactForgotten) for each in forgotten)
    written = str(forgotten)
    assert ANNA not in written
    assert ANNA_ID not in written
    again = recent(received("4", 0, ANNA, ANNA_ID)).model_copy(
        update={"time": forgotten[0].time + timedelta(seconds=1)}
    )
    await publisher.publish([again])
    await eventually(all_there)
    assert await contact_of(running, ANNA) != contact


async def test_forgetting_is_durable_before_it_is_answered(inbox: Inbox, events_in: Any) -> None:
    await inbox.fold(received("1", 1, ANNA))
    contact = await contact_of(inbox, ANNA)
    answer = await inbox.ask(f"/contacts/{contact}", method="DELETE", role="admin", status=202)
    assert answer == {"contact_id": contact, "status": "forgetting"}
    found: list[Event] = await events_in(ERASURES)
    assert [type(each) for each in found] == [ContactForgotten]
    assert found[0].time > recent(received("1", 1, ANNA)).time


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """All lines, as a process writes them."""
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    configure_logs(LogSettings(log_level="DEBUG", log_format="json"), "test")
    structlog.configure(cache_logger_on_first_use=False)
    monkeypatch.setattr(answers, "log", structlog.get_logger())
    yield written
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


async def test_no_words_and_no_numbers_are_in_logs_metrics_or_errors(inbox: Inbox, logged: io.StringIO) -> None:
    secret = "xylophone4711"
    await inbox.fold(received("wamid.SECRET1", 1, ANNA, ANNA_ID, name=secret, text={"body": secret}))
    conversation, contact = await inbox.only_conversation(), await contact_of(inbox, ANNA)
    paths = [
        "/conversations", f"/conversations/{conversation}", f"/conversations/{conversation}/messages",
        f"/conversations/search?q={secret}", f"/contacts?identifier={ANNA}", f"/contacts/{contact}",
        f"/contacts/{contact}/export", f"/contacts/{ANNA}", f"/conversations/{secret}",
        f"/conversations?waba_id={secret}%00", f"/contacts?identifier={secret}%00&limit={secret}",
        f"/conversations/{conversation}/messages?around={secret}", f"/conversations?after={secret}",
    ]  # fmt: skip
    # And what goes wrong inside.
    broken = ["ALTER TABLE conversations RENAME TO elsewhere", "ALTER TABLE elsewhere RENAME TO conversations"]
    problems = ""
    for statement in (None, *broken):
        if statement:
            await inbox.pool.execute(statement)
        for path in paths:
            async with inbox.client.get(path, headers=inbox.bearer(ORG, "admin")) as answer:
                text = await answer.text()
                problems += text if answer.status >= 400 else ""
    metrics = await (await inbox.client.get("/metrics")).text()
    lines = logged.getvalue()

    assert "internal_error" in problems
    assert "request_failed" in lines
    for word in (secret, ANNA, ANNA_ID, "wamid.SECRET1"):
        for where in (problems, metrics, lines):
            assert word not in where


async def test_a_client_that_leaves_in_the_middle_of_an_export_costs_nobody_anything(inbox: Inbox) -> None:
    await inbox.fold(*(received(f"m{number}", number, text={"body": "long " * 2_000}) for number in range(1_200)))
    contact = await contact_of(inbox, ANNA)
    headers = inbox.bearer(ORG, "admin")
    answer = await inbox.client.get(f"/contacts/{contact}/export", headers=headers)
    await answer.content.readany()
    answer.close()
    await asyncio.sleep(0)
    assert len(await inbox.conversations()) == 1
