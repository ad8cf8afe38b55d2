"""What messages cost is what the reference says, whatever comes first, how often, and in which batches."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import asyncpg
from cost_world import CARDS, clear, count_anew, fold, fold_beside, histories, status, totals
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from naive_costs import naive
from profiles import examples
from wabus_events import AccountForgotten, Event, identity_of
from wabus_insights.tables.erasing import erase
from wabus_insights.worker.costs import upkeep
from wabus_insights.worker.costs.recounting import AT_ONCE
from wabus_whatsapp.forgetting import Lines

KEY = b"a key of thirty-two bytes or more"
UTILITY = {"category": "utility", "type": "regular"}


def dealt(runs: Sequence[Sequence[Event]], workers: int, order: random.Random) -> list[list[list[Event]]]:
    """Runs in any order, some of them twice, in small batches for some workers."""
    shuffled = [*runs, *order.choices(runs, k=3)]
    order.shuffle(shuffled)
    lanes: list[list[list[Event]]] = [[] for _ in range(workers)]
    while shuffled:
        size = order.randint(1, 5)
        lanes[order.randrange(workers)].append([event for run in shuffled[:size] for event in run])
        del shuffled[:size]
    return lanes


@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories(), st.integers(1, 2), st.integers(), st.sampled_from((1, 2, 3, 5, AT_ONCE)))
async def test_any_history_costs_what_the_reference_says(
    insights_tables: asyncpg.Pool, runs: list[list[Event]], workers: int, seed: int, at_once: int
) -> None:
    await clear(insights_tables)
    await fold_beside(insights_tables, *dealt(runs, workers, random.Random(seed)), at_once=at_once)
    await count_anew(insights_tables, at_once)

    assert await totals(insights_tables) == naive([event for run in runs for event in run])


async def test_what_a_forgotten_account_cost_is_gone_and_that_of_others_stays(insights_tables: asyncpg.Pool) -> None:
    now = datetime(2026, 10, 2, 12, tzinfo=UTC)
    await fold(
        insights_tables,
        [*CARDS, *(status(waba, f"wamid.{waba}", "delivered", now, "DE", UTILITY) for waba in ("a", "b"))],
    )
    line = {identity_of(KEY, AccountForgotten, "a"): now + timedelta(hours=1)}
    async with insights_tables.acquire() as connection, connection.transaction():
        await erase(connection, Lines(KEY, line))

    assert {key[0] for key in await totals(insights_tables)} == {"b"}
    assert [row["waba_id"] for row in await insights_tables.fetch("SELECT waba_id FROM charges")] == ["b"]


async def test_a_late_card_prices_the_days_from_its_date_on_and_never_what_meta_has_reported(
    insights_tables: asyncpg.Pool,
) -> None:
    day = datetime(2026, 10, 20, 12, tzinfo=UTC)
    marketing = {"category": "marketing", "type": "regular"}
    await fold(
        insights_tables,
        [
            CARDS[0],
            status("a", "wamid.1", "delivered", day, "DE", marketing),
            status("a", "wamid.2", "delivered", day, "DE", {**marketing, "cost": {"amount": 0.01, "currency": "EUR"}}),
            status("b", "wamid.3", "delivered", day, "DE", marketing),
        ],
    )
    before = await insights_tables.fetch("SELECT known, amount FROM cost_days ORDER BY amount NULLS LAST")
    assert [tuple(row) for row in before] == [
        ("reported", Decimal("0.01")), ("rated", Decimal("0.101")), ("unknown", None),
    ]  # fmt: skip
    await fold(insights_tables, [CARDS[2], CARDS[4]])
    after = await insights_tables.fetch("SELECT known, amount FROM cost_days ORDER BY amount NULLS LAST")
    assert [tuple(row) for row in after] == [
        ("reported", Decimal("0.01")), ("rated", Decimal("0.201")), ("rated", Decimal("0.301")),
    ]  # fmt: skip


async def test_what_is_past_its_time_goes_and_what_days_cost_stays_for_four_hundred(
    insights_tables: asyncpg.Pool,
) -> None:
    now = datetime(2026, 10, 2, 12, tzinfo=UTC)
    ages = {"new": 1, "counted": 41, "without order": 76, "old": 401}
    told = [status("a", name, "delivered", now - timedelta(days=days), "DE", UTILITY) for name, days in ages.items()]
    await fold(insights_tables, [*CARDS, *told])
    await upkeep.look(insights_tables, now, lambda: None)

    async def count(table: str) -> int:
        return await insights_tables.fetchval(f"SELECT count(*) FROM {table}")

    assert [await count(table) for table in ("charges", "tier_seconds", "cost_days")] == [1, 2, 3]
    # What is told of the kept one again changes nothing.
    before = await totals(insights_tables)
    await fold(insights_tables, told[:1])
    assert await totals(insights_tables) == before
