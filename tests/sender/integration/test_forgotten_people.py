"""Of somebody who is forgotten by one of their ids nothing is left in any table, nor comes back."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest
from sending_world import ORG, PERSON, Client, Sending, received, status, text
from simulated_meta.seed import DEMO_PHONE, DEMO_WABA
from support.forgetting import rows_with
from wabus_events import (
    AccountForgotten,
    ContactForgotten,
    ContactIdentityChanged,
    Event,
    MarketingPreferenceChanged,
    MessageReceived,
    identity_of,
)
from wabus_events.models.erasures import line_at
from wabus_runtime.settings import IdentitySettings, load
from waiting import Eventually

pytest_plugins = ["sending_world"]

USER, NEW_NUMBER, WORDS = "DE.17012345678901234", "4915199999999", "something private"
NEW_USER = "DE.17012345678905678"  # that only a change of identity names together with the one of before
OTHER = "4917012345678"
EVERYTHING = (PERSON, USER, NEW_NUMBER, NEW_USER, WORDS)


def preference(user_id: str, number: str | None) -> Event:
    return MarketingPreferenceChanged(
        id=str(uuid4()), time=datetime.now(UTC), org_id=ORG, waba_id=DEMO_WABA, phone_number_id=DEMO_PHONE,
        contact=number or user_id, user_id=user_id, category="marketing_messages", choice="stop", value={},
    )  # fmt: skip


def became(user_id: str, before: str) -> Event:
    return ContactIdentityChanged(
        id=str(uuid4()), time=datetime.now(UTC), org_id=ORG, waba_id=DEMO_WABA, phone_number_id=DEMO_PHONE,
        current_user_id=user_id, previous_user_id=before, value={},
    )  # fmt: skip


@pytest.mark.parametrize("by", [PERSON, USER, NEW_NUMBER, NEW_USER])
async def test_nothing_is_left_of_who_is_forgotten_by_any_of_their_ids(
    sending: Sending, sender: Client, sender_tables: asyncpg.Pool, eventually: Eventually, by: str
) -> None:
    await sending.control("POST", "/messages?webhook=false", {"from": OTHER})
    await sending.publisher.publish([received(PERSON, USER), received(NEW_NUMBER, USER), received(OTHER)])
    await sending.publisher.publish([became(NEW_USER, USER)])

    async def is_known() -> bool:
        found = await sender_tables.fetch("SELECT value FROM contacts")
        return {PERSON, USER, NEW_NUMBER, NEW_USER, OTHER} <= {row["value"] for row in found}

    await eventually(is_known)
    sends = [
        await sending.post(sender, text(PERSON, WORDS)),
        await sending.post(sender, {**text(body=WORDS), "to": None, "recipient": USER}),
    ]
    kept = await sending.post(sender, text(OTHER, "for another"))
    for each in (*sends, kept):
        await sending.until(sender, each["send_id"], "accepted", "refused", "unknown")
    await sending.publisher.publish([preference(USER, PERSON), status(sends[0]["send_id"], "read")])

    async def is_told() -> bool:
        return bool(await sender_tables.fetchval("SELECT count(*) FROM preferences"))

    await eventually(is_told)
    held = await rows_with(sender_tables, EVERYTHING)
    assert {name.partition(".")[2] for name in held} >= {
        "sends",
        "contacts",
        "windows",
        "preferences",
        "successors",
        "holders",
    }
    key, line = load(IdentitySettings).identity_bytes, datetime.now(UTC) + timedelta(seconds=1)
    await sending.publisher.publish([line_at(ContactForgotten, identity_of(key, ContactForgotten, by), line)])

    async def nothing_is_left() -> bool:
        assert await rows_with(sender_tables, EVERYTHING) == {}
        return True

    await eventually(nothing_is_left)
    assert (await sending.get(sender, f"/sends/{kept['send_id']}"))["to"] == OTHER
    # What comes late, or once more, of any of them brings nothing back.
    late: Sequence[MessageReceived] = [
        received(PERSON, at=line - timedelta(minutes=2)),
        received(USER, USER, at=line - timedelta(minutes=2)),
        received(NEW_NUMBER, at=line - timedelta(minutes=2)),
        received(NEW_USER, NEW_USER, at=line - timedelta(minutes=2)),
    ]
    newer = received(OTHER, at=line + timedelta(seconds=1))
    await sending.publisher.publish([*late, newer])

    async def is_folded() -> bool:
        seen = await sender_tables.fetchval("SELECT user_last_at FROM windows WHERE value = $1", OTHER)
        return seen == newer.time

    await eventually(is_folded)
    assert await rows_with(sender_tables, EVERYTHING) == {}


async def test_to_whom_meta_refused_a_message_is_not_kept_of_an_account_that_is_forgotten(
    sending: Sending, sender: Client, sender_tables: asyncpg.Pool, eventually: Eventually
) -> None:
    refused = status(str(uuid4()), "failed", OTHER).model_copy(update={"error_codes": [131047]})
    await sending.publisher.publish([refused])
    held = "SELECT count(*) FROM windows WHERE value = $1"

    async def is_held() -> bool:
        return await sender_tables.fetchval(held, OTHER) == 1

    async def is_gone() -> bool:
        return await sender_tables.fetchval(held, OTHER) == 0

    await eventually(is_held)
    key, line = load(IdentitySettings).identity_bytes, datetime.now(UTC) + timedelta(seconds=1)
    await sending.publisher.publish([line_at(AccountForgotten, identity_of(key, AccountForgotten, DEMO_WABA), line)])
    await eventually(is_gone)
