"""What Meta delivers late of somebody who was forgotten meanwhile leaves nothing behind, on either way in."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import ClientSession
from support.forgetting import line
from wabus_events import (
    ACCOUNTS,
    MESSAGES,
    TEMPLATES,
    AccountForgotten,
    ContactForgotten,
    Event,
    MessageReceived,
    OrganisationForgotten,
    Topic,
)
from wabus_gateway.app import GatewaySettings, create_app
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.service.process import serving
from wabus_runtime.settings import KafkaSettings, load
from waiting import Eventually
from webhooks import WABA, conversation, encoded, signed, status, template_status, text, webhook

EventsIn = Callable[[Topic], Awaitable[list[Event]]]

SENT = datetime.fromtimestamp(1_700_000_000, UTC)
"""When everything that tests/support/webhooks.py makes is of, to some seconds."""
LATE, LATER = SENT + timedelta(hours=1), SENT - timedelta(hours=1)
ANN, BOB = "16505551234", "4917012345678"


@pytest.fixture
async def gateway(topics: KafkaSettings) -> AsyncIterator[ClientSession]:
    async with (
        serving(create_app(load(GatewaySettings)), "127.0.0.1", 0) as ports,
        ClientSession(f"http://127.0.0.1:{ports[0]}") as client,
    ):
        yield client


async def deliver(gateway: ClientSession, *changes: dict[str, Any], waba_id: str = WABA) -> None:
    body = encoded(webhook(*changes, waba_id=waba_id))
    async with gateway.post("/webhooks/whatsapp", data=body, headers=signed(body)) as answer:
        assert answer.status == 200


async def stored(events_in: EventsIn) -> list[Event]:
    return [event for topic in (ACCOUNTS, TEMPLATES, MESSAGES) for event in await events_in(topic)]


async def test_a_late_webhook_of_a_forgotten_account_is_taken_and_leaves_nothing(
    publisher: Publisher, gateway: ClientSession, events_in: EventsIn, eventually: Eventually
) -> None:
    await publisher.publish([line(AccountForgotten, WABA, LATE)])

    async def known() -> bool:
        before = len(await stored(events_in))
        await deliver(gateway, conversation(messages=[text(f"wamid.{before}")]))
        return len(await stored(events_in)) == before

    await eventually(known)
    before = await stored(events_in)
    unknown = {"field": "teleportation", "value": {"to": "Mars"}}
    await deliver(gateway, conversation(messages=[text("wamid.A")]))
    await deliver(gateway, conversation(statuses=[status("wamid.B"), status("wamid.C")]), template_status(), unknown)
    assert await stored(events_in) == before
    await deliver(gateway, conversation(messages=[text("wamid.A")]), waba_id="another")
    new = [event for event in await stored(events_in) if event not in before]
    assert {event.subject for event in new} == {"another"}
    text_of = await (await gateway.get("/metrics")).text()
    assert "wabus_webhook_events_forgotten_total " in text_of


async def test_a_gateway_that_has_just_started_knows_who_was_forgotten_before_it_takes_a_webhook(
    publisher: Publisher, gateway: ClientSession, events_in: EventsIn
) -> None:
    await publisher.publish([line(AccountForgotten, WABA, LATE)])
    async with (
        serving(create_app(load(GatewaySettings)), "127.0.0.1", 0) as ports,
        ClientSession(f"http://127.0.0.1:{ports[0]}") as started_now,
    ):
        await deliver(started_now, conversation(messages=[text("wamid.A")]))
    assert await stored(events_in) == []


async def senders(events_in: EventsIn) -> list[str]:
    return sorted(event.contact for event in await events_in(MESSAGES) if isinstance(event, MessageReceived))


async def test_of_a_forgotten_person_only_what_they_write_since_is_stored(
    publisher: Publisher, gateway: ClientSession, events_in: EventsIn, eventually: Eventually
) -> None:
    await publisher.publish([line(ContactForgotten, ANN, LATE), line(ContactForgotten, BOB, LATER)])

    async def known() -> bool:
        before = len(await senders(events_in))
        await deliver(gateway, conversation(messages=[text(f"wamid.{before}", ANN)]))
        return len(await senders(events_in)) == before

    await eventually(known)
    before = await senders(events_in)
    await deliver(gateway, conversation(messages=[text("wamid.B", ANN), text("wamid.C", BOB)]))
    await deliver(gateway, conversation(messages=[text("wamid.D", BOB)]))
    assert await senders(events_in) == sorted([*before, BOB, BOB])


async def test_of_a_person_whom_one_organisation_forgot_another_still_has_what_they_write(
    publisher: Publisher, gateway: ClientSession, events_in: EventsIn
) -> None:
    await publisher.publish([line(ContactForgotten, ANN, LATE, "acme")])
    await deliver(gateway, conversation(messages=[text("wamid.A", ANN)]))
    assert await senders(events_in) == [ANN]


async def test_a_line_of_an_organisation_keeps_out_what_was_its_own(
    publisher: Publisher, gateway: ClientSession, events_in: EventsIn
) -> None:
    await publisher.publish([line(OrganisationForgotten, "acme", LATE)])
    await deliver(gateway, conversation(messages=[text("wamid.A")]))
    assert {event.org_id for event in await stored(events_in)} == {None}
