"""Who has said that they want no marketing gets none, until they say otherwise."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import asyncpg
from sending_world import ORG, PERSON, Client, Json, Sending, received, text
from simulated_meta.seed import DEMO_PHONE, DEMO_WABA
from wabus_events import (
    SENDS,
    ContactForgotten,
    ContactIdentityChanged,
    Event,
    OptedIn,
    OptedOut,
    Template,
    TemplateChanged,
    Topic,
    identity_of,
)
from wabus_events.models.erasures import line_at
from wabus_events.testing import an
from wabus_runtime.settings import IdentitySettings, load

pytest_plugins = ("support.sending_world",)

EventsIn = Callable[[Topic], Awaitable[list[Event]]]
USER_ID = "DE.1234567"


def offer(**more: Any) -> Json:
    template = {"name": "offer", "language": {"code": "de"}}
    return {"from": DEMO_PHONE, "to": PERSON, "type": "template", "template": template, **more}


async def has_offer(sending: Sending) -> None:
    template = Template(template_id="9", name="offer", language="de", category="MARKETING", status="APPROVED")
    about: Json = {"waba_id": DEMO_WABA, "org_id": ORG, "time": datetime.now(UTC)}
    await sending.publisher.publish([an(TemplateChanged, template=template, added=True, version_number=1, **about)])


async def writes(sending: Sending, body: str) -> None:
    event = received(PERSON, USER_ID)
    await sending.publisher.publish([event.model_copy(update={"value": {"messages": [{"text": {"body": body}}]}})])


async def until_refused(sending: Sending, sender: Client, code: str | None, **whom: str | None) -> None:
    """The offer may be sent to the person, or it may not, for this."""

    async def checked() -> bool:
        async with sender.post("/messages/check", json=offer(**whom), headers=sending.bearer(ORG, "agent")) as answer:
            body = await answer.json()
            return answer.status == 200 and (body["refusal"] or {"code": None})["code"] == code

    await sending.eventually(checked)


async def test_a_word_ends_marketing_and_another_begins_it_again(
    sending: Sending, sender: Client, events_in: EventsIn, sender_tables: asyncpg.Pool
) -> None:
    await has_offer(sending)
    await until_refused(sending, sender, None)
    await writes(sending, "Please don't stop!")
    async with sender.post("/sends/pause", json={"label": "spring"}, headers=sending.bearer(ORG, "agent")) as answer:
        assert answer.status == 202
    waiting = await sending.post(sender, offer(label="spring"))
    await writes(sending, "STOP!")
    await until_refused(sending, sender, "opted_out")
    async with sender.post("/sends/resume", json={"label": "spring"}, headers=sending.bearer(ORG, "agent")) as answer:
        assert answer.status == 202
    # What waited is refused just before its call; what is no marketing is sent.
    found = await sending.until(sender, waiting["send_id"], "refused")
    assert (found["refusal"]["code"], found["refusal"]["stage"]) == ("opted_out", "check")
    await sending.until(sender, (await sending.post(sender, text()))["send_id"], "accepted")
    body = await sending.post(sender, offer(to=None, recipient=USER_ID), 422)
    assert body["code"] == "opted_out"
    assert "opt-in" in body["remedy"]
    await writes(sending, "Start")
    await until_refused(sending, sender, None)

    async def told() -> list[Event]:
        return [event for event in await events_in(SENDS) if isinstance(event, OptedOut | OptedIn)]

    async def both_told() -> bool:
        return len(await told()) == 2

    await sending.eventually(both_told)
    out, back = await told()
    assert isinstance(out, OptedOut)
    assert isinstance(back, OptedIn)
    assert (out.by, out.wa_id, out.user_id, out.wamid is None) == ("keyword", PERSON, USER_ID, False)
    assert await sender_tables.fetchval("SELECT count(*) FROM opt_outs_untold") == 0
    assert len(await sending.sent()) == 1


async def test_who_wants_no_offers_gets_none_at_a_new_number_either(sending: Sending, sender: Client) -> None:
    await has_offer(sending)
    await writes(sending, "STOP!")
    moved = ContactIdentityChanged(
        id="moved", time=datetime.now(UTC), org_id=ORG, waba_id=DEMO_WABA, phone_number_id=DEMO_PHONE, value={},
        previous_wa_id=PERSON, previous_user_id=USER_ID, current_wa_id="4915100000077", current_user_id="DE.77",
    )  # fmt: skip
    await until_refused(sending, sender, "opted_out")
    await until_refused(sending, sender, None, to="4915100000077")

    await sending.publisher.publish([moved])

    await until_refused(sending, sender, "opted_out", to="4915100000077")
    await until_refused(sending, sender, "opted_out", to=None, recipient="DE.77")


async def test_the_platform_tells_of_it_too_and_has_words_of_its_own(
    sending: Sending, sender: Client, sender_tables: asyncpg.Pool
) -> None:
    await has_offer(sending)
    agent, admin = sending.bearer(ORG, "agent"), sending.bearer(ORG, "admin")
    whom = {"from": DEMO_PHONE, "to": PERSON}
    async with sender.post("/messages/opt-out", json=whom, headers=agent) as answer:
        assert (answer.status, await answer.json()) == (202, {"opted_out": True})
    await until_refused(sending, sender, "opted_out")
    async with sender.post("/messages/opt-in", json=whom, headers=agent) as answer:
        assert answer.status == 202
    await until_refused(sending, sender, None)
    assert "stop" in (await sending.get(sender, "/messages/keywords"))["stop"]
    own = {"stop": ["Abmelden"], "start": []}
    async with sender.put("/messages/keywords", json=own, headers=agent) as answer:
        assert answer.status == 403
    async with sender.put("/messages/keywords", json={"stop": ["?!"], "start": []}, headers=admin) as answer:
        assert (answer.status, (await answer.json())["fields"]) == (422, ["stop"])
    async with sender.put("/messages/keywords", json=own, headers=admin) as answer:
        assert answer.status == 200
    assert await sending.get(sender, "/messages/keywords") == own
    await writes(sending, "stop")
    await writes(sending, "ABMELDEN")
    await until_refused(sending, sender, "opted_out")
    for wrong in (whom | {"conversation_id": "0d5a1f0e-8a55-8d0c-9d4f-1f3f8f8f2a10"}, {"from": DEMO_PHONE}):
        async with sender.post("/messages/opt-out", json=wrong, headers=agent) as answer:
            assert answer.status == 422
    async with sender.post("/messages/opt-out", json=whom, headers=sending.bearer("other", "agent")) as answer:
        assert (answer.status, (await answer.json())["code"]) == (422, "not_your_number")
    # Kept when they were not seen for long, and gone with who is forgotten.
    await sender_tables.execute("DELETE FROM contacts")
    assert await sender_tables.fetchval("SELECT count(*) FROM opt_outs WHERE opted_out") == 2
    key = load(IdentitySettings).identity_bytes
    lines = [
        line_at(ContactForgotten, identity_of(key, ContactForgotten, value, ORG), datetime.now(UTC))
        for value in (PERSON, USER_ID)
    ]
    await sending.publisher.publish(lines)

    async def forgotten() -> bool:
        return await sender_tables.fetchval("SELECT count(*) FROM opt_outs") == 0

    await sending.eventually(forgotten)
