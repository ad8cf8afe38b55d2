"""The rows of any history are the reference's, in whatever order, batches and partitions, however often it comes."""

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from naive_threads import USER_IDS, WA_IDS, histories, naive
from profiles import examples
from thread_rows import clear, expected, fold_all, fold_beside, forget, held
from threads import ANNA, ANNA_ID, BEN, at, echoed, identity, imported, received, status
from wabus_events import Event, MessageStatusChanged


def dealt(history: Sequence[Event], workers: int, order: random.Random) -> list[list[Sequence[Event]]]:
    """A history in any order, some of it twice, in small batches for some workers."""
    shuffled = [*history, *order.choices(history, k=2)]
    order.shuffle(shuffled)
    lanes: list[list[Sequence[Event]]] = [[] for _ in range(workers)]
    while shuffled:
        size = order.randint(1, 4)
        lanes[order.randrange(workers)].append(shuffled[:size])
        del shuffled[:size]
    return lanes


@settings(max_examples=examples(90), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories(), st.integers())
async def test_one_worker_writes_what_the_reference_has(pool: asyncpg.Pool, history: list[Event], seed: int) -> None:
    await clear(pool)
    (batches,) = dealt(history, 1, random.Random(seed))
    await fold_all(pool, batches)

    assert await held(pool) == expected(naive(history))


@pytest.mark.long
@settings(max_examples=examples(90), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories(), st.integers())
async def test_two_workers_that_meet_the_same_people_at_once_agree(
    pool: asyncpg.Pool, history: list[Event], seed: int
) -> None:
    await clear(pool)
    await fold_beside(pool, *dealt(history, 2, random.Random(seed)))

    assert await held(pool) == expected(naive(history))


def of_one_person_each(history: Sequence[Event]) -> list[Event]:
    """Without what says that a message is somebody else's too: where one of the two is forgotten, the other may stay
    known until people without a conversation are deleted. Meta says no such thing of two numbers or two user ids; of a
    number and a user id that it never named together it may."""
    named: dict[str, set[str]] = {}
    kept: list[Event] = []
    for event in history:
        values = {value for name in ("contact", "wa_id", "user_id") if (value := getattr(event, name, None))}
        before = named.setdefault(getattr(event, "wamid", None) or event.id, values)
        if values and (
            not values & before or any(len((values | before) & set(kind)) > 1 for kind in (WA_IDS, USER_IDS))
        ):
            continue
        before |= values
        kept.append(event)
    return kept


@pytest.mark.long
@settings(max_examples=examples(90), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories(), histories(), st.sampled_from((*WA_IDS, *USER_IDS)), st.integers())
async def test_who_is_forgotten_is_gone_whichever_came_first_and_stays_gone(
    pool: asyncpg.Pool, before: list[Event], later: list[Event], value: str, seed: int
) -> None:
    order = random.Random(seed)
    # That a group's message got to somebody stays in its tick, though not whom it got to: that tells of nobody.
    before = [event for event in before if not (isinstance(event, MessageStatusChanged) and event.group_id)]
    before = of_one_person_each(before)
    assume(before)
    after = [shifted(event) for event in later]
    await clear(pool)
    await forget(pool, value, at(LINE))
    await fold_all(pool, [sorted([*before, *after], key=lambda event: event.time)])
    wanted = await rows(pool)
    await clear(pool)

    (early,), (late,) = dealt(before, 1, order), dealt([*after, *order.choices(before, k=3)], 1, order)
    known = order.randint(0, len(early))
    await fold_all(pool, early[:known])
    await forget(pool, value, at(LINE))
    await fold_all(pool, early[known:])
    await fold_beside(pool, late[::2], late[1::2])

    assert await rows(pool) == wanted


LINE = 20.0


def shifted(event: Event) -> Event:
    """The same of another message, after the line."""
    later: dict[str, Any] = {"time": event.time + timedelta(seconds=30)}
    if wamid := getattr(event, "wamid", None):
        later["wamid"] = f"later {wamid}"
    if call := getattr(event, "call_id", None):
        later["call_id"] = f"later {call}"
    return event.model_copy(update=later)


async def rows(pool: asyncpg.Pool) -> dict[str, Any]:
    """What is held, and of which messages nothing is kept."""
    return {**await held(pool), "erased": {row[0] for row in await pool.fetch("SELECT identity FROM erasures")}}


async def test_what_is_folded_again_changes_nothing(pool: asyncpg.Pool) -> None:
    history = [*_examples()]
    await fold_all(pool, [history])
    before = await held(pool)
    await fold_all(pool, [[event] for event in reversed(history)])

    assert await held(pool) == before
    assert before["messages"]


async def test_ticks_that_name_a_number_and_a_user_id_apart_link_nobody(pool: asyncpg.Pool) -> None:
    apart = [status("1", "sent", 1, ANNA, None), status("1", "delivered", 2, None, ANNA_ID)]
    change = identity(3, (ANNA, None), (BEN, None))
    await fold_all(pool, [[*apart, change], [echoed("1", 0, ANNA)], [echoed("2", 4, BEN)]])

    assert await held(pool) == expected(naive([*apart, change, echoed("1", 0, ANNA), echoed("2", 4, BEN)]))


async def test_a_tick_that_comes_twice_is_of_whom_the_fuller_one_names(pool: asyncpg.Pool) -> None:
    fuller, plainer = status("1", "sent", 1, ANNA, ANNA_ID), status("1", "sent", 1, ANNA)
    others = [identity(3, (ANNA, None), (BEN, None)), echoed("2", 4, BEN)]
    for order in ((fuller, plainer), (plainer, fuller)):
        await clear(pool)
        await fold_all(pool, [*([each] for each in order), others])

        assert await held(pool) == expected(naive([fuller, plainer, *others]))


async def test_a_message_that_comes_twice_is_of_whom_the_fuller_one_names(pool: asyncpg.Pool) -> None:
    fuller, plainer = imported("1", 1, ANNA, ANNA_ID), imported("1", 1, ANNA)
    await fold_all(pool, [[fuller], [plainer]])
    one = await held(pool)
    await clear(pool)
    await fold_all(pool, [[plainer], [fuller]])

    assert await held(pool) == one == expected(naive([plainer, fuller]))


def _examples() -> list[Event]:
    return [
        received("1", 1, ANNA, ANNA_ID, name="Anna"),
        echoed("2", 2, None, ANNA_ID),
        status("2", "delivered", 3, ANNA, ANNA_ID),
        identity(4, (ANNA, ANNA_ID), (BEN, "US.2001")),
        received("3", 5, BEN, "US.2001"),
        received("4", 6, ANNA, "US.3001", referral={"source_id": "ad"}),
    ]
