"""While a number stands still nothing is called for it, and afterwards everything goes in its order."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest
from sending_world import ORG, PERSON, Client, Sending, received
from simulated_meta.seed import DEMO_PHONE, DEMO_WABA
from wabus_events import MESSAGES, SENDS, Event, SendClaimed, SendRequested, SendReturned
from wabus_events.testing import an
from wabus_runtime.directory.directory import Directory
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.projection.recorded import Recorded
from wabus_runtime.settings import IdentitySettings, load
from wabus_sender.settings import SenderDatabaseSettings, SenderFoldSettings
from wabus_sender.tables import numbers, sends
from wabus_sender.tables.people import blocks, read_marks
from wabus_sender.worker.projector import NAME, declared
from wabus_whatsapp.ids import Ids

pytest_plugins = ("support.sending_world",)

KEY = b"a key of thirty-two bytes or more"
NOW = datetime.now(UTC)
EVERYWHERE = range(100)  # partitions
TOO_MANY_CALLS = 80007  # Meta: "Rate limits" (Graph API)


@pytest.fixture
async def tables(environment: dict[str, str]) -> AsyncIterator[asyncpg.Pool]:
    async with migrated_pool(load(SenderDatabaseSettings), "wabus_sender") as opened:
        yield opened


async def fold(tables: asyncpg.Pool, events: Sequence[Event]) -> None:
    apply = declared(NAME, KEY, Directory(load(SenderFoldSettings))).applying(load(SenderFoldSettings))
    write = await apply([Recorded(event, SENDS.name, 0, offset, NOW) for offset, event in enumerate(events)])
    async with tables.acquire() as connection, connection.transaction():
        await write(connection)


def requested(seconds_ago: float) -> SendRequested:
    send_id = str(uuid4())
    return SendRequested(
        id=f"requested {send_id}", time=NOW - timedelta(seconds=seconds_ago), org_id=ORG, waba_id=DEMO_WABA,
        phone_number_id=DEMO_PHONE, send_id=send_id, lane="service", kind="text", to=PERSON,
        message={"type": "text", "text": {"body": "Hello"}}, expires_at=NOW + timedelta(hours=2),
    )  # fmt: skip


async def test_the_hour_that_meta_named_is_not_cut_short_by_a_smaller_wait_that_it_names_later(
    tables: asyncpg.Pool,
) -> None:
    hour, minute = NOW + timedelta(hours=1), NOW + timedelta(minutes=1)
    await numbers.pause(tables, DEMO_PHONE, hour, "calls_limited", TOO_MANY_CALLS)
    await numbers.pause(tables, DEMO_PHONE, minute, "pause_number", 131057)
    found = await numbers.paused(tables, DEMO_PHONE, NOW)
    assert found is not None
    assert (found["until"], found["reason"], found["error_code"]) == (hour, "calls_limited", TOO_MANY_CALLS)
    await numbers.pause(tables, DEMO_PHONE, hour + timedelta(minutes=1), "account_stop", 131042)
    found = await numbers.paused(tables, DEMO_PHONE, hour)
    assert found is not None
    assert found["reason"] == "account_stop"


@pytest.mark.parametrize("reason", ["calls_limited", "account_stop", "pause_number", "no_access", "stopping"])
async def test_a_second_message_does_not_arrive_before_the_first_because_the_sender_restarts_in_a_pause(
    tables: asyncpg.Pool, reason: str
) -> None:
    first, second = requested(9), requested(8)
    about = {"org_id": ORG, "waba_id": DEMO_WABA, "phone_number_id": DEMO_PHONE, "send_id": first.send_id, "attempt": 1}
    claimed = an(SendClaimed, time=NOW, **about)
    returned = an(SendReturned, time=NOW, reason=reason, retry_at=NOW + timedelta(minutes=19), tries=0, **about)
    await fold(tables, [first, second, claimed, returned])
    for seconds in (1, 1_200):  # whoever takes the number over looks while it pauses, and afterwards
        found = await sends.due(tables, [0], NOW + timedelta(seconds=seconds), {}, 10)
        assert [each.send_id for each in found] == [first.send_id, second.send_id]


async def test_what_is_tried_again_for_itself_alone_is_not_due_before(tables: asyncpg.Pool) -> None:
    first, second = requested(9), requested(8)
    about = {"org_id": ORG, "waba_id": DEMO_WABA, "phone_number_id": DEMO_PHONE, "send_id": first.send_id, "attempt": 1}
    claimed = an(SendClaimed, time=NOW, **about)
    returned = an(SendReturned, time=NOW, reason="passing", retry_at=NOW + timedelta(seconds=9), tries=1, **about)
    await fold(tables, [first, second, claimed, returned])
    assert [each.send_id for each in await sends.due(tables, [0], NOW, {}, 10)] == [second.send_id]


@pytest.mark.parametrize(("reason", "held_for"), [("passing", 10), ("busy_pair", 64)])
async def test_whoever_takes_a_number_over_knows_what_is_tried_again_and_holds_others(
    tables: asyncpg.Pool, reason: str, held_for: float
) -> None:
    first, second, retry_at = requested(9), requested(8), NOW + timedelta(seconds=64)
    about = {"org_id": ORG, "waba_id": DEMO_WABA, "phone_number_id": DEMO_PHONE, "send_id": first.send_id, "attempt": 1}
    returned = an(SendReturned, time=NOW, reason=reason, retry_at=retry_at, tries=1, **about)
    await fold(tables, [first, second, an(SendClaimed, time=NOW, **about), returned])
    await tables.execute("UPDATE sends SET called_at = $1 WHERE claimed > 0", NOW)
    [(found, at, held_until)] = await sends.tried_again(tables, [0], NOW, timedelta(seconds=10))
    assert (found.send_id, found.sequence, at) == (first.send_id, 0, retry_at)
    assert held_until == NOW + timedelta(seconds=held_for)
    assert await sends.called_since(tables, [0], NOW - timedelta(seconds=1)) == [(DEMO_PHONE, PERSON, [NOW])]


async def test_nobody_gets_two_messages_at_once_because_one_names_their_number_and_one_their_user_id(
    tables: asyncpg.Pool,
) -> None:
    by_number = requested(9)
    by_user = requested(8).model_copy(update={"to": None, "recipient": "DE.1"})
    strangers = requested(7).model_copy(update={"to": None, "recipient": "DE.9"})
    wrote = [received("4915100000009", "DE.9", NOW), received("4915100000009", "DE.8"), received(PERSON, "DE.1")]
    apply = declared(NAME, KEY, Directory(load(SenderFoldSettings))).applying(load(SenderFoldSettings))
    write = await apply([Recorded(event, MESSAGES.name, 0, at, NOW) for at, event in enumerate(wrote)])
    async with tables.acquire() as connection, connection.transaction():
        await write(connection)
    await fold(tables, [by_number, by_user, strangers])
    found = await sends.due(tables, [0], NOW, {}, 10)
    assert [each.person for each in found] == [PERSON, PERSON, "DE.9"]


async def test_meta_is_not_called_about_what_was_read_while_it_takes_no_calls_of_the_number(
    sending: Sending, sender: Client, sender_tables: asyncpg.Pool
) -> None:
    """It would take none for longer, and messages wait for that too."""
    await sending.control("POST", "/faults", {"fail": {"path": "/messages", "code": TOO_MANY_CALLS, "times": 1}})
    ids = Ids(load(IdentitySettings).identity_bytes)
    person = ids.identifier(f"{ORG}\x1f{DEMO_WABA}", "wa_id", PERSON)
    mark = {"conversation_id": ids.conversation(ORG, DEMO_PHONE, person)}
    async with sender.post("/messages/read", json=mark, headers=sending.bearer(ORG, "agent")) as answer:
        assert answer.status == 202, await answer.text()

    async def stands() -> bool:
        found = await numbers.paused(sender_tables, DEMO_PHONE, datetime.now(UTC))
        return found is not None and (found["reason"], found["error_code"]) == ("calls_limited", TOO_MANY_CALLS)

    await sending.eventually(stands)
    assert (await sending.get(sender, f"/numbers/{DEMO_PHONE}/sending"))["paused"]["reason"] == "calls_limited"
    soon, later = (datetime.now(UTC) + timedelta(seconds=each) for each in (10, 100))
    assert await read_marks.due(sender_tables, EVERYWHERE, soon, later, 10) == []
    assert len(await read_marks.due(sender_tables, EVERYWHERE, later, later, 10)) == 1


async def test_a_block_is_not_refused_because_meta_takes_no_calls_of_the_number_for_a_while(
    sending: Sending, sender: Client, sender_tables: asyncpg.Pool
) -> None:
    await sending.control("POST", "/faults", {"fail": {"path": "/block_users", "code": TOO_MANY_CALLS, "times": 1}})
    whom = {"from": DEMO_PHONE, "to": PERSON}
    async with sender.post("/messages/block", json=whom, headers=sending.bearer(ORG, "agent")) as answer:
        assert answer.status == 202, await answer.text()

    async def stands() -> bool:
        found = await numbers.paused(sender_tables, DEMO_PHONE, datetime.now(UTC))
        attempts = await sender_tables.fetchval("SELECT attempts FROM blocks WHERE state = 'asked'")
        return found is not None and attempts == 0

    await sending.eventually(stands)
    soon, later = (datetime.now(UTC) + timedelta(seconds=each) for each in (10, 100))
    assert await blocks.due(sender_tables, EVERYWHERE, soon, later, 10) == []
    [wanted] = await blocks.due(sender_tables, EVERYWHERE, later, later, 10)
    assert wanted.attempts == 1
