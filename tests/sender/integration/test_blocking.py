"""A person can be blocked, where Meta lets it, and unblocked; nothing is sent to who is blocked."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import asyncpg
import pytest
from sending_world import ORG, PERSON, Client, Json, Sending, text
from simulated_meta.seed import DEMO_PHONE
from wabus_events import (
    SENDS,
    BlockRefused,
    BlockRequested,
    ContactBlocked,
    ContactForgotten,
    ContactUnblocked,
    Event,
    Topic,
    identity_of,
)
from wabus_events.models.erasures import line_at
from wabus_runtime.settings import IdentitySettings, load

pytest_plugins = ("support.sending_world",)

EventsIn = Callable[[Topic], Awaitable[list[Event]]]
STRANGER = "4915100000001"
OF_BLOCKS = BlockRequested | ContactBlocked | ContactUnblocked | BlockRefused


async def blocked_at_meta(sending: Sending) -> list[Json]:
    headers = {"Authorization": f"Bearer {sending.token}"}
    async with sending.meta.get(f"/v23.0/{DEMO_PHONE}/block_users", headers=headers) as answer:
        return (await answer.json())["data"]


@pytest.mark.long
async def test_a_person_is_blocked_and_unblocked(
    sending: Sending, sender: Client, events_in: EventsIn, sender_tables: asyncpg.Pool
) -> None:
    agent = sending.bearer(ORG, "agent")
    waiting = {**agent, "Prefer": "wait=30"}
    whom = {"from": DEMO_PHONE, "to": PERSON}
    async with sender.post("/sends/pause", json={"label": "spring"}, headers=agent) as answer:
        assert answer.status == 202
    later = await sending.post(sender, text(label="spring"))
    await sending.control("POST", "/faults", {"fail": {"path": "/block_users", "body": "cut", "times": 1}})
    async with sender.post("/messages/block", json=whom, headers=waiting) as answer:
        assert (answer.status, await answer.json()) == (200, {"blocked": True, "state": "done"})
    assert [each.get("wa_id") for each in await blocked_at_meta(sending)] == [PERSON]
    assert (await sending.post(sender, text(), 422))["code"] == "blocked"
    async with sender.post("/sends/resume", json={"label": "spring"}, headers=agent) as answer:
        assert answer.status == 202
    found = await sending.until(sender, later["send_id"], "refused")
    assert (found["refusal"]["code"], found["refusal"]["stage"]) == ("blocked", "check")
    async with sender.post("/messages/unblock", json=whom, headers=waiting) as answer:
        assert (answer.status, await answer.json()) == (200, {"blocked": False, "state": "done"})
    assert await blocked_at_meta(sending) == []
    await sending.until(sender, (await sending.post(sender, text()))["send_id"], "accepted")

    # Meta takes nobody on its list who has not written lately.
    async with sender.post("/messages/block", json=whom | {"to": STRANGER}, headers=waiting) as answer:
        body = await answer.json()
        assert (answer.status, body["code"]) == (422, "not_written_lately"), body
        assert body["remedy"]
    told = [event for event in await events_in(SENDS) if isinstance(event, OF_BLOCKS)]
    assert [type(event) for event in told] == [
        BlockRequested, ContactBlocked, BlockRequested, ContactUnblocked, BlockRequested, BlockRefused,
    ]  # fmt: skip
    async with sender.post("/messages/block", json=whom, headers=sending.bearer("other", "agent")) as answer:
        assert (answer.status, (await answer.json())["code"]) == (422, "not_your_number")
    async with sender.post("/messages/block", json=whom, headers=agent) as answer:
        assert answer.status == 202
    key = load(IdentitySettings).identity_bytes

    async def blocked() -> bool:
        return await sender_tables.fetchval("SELECT count(*) FROM blocks WHERE blocked") == 1

    await sending.eventually(blocked)
    identity = identity_of(key, ContactForgotten, PERSON, ORG)
    await sending.publisher.publish([line_at(ContactForgotten, identity, datetime.now(UTC))])

    async def forgotten() -> bool:
        return await sender_tables.fetchval("SELECT count(*) FROM blocks WHERE value = $1", PERSON) == 0

    await sending.eventually(forgotten)
