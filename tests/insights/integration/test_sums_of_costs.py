"""What is answered of costs is what the cells say, whatever has changed, and whoever is summing up meanwhile."""

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
from cost_world import CARDS, DAYS, ORG, clear, fold, fold_beside, histories, status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from profiles import examples
from wabus_events import AccountForgotten, Event, OrganisationForgotten, identity_of
from wabus_insights.tables.costs import reading
from wabus_insights.tables.erasing import erase
from wabus_insights.tables.planning import evidence, spending
from wabus_insights.worker.costs import summing, upkeep
from wabus_whatsapp.forgetting import Lines

KEY = b"a key of thirty-two bytes or more"
UTILITY = {"category": "utility", "type": "regular"}
SUMS = ("cost_day_sums", "cost_template_sums", "cost_changes", "cost_sums_due")
KEYS = {
    "day": "day::text", "category": "category", "market": "market", "number": "phone_number_id",
    "template": "template_id", "campaign": "campaign", None: "''",
}  # fmt: skip
PERIODS = (
    (date(2026, 9, 30), date(2026, 11, 2)),
    (date(2025, 11, 1), date(2026, 12, 31)),
    (date(2026, 10, 1), date(2026, 10, 31)),
    (date(2026, 10, 2), date(2026, 11, 1)),
    (date(2026, 9, 29), date(2026, 10, 1)),
)
FILTERS = ((None, None, None), ("a1", None, None), (None, "DE", None), ("b1", "IN", None), (None, None, "t1"))
Costs = dict[tuple[str, str], tuple[int, str | None, dict[str, int]]]


async def sum_up(pool: asyncpg.Pool, now: datetime) -> None:
    await summing.look(pool, now, lambda: None)


async def answered(pool: asyncpg.Pool, wanted: reading.Wanted, by: str | None) -> Costs:
    found = await reading.costs(pool, wanted, by or "category", None, 1000)
    rows = found.rows if by else found.totals
    return {
        (row.key, row.currency): (row.volume, row.amount, {part.known: part.volume for part in row.parts})
        for row in rows
    }


async def in_cells(pool: asyncpg.Pool, wanted: reading.Wanted, by: str | None) -> Costs:
    rows = await pool.fetch(
        f"""
        SELECT {KEYS[by]} AS key, currency, known, sum(volume)::bigint AS volume, sum(amount) AS amount FROM cost_days
        WHERE org_id = $1 AND day BETWEEN $2 AND $3 AND ($4::text IS NULL OR phone_number_id = $4)
            AND ($5::text IS NULL OR country = $5) AND ($6::text IS NULL OR template_id = $6)
        GROUP BY 1, 2, 3
        """,
        *wanted,
    )
    found: dict[tuple[str, str], list[asyncpg.Record]] = {}
    for row in rows:
        found.setdefault((row["key"], row["currency"]), []).append(row)
    return {
        place: (
            sum(row["volume"] for row in each),
            str(sum(amounts, Decimal(0))) if (amounts := [row["amount"] for row in each if row["amount"] is not None])
            else None,
            {row["known"]: row["volume"] for row in each},
        )
        for place, each in found.items()
    }  # fmt: skip


async def assert_as_cells(pool: asyncpg.Pool, order: random.Random) -> None:
    """What is asked about costs, some of all that can be, is answered as the cells say."""
    for org in (ORG, "other"):
        for by in KEYS:
            wanted = reading.Wanted(org, *order.choice(PERIODS), *order.choice(FILTERS))
            assert await answered(pool, wanted, by) == await in_cells(pool, wanted, by), (wanted, by)
            found = await reading.costs(pool, wanted, by or "day", None, 1)
            rest = await reading.costs(pool, wanted, by or "day", ("0", ""), 1000)
            assert found.totals == rest.totals
        since, to = PERIODS[0]
        await assert_advice_agrees(pool, org, order.choice((since, DAYS[2].date())))
        for one in await pool.fetch("SELECT DISTINCT waba_id FROM cost_days"):
            account = (org, one[0], since, to)
            volume = """
                SELECT coalesce(sum(volume), 0) FROM cost_days
                WHERE org_id = $1 AND waba_id = $2 AND day BETWEEN $3 AND $4
            """
            ours = await spending.ours(pool, *account)
            assert sum(each.volume for each in ours) == await pool.fetchval(volume, *account)


async def assert_advice_agrees(pool: asyncpg.Pool, org: str, first: date) -> None:
    """What advice rests on is what is told of costs."""
    told = (await reading.costs(pool, reading.Wanted(org, first, date.max), "category", None, 1000)).rows
    parts = [part for row in told if row.key == "authentication_international" for part in row.parts]
    charged = [(part.volume, Decimal(part.amount or 0)) for part in parts if part.known not in ("unknown", "free")]
    foreign = await evidence.foreign_authentication(pool, org, first, 30)
    assert sum(one.charged for one in foreign) == sum(volume for volume, _ in charged)
    assert sum(one.amount for one in foreign) == sum(amount for _, amount in charged)
    prices = await evidence.average_prices(pool, org, first)
    for (waba, country, category), price in prices.items():
        row = """
            SELECT sum(amount) / sum(volume) FROM cost_days WHERE org_id = $1 AND day >= $2 AND waba_id = $3
                AND country = $4 AND category = $5 AND currency = $6 AND pricing_type = 'regular' AND known <> 'unknown'
        """
        assert round(price.amount, 12) == round(
            await pool.fetchval(row, org, first, waba, country, category, price.currency), 12
        )
    for waba, number in (("a", "a1"), ("b", "b1")):
        free = """
            SELECT sum(volume) FROM cost_days WHERE org_id = $1 AND waba_id = $2 AND phone_number_id = $3
                AND day BETWEEN $4 AND $5 AND category = 'service' AND pricing_type = 'free_customer_service'
        """
        last = first + timedelta(days=40)
        used = {one.phone_number_id: one.used for one in await evidence.allowances(pool, org, waba, first, last, 1000)}
        assert used.get(number) == await pool.fetchval(free, org, waba, number, first, last)


def dealt(runs: Sequence[Sequence[Event]], order: random.Random) -> list[list[list[Event]]]:
    """Runs in any order, some of them twice, in small batches for two workers."""
    shuffled = [*runs, *order.choices(runs, k=3)]
    order.shuffle(shuffled)
    lanes: list[list[list[Event]]] = [[], []]
    while shuffled:
        size = order.randint(1, 5)
        lanes[order.randrange(2)].append([event for run in shuffled[:size] for event in run])
        del shuffled[:size]
    return lanes


async def copy_for_another(pool: asyncpg.Pool) -> None:
    """Let another organisation have cells of the same days, each of one message more."""
    found = await pool.fetch(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'cost_days' "
        "AND table_schema = current_schema() AND is_generated = 'NEVER' ORDER BY ordinal_position"
    )
    columns = [str(row["column_name"]) for row in found]
    changed = {"cell_id": "gen_random_uuid()", "org_id": "'other'", "volume": "volume + 1"}
    values = ", ".join(changed.get(name, name) for name in columns)
    await pool.execute(f"INSERT INTO cost_days ({', '.join(columns)}) SELECT {values} FROM cost_days")


@settings(max_examples=examples(20), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories(), st.integers(), st.sampled_from(("", "an account", "an organisation", "age")))
async def test_whatever_happens_the_answer_is_what_the_cells_say(
    insights_tables: asyncpg.Pool, runs: list[list[Event]], seed: int, then: str
) -> None:
    pool, order = insights_tables, random.Random(seed)
    await clear(pool)
    lanes = dealt(runs, order)
    nows = [at + timedelta(days=order.randint(0, 9)) for at in order.choices(DAYS, k=4)]

    async def summing_meanwhile() -> None:
        for now in nows:
            await sum_up(pool, now)

    half = [lane[: len(lane) // 2] for lane in lanes]
    await asyncio.gather(fold_beside(pool, *half), summing_meanwhile())
    await copy_for_another(pool)
    await asyncio.gather(fold_beside(pool, *(lane[len(lane) // 2 :] for lane in lanes)), summing_meanwhile())
    if order.random() < 0.5:
        await sum_up(pool, order.choice(nows))
    match then:
        case "an account" | "an organisation":
            kind, name = (AccountForgotten, "a") if then == "an account" else (OrganisationForgotten, ORG)
            line = {identity_of(KEY, kind, name): order.choice(DAYS)}
            async with pool.acquire() as connection, connection.transaction():
                await erase(connection, Lines(KEY, line))
        case "age":
            await upkeep.look(pool, order.choice(DAYS) + upkeep.DAYS_KEPT, lambda: None)
        case _:
            pass
    await assert_as_cells(pool, order)
    for now in (order.choice(nows), DAYS[-1] + timedelta(days=90)):
        await sum_up(pool, now)
        await assert_as_cells(pool, order)
    assert not await pool.fetchval("SELECT count(*) FROM cost_changes")
    assert not await pool.fetchval("SELECT count(*) FROM cost_sums_due")


async def test_a_late_card_is_in_the_answer_at_once_and_in_the_sums_a_look_later(insights_tables: asyncpg.Pool) -> None:
    pool, day = insights_tables, datetime(2026, 10, 20, 12, tzinfo=UTC)
    marketing = {"category": "marketing", "type": "regular"}
    await fold(pool, [CARDS[0], *(status("a", f"wamid.{n}", "delivered", day, "DE", marketing) for n in range(3))])
    await sum_up(pool, day + timedelta(days=90))
    wanted = reading.Wanted(ORG, date(2026, 10, 1), date(2026, 12, 31))
    before = await answered(pool, wanted, "template")
    await fold(pool, [CARDS[2]])
    after = await answered(pool, wanted, "template")

    assert [amount for _, amount, _ in (*before.values(), *after.values())] == ["0.303000", "0.603000"]
    assert await answered(pool, wanted, "market") == {("Germany", "EUR"): (3, "0.603000", {"rated": 3})}
    await sum_up(pool, day + timedelta(days=90))
    assert {row[0] for row in await pool.fetch("SELECT amount FROM cost_template_sums")} == {Decimal("0.603")}
    assert await answered(pool, wanted, "template") == after


async def test_nothing_of_a_forgotten_organisation_is_left_in_sums(insights_tables: asyncpg.Pool) -> None:
    now = datetime(2026, 10, 20, 12, tzinfo=UTC)
    await fold(
        insights_tables,
        [*CARDS, *(status("a", f"wamid.{n}", "delivered", at, "DE", UTILITY) for n, at in enumerate((*DAYS[:3], now)))],
    )
    await sum_up(insights_tables, now)
    async with insights_tables.acquire() as connection, connection.transaction():
        await erase(connection, Lines(KEY, {identity_of(KEY, OrganisationForgotten, ORG): now + timedelta(hours=1)}))
    left = {name: await insights_tables.fetchval(f"SELECT count(*) FROM {name}") for name in SUMS[:2]}
    assert left == dict.fromkeys(SUMS[:2], 0)
    # That its days have changed is known until the next look.
    await sum_up(insights_tables, now)
    assert [await insights_tables.fetchval(f"SELECT count(*) FROM {name}") for name in SUMS] == [0, 0, 0, 0]


async def test_a_year_is_read_from_sums_and_what_changes_now_from_its_cells(insights_tables: asyncpg.Pool) -> None:
    """By what sums say that nobody has counted: it is in the answer where they are read, and only there."""
    pool, now = insights_tables, datetime(2026, 11, 20, 12, tzinfo=UTC)
    times = [now - timedelta(days=days) for days in range(0, 400, 3)]
    await fold(
        pool, [*CARDS, *(status("a", f"wamid.{n}", "delivered", at, "DE", UTILITY) for n, at in enumerate(times))]
    )
    await sum_up(pool, now)
    await fold(pool, [status("a", "wamid.now", "delivered", now, "DE", UTILITY)])
    for name in SUMS[:2]:
        await pool.execute(f"UPDATE {name} SET volume = volume * 1000")
    wanted = reading.Wanted(ORG, (now - timedelta(days=399)).date(), now.date())

    of_days = await answered(pool, wanted, "day")
    assert of_days.pop(("2026-11-20", "EUR"))[0] == 2
    assert {volume for volume, *_ in of_days.values()} == {1000}
    (of_templates,) = (await answered(pool, wanted, "template")).values()
    in_months = of_templates[0] // 1000
    assert in_months > len(times) - 5
    assert of_templates[0] % 1000 == len(times) + 1 - in_months
    assert (await reading.of_templates(pool, wanted)) == ({}, [], False)


async def test_two_workers_that_sum_up_at_once_sum_nothing_twice(insights_tables: asyncpg.Pool) -> None:
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    times = [now - timedelta(days=days) for days in range(0, 60, 2)]
    await fold(
        insights_tables,
        [*CARDS, *(status("a", f"wamid.{n}", "delivered", at, "DE", UTILITY) for n, at in enumerate(times))],
    )
    await asyncio.gather(*(sum_up(insights_tables, now) for _ in range(4)))
    await sum_up(insights_tables, now)
    whole: Any = await insights_tables.fetchval("SELECT sum(volume) FROM cost_day_sums")
    assert whole == len(times)
    await assert_as_cells(insights_tables, random.Random(1))
