"""What is asked for is sent once, and it is told what became of it: over Kafka, PostgreSQL and a simulated Meta."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from click.testing import CliRunner
from sending_world import ORG, PERSON, Client, Sending, Serve, copied, received, status, template, text, until_ready
from simulated_meta.seed import DEMO_PHONE, DEMO_WABA
from wabus_events import (
    SENDS,
    ContactForgotten,
    ContactIdentityChanged,
    Event,
    MessageAccepted,
    MessageReported,
    SendClaimed,
    SendRequested,
    SendReturned,
    SendUnknown,
    TeamsChanged,
    ThreadControlChanged,
    Topic,
    identity_of,
)
from wabus_events.models.erasures import line_at
from wabus_runtime.settings import IdentitySettings, load
from wabus_sender.app import create_app
from wabus_sender.commands import send
from wabus_sender.settings import SenderSettings
from wabus_sender.tables import keeping
from wabus_whatsapp.ids import Ids, Kind, message_id
from waiting import Eventually

pytest_plugins = ("support.sending_world",)

EventsIn = Callable[[Topic], Awaitable[list[Event]]]
OTHER = "4915100000001"


def requested(send_id: str, person: str = PERSON, **more: Any) -> SendRequested:
    now = datetime.now(UTC)
    fields: dict[str, Any] = {
        "lane": "service", "kind": "text", "message": {"type": "text", "text": {"body": send_id}},
        "expires_at": now + timedelta(hours=1), "to": person,
    }  # fmt: skip
    return SendRequested(id=f"requested {send_id}", time=now, **about(send_id), **(fields | more))


def about(send_id: str) -> dict[str, Any]:
    return {"org_id": ORG, "waba_id": DEMO_WABA, "phone_number_id": DEMO_PHONE, "send_id": send_id}


def claimed(send_id: str, attempt: int = 1) -> SendClaimed:
    return SendClaimed(id=f"claimed {send_id} {attempt}", time=datetime.now(UTC), attempt=attempt, **about(send_id))


async def test_an_agent_sees_no_sends_of_others_where_agents_see_what_is_for_their_teams(
    sending: Sending, sender: Client, eventually: Eventually
) -> None:
    def who(sub: str, role: str = "agent") -> dict[str, str]:
        return sending.bearer(ORG, role, sub=sub)

    async def listed(sub: str, role: str = "agent") -> set[str]:
        async with sender.get("/sends", headers=who(sub, role)) as answer:
            return {each["send_id"] for each in (await answer.json())["sends"]}

    async def sends_something(sub: str) -> str:
        async with sender.post("/messages", json=text(body=f"by {sub}"), headers=who(sub)) as answer:
            assert answer.status == 202
            return (await answer.json())["send_id"]

    async def told() -> bool:
        return await listed("olga") == {of_olga}

    of_olga, of_hugo = [await sends_something(sub) for sub in ("olga", "hugo")]
    await sending.until(sender, of_olga, "accepted")
    await sending.until(sender, of_hugo, "accepted")
    assert await listed("olga") == await listed("hugo") == {of_olga, of_hugo}

    now = datetime.now(UTC)
    await sending.publisher.publish([TeamsChanged(id=str(uuid4()), time=now, org_id=ORG, teams=[], agents_see="teams")])
    await eventually(told)

    assert await listed("hugo") == {of_hugo}
    assert await listed("boss", "admin") == await listed("program", "service") == {of_olga, of_hugo}
    for method, path in (("GET", ""), ("POST", "/cancel"), ("POST", "/again")):
        async with sender.request(method, f"/sends/{of_olga}{path}", headers=who("hugo")) as answer:
            assert (answer.status, (await answer.json())["code"]) == (404, "send_not_found")


async def test_a_message_is_sent_once_and_told_of(sending: Sending, sender: Client, events_in: EventsIn) -> None:
    taken = await sending.post(sender, text(metadata="order 42", label="spring"))
    found = await sending.until(sender, taken["send_id"], "accepted")
    [entry] = await sending.sent()
    assert entry["opaque"] == f"w1:{taken['send_id']}"
    assert entry["body"]["text"] == {"body": "It is on its way."}
    assert (found["metadata"], found["label"], found["attempts"], found["to"]) == ("order 42", "spring", 1, PERSON)
    assert [type(event) for event in await events_in(SENDS)] == [SendRequested, SendClaimed, MessageAccepted]
    listed = await sending.get(sender, "/sends?state=accepted&label=spring")
    assert [each["send_id"] for each in listed["sends"]] == [taken["send_id"]]
    headers = {**sending.bearer(ORG, "agent"), "Idempotency-Key": "again"}
    again = [await sender.post(f"/sends/{taken['send_id']}/again", headers=headers) for _ in range(2)]
    repeated = {(await answer.json())["send_id"] for answer in again}
    assert len(repeated) == 1
    found = await sending.until(sender, repeated.pop(), "accepted")
    assert (found["again_of"], found["label"]) == (taken["send_id"], "spring")
    batch = {"messages": [text(body="one", idempotency_key="a"), text(OTHER), text(body="one", idempotency_key="a")]}
    answer = await sender.post("/messages/batch", json=batch, headers=sending.bearer(ORG, "service"))
    first, second, third = (await answer.json())["results"]
    assert first == third
    assert second["refused"]["code"] == "window_closed"
    await sending.until(sender, first["taken"]["send_id"], "accepted")
    assert len(await sending.sent()) == 3
    address = str(sender.make_url("")).rstrip("/")
    words = [
        "--org",
        ORG,
        "--from",
        DEMO_PHONE,
        "--to",
        PERSON,
        "--text",
        "By command",
        "--wait",
        "30",
        "--api",
        address,
    ]
    said = await asyncio.to_thread(CliRunner().invoke, send, words)
    assert (said.exit_code, said.output.partition(": ")[2]) == (0, "accepted\n")
    await sending.get(sender, f"/sends/{uuid4()}", 404)


async def test_who_turns_the_pages_of_a_campaign_asked_for_in_one_moment_sees_each_send_once(
    sending: Sending, sender: Client, eventually: Eventually
) -> None:
    moment = datetime.now(UTC)
    later: dict[str, Any] = {"label": "spring", "not_before": moment + timedelta(minutes=30)}
    asked = [str(uuid4()) for _ in range(5)]
    sent = [requested(each, **later).model_copy(update={"time": moment}) for each in asked]
    await sending.publisher.publish([*sent, requested(str(uuid4()), label="autumn")])

    async def pages(wanted: str) -> list[str]:
        found: list[str] = []
        after = ""
        while True:
            page = await sending.get(sender, f"/sends?limit=2&{wanted}{after}")
            found += [each["send_id"] for each in page["sends"]]
            if page["next"] is None:
                return found
            after = f"&after={page['next']}"

    async def are_there() -> bool:
        return len(await pages("")) == 6 and len(await pages("state=queued")) == 5

    await eventually(are_there)
    for wanted in ("label=spring", "state=queued", f"phone_number_id={DEMO_PHONE}&label=spring&state=queued"):
        assert await pages(wanted) == sorted(asked)
    assert (await pages(""))[-5:] == sorted(asked)
    assert await pages("label=winter") == []


async def test_the_same_key_is_one_send_however_often_and_wherever_it_is_sent(
    sending: Sending, sender: Client, serve: Serve, eventually: Eventually
) -> None:
    another = await serve(create_app(load(SenderSettings), "api"))
    await until_ready(another, sending, eventually)
    answers = await asyncio.gather(
        *(sending.post((sender, another)[n % 2], text(), Idempotency_Key="order 42") for n in range(50))
    )
    assert len({str(sorted(answer.items())) for answer in answers}) == 1
    await sending.until(sender, answers[0]["send_id"], "accepted")
    refused = await sending.post(sender, text(body="Another text"), 422, Idempotency_Key="order 42")
    assert refused["code"] == "key_reused"
    done = await sending.post(sender, text(), 200, Idempotency_Key="order 42", Prefer="wait=10")
    assert (done["send_id"], done["state"]) == (answers[0]["send_id"], "accepted")
    assert len(await sending.sent()) == 1


async def test_who_asks_again_when_its_time_is_over_is_not_told_that_nothing_was_sent(
    sending: Sending, sender: Client, eventually: Eventually
) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=5)
    asked = text(expires_at=soon.isoformat())
    taken = await sending.post(sender, asked, Idempotency_Key="order 43")
    await sending.until(sender, taken["send_id"], "accepted")

    async def is_over() -> bool:
        return datetime.now(UTC) > soon

    await eventually(is_over)
    assert await sending.post(sender, asked, Idempotency_Key="order 43") == taken
    batch = {"messages": [asked | {"idempotency_key": "order 43"}, asked | {"idempotency_key": "order 44"}]}
    async with sender.post("/messages/batch", json=batch, headers=sending.bearer(ORG, "agent")) as answer:
        repeated, late = (await answer.json())["results"]
    assert repeated["taken"] == taken
    assert (late["refused"]["code"], late["refused"]["fields"]) == ("invalid_request", ["expires_at"])
    assert len(await sending.sent()) == 1


async def test_a_lost_answer_is_unknown_and_never_sent_again_until_a_status_tells(
    sending: Sending, sender: Client, eventually: Eventually
) -> None:
    for body in ("cut", "html", "half", "truncated"):
        await sending.control("POST", "/faults", {"fail": {"times": 1, "path": "/messages", "body": body}})
        taken = await sending.post(sender, text(body=body))
        await sending.until(sender, taken["send_id"], "unknown")
        await sending.publisher.publish([status(taken["send_id"], wamid=f"wamid.{body}")])
        settled = await sending.until(sender, taken["send_id"], "accepted")
        assert (settled["delivery"], settled["attempts"]) == ("sent", 1)
    assert [entry["body"]["text"]["body"] for entry in await sending.sent()] == ["cut", "html", "half", "truncated"]


async def test_definite_errors_are_tried_again_or_refused_by_their_class(sending: Sending, sender: Client) -> None:
    for code, state, http in ((2, "accepted", 500), (130429, "accepted", 400), (131026, "refused", 400)):
        failure = {"times": 1, "path": "/messages", "body": "json", "code": code, "status": http}
        await sending.control("POST", "/faults", {"fail": failure})
        taken = await sending.post(sender, text(body=str(code)))
        found = await sending.until(sender, taken["send_id"], "accepted", "refused", "unknown")
        assert (found["state"], found["attempts"]) == (state, 2 if state == "accepted" else 1)
    assert found["refusal"]["code"] == "unreachable_person"
    assert found["refusal"]["error_code"] == 131026
    assert len(await sending.sent()) == 2


async def test_what_is_known_refuses_before_meta_is_asked(sending: Sending, sender: Client) -> None:
    closed = await sending.post(sender, text(OTHER), 422)
    assert (closed["code"], bool(closed["remedy"])) == ("window_closed", True)
    foreign = await sending.post(sender, text() | {"from": "1234567890"}, 422)
    assert foreign["code"] == "not_your_number"
    ours = await sending.post(sender, text(biz_opaque_callback_data="mine"), 422)
    assert ours["fields"] == ["biz_opaque_callback_data"]
    wrong = await sending.post(sender, text() | {"image": {"id": "1"}}, 422)
    assert wrong["fields"] == ["image"]
    empty = await sending.post(sender, text(body="\x00"), 422)
    assert empty["fields"] == ["text"]
    answer = await sender.post("/messages", json=text(), headers=sending.bearer(ORG, "member"))
    assert answer.status == 403
    # A template opens what is closed.
    taken = await sending.post(sender, template(OTHER))
    await sending.until(sender, taken["send_id"], "accepted")
    assert len(await sending.sent()) == 1
    how = await sending.get(sender, f"/numbers/{DEMO_PHONE}/sending")
    assert (how["level"], how["paused"]) == (80, None)


async def test_of_who_is_forgotten_nothing_is_left_and_an_answer_finds_its_conversation(
    sending: Sending, sender: Client, sender_tables: asyncpg.Pool, eventually: Eventually
) -> None:
    key = load(IdentitySettings).identity_bytes
    ids = Ids(key)
    person = ids.identifier(f"{ORG}\x1f{DEMO_WABA}", "wa_id", PERSON)
    answer = {"conversation_id": ids.conversation(ORG, DEMO_PHONE, person), "type": "text", "text": {"body": "Yes."}}
    taken = await sending.post(sender, answer)
    assert (await sending.until(sender, taken["send_id"], "accepted"))["to"] == PERSON
    mark = {"conversation_id": answer["conversation_id"], "typing": True}
    read = await sender.post("/messages/read", json=mark, headers=sending.bearer(ORG, "agent"))
    assert read.status == 202

    async def marked() -> bool:
        counts = (await sending.control("GET", "/sending"))["counts"]
        return (counts["read_marks"], counts["typing"]) == (1, 1)

    await eventually(marked)
    await sending.publisher.publish([status(taken["send_id"], "read")])

    async def told() -> bool:
        return (await sending.get(sender, f"/sends/{taken['send_id']}"))["delivery"] == "read"

    await eventually(told)
    await sending.publisher.publish(
        [line_at(ContactForgotten, identity_of(key, ContactForgotten, PERSON, ORG), datetime.now(UTC))]
    )

    async def forgotten() -> bool:
        answer = await sender.get(f"/sends/{taken['send_id']}", headers=sending.bearer(ORG, "agent"))
        return answer.status == 404

    await eventually(forgotten)
    for table in ("sends", "heard", "contacts", "windows", "conversation_ids", "successors", "holders"):
        assert await sender_tables.fetchval(f"SELECT count(*) FROM {table}") == 0, table


async def test_who_has_another_number_is_answered_there_and_a_stranger_with_the_old_one_gets_nothing(
    sending: Sending, sender: Client, sender_tables: asyncpg.Pool, eventually: Eventually
) -> None:
    ids = Ids(load(IdentitySettings).identity_bytes)
    now = datetime.now(UTC)

    def conversation(kind: Kind, value: str) -> str:
        return ids.conversation(ORG, DEMO_PHONE, ids.identifier(f"{ORG}\x1f{DEMO_WABA}", kind, value))

    def became(number: str | None, user_id: str | None, minutes: float = -5, **before: str) -> ContactIdentityChanged:
        return ContactIdentityChanged(
            id=str(uuid4()), time=now + timedelta(minutes=minutes), org_id=ORG, waba_id=DEMO_WABA,
            phone_number_id=DEMO_PHONE, current_wa_id=number, current_user_id=user_id, value={}, **before,
        )  # fmt: skip

    def wrote(number: str, user_id: str | None, minutes: float) -> Event:
        return received(number, user_id, now + timedelta(minutes=minutes))

    stranger = wrote("4915100000020", "DE.9", -1)
    await sending.publisher.publish(
        [
            # Whoever has number and user id anew, told before or after what they wrote last with those of before.
            became("4915100000021", "DE.2", previous_wa_id="4915100000020", previous_user_id="DE.1"),
            became("4915100000022", "DE.3", -3, previous_user_id="DE.2"),
            wrote("4915100000020", None, -30),
            wrote("4915100000020", "DE.1", -20),
            # Of whom only the number was told, and who hides the new one.
            wrote("4915100000030", "DE.4", -20),
            became("4915100000031", None, previous_wa_id="4915100000030"),
            wrote("4915100000040", "DE.5", -20),
            became(None, "DE.6", previous_user_id="DE.5"),
            # Whose number others have, and of whom nothing else was told.
            wrote("4915100000050", "DE.7", -20),
            wrote("4915100000050", "DE.8", -1),
            stranger,
        ]
    )

    async def address(kind: Kind, value: str) -> tuple[str | None, str | None] | None:
        message = {"conversation_id": conversation(kind, value), "type": "text", "text": {"body": "Yes."}}
        async with sender.post("/messages", json=message, headers=sending.bearer(ORG, "agent")) as answer:
            if answer.status != 202:
                assert (await answer.json())["code"] == "conversation_unknown"
                return None
            sent = await sending.until(sender, (await answer.json())["send_id"], "queued", "accepted", "refused")
            return sent["to"], sent["recipient"]

    async def folded() -> bool:
        return await address("user_id", "DE.9") is not None

    await eventually(folded)
    assert await address("user_id", "DE.9") == ("4915100000020", "DE.9")
    assert await address("user_id", "DE.1") == await address("wa_id", "4915100000020") == ("4915100000022", "DE.3")
    assert await address("user_id", "DE.4") == ("4915100000031", None)
    assert await address("user_id", "DE.5") == (None, "DE.6")
    assert await address("user_id", "DE.7") == await address("wa_id", "4915100000050") == (None, "DE.7")
    # A month later: what they were known by is kept for as long as they are seen by another, and no longer.
    for before, kept in ((now - timedelta(minutes=10), True), (now + timedelta(days=1), False)):
        while await keeping.delete_contacts(sender_tables, before, 100):
            pass
        assert (await address("user_id", "DE.1") is not None) is kept
    for table in ("contacts", "windows", "conversation_ids", "successors", "holders"):
        assert await sender_tables.fetchval(f"SELECT count(*) FROM {table}") == 0, table


async def test_nobody_gets_a_message_hours_late_because_workers_restart_between_its_tries(
    sending: Sending, serve: Serve, eventually: Eventually
) -> None:
    send_id, later = str(uuid4()), str(uuid4())
    now = datetime.now(UTC)
    trouble: dict[str, Any] = {"time": now, "reason": "passing", "error_code": 2, "retry_at": now}
    await sending.control("POST", "/faults", {"fail": {"times": 99, "path": "/messages", "code": 2, "status": 500}})
    await sending.write(PERSON, OTHER)
    await sending.publisher.publish(
        [
            requested(send_id),
            claimed(send_id, 4),
            SendReturned(id="returned", attempt=4, tries=4, **trouble, **about(send_id)),
            requested(later, OTHER),
            claimed(later, 4),
            # Of the same number of attempts, at three of which Meta was only busy.
            SendReturned(id="returned later", attempt=4, tries=1, **trouble, **about(later)),
        ]
    )
    client = await serve(create_app(load(SenderSettings)))
    await until_ready(client, sending, eventually)
    found = await sending.until(client, send_id, "refused")
    assert (found["refusal"]["code"], found["refusal"]["error_code"], found["attempts"]) == ("meta_in_trouble", 2, 5)

    async def waits() -> bool:
        found = await sending.get(client, f"/sends/{later}")
        return (found["state"], found["waits_for"]) == ("queued", "passing")

    await eventually(waits)


async def test_who_cancels_a_send_at_once_is_not_told_that_there_is_none(sending: Sending, sender: Client) -> None:
    """It would be sent, for what was asked for a moment ago is in the log and not in the tables yet."""
    later, headers = (datetime.now(UTC) + timedelta(hours=1)).isoformat(), sending.bearer(ORG, "agent")
    for _ in range(5):
        send_id = (await sending.post(sender, text(not_before=later)))["send_id"]
        async with sender.post(f"/sends/{send_id}/cancel", headers={**headers, "Prefer": "wait=10"}) as answer:
            assert (answer.status, (await answer.json())["state"]) == (200, "cancelled")
        again = await sender.post(f"/sends/{send_id}/again", headers=headers)
        assert again.status == 202
        assert (await sender.get(again.headers["Location"], headers=headers)).status == 200


@pytest.mark.parametrize(
    ("to", "number"),
    [("+49 (151) 23456789", PERSON), ("0049 151 23456789", PERSON), ("0151 23456789", None), ("+0151 23456789", None)],
)
async def test_a_number_without_its_country_is_not_sent_to_as_if_it_were_one(
    sending: Sending, sender: Client, to: str, number: str | None
) -> None:
    """Meta puts the country of the business before it, and what is known of the person is known of another number."""
    answer = await sending.post(sender, text(to), status=202 if number else 422)
    if number is None:
        assert answer["fields"] == ["to"]
    else:
        assert (await sending.until(sender, answer["send_id"], "accepted"))["to"] == number


async def test_what_waits_can_be_cancelled_paused_and_expires(
    sending: Sending, sender: Client, eventually: Eventually
) -> None:
    now = datetime.now(UTC)
    later = (now + timedelta(hours=1)).isoformat()
    waits = await sending.post(sender, text(not_before=later))
    await sending.until(sender, waits["send_id"], "queued")
    answer = await sender.post(f"/sends/{waits['send_id']}/cancel", headers=sending.bearer(ORG, "agent"))
    assert answer.status == 202
    await sending.until(sender, waits["send_id"], "cancelled")
    spring, headers = {"label": "spring"}, sending.bearer(ORG, "agent")
    autumn = {"label": "autumn"}
    for label in (spring, autumn):
        assert (await sender.post("/sends/pause", json=label, headers=headers)).status == 202
    paused, other = [await sending.post(sender, text(**label)) for label in (spring, autumn)]

    async def is_held(send: dict[str, Any]) -> bool:
        async with sender.get(f"/sends/{send['send_id']}", headers=headers) as told:
            return told.status == 200 and (await told.json())["waits_for"] == "label_paused"

    async def held() -> bool:
        return await is_held(paused) and await is_held(other)

    await eventually(held)
    assert (await sender.post("/sends/resume", json=spring, headers=headers)).status == 202
    await sending.until(sender, paused["send_id"], "accepted")
    assert await is_held(other)
    assert (await sender.post(f"/sends/{other['send_id']}/cancel", headers=headers)).status == 202
    soon = (now + timedelta(seconds=5)).isoformat()
    await sending.control(
        "POST", "/faults", {"fail": {"times": 99, "path": "/messages", "code": 131056, "status": 400}}
    )
    expires = await sending.post(sender, text(expires_at=soon))
    await sending.until(sender, expires["send_id"], "expired")
    again = await sender.post(f"/sends/{expires['send_id']}/cancel", headers=sending.bearer(ORG, "agent"))
    assert again.status == 409
    assert len(await sending.sent()) == 1


@pytest.mark.long
async def test_a_replay_into_empty_tables_sends_only_what_was_never_claimed(
    sending: Sending, serve: Serve, eventually: Eventually, events_in: EventsIn
) -> None:
    ids = {name: str(uuid4()) for name in ("claimed", "told", "expired", "returned", "new", "forgotten")}
    past = datetime.now(UTC) - timedelta(minutes=1)
    key = load(IdentitySettings).identity_bytes
    log: list[Event] = [
        requested(ids["claimed"]),
        claimed(ids["claimed"]),
        requested(ids["told"], OTHER),
        claimed(ids["told"]),
        requested(ids["expired"], expires_at=past),
        requested(ids["returned"]),
        claimed(ids["returned"]),
        SendReturned(
            id="returned", time=past, attempt=1, reason="not_connected", retry_at=past, **about(ids["returned"])
        ),
        requested(ids["new"]),
        requested(ids["forgotten"], "4915100000009"),
        MessageAccepted(id="a", time=past, attempt=1, wamid="wamid.A", kind="text", **about(ids["told"])),
    ]
    await sending.write(PERSON, OTHER, "4915100000009")
    await sending.publisher.publish(log)
    identity = identity_of(key, ContactForgotten, "4915100000009", ORG)
    await sending.publisher.publish([line_at(ContactForgotten, identity, datetime.now(UTC))])
    client = await serve(create_app(load(SenderSettings)))
    await until_ready(client, sending, eventually)
    states = {"told": "accepted", "expired": "expired", "returned": "accepted", "new": "accepted", "claimed": "unknown"}
    for name, state in states.items():
        assert (await sending.until(client, ids[name], state))["state"] == state
    await sending.get(client, f"/sends/{ids['forgotten']}", 404)
    assert {entry["opaque"] for entry in await sending.sent()} == {f"w1:{ids['returned']}", f"w1:{ids['new']}"}
    assert len(await sending.sent()) == 2
    [unknown] = [event for event in await events_in(SENDS) if isinstance(event, SendUnknown)]
    assert (unknown.send_id, unknown.reason) == (ids["claimed"], "owner_gone")


async def test_what_another_system_has_sent_is_told_once(sending: Sending, sender: Client, events_in: EventsIn) -> None:
    sent_at = datetime.now(UTC) - timedelta(minutes=5)
    told = text(wamid="wamid.HBgM", sent_at=sent_at.isoformat(), label="spring")
    headers = sending.bearer(ORG, "service")
    answers = [await sender.post("/messages/reported", json=told, headers=headers) for _ in range(2)]
    assert [(answer.status, await answer.json()) for answer in answers] == [
        (202, {"message_id": message_id(ORG, DEMO_PHONE, "wamid.HBgM")})
    ] * 2
    first, second = [event for event in await events_in(SENDS) if isinstance(event, MessageReported)]
    assert (first.id, first.time, first.wa_id, first.kind) == (second.id, sent_at, PERSON, "text")
    assert first.message == {"type": "text", "text": {"body": "It is on its way."}}
    assert await sending.sent() == []
    wrong = [
        ({"sent_at": (sent_at - timedelta(days=31)).isoformat()}, "sent_at"),
        ({"sent_at": (sent_at + timedelta(hours=1)).isoformat()}, "sent_at"),
        ({"wamid": "something"}, "wamid"),
        ({"expires_at": sent_at.isoformat()}, "expires_at"),
        ({"text": {}}, "text.body"),
    ]
    for change, field in wrong:
        answer = await sender.post("/messages/reported", json=told | change, headers=headers)
        assert (answer.status, (await answer.json())["fields"]) == (422, [field])
    answer = await sender.post("/messages/reported", json=told, headers=sending.bearer("other", "service"))
    assert (answer.status, (await answer.json())["code"]) == (422, "not_your_number")


async def test_who_wrote_to_another_responder_may_be_answered_once_they_are_handed_over(
    sending: Sending, sender: Client, sender_tables: asyncpg.Pool
) -> None:
    agent = sending.bearer(ORG, "agent")

    async def refused(code: str | None) -> bool:
        async with sender.post("/messages/check", json=text(OTHER), headers=agent) as answer:
            return ((await answer.json())["refusal"] or {"code": None})["code"] == code

    async def told(event: Event, code: str | None) -> None:
        await sending.publisher.publish([event])
        await sending.eventually(lambda: refused(code))

    def handed(change: str, at: datetime) -> ThreadControlChanged:
        return ThreadControlChanged(
            id=change, time=at, org_id=ORG, waba_id=DEMO_WABA, phone_number_id=DEMO_PHONE, contact=OTHER,
            change=change, value={},
        )  # fmt: skip

    now = datetime.now(UTC)
    await sending.eventually(lambda: refused("window_closed"))
    await told(copied(OTHER, now - timedelta(minutes=9)), None)
    await told(handed("control_taken", now - timedelta(minutes=8)), "thread_of_another")
    wrote = now - timedelta(minutes=7)
    await sending.publisher.publish([copied(OTHER, wrote)])

    async def folded() -> bool:
        return wrote == await sender_tables.fetchval("SELECT max(user_last_at) FROM windows WHERE value = $1", OTHER)

    await sending.eventually(folded)
    assert await refused("thread_of_another")
    await told(handed("control_passed", now - timedelta(minutes=6)), None)


async def test_who_is_answered_by_another_responder_is_sent_nothing_until_they_write_to_us(
    sending: Sending, sender: Client
) -> None:
    agent = sending.bearer(ORG, "agent")
    assert (await sender.post("/sends/pause", json={"label": "spring"}, headers=agent)).status == 202
    waiting = await sending.post(sender, text(label="spring"))
    event = ThreadControlChanged(
        id="taken", time=datetime.now(UTC), org_id=ORG, waba_id=DEMO_WABA, phone_number_id=DEMO_PHONE, contact=PERSON,
        change="control_taken", value={},
    )  # fmt: skip
    await sending.publisher.publish([event])

    async def refused(code: str | None) -> bool:
        async with sender.post("/messages/check", json=text(), headers=agent) as answer:
            return ((await answer.json())["refusal"] or {"code": None})["code"] == code

    await sending.eventually(lambda: refused("thread_of_another"))
    assert (await sender.post("/sends/resume", json={"label": "spring"}, headers=agent)).status == 202
    found = await sending.until(sender, waiting["send_id"], "refused")
    assert (found["refusal"]["code"], found["refusal"]["stage"]) == ("thread_of_another", "check")
    await sending.write(PERSON)
    await sending.eventually(lambda: refused(None))
