"""What the tables say of work is the fold of the log, wherever messages come between, and however often it comes."""

import random
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from naive_work import logs, made
from profiles import examples
from thread_rows import KEY, clear, fold_all, forget
from threads import ANNA, ANNA_ID, IDS, NUMBER, ORG, at, identity, person, received
from wabus_conversations.tables.work import state
from wabus_conversations.work.state import NOTHING_DONE, MessagePlace, Work, fold, state_of
from wabus_conversations.worker import upkeep
from wabus_conversations.worker.keeping import Keeping
from wabus_events import (
    ConversationAssigned,
    ConversationClosed,
    ConversationEvent,
    ConversationRead,
    ConversationTagged,
    Event,
    NoteAdded,
)
from work_world import fold_work

HERE = IDS.conversation(ORG, NUMBER, person(ANNA))


def after(log: Sequence[ConversationEvent]) -> Work:
    work = NOTHING_DONE
    for event in log:
        work, _ = fold(work, event)
    return work


async def stored(pool: asyncpg.Pool, conversation_id: str = HERE) -> Work:
    async with pool.acquire() as connection, connection.transaction():
        return (await state.locked(connection, [conversation_id])).get(conversation_id, NOTHING_DONE)


@settings(max_examples=examples(30), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(logs(HERE), st.lists(st.integers(0, 6), min_size=1, max_size=4, unique=True), st.integers())
async def test_rows_are_the_fold_wherever_messages_come_between(
    pool: asyncpg.Pool, log: list[ConversationEvent], seconds: list[int], seed: int
) -> None:
    await clear(pool)
    order = random.Random(seed)
    messages: list[Event] = [received(f"m{second}", second) for second in seconds]
    # Both logs in their order, one in some way between the other, and now and then a part of one once more.
    steps: list[int | None] = list(range(len(log)))
    for _ in messages:
        steps.insert(order.randint(0, len(steps)), None)
    waiting = list(messages)
    for number in steps:
        if number is None:
            await fold_all(pool, [[waiting.pop()]])
        else:
            await fold_work(pool, log[order.randint(0, number) : number + 1])
    work = after(log)

    found = await stored(pool)
    assert {each.name: getattr(found, each.name) for each in fields(Work)} == {
        each.name: getattr(work, each.name) for each in fields(Work)
    }
    row = await pool.fetchrow("SELECT * FROM conversations")
    assert row is not None
    heard = MessagePlace(row["heard_at"], row["heard_tie"])
    assert heard.at == at(max(seconds))
    assert (row["work_state"], row["agent"], row["team"], tuple(row["tags"])) == (
        state_of(work, heard), work.agent, work.team, work.tags,
    )  # fmt: skip


async def test_two_conversations_that_turn_out_to_be_one_have_what_was_done_with_both(pool: asyncpg.Pool) -> None:
    by_number, by_id = (IDS.conversation(ORG, NUMBER, person(each)) for each in (ANNA, ANNA_ID))
    await fold_all(pool, [[received("one", 1, ANNA)], [received("two", 2, None, ANNA_ID)]])
    await fold_work(
        pool,
        [
            made(ConversationAssigned, 1, by_id, agent="ben"),
            made(ConversationTagged, 2, by_id, added=["vip"]),
            made(NoteAdded, 3, by_id, note_id=made(NoteAdded, 3, note_id="", text="").id, text="likes tea"),
            made(ConversationTagged, 4, by_number, added=["new"]),
        ],
    )

    await fold_all(pool, [[identity(3, (ANNA, None), (ANNA, ANNA_ID))], [received("three", 4, ANNA, ANNA_ID)]])

    (row,) = await pool.fetch("SELECT conversation_id::text, agent, tags FROM conversations")
    (work,) = await pool.fetch("SELECT conversation_id::text, agent, tags FROM conversation_work")
    assert tuple(row) == tuple(work)
    assert (row["agent"], row["tags"]) == ("ben", ["new", "vip"])
    assert await pool.fetchval("SELECT conversation_id::text FROM notes") == row["conversation_id"]
    # Whoever had the former address on their screen acts on the conversation as it is now.
    gone = by_id if row["conversation_id"] == by_number else by_number
    await fold_work(pool, [made(ConversationClosed, 5, gone, up_to_at=at(4), up_to_tie=0)])
    assert await pool.fetchval("SELECT put FROM conversation_work") == "closed"


async def test_what_was_done_with_somebody_forgotten_is_gone_and_comes_from_no_replay(pool: asyncpg.Pool) -> None:
    log: list[Event] = [
        made(NoteAdded, 1, HERE, note_id=made(NoteAdded, 1, note_id="", text="").id, text="is ill"),
        made(ConversationTagged, 2, HERE, added=["vip"]),
    ]
    await fold_all(pool, [[received("hello", 1, ANNA)]])
    await fold_work(pool, log)
    await forget(pool, ANNA, at(1_000))

    await fold_work(pool, log)

    for table in ("notes", "conversation_work", "conversations"):
        assert await pool.fetchval(f"SELECT count(*) FROM {table}") == 0, table
    assert await pool.fetchval("SELECT count(*) FROM work_events WHERE conversation_id IS NOT NULL") == 0


async def test_after_a_rebuild_into_empty_tables_what_was_read_is_read(pool: asyncpg.Pool) -> None:
    messages = [received("one", 1, ANNA), received("two", 2, ANNA)]
    read = [made(ConversationRead, 1, HERE, up_to_at=at(1), up_to_tie=0)]
    await fold_work(pool, read)
    await fold_all(pool, [messages])
    assert await pool.fetchval("SELECT unread FROM conversations") == 2

    await upkeep.mend(pool)

    assert await pool.fetchval("SELECT unread FROM conversations") == 1


async def test_what_is_done_with_a_conversation_that_never_comes_is_deleted_and_no_event_is_known_for_ever(
    pool: asyncpg.Pool,
) -> None:
    await fold_work(pool, [made(ConversationTagged, 1, HERE, added=["vip"])])
    await pool.execute("UPDATE conversation_work SET written_at = now() - interval '2 days'")
    await pool.execute("UPDATE work_events SET at = now() - interval '50 days'")

    await upkeep.look(pool, Keeping(KEY, 30), datetime.now(UTC), lambda: None)

    for table in ("conversation_work", "work_events"):
        assert await pool.fetchval(f"SELECT count(*) FROM {table}") == 0, table
