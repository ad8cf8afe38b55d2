"""What is known of somebody holds for the number and user id that they have now, and for no stranger."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sending_world import ORG, PERSON, Client, Json, Sending, received, template, text
from simulated_meta.seed import DEMO_PHONE, DEMO_WABA
from test_opting_out import has_offer, offer
from wabus_events import (
    SENDS,
    BlockRequested,
    ContactBlocked,
    ContactIdentityChanged,
    Event,
    MarketingPreferenceChanged,
    MessageAccepted,
    MessageReceived,
    Topic,
)
from wabus_events.testing import an
from wabus_runtime.settings import IdentitySettings, load
from wabus_whatsapp.ids import Ids

pytest_plugins = ("support.sending_world",)

EventsIn = Callable[[Topic], Awaitable[list[Event]]]
OLD, NEW, NEWER = PERSON, "4915100000021", "4915100000022"


def at(minutes: float) -> datetime:
    return datetime.now(UTC) + timedelta(minutes=minutes)


def moved(before: str = OLD, after: str | None = NEW, minutes: float = -30, **more: str) -> ContactIdentityChanged:
    return ContactIdentityChanged(
        id=str(uuid4()), time=at(minutes), org_id=ORG, waba_id=DEMO_WABA, phone_number_id=DEMO_PHONE,
        previous_wa_id=before, current_wa_id=after, value={}, **more,
    )  # fmt: skip


def said(body: str, minutes: float, person: str = OLD, user_id: str | None = None) -> MessageReceived:
    told = received(person, user_id, at(minutes))
    return told.model_copy(update={"value": {"messages": [{"text": {"body": body}}]}})


def preference(choice: str, minutes: float, person: str = OLD) -> MarketingPreferenceChanged:
    return an(
        MarketingPreferenceChanged, org_id=ORG, waba_id=DEMO_WABA, phone_number_id=DEMO_PHONE, contact=person,
        user_id=None, category="marketing_messages", choice=choice, time=at(minutes),
    )  # fmt: skip


async def refusal(sending: Sending, sender: Client, message: Json) -> str | None:
    async with sender.post("/messages/check", json=message, headers=sending.bearer(ORG, "agent")) as answer:
        content = await answer.json()
        assert answer.status == 200, content
        return (content["refusal"] or {"code": None})["code"]


async def until_refused(sending: Sending, sender: Client, message: Json, code: str | None) -> None:
    async def is_so() -> bool:
        return await refusal(sending, sender, message) == code

    await sending.eventually(is_so)


async def until_folded(sending: Sending, sender: Client) -> None:
    """All of messages is in the tables that was published before: something later is of each partition."""
    marks = [f"4915{uuid4().int % 10**8:08}" for _ in range(60)]
    await sending.publisher.publish([received(mark) for mark in marks])
    for mark in marks:
        await until_refused(sending, sender, text(mark), None)


@pytest.mark.parametrize("word_first", [True, False], ids=["told before", "told after"])
async def test_a_stop_from_the_old_number_holds_for_the_new_one_however_late_it_comes(
    sending: Sending, sender: Client, word_first: bool
) -> None:
    await has_offer(sending)
    moves: list[Event] = [moved(), moved(NEW, NEWER, -20)]
    words: list[Event] = [said("STOP", -40)]
    for events in (words, moves) if word_first else (moves[1:], moves[:1], words):
        await sending.publisher.publish(events)
        await until_folded(sending, sender)
    assert await refusal(sending, sender, offer(to=NEWER)) == "opted_out"
    # Who says later that they want them again does.
    await sending.publisher.publish([said("START", -10, NEWER)])
    await until_refused(sending, sender, offer(to=NEWER), None)


async def test_what_a_stranger_with_the_old_number_wants_is_not_what_its_owner_before_wants(
    sending: Sending, sender: Client
) -> None:
    await has_offer(sending)
    await sending.publisher.publish([moved()])
    await until_folded(sending, sender)
    await sending.publisher.publish([said("STOP", -5), preference("stop", -4)])
    await until_refused(sending, sender, offer(to=OLD), "wants_no_marketing")
    assert await refusal(sending, sender, offer(to=NEW)) is None
    # Nor does the stranger's writing open the window of whoever had the number.
    assert await refusal(sending, sender, text(OLD)) is None
    await sending.publisher.publish([preference("stop", -60)])
    await sending.publisher.publish([preference("stop", -60, "4915100000077")])
    await until_refused(sending, sender, offer(to="4915100000077"), "wants_no_marketing")


async def test_a_stop_at_meta_is_kept_by_who_has_a_new_number_however_late_it_is_told(
    sending: Sending, sender: Client
) -> None:
    await has_offer(sending)
    await sending.publisher.publish([moved()])
    await until_folded(sending, sender)
    await sending.publisher.publish([preference("stop", -60)])
    await until_refused(sending, sender, offer(to=NEW), "wants_no_marketing")


async def test_a_user_id_is_nobody_elses_whatever_it_did_after_it_changed(sending: Sending, sender: Client) -> None:
    await has_offer(sending)
    change = ContactIdentityChanged(
        id=str(uuid4()), time=at(-30), org_id=ORG, waba_id=DEMO_WABA, phone_number_id=DEMO_PHONE,
        previous_user_id="DE.1", current_user_id="DE.2", value={},
    )  # fmt: skip
    await sending.publisher.publish([change])
    await until_folded(sending, sender)
    await sending.publisher.publish([said("STOP", -29, OLD, "DE.1")])
    recipient = {"from": DEMO_PHONE, "recipient": "DE.2", "type": "template", "template": offer()["template"]}
    await until_refused(sending, sender, recipient, "opted_out")


async def test_who_wrote_last_with_the_old_number_can_be_answered_at_the_new_one(
    sending: Sending, sender: Client
) -> None:
    await sending.publisher.publish([moved("4915100000030", "4915100000031")])
    await until_refused(sending, sender, text("4915100000031"), "window_closed")
    await sending.publisher.publish([received("4915100000030", None, at(-31))])
    await until_refused(sending, sender, text("4915100000031"), None)


async def test_what_is_sent_again_goes_to_the_number_that_the_person_has_now_and_to_no_stranger(
    sending: Sending, sender: Client
) -> None:
    old, new = "4915100000041", "4915100000042"
    ids = Ids(load(IdentitySettings).identity_bytes)
    conversation = ids.conversation(ORG, DEMO_PHONE, ids.identifier(f"{ORG}\x1f{DEMO_WABA}", "wa_id", old))
    await sending.publisher.publish([received(old, None, at(-40))])
    headers = sending.bearer(ORG, "agent")
    body = {"conversation_id": conversation, "type": "text", "text": {"body": "Yes."}, "not_before": at(60).isoformat()}

    async def known() -> bool:
        return (await sender.post("/messages/check", json=body, headers=headers)).status == 200

    await sending.eventually(known)
    send_id = (await sending.post(sender, body))["send_id"]
    async with sender.post(f"/sends/{send_id}/cancel", headers={**headers, "Prefer": "wait=10"}) as answer:
        assert (await answer.json())["state"] == "cancelled"
    await sending.publisher.publish([moved(old, new)])
    await until_refused(sending, sender, text(new), None)
    async with sender.post(f"/sends/{send_id}/again", headers=headers) as answer:
        again = await sending.get(sender, f"/sends/{(await answer.json())['send_id']}")
    assert (again["to"], again["again_of"]) == (new, send_id)


async def test_somebody_who_is_blocked_gets_nothing_at_their_new_number_and_can_be_unblocked_there(
    sending: Sending, sender: Client, events_in: EventsIn
) -> None:
    waiting = {**sending.bearer(ORG, "agent"), "Prefer": "wait=30"}
    whom = {"from": DEMO_PHONE, "to": OLD}
    async with sender.post("/messages/block", json=whom, headers=waiting) as answer:
        assert (answer.status, await answer.json()) == (200, {"blocked": True, "state": "done"})
    await sending.publisher.publish([moved(minutes=1)])
    await until_refused(sending, sender, template(NEW), "blocked")
    found = await sending.post(sender, template(NEW), 422)
    assert found["code"] == "blocked"
    # Meta has never heard of the new number, and says so: it is unblocked all the same.
    await sending.control("POST", "/faults", {"fail": {"path": "/block_users", "code": 139100, "times": 9}})
    async with sender.post("/messages/unblock", json=whom | {"to": NEW}, headers=waiting) as answer:
        assert (answer.status, await answer.json()) == (200, {"blocked": False, "state": "done"})
    assert await refusal(sending, sender, template(NEW)) is None
    # What is told once more of the old number does not block them again.
    told = [event for event in await events_in(SENDS) if isinstance(event, BlockRequested | ContactBlocked)]
    await sending.publisher.publish([event for event in told if event.wa_id == OLD])
    await sending.write("4915100000099")
    await until_refused(sending, sender, text("4915100000099"), None)
    mark = await sending.post(sender, text("4915100000099"))
    await sending.until(sender, mark["send_id"], "accepted")
    assert await refusal(sending, sender, template(NEW)) is None


async def test_whoever_was_blocked_by_a_user_id_is_unblocked_by_the_number_that_came_with_it(
    sending: Sending, sender: Client
) -> None:
    about: Json = {"org_id": ORG, "waba_id": DEMO_WABA, "phone_number_id": DEMO_PHONE, "wa_id": None, "time": at(-50)}
    wanted = an(BlockRequested, user_id="DE.5", blocks=True, **about)
    done = an(ContactBlocked, user_id="DE.5", request_id=wanted.id, **about)
    await sending.publisher.publish([wanted, done, received("4915100000050", "DE.5", at(-40))])
    await until_refused(sending, sender, text("4915100000050"), "blocked")
    whom = {"from": DEMO_PHONE, "to": "4915100000050"}
    waiting = {**sending.bearer(ORG, "agent"), "Prefer": "wait=30"}
    async with sender.post("/messages/unblock", json=whom, headers=waiting) as answer:
        assert (answer.status, (await answer.json())["state"]) == (200, "done")
    assert await refusal(sending, sender, text("4915100000050")) is None


@pytest.mark.parametrize("moved_first", [True, False], ids=["moved first", "came first"])
async def test_what_is_free_to_who_came_by_an_ad_stays_free_at_their_new_number(
    sending: Sending, sender: Client, moved_first: bool
) -> None:
    came = received(OLD, at=at(-120))
    ad = {"messages": [{"id": came.wamid, "type": "text", "referral": {"source_type": "ad"}}]}
    answer = an(
        MessageAccepted, org_id=ORG, waba_id=DEMO_WABA, phone_number_id=DEMO_PHONE, time=at(-60),
        send_id=str(uuid4()), attempt=1, wamid="wamid.B", wa_id=OLD, kind="text",
    )  # fmt: skip

    async def free_until(person: str) -> str | None:
        async with sender.post("/messages/check", json=text(person), headers=sending.bearer(ORG, "agent")) as told:
            entry = (await told.json())["price"]["free_entry_point"]
            return entry and entry["until"]

    async def answered() -> bool:
        return await free_until(OLD) is not None

    async def is_free_there() -> bool:
        return await free_until(NEW) == await free_until(OLD)

    if moved_first:
        await sending.publisher.publish([moved()])
    await sending.publisher.publish([came.model_copy(update={"value": ad})])
    await until_folded(sending, sender)
    await sending.publisher.publish([answer])
    await sending.eventually(answered)
    if not moved_first:
        await sending.publisher.publish([moved()])
    await sending.eventually(is_free_there)
