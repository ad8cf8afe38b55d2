"""What the sender knows of people who change, hide and show their numbers: the same in whatever order it is told."""

import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from sending_world import ORG
from simulated_meta.seed import DEMO_PHONE, DEMO_WABA
from threads import facts, rules
from wabus_conversations.threads.facts import Account
from wabus_conversations.threads.fold import threads_of
from wabus_conversations.threads.gathering import gather
from wabus_events import (
    MESSAGES,
    ContactIdentityChanged,
    Event,
    MarketingPreferenceChanged,
    MessageReceived,
    OptedIn,
    OptedOut,
    StandbyReceived,
    ThreadControlChanged,
)
from wabus_runtime.directory.directory import Directory
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.projection.recorded import Recorded
from wabus_runtime.settings import load
from wabus_sender.settings import SenderDatabaseSettings, SenderFoldSettings
from wabus_sender.tables.people import contacts, opt_outs, successors, thread_owners
from wabus_sender.worker.projector import NAME, declared
from wabus_whatsapp.ids import Ids

START = datetime(2026, 11, 30, 12, tzinfo=UTC)
KEY = b"a key of thirty-two bytes or more"
NUMBER, NEW_NUMBER, STRANGERS_NEW = "4915123456789", "4915100000002", "4915100000003"
ANNA, ANNA_LATER, ANNA_LAST, STRANGER, STRANGER_LATER = "DE.1", "DE.2", "DE.3", "DE.9", "DE.10"
IDENTIFIERS = (NUMBER, NEW_NUMBER, STRANGERS_NEW, ANNA, ANNA_LATER, ANNA_LAST, STRANGER, STRANGER_LATER)


@pytest.fixture
async def tables(environment: dict[str, str]) -> AsyncIterator[asyncpg.Pool]:
    async with migrated_pool(load(SenderDatabaseSettings), "wabus_sender") as opened:
        yield opened


def about(minutes: float) -> dict[str, Any]:
    return {
        "id": str(minutes), "time": START + timedelta(minutes=minutes), "org_id": ORG, "waba_id": DEMO_WABA,
        "phone_number_id": DEMO_PHONE, "value": {},
    }  # fmt: skip


def who(number: str | None, user: str | None) -> dict[str, Any]:
    return {"contact": number or user or "", "user_id": user}


def wrote(minutes: float, number: str | None, user: str | None, kind: str = "text") -> Event:
    return MessageReceived(**about(minutes), **who(number, user), wamid=f"wamid.{minutes}", message_type=kind)


def became(minutes: float, before: tuple[str | None, str | None], after: tuple[str | None, str | None]) -> Event:
    return ContactIdentityChanged(
        **about(minutes), previous_wa_id=before[0], previous_user_id=before[1], current_wa_id=after[0],
        current_user_id=after[1],
    )  # fmt: skip


def prefers(minutes: float, choice: str, user: str) -> Event:
    category = "marketing_messages"
    return MarketingPreferenceChanged(**about(minutes), **who(None, user), category=category, choice=choice)


def opted(kind: type[OptedOut | OptedIn], minutes: float, number: str | None = None, user: str | None = None) -> Event:
    fields = {name: part for name, part in about(minutes).items() if name != "value"}
    return kind(**fields, wa_id=number, user_id=user, by="api")


def handed(minutes: float, change: str, number: str | None, user: str | None = None) -> Event:
    return ThreadControlChanged(**about(minutes), **who(number, user), change=change)


def copied(minutes: float, number: str | None, user: str | None) -> Event:
    wamid = f"wamid.{minutes}"
    return StandbyReceived(**about(minutes), **who(number, user), kind="message", wamid=wamid, message_type="text")


MOVED_ON = became(90_100, (NUMBER, STRANGER), (STRANGERS_NEW, STRANGER_LATER))
RENUMBERED = became(40, (NUMBER, ANNA), (NEW_NUMBER, ANNA_LATER))
Story = Sequence[Sequence[Event]]
"""Parts that follow one another; what is in one may be told in any order."""
STORIES: dict[str, Story] = {
    "writes, hides, changes number, changes id": [
        [
            wrote(0, NUMBER, None),
            wrote(20, NUMBER, ANNA),
            wrote(30, None, ANNA),
            RENUMBERED,
            became(60, (None, ANNA_LATER), (None, ANNA_LAST)),
        ]
    ],
    "shows the new number": [[wrote(20, NUMBER, ANNA), RENUMBERED, wrote(50, NEW_NUMBER, ANNA_LATER, "reaction")]],
    "is not wanted any more, and is": [
        [
            prefers(10, "stop", ANNA),
            opted(OptedOut, 12, NUMBER),
            opted(OptedIn, 13, None, ANNA),
            wrote(20, NUMBER, ANNA),
            RENUMBERED,
            prefers(50, "resume", ANNA_LATER),
        ]
    ],
    "wants no marketing": [[opted(OptedOut, 12, NUMBER), wrote(20, NUMBER, ANNA), RENUMBERED]],
    "is another responder's": [[handed(10, "control_taken", NUMBER), copied(20, NUMBER, ANNA), RENUMBERED]],
    "is another responder's by their id": [
        [wrote(5, NUMBER, ANNA), handed(10, "control_taken", None, ANNA), copied(20, NUMBER, None), RENUMBERED]
    ],
    "is another responder's, and ours again": [
        [
            handed(10, "control_taken", NUMBER),
            copied(20, NUMBER, ANNA),
            handed(19, "control_passed", NUMBER),
            RENUMBERED,
        ]
    ],
    "whose number somebody else gets": [
        [wrote(20, NUMBER, ANNA), opted(OptedOut, 21, None, ANNA), RENUMBERED],
        [wrote(90_000, NUMBER, STRANGER), prefers(90_001, "stop", STRANGER)],
    ],
    "without ids, whose number somebody else gets": [
        [wrote(20, NUMBER, None), became(40, (NUMBER, None), (NEW_NUMBER, None))],
        [wrote(90_000, NUMBER, STRANGER), prefers(90_001, "stop", STRANGER)],
    ],
    "whose number a stranger gets and leaves": [
        [wrote(20, NUMBER, ANNA), opted(OptedOut, 21, NUMBER), handed(22, "control_taken", NUMBER)],
        [wrote(90_000, NUMBER, STRANGER)],
        [MOVED_ON],
    ],
    "whose number a stranger gets and leaves without ids": [
        [wrote(20, NUMBER, ANNA), opted(OptedOut, 21, NUMBER)],
        [wrote(90_000, NUMBER, STRANGER)],
        [became(90_100, (NUMBER, None), (STRANGERS_NEW, None))],
    ],
    "whose number a stranger gets, who wants none and talks to another responder": [
        [wrote(20, NUMBER, ANNA), opted(OptedOut, 21, NUMBER)],
        [wrote(90_000, NUMBER, STRANGER)],
        [
            prefers(90_001, "stop", STRANGER),
            handed(90_002, "control_taken", NUMBER, STRANGER),
            copied(90_003, NUMBER, STRANGER),
        ],
    ],
    "whose number a stranger gets, who wants all": [
        [wrote(20, NUMBER, ANNA), opted(OptedOut, 21, NUMBER), handed(22, "control_taken", NUMBER)],
        [wrote(90_000, NUMBER, STRANGER)],
        [opted(OptedIn, 90_001, NUMBER, STRANGER), handed(90_002, "control_passed", NUMBER, STRANGER)],
    ],
    "whose id changes after a stranger has the number": [
        [wrote(20, NUMBER, ANNA)],
        [wrote(90_000, NUMBER, STRANGER), opted(OptedOut, 90_001, NUMBER)],
        [became(90_050, (None, ANNA), (None, ANNA_LATER))],
    ],
    "without ids, leaves a number that a stranger gets and leaves": [
        [wrote(20, NUMBER, None), opted(OptedOut, 21, NUMBER), became(40, (NUMBER, None), (NEW_NUMBER, None))],
        [wrote(90_000, NUMBER, STRANGER)],
        [MOVED_ON],
    ],
    "has another number of which nothing was told": [
        [wrote(20, NUMBER, ANNA)],
        [wrote(60, NEW_NUMBER, ANNA)],
        [wrote(90_000, NUMBER, STRANGER)],
        [MOVED_ON],
    ],
    "whose id changed while they had the number": [
        [opted(OptedOut, 12, NUMBER), wrote(20, NUMBER, ANNA), became(30, (None, ANNA), (None, ANNA_LATER))],
        [wrote(35, NUMBER, ANNA_LATER)],
        [became(40, (NUMBER, None), (NEW_NUMBER, None))],
    ],
}


async def fold(tables: asyncpg.Pool, batches: Sequence[Sequence[Event]]) -> None:
    await tables.execute(
        "TRUNCATE contacts, windows, preferences, thread_owners, opt_outs, successors, holders, conversation_ids"
    )
    apply = declared(NAME, KEY, Directory(load(SenderFoldSettings))).applying(load(SenderFoldSettings))
    for batch in batches:
        write = await apply([Recorded(event, MESSAGES.name, 0, 0, START) for event in batch])
        async with tables.acquire() as connection, connection.transaction():
            await write(connection)


async def known(tables: asyncpg.Pool) -> dict[str, Any]:
    """What a send to each of them is judged by, and where an answer to whoever was known by it goes."""
    places = [(ORG, DEMO_PHONE, value) for value in IDENTIFIERS]
    return {
        "windows": await contacts.windows(tables, places),
        "stopped": await contacts.stopped(tables, places),
        "opted out": await opt_outs.opted_out(tables, [(ORG, value) for value in IDENTIFIERS]),
        "taken": {
            value: await thread_owners.taken_at(tables, *place)
            for *_, value in places
            for place in [(ORG, DEMO_PHONE, value)]
        },
        "now": {value: await successors.current(tables, ORG, value) for value in IDENTIFIERS},
    }


@pytest.mark.parametrize("story", STORIES)
async def test_a_person_is_judged_alike_whatever_the_sender_is_told_first(tables: asyncpg.Pool, story: str) -> None:
    events = [event for part in STORIES[story] for event in part]
    await fold(tables, [[event] for event in events])
    expected = await known(tables)
    for seed in range(12):
        order = random.Random(seed)
        batches: list[list[Event]] = []
        for part in STORIES[story]:
            shuffled = order.sample(part, len(part))
            cut = order.randrange(len(part))
            batches += [batch for batch in (shuffled[:cut], shuffled[cut:]) if batch]
        batches.append([order.choice(events)])
        await fold(tables, batches)
        assert await known(tables) == expected, [[event.id for event in batch] for batch in batches]


async def test_who_has_another_number_is_written_to_there_as_they_were_before(tables: asyncpg.Pool) -> None:
    await fold(tables, STORIES["writes, hides, changes number, changes id"])
    found = await known(tables)
    wrote_at = START + timedelta(minutes=30)
    assert {found["windows"][ORG, DEMO_PHONE, value][0] for value in (NEW_NUMBER, ANNA_LATER, ANNA_LAST)} == {wrote_at}
    assert found["now"][NUMBER] == (None, ANNA_LAST), "with the last id Meta has told no number"


async def test_who_gets_a_number_that_somebody_had_is_not_answered_in_their_place(tables: asyncpg.Pool) -> None:
    for story in ("whose number somebody else gets", "without ids, whose number somebody else gets"):
        await fold(tables, STORIES[story])
        found = await known(tables)
        assert found["now"][NUMBER][0] == NEW_NUMBER, story
        assert (ORG, STRANGER) not in found["opted out"]
        assert (ORG, DEMO_PHONE, NEW_NUMBER) not in found["stopped"]


def scope(account: Account) -> str:
    return f"{account.org_id}\x1f{account.waba_id}"


@pytest.mark.parametrize("story", STORIES)
async def test_an_answer_into_a_conversation_goes_to_who_is_in_it(tables: asyncpg.Pool, story: str) -> None:
    """The inbox names a conversation, the sender a number and an id: both mean the same person."""
    await fold(tables, STORIES[story])
    ids = Ids(KEY)
    told = [event.model_copy(update={"org_id": ORG}) for part in STORIES[story] for event in part]
    threads = threads_of(gather(facts(told), rules(ids=ids, scope=scope)), ids)
    people = [thread for thread in threads if thread.place.person_id]
    strangers = any(event.time > START + timedelta(days=1) for event in told)
    assert len(people) == 1 + strangers
    for thread in people:
        found = await contacts.address(tables, ORG, thread.place.conversation_id)
        assert found, thread.place
        is_stranger = any(message.at > START + timedelta(days=1) for message in thread.messages)
        assert (found.user_id in (STRANGER, STRANGER_LATER) or found.wa_id == STRANGERS_NEW) == is_stranger
        assert is_stranger or not strangers or found.wa_id != NUMBER


@pytest.mark.parametrize(
    ("story", "answered_at"),
    [
        ("whose number a stranger gets and leaves", (None, ANNA)),
        ("whose number a stranger gets and leaves without ids", (None, ANNA)),
        ("without ids, leaves a number that a stranger gets and leaves", (NEW_NUMBER, None)),
        ("has another number of which nothing was told", (NEW_NUMBER, ANNA)),
    ],
)
async def test_nobody_is_answered_at_the_new_number_of_a_stranger_who_had_theirs(
    tables: asyncpg.Pool, story: str, answered_at: tuple[str | None, str | None]
) -> None:
    """A conversation is named by the number that they had: an answer would go to somebody else altogether."""
    told = STORIES[story]
    await fold(tables, told)
    assert (await known(tables))["now"][NUMBER] == answered_at
    assert await successors.current(tables, ORG, STRANGER) != answered_at


@pytest.mark.parametrize(
    "story",
    [
        "whose number a stranger gets and leaves",
        "whose number a stranger gets and leaves without ids",
        "without ids, leaves a number that a stranger gets and leaves",
    ],
)
async def test_a_stranger_who_leaves_a_number_does_not_take_the_stop_of_whoever_had_it_first_along(
    tables: asyncpg.Pool, story: str
) -> None:
    await fold(tables, STORIES[story])
    found = await known(tables)
    assert (ORG, STRANGERS_NEW) not in found["opted out"]
    assert found["taken"][STRANGERS_NEW] is None


async def test_a_stranger_with_the_old_number_opts_nobody_out_whose_id_changes_later(tables: asyncpg.Pool) -> None:
    await fold(tables, STORIES["whose id changes after a stranger has the number"])
    assert (ORG, ANNA_LATER) not in (await known(tables))["opted out"]


@pytest.mark.parametrize(
    ("story", "taken"),
    [
        ("whose number a stranger gets, who wants none and talks to another responder", None),
        ("whose number a stranger gets, who wants all", START + timedelta(minutes=22)),
    ],
)
async def test_nobody_is_sent_or_refused_anything_by_their_id_for_what_a_stranger_does_with_their_number_of_before(
    tables: asyncpg.Pool, story: str, taken: datetime | None
) -> None:
    """Not even the stop is forgotten that they have told with the number alone."""
    await fold(tables, STORIES[story])
    found = await known(tables)
    assert (ORG, ANNA) in found["opted out"]
    assert (ORG, DEMO_PHONE, ANNA) not in found["stopped"]
    assert found["windows"][ORG, DEMO_PHONE, ANNA][0] == START + timedelta(minutes=20)
    assert found["windows"][ORG, DEMO_PHONE, STRANGER][0] >= START + timedelta(minutes=90_000)
    assert found["taken"][ANNA] == taken


async def test_a_stop_from_before_an_id_changed_is_kept_by_the_same_person_at_their_new_number(
    tables: asyncpg.Pool,
) -> None:
    await fold(tables, STORIES["whose id changed while they had the number"])
    assert (ORG, NEW_NUMBER) in (await known(tables))["opted out"]


@pytest.mark.parametrize("story", ["is another responder's", "is another responder's by their id"])
async def test_no_answer_is_lost_on_who_talks_to_another_responder_because_the_handover_is_told_last(
    tables: asyncpg.Pool, story: str
) -> None:
    """Meta refuses it: they have written there since (2494191)."""
    handover = [event for part in STORIES[story] for event in part if isinstance(event, ThreadControlChanged)]
    others = [event for part in STORIES[story] for event in part if event not in handover]
    await fold(tables, [others, handover])
    assert (await known(tables))["taken"][NUMBER] == START + timedelta(minutes=20)
