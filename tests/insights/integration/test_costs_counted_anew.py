"""What becomes known late counts anew a little at a time, ends where one transaction would, and is said meanwhile."""

import asyncio
import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import asyncpg
import pytest
from cost_world import (
    BOTH,
    CARDS,
    DAYS,
    FLOORS,
    ORG,
    card,
    clear,
    count_anew,
    fold_beside,
    histories,
    sent,
    status,
    tier_reached,
    told_of,
    totals,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from naive_costs import CURRENCIES, PORTFOLIO, ZONES, Totals, naive
from profiles import examples
from wabus_events import Event
from wabus_events.models.topics import ACCOUNTS
from wabus_insights.tables.costs import reading, recounts
from wabus_insights.worker.costs.folding import Costs
from wabus_insights.worker.costs.recounting import AT_ONCE, count_some
from wabus_insights.worker.costs.terms import Terms
from wabus_runtime.directory.connections import Connections
from wabus_runtime.projection.recorded import Recorded
from waiting import Eventually

UTILITY = {"category": "utility", "type": "regular"}
FIRST, LAST = date(2026, 9, 29), date(2026, 11, 2)
LATE = datetime(2026, 11, 9, tzinfo=UTC)
SPREAD_OVER = [DAYS[2] + timedelta(hours=n) for n in range(20)]
"""When messages were delivered that are counted anew below."""


async def under_way(pool: asyncpg.Pool, since: date = FIRST) -> bool:
    return await recounts.under_way(pool, ORG, since, LAST)


async def waits(pool: asyncpg.Pool) -> bool:
    """Whether somebody waits for what somebody else holds."""
    return bool(
        await pool.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
    )


@settings(max_examples=examples(30), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories(), st.integers(), st.integers(1, 5))
async def test_what_is_told_is_final_unless_it_is_said_to_be_counted_anew(
    insights_tables: asyncpg.Pool, runs: list[list[Event]], seed: int, at_once: int
) -> None:
    pool, order = insights_tables, random.Random(seed)
    order.shuffle(runs)
    batches = [[event for run in runs[n : n + 3] for event in run] for n in range(0, len(runs), 3)]
    expected: list[Totals] = []
    await clear(pool)
    for batch in batches:
        await fold_beside(pool, [batch])
        await count_anew(pool)
        expected.append(await totals(pool))
    await clear(pool)
    for batch, at_last in zip(batches, expected, strict=True):
        await fold_beside(pool, [batch], at_once=at_once)
        for _ in range(order.randint(0, 4)):
            assert await under_way(pool) or await totals(pool) == at_last
            await count_some(pool, Terms(), at_once)
    await count_anew(pool, at_once)
    assert not await under_way(pool)
    assert await totals(pool) == expected[-1] == naive([event for run in runs for event in run])


@settings(max_examples=examples(20), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories(), st.integers(), st.integers(1, 5))
async def test_whoever_folds_while_something_is_counted_anew_is_not_counted_wrong(
    insights_tables: asyncpg.Pool, runs: list[list[Event]], seed: int, at_once: int
) -> None:
    pool = insights_tables
    random.Random(seed).shuffle(runs)
    workers = [runs[n::2] for n in range(2)]
    folding = True

    async def counting_anew() -> None:
        while folding:
            await count_some(pool, Terms(), at_once)

    await clear(pool)
    counting = asyncio.gather(counting_anew(), counting_anew())
    await fold_beside(pool, *workers, at_once=at_once)
    folding = False
    await counting
    await count_anew(pool, at_once)
    assert await totals(pool) == naive([event for run in runs for event in run])


async def of_an_account_that_is_known_late(pool: asyncpg.Pool, at_once: int) -> list[Event]:
    """Fold messages of an account, and then what it is; returns all of it."""
    told = [status("a", f"wamid.{n}", "delivered", at, "DE", UTILITY) for n, at in enumerate(SPREAD_OVER)]
    known = told_of("a", LATE, portfolio_id=PORTFOLIO, time_zone=ZONES["a"], currency=CURRENCIES["a"])
    await fold_beside(pool, [CARDS[:5], told], at_once=AT_ONCE)
    await fold_beside(pool, [[known]], at_once=at_once)
    return [*CARDS[:5], *told, known]


async def is_told(pool: asyncpg.Pool) -> bool:
    """Whether who asks for costs is told that they are counted anew."""
    return (await reading.costs(pool, reading.Wanted(ORG, FIRST, LAST), "day", None, 100)).recounting


async def test_a_recount_that_is_killed_again_and_again_goes_on_where_it_was(insights_tables: asyncpg.Pool) -> None:
    pool = insights_tables
    events = await of_an_account_that_is_known_late(pool, 3)
    transactions, told = 0, [await is_told(pool)]
    while await count_some(pool, Terms(), 3):  # as by another process each time
        assert await pool.fetchval("SELECT sum(volume) FROM cost_days") == len(SPREAD_OVER)
        transactions += 1
        told.append(await is_told(pool))
    assert await totals(pool) == naive(events)
    assert told == [True] * told.count(True) + [False] * told.count(False)
    assert transactions >= told.count(True) >= len(SPREAD_OVER) // 3
    written = await pool.fetchval("SELECT max(rows) FROM (SELECT count(*) AS rows FROM charges GROUP BY xmin) AS each")
    assert written == 3


async def test_a_recount_that_is_killed_while_it_writes_has_written_nothing(
    insights_tables: asyncpg.Pool, eventually: Eventually
) -> None:
    pool = insights_tables
    events = await of_an_account_that_is_known_late(pool, 3)
    before = await totals(pool), await pool.fetchrow("SELECT * FROM account_recounts")
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM charges FOR UPDATE")
        killed = asyncio.create_task(count_some(pool, Terms(), 3))
        await eventually(lambda: waits(pool))
        killed.cancel()
        with pytest.raises(asyncio.CancelledError):
            await killed
    assert (await totals(pool), await pool.fetchrow("SELECT * FROM account_recounts")) == before
    await count_anew(pool, 3)
    assert await totals(pool) == naive(events)


async def test_what_becomes_known_of_an_account_that_is_counted_anew_counts_from_the_beginning(
    insights_tables: asyncpg.Pool,
) -> None:
    pool = insights_tables
    events = await of_an_account_that_is_known_late(pool, 3)
    await count_some(pool, Terms(), 3)
    moved = told_of("a", SPREAD_OVER[1], portfolio_id="q")
    back = told_of("a", SPREAD_OVER[9], portfolio_id=PORTFOLIO)
    await fold_beside(pool, [[moved], [back]], at_once=3)
    await count_anew(pool, 3)
    assert await totals(pool) == naive([*events, moved, back])


@pytest.mark.parametrize("at_once", [1, AT_ONCE])
async def test_who_reached_a_tier_before_the_portfolio_was_known_pays_no_less_for_what_was_sent_after_it(
    insights_tables: asyncpg.Pool, at_once: int
) -> None:
    told = told_of("a", LATE, time_zone=ZONES["a"], currency=CURRENCIES["a"])
    portfolio = told_of("a", LATE, portfolio_id=PORTFOLIO)
    events = [*CARDS[:5], FLOORS[0], status("a", "wamid.1", "delivered", DAYS[2], "DE", UTILITY), told, portfolio]
    await fold_beside(insights_tables, [[event] for event in events], at_once=at_once)
    await count_anew(insights_tables, at_once)

    assert await totals(insights_tables) == naive(events)
    assert [amount for _, amount in (await totals(insights_tables)).values()] == [Decimal("0.0201")]


async def test_a_tier_is_of_the_portfolio_to_which_the_account_turns_out_to_have_belonged(
    insights_tables: asyncpg.Pool,
) -> None:
    """It was told of q when p was not known to be the account's from before."""
    first, then = told_of("a", LATE, portfolio_id="q"), told_of("a", DAYS[0], portfolio_id=PORTFOLIO)
    others = [status("b", f"wamid.{n}", "delivered", at, "DE", UTILITY) for n, at in enumerate(SPREAD_OVER[:2])]
    events = [*CARDS[:5], *BOTH[1:], *others, told_of("a", LATE, time_zone=ZONES["a"], currency="EUR"), first]
    await fold_beside(insights_tables, [[*events], [FLOORS[0]], [then]])

    assert await totals(insights_tables) == naive([*events, FLOORS[0], then])


async def test_a_tier_is_not_lost_when_two_are_told_of_an_account_at_once(
    insights_tables: asyncpg.Pool, eventually: Eventually
) -> None:
    """As when the log is folded again beside the workers."""
    pool, costs = insights_tables, Costs(Connections())
    told = status("a", "wamid.1", "delivered", DAYS[2], "DE", UTILITY)
    events = [*CARDS[:5], told_of("a", LATE, time_zone=ZONES["a"], currency="EUR"), FLOORS[0], told]
    one, other = told_of("a", LATE, portfolio_id="q"), told_of("a", DAYS[0], portfolio_id=PORTFOLIO)
    await fold_beside(pool, [events])
    async with pool.acquire() as connection, connection.transaction():
        await costs.fold(connection, [Recorded(one, ACCOUNTS.name, 0, 0, one.time)])
        beside = asyncio.create_task(fold_beside(pool, [[other]]))
        await eventually(lambda: waits(pool))
    await beside
    assert await totals(pool) == naive([*events, one, other])


async def test_a_card_for_very_many_days_is_priced_some_days_at_once(insights_tables: asyncpg.Pool) -> None:
    pool = insights_tables
    times = [DAYS[2] + timedelta(days=n) for n in range(12)]
    told = [status("a", f"wamid.{n}", "delivered", at, "DE", UTILITY) for n, at in enumerate(times)]
    await fold_beside(pool, [[*BOTH, CARDS[0], *told]])
    await fold_beside(pool, [[CARDS[2]]], at_once=2)
    assert await under_way(pool)
    # A message of a day whose turn has not come is counted right too.
    late = status("a", "wamid.late", "delivered", times[9] - timedelta(hours=1), "DE", UTILITY)
    await fold_beside(pool, [[late]], at_once=2)
    await count_anew(pool, 2)
    assert not await under_way(pool)
    assert await totals(pool) == naive([*BOTH, CARDS[0], *told, CARDS[2], late])


AFRICA, MOROCCO = ("Rest of Africa", "utility"), ("Morocco", "utility")
TO_AFRICA = card("EUR", date(2026, 7, 1), {AFRICA: [(1, "0.3")]})
SIX_DAYS = [datetime(2026, 9, 16, 12, tzinfo=UTC) + timedelta(days=n) for n in range(6)]


def to_morocco(version: int) -> Event:
    """A card that lists a country which was a part of another market before."""
    return card("EUR", date(2026, 9, 15), {MOROCCO: [(1, f"0.{version}5"), (4, "0.04")]}, version)


async def test_who_counts_in_a_day_whose_turn_has_not_come_takes_nothing_from_another_market(
    insights_tables: asyncpg.Pool,
) -> None:
    pool = insights_tables
    told = [status("a", f"wamid.{n}", "read", at, "MA", UTILITY) for n, at in enumerate(SIX_DAYS)]
    told.append(status("a", "wamid.beside", "read", SIX_DAYS[3] + timedelta(hours=1), "MA", UTILITY))
    await fold_beside(pool, [[*BOTH, TO_AFRICA, *told]])
    await fold_beside(pool, [[to_morocco(1)]], at_once=1)
    assert await under_way(pool, date(2026, 9, 1))
    earlier = status("a", "wamid.5", "delivered", SIX_DAYS[5] - timedelta(hours=1), "MA", UTILITY)
    more = [earlier, *sent("a", "wamid.3", "t1")]
    await fold_beside(pool, [[each] for each in more], at_once=1)
    await count_anew(pool, 1)
    assert await totals(pool) == naive([*BOTH, TO_AFRICA, *told, to_morocco(1), *more])


async def test_a_card_that_is_corrected_while_its_days_are_priced_prices_them_all_again(
    insights_tables: asyncpg.Pool,
) -> None:
    pool = insights_tables
    told = [status("a", f"wamid.{n}", "delivered", at, "MA", UTILITY) for n, at in enumerate(SIX_DAYS)]
    await fold_beside(pool, [[*BOTH, TO_AFRICA, *told], [to_morocco(1)]], at_once=1)
    for _ in range(3):
        await count_some(pool, Terms(), 1)
    await fold_beside(pool, [[to_morocco(2)]], at_once=1)
    await count_anew(pool, 1)
    assert await totals(pool) == naive([*BOTH, TO_AFRICA, *told, to_morocco(1), to_morocco(2)])


async def test_a_message_from_before_what_is_placed_anew_moves_those_between_too(
    insights_tables: asyncpg.Pool,
) -> None:
    pool = insights_tables
    told = [status("a", f"wamid.{n}", "delivered", at, "DE", UTILITY) for n, at in enumerate(SPREAD_OVER)]
    floor = tier_reached("a", "Germany", "UTILITY", "2026-10", 6, SPREAD_OVER[10])
    late = status("a", "wamid.late", "delivered", SPREAD_OVER[0] + timedelta(minutes=1), "DE", UTILITY)
    events = [*BOTH, *CARDS[:5], *told, floor, late]
    await fold_beside(pool, [events[:-2]])
    await fold_beside(pool, [[floor], [late]], at_once=1)
    assert await under_way(pool)
    await count_anew(pool, 1)
    assert await totals(pool) == naive(events)
