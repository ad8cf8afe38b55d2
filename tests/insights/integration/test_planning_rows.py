"""Rows of planning follow from the log alone: in whatever batches it comes, however often, with whom it forgets."""

import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from wabus_events import (
    AccountChecked,
    AccountConnected,
    AccountDisconnected,
    AccountForgotten,
    AdviceDismissed,
    BudgetAlerted,
    BudgetLine,
    BudgetsSet,
    Event,
    OrganisationForgotten,
    PricedVolume,
    PricingRead,
    SendingError,
    SendingRestriction,
    Template,
    TemplateCategoryChanged,
    TemplateChanged,
    TemplateRemoved,
    identity_of,
)
from wabus_events.testing import an
from wabus_insights.settings import InsightsDatabaseSettings
from wabus_insights.tables.costs import prices
from wabus_insights.tables.planning import accounts
from wabus_insights.tables.planning.erasing import TABLES, erase
from wabus_insights.worker import projector
from wabus_insights.worker.costs import upkeep
from wabus_insights.worker.planning.folding import fold
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.projection.recorded import Recorded
from wabus_runtime.settings import load
from wabus_whatsapp.forgetting import Lines

START = datetime(2026, 11, 1, tzinfo=UTC)
KEY = b"i" * 32
ROWS = (
    "planned_accounts", "budget_sets", "budgets", "budget_alerts", "pricing_readings", "meta_pricing_days",
    "template_categories", "payment_errors", "advice_dismissals",
)  # fmt: skip


@pytest.fixture
async def pool(environment: dict[str, str]) -> AsyncIterator[asyncpg.Pool]:
    async with migrated_pool(load(InsightsDatabaseSettings), projector.PACKAGE) as opened:
        yield opened


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def of_account(waba: str, chance: random.Random) -> list[Event]:
    """What the partition of an account has of it, in its order."""
    about: dict[str, Any] = {"waba_id": waba, "org_id": "a"}
    error = SendingRestriction(entity_type="WABA", can_send_message="BLOCKED", errors=[SendingError(error_code=141006)])
    template = Template(template_id=f"{waba}1", name="n", language="en", category="UTILITY", status="APPROVED")
    return [
        an(AccountConnected, **about, time=at(0), time_zone="Europe/Berlin", currency="EUR"),
        an(TemplateChanged, **about, time=at(1), template=template, added=True),
        an(AccountChecked, **about, time=at(2), restrictions=[error], currency="USD"),
        an(TemplateCategoryChanged, **about, time=at(3), template_id=f"{waba}1", new_category="MARKETING",
           previous_category="UTILITY"),
        an(AccountDisconnected, **about, time=at(4)),
        an(AccountConnected, **about, time=at(5)),
        *[read(waba, chance.randrange(3), at(6 + n), chance) for n in range(6)],
        *([an(AccountChecked, **about, time=at(20))] if chance.random() < 0.5 else []),
        *([an(TemplateRemoved, **about, time=at(21), template_id=f"{waba}1")] if chance.random() < 0.3 else []),
        *([an(AccountConnected, waba_id=waba, org_id="b", time=at(22))] if chance.random() < 0.3 else []),
    ]  # fmt: skip


def read(waba: str, day: int, time: datetime, chance: random.Random) -> PricingRead:
    volumes = [
        PricedVolume(country="DE", pricing_category="marketing", pricing_type="regular", tier=tier, volume=n,
                     amount=Decimal(n) / 10)
        for tier in ("", "0:100")
        if (n := chance.randrange(5))
    ]  # fmt: skip
    return an(PricingRead, waba_id=waba, org_id="a", time=time, priced_on=date(2026, 11, 1 + day), volumes=volumes)


def of_organisation(chance: random.Random) -> list[Event]:
    """What the partition of an organisation has of it, in its order."""
    lines = [BudgetLine(budget_id=str(n), currency="EUR", amount=Decimal(n + 1), thresholds=[80, 50]) for n in range(3)]
    return [
        *[
            an(BudgetsSet, org_id="a", time=at(n), budgets=chance.sample(lines, chance.randrange(4)))
            for n in range(chance.randrange(1, 4))
        ],
        *[an(BudgetAlerted, id=str(n), org_id="a", time=at(5), month="2026-11", budget_id="1") for n in (1, 2, 1)],
        *[an(AdviceDismissed, org_id="a", time=at(n), advice_id="x", dismissed=n % 2 == 0) for n in range(3)],
    ]


def merged(parts: Sequence[list[Event]], chance: random.Random) -> list[Event]:
    """Partitions beside each other, each in its own order."""
    left = [list(part) for part in parts]
    found: list[Event] = []
    while any(left):
        found.append(chance.choice([part for part in left if part]).pop(0))
    return found


async def folded(pool: asyncpg.Pool, log: Sequence[Event], chance: random.Random) -> None:
    """Fold a log in batches as they come."""
    place = 0
    while place < len(log):
        size = chance.randrange(1, 6)
        records = [Recorded(event, "", 0, place, event.time) for event in log[place : place + size]]
        async with pool.acquire() as connection, connection.transaction():
            await fold(connection, records)
        place += size


async def rows(pool: asyncpg.Pool) -> dict[str, set[str]]:
    return {table: {str(row) for row in await pool.fetch(f"SELECT * FROM {table}")} for table in ROWS}


async def test_the_log_gives_the_same_rows_in_any_batches_and_once_more(pool: asyncpg.Pool) -> None:
    for seed in range(12):
        chance = random.Random(seed)
        parts = [of_account("1", chance), of_account("2", chance), of_organisation(chance)]
        await pool.execute(f"TRUNCATE {', '.join(table.name for table in TABLES)}")
        await folded(pool, [event for part in parts for event in part], random.Random(0))
        naive = await rows(pool)
        await folded(pool, merged(parts, chance), chance)
        assert await rows(pool) == naive, f"once more over the same rows, seed {seed}"
        await pool.execute(f"TRUNCATE {', '.join(table.name for table in TABLES)}")
        await folded(pool, merged(parts, chance), chance)
        assert await rows(pool) == naive, f"into empty tables, seed {seed}"


async def test_of_two_changes_of_the_same_budgets_the_first_in_the_log_holds_whatever_the_clocks_say(
    pool: asyncpg.Pool,
) -> None:
    def budgets(name: str, hour: float, replaces: str | None) -> BudgetsSet:
        line = BudgetLine(budget_id=name, currency="EUR", amount=Decimal(1), thresholds=[50])
        return an(BudgetsSet, id=name, org_id="a", time=at(hour), budgets=[line], replaces=replaces)

    history = [
        budgets("created", 5, ""), budgets("created beside", 6, ""), budgets("changed", 4, "created"),
        budgets("changed beside", 7, "created"), budgets("changed again", 5, "changed"),
    ]  # fmt: skip
    for log in (history, [*history, *history]):
        await folded(pool, log, random.Random(2))
        assert await pool.fetchval("SELECT string_agg(budget_id, ',') FROM budgets") == "changed again"


async def test_what_meta_said_and_what_was_told_of_budgets_goes_after_400_days(pool: asyncpg.Pool) -> None:
    chance = random.Random(4)
    await folded(pool, [*of_account("1", chance), *of_organisation(chance)], chance)
    async with pool.acquire() as connection:
        await prices.write_reading(connection, read("1", 0, at(1), chance))
    await pool.execute(
        "INSERT INTO tier_months VALUES (gen_random_uuid(), '1', 'Germany', 'utility', $1, 7, $2)", at(0).date(), at(0)
    )
    await pool.execute("INSERT INTO tier_floors VALUES ('1', 'Germany', 'utility', $1, 1, $2)", at(0).date(), at(0))
    tables = ("budget_alerts", "pricing_readings", "meta_pricing_days", "meta_readings", "tier_months", "tier_floors")

    async def kept(now: datetime) -> set[str]:
        await upkeep.look(pool, now, lambda: None)
        return {table for table in tables if await pool.fetchval(f"SELECT count(*) FROM {table}")}

    assert await kept(at(399 * 24)) == set(tables)
    assert await kept(at(24 * 440)) == set()
    assert await pool.fetchval("SELECT count(*) FROM planned_accounts") > 0


async def test_who_connects_again_has_no_other_owner_before_them_and_whoever_takes_over_has(pool: asyncpg.Pool) -> None:
    connected = [an(AccountConnected, waba_id="1", org_id=org, time=at(n)) for n, org in enumerate(("a", "a", "b"))]
    gone = an(AccountDisconnected, waba_id="1", org_id="a", time=at(0.5))
    await folded(pool, [connected[0], gone, connected[1]], random.Random(1))
    again = await accounts.one(pool, "1")
    assert again is not None
    assert (again.org_id, again.since, again.had_another_owner) == ("a", at(0), False)
    await folded(pool, connected[2:], random.Random(1))
    other = await accounts.one(pool, "1")
    assert other is not None
    assert (other.org_id, other.since, other.had_another_owner) == ("b", at(2), True)


async def test_nothing_is_left_of_an_organisation_or_an_account_that_is_forgotten(pool: asyncpg.Pool) -> None:
    chance = random.Random(3)
    await folded(pool, [*of_account("1", chance), *of_account("2", chance), *of_organisation(chance)], chance)
    lines = Lines(KEY)
    lines.learn(an(AccountForgotten, identity=identity_of(KEY, AccountForgotten, "1"), time=at(99)))
    async with pool.acquire() as connection, connection.transaction():
        await erase(connection, lines)
    left = await rows(pool)
    assert not any("waba_id='1'" in row for table in left.values() for row in table)
    assert any("waba_id='2'" in row for row in left["pricing_readings"])

    lines.learn(an(OrganisationForgotten, identity=identity_of(KEY, OrganisationForgotten, "a"), time=at(99)))
    async with pool.acquire() as connection, connection.transaction():
        await erase(connection, lines)
    assert not any("'a'" in row for table in (await rows(pool)).values() for row in table)
