"""What templates achieve is counted the same, in whatever order, batches and processes it comes, however often."""

import random
from collections.abc import Sequence

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from insights_rows import clear, counted, fold, fold_beside
from naive_performance import histories, naive
from profiles import examples
from wabus_events import Event, SendRequested


def dealt(history: Sequence[Event], order: random.Random) -> list[list[Event]]:
    """In any order, some of it twice, in small batches; only that something was asked for comes before its answer."""
    shuffled = [*history, *order.choices(history, k=3)]
    order.shuffle(shuffled)
    asked: list[Event] = [event for event in shuffled if isinstance(event, SendRequested)]
    rest = [event for event in shuffled if not isinstance(event, SendRequested)]
    batches = [asked] if asked else []
    while rest:
        size = order.randint(1, 5)
        batches.append(rest[:size])
        del rest[:size]
    return batches


@settings(max_examples=examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories(), st.integers(0, 2**32))
async def test_one_process_counts_what_the_reference_has(
    insights_tables: asyncpg.Pool, history: list[Event], seed: int
) -> None:
    await clear(insights_tables)
    await fold(insights_tables, dealt(history, random.Random(seed)))
    assert await counted(insights_tables) == naive(history)


@settings(max_examples=examples(12), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories(), st.integers(0, 2**32))
async def test_two_processes_that_meet_the_same_people_and_messages_agree(
    insights_tables: asyncpg.Pool, history: list[Event], seed: int
) -> None:
    await clear(insights_tables)
    batches = dealt(history, random.Random(seed))
    first = 1 if any(isinstance(event, SendRequested) for event in batches[0]) else 0
    await fold(insights_tables, batches[:first])
    await fold_beside(insights_tables, batches[first::2], batches[first + 1 :: 2])
    assert await counted(insights_tables) == naive(history)
