"""Who is forgotten is gone from what messages achieved; what is newer stays, and is counted."""

import asyncio

import asyncpg
import pytest
from insights_rows import KEY, counted, fold, folding
from naive_performance import ORG, WABA, at
from wabus_events import (
    AccountForgotten,
    ContactForgotten,
    Forgotten,
    MessageReceived,
    MessageReported,
    MessageStatusChanged,
    OrganisationForgotten,
    identity_of,
)
from wabus_events.testing import an
from wabus_insights.tables.erasing import erase
from wabus_runtime.projection.recorded import Recorded
from wabus_whatsapp.forgetting import Lines

ANNA = "4915100000001"
LINE = at(12)


def reported(name: str, hour: float, org_id: str = ORG) -> MessageReported:
    return an(
        MessageReported, org_id=org_id, waba_id=WABA, phone_number_id="9", wamid=name, wa_id=ANNA, user_id="DE.1",
        kind="template", template_name="hello", template_language="en", template_id="t1", time=at(hour),
    )  # fmt: skip


def read(name: str, hour: float) -> MessageStatusChanged:
    return an(
        MessageStatusChanged, org_id=ORG, waba_id=WABA, phone_number_id="9", wamid=name, contact=ANNA, user_id="DE.1",
        status="read", value={}, time=at(hour),
    )  # fmt: skip


def answer(hour: float) -> MessageReceived:
    return an(
        MessageReceived, org_id=ORG, waba_id=WABA, phone_number_id="9", wamid=f"in {hour}", contact=ANNA,
        user_id="DE.1", message_type="text", value={}, time=at(hour),
    )  # fmt: skip


async def forget(pool: asyncpg.Pool, *lines: tuple[type[Forgotten], str, str]) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await erase(connection, Lines(KEY, {identity_of(KEY, *line): LINE for line in lines}))


async def test_of_an_organisation_or_account_only_what_is_newer_than_the_line_is_counted(
    insights_tables: asyncpg.Pool,
) -> None:
    history = [
        reported("old", 11.9), read("old", 11.95), reported("new", 12.1), read("new", 12.2), reported("later", 40),
        answer(12.3),
    ]  # fmt: skip
    for line in ((OrganisationForgotten, ORG, ""), (AccountForgotten, WABA, "")):
        await fold(insights_tables, [history])
        await forget(insights_tables, line)
        after = await counted(insights_tables)
        assert sum(count for key, count in after["counts"].items() if key[-1] == "accepted") == 2
        assert sum(count for key, count in after["counts"].items() if key[-1] == "read") == 1
        assert after["read_times"].total() == 1
        await fold(insights_tables, [history[2:]])
        assert await counted(insights_tables) == after, "what is there already counts once more"
        assert await insights_tables.fetchval("SELECT count(*) FROM send_facts WHERE at <= $1", LINE) == 0


async def test_of_a_person_counts_stay_and_nothing_tells_who_it_was(insights_tables: asyncpg.Pool) -> None:
    await fold(insights_tables, [[reported("old", 1), read("old", 2), answer(3)]])
    before = await counted(insights_tables)
    # By one of the two that they are known by.
    await forget(insights_tables, (ContactForgotten, ANNA, ORG))
    assert await counted(insights_tables) == before
    assert await insights_tables.fetchval("SELECT count(*) FROM people") == 0
    assert await insights_tables.fetchval("SELECT count(*) FROM acts") == 0
    assert await insights_tables.fetchval("SELECT person FROM send_facts") is None
    assert await insights_tables.fetchval("SELECT number_id FROM send_facts") is None
    assert await insights_tables.fetchval("SELECT user_id FROM send_facts") is None
    # What is told of the other alone, and was before, comes from no replay either.
    also = identity_of(KEY, ContactForgotten, "DE.1", ORG)
    assert await insights_tables.fetchval("SELECT at FROM erasures WHERE identity = $1", also) == LINE


async def test_another_organisation_keeps_what_one_has_forgotten(insights_tables: asyncpg.Pool) -> None:
    await fold(insights_tables, [[reported("one", 1), reported("two", 1, org_id="other")]])
    await forget(insights_tables, (ContactForgotten, ANNA, ORG), (OrganisationForgotten, ORG, ""))
    rows = await insights_tables.fetch("SELECT org_id, person FROM send_facts")
    assert [row["org_id"] for row in rows] == ["other"]
    assert rows[0]["person"] is not None


async def test_no_answer_is_set_aside_because_others_are_named_meanwhile(
    insights_tables: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wabus_insights.worker.performance.folding.IDENTITIES_REMEMBERED", 9)
    answers = [
        an(MessageReceived, org_id=ORG, waba_id=WABA, phone_number_id="9", wamid=f"{number}", contact=f"49151{number}",
           message_type="text", value={}, time=at(1))
        for number in range(100, 250)
    ]  # fmt: skip
    by = folding()
    batches = (answers[:120], answers[120:])
    # As where a batch is refused: its records are prepared one by one while the next batch is.
    writes = await asyncio.gather(
        *(by.apply([Recorded(event, "messages.v1", 0, 0, at(1)) for event in batch]) for batch in batches)
    )
    async with insights_tables.acquire() as connection, connection.transaction():
        for write in writes:
            await write(connection)
    assert await insights_tables.fetchval("SELECT count(*) FROM people") == len(answers)
