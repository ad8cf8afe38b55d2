"""What advice rests on is counted by days, in parts: the same however often it is cut, killed or begun again."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from insights_rows import KEY
from wabus_events import MessageReceived, OrganisationForgotten, identity_of
from wabus_events.testing import an
from wabus_insights.advice.evidence import Repetition
from wabus_insights.tables.erasing import erase
from wabus_insights.tables.planning import advice, advice_days
from wabus_insights.tables.planning.advice_days import Day
from wabus_insights.worker import projector
from wabus_insights.worker.planning.advising import Advising
from wabus_insights.worker.planning.counting import Counting, days_of, wanted
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.projection.erasing import draw
from wabus_runtime.projection.replay_over import replay_over
from wabus_runtime.settings import IdentitySettings
from wabus_whatsapp.forgetting import Lines
from waiting import Eventually

ORG, LONG, SHORT = "demo", 60.0, 0.2
NOW = datetime.now(UTC)
DAYS = days_of(NOW)
TODAY = datetime.combine(NOW.date(), time(), UTC)


def messages(count: int) -> list[dict[str, Any]]:
    """Messages of a few people in three days, many of them soon after one another and across midnight."""
    chance = random.Random(3)
    rows: list[dict[str, Any]] = []
    for number in range(count):
        at = TODAY - timedelta(days=3) + timedelta(seconds=chance.choice((5, 400)) * chance.randrange(640))
        template, person = chance.random() < 0.5, chance.randrange(12)
        bits = chance.choice((3, 3, 3, 17))
        rows.append(
            {
                "message_id": UUID(int=number), "org_id": ORG, "waba_id": "1", "phone_number_id": "9", "at": at,
                "accepted_at": at, "kind": "template" if template else "text",
                "template_id": chance.choice(("a", "b")) if template else "", "name": "news" if template else "",
                "number_id": UUID(int=person), "country": "DE" if person % 3 else "US", "bits": bits,
                "pricing_type": chance.choice(("regular", "regular", "free_entry_point")),
                "pricing_category": "marketing" if template else "service",
            }
        )  # fmt: skip
    return rows


async def write(pool: asyncpg.Pool, rows: Sequence[dict[str, Any]]) -> None:
    names = list(rows[0])
    values = ", ".join(f"${place}" for place in range(1, len(names) + 1))
    await pool.executemany(
        f"INSERT INTO send_facts ({', '.join(names)}) VALUES ({values})", [tuple(row.values()) for row in rows]
    )


def naive(rows: Sequence[dict[str, Any]], kind: str) -> Counter[tuple[str, str]]:
    """By what it is about and country, messages that followed one to the same person too soon."""
    template = kind == "repeated_template"
    within = timedelta(hours=24) if template else timedelta(seconds=30)
    last: dict[tuple[str, UUID], datetime] = {}
    found: Counter[tuple[str, str]] = Counter()
    for row in sorted(rows, key=lambda row: (row["at"], row["message_id"])):
        if (row["kind"] == "template") is not template or row["bits"] == 17:
            continue
        about = row["template_id"] or row["phone_number_id"]
        before = last.get((about, row["number_id"]))
        if before and row["at"] - before <= within and row["pricing_type"] == "regular":
            found[about, row["country"]] += 1
        last[about, row["number_id"]] = row["at"]
    return found


def sums(found: Sequence[Repetition]) -> Counter[tuple[str, str]]:
    return Counter({(one.about, country): extra for one in found for country, extra in one.extra.items()})


async def counted(pool: asyncpg.Pool, kind: str) -> list[Repetition]:
    return await advice_days.repetitions(pool, ORG, kind, DAYS[-1], 3)


async def count_whole(pool: asyncpg.Pool, day: Day) -> None:
    while await advice_days.count_part(pool, day, NOW, LONG, KEY) == "part":
        pass


async def count(pool: asyncpg.Pool, parts: int = 1) -> None:
    """Count all days whole, each in so many parts."""
    for day in wanted(NOW):
        await pool.execute("INSERT INTO advice_days (day, settled, parts) VALUES ($1, $2, $3)", *day, parts)
        await count_whole(pool, day)


async def not_delivered(pool: asyncpg.Pool) -> dict[str, Any]:
    """Let three messages to one person fail on the last whole day; returns what they have in common."""
    lost = {
        "org_id": ORG, "waba_id": "1", "phone_number_id": "9", "kind": "text", "number_id": UUID(int=7),
        "failed_code": 131026, "bits": 16,
    }  # fmt: skip
    for number in range(3):
        at = TODAY - timedelta(hours=number + 1)
        await write(pool, [lost | {"message_id": UUID(int=number), "at": at, "accepted_at": at}])
    return lost


def counting(settings: IdentitySettings, pool: asyncpg.Pool, limit: float = LONG) -> Counting:
    return Counting(settings, pool, projector.NAME, projector.REBUILDING, limit)


@asynccontextmanager
async def busy(pool: asyncpg.Pool) -> AsyncGenerator[None]:
    """As if messages were so many that what reads them takes for ever."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE send_facts IN ACCESS EXCLUSIVE MODE")
        yield


async def begun(pool: asyncpg.Pool) -> bool:
    """Whether a second day is looked at."""
    return await pool.fetchval("SELECT count(*) FROM advice_days") > 1


async def waits(pool: asyncpg.Pool) -> bool:
    return bool(await pool.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))


@pytest.mark.parametrize("parts", [1, 7])
async def test_days_in_parts_add_up_to_what_was_sent_too_often_in_all(
    insights_tables: asyncpg.Pool, parts: int
) -> None:
    rows = messages(600)
    await write(insights_tables, rows)
    await count(insights_tables, parts)
    for kind in ("join_messages", "repeated_template"):
        found = await counted(insights_tables, kind)
        assert sums(found) == naive(rows, kind)
        assert sum(sums(found).values()) > 5, "there is something to find"
        assert sum(sums(found).values()) <= len(rows)
        assert all(0 < one.people_a_day <= 12 for one in found)
    assert (await advice_days.observed(insights_tables, ORG, DAYS[-1])).days == 3
    assert (await advice_days.observed(insights_tables, "other", DAYS[-1])).days == 0


async def test_who_is_killed_in_the_middle_of_a_day_leaves_the_rest_of_it_and_nothing_twice(
    insights_tables: asyncpg.Pool, eventually: Eventually
) -> None:
    rows = messages(300)
    await write(insights_tables, rows)
    await count(insights_tables, parts=4)
    whole = await counted(insights_tables, "repeated_template")
    await insights_tables.execute("TRUNCATE advice_days, advice_counts")
    for day in wanted(NOW):
        await insights_tables.execute("INSERT INTO advice_days (day, settled, parts) VALUES ($1, $2, 4)", *day)
        assert await advice_days.count_part(insights_tables, day, NOW, LONG, KEY) == "part"
        async with busy(insights_tables):
            killed = asyncio.create_task(advice_days.count_part(insights_tables, day, NOW, LONG, KEY))
            await eventually(lambda: waits(insights_tables))
            killed.cancel()
            await asyncio.wait([killed])
    assert await counted(insights_tables, "repeated_template") == [], "of a day that is not whole nothing is told"
    for day in wanted(NOW):
        await count_whole(insights_tables, day)
        assert await advice_days.count_part(insights_tables, day, NOW, LONG, KEY) == "taken"
    assert await counted(insights_tables, "repeated_template") == whole


async def test_a_day_that_has_settled_takes_the_place_of_what_was_counted_at_its_end(
    insights_tables: asyncpg.Pool,
) -> None:
    rows = messages(200)
    await write(insights_tables, rows[:100])
    for day in DAYS:
        await count_whole(insights_tables, Day(day, settled=False))
    await write(insights_tables, rows[100:])
    for day in DAYS:
        await count_whole(insights_tables, Day(day, settled=True))
    assert sums(await counted(insights_tables, "join_messages")) == naive(rows, "join_messages")


async def test_who_sends_more_in_a_day_than_can_be_counted_at_once_is_advised_all_the_same(
    topics: IdentitySettings, insights_tables: asyncpg.Pool, eventually: Eventually
) -> None:
    rows = messages(100)
    await write(insights_tables, rows)

    async def cut() -> bool:
        return bool(await insights_tables.fetchval("SELECT count(*) FROM advice_days WHERE parts > 1"))

    async with busy(insights_tables):
        looking = asyncio.create_task(counting(topics, insights_tables, limit=1.0).look(NOW, lambda: None))
        await eventually(cut)
    await looking
    assert await advice_days.missing(insights_tables, wanted(NOW)) == []
    assert await cut()
    for kind in ("join_messages", "repeated_template"):
        assert sums(await counted(insights_tables, kind)) == naive(rows, kind)


async def test_a_day_that_another_worker_has_begun_is_not_waited_for(
    insights_tables: asyncpg.Pool, eventually: Eventually
) -> None:
    day = wanted(NOW)[-1]
    async with busy(insights_tables):
        first = asyncio.create_task(advice_days.count_part(insights_tables, day, NOW, LONG, KEY))
        await eventually(lambda: waits(insights_tables))
        second = await asyncio.wait_for(advice_days.count_part(insights_tables, day, NOW, LONG, KEY), 15)
    assert (second, await first) == ("taken", "part")
    assert await insights_tables.fetchval("SELECT parts FROM advice_days") == 1


async def test_a_day_that_can_not_be_cut_any_smaller_keeps_no_other_from_being_counted(
    topics: IdentitySettings, insights_tables: asyncpg.Pool, eventually: Eventually
) -> None:
    largest = wanted(NOW)[0]
    await insights_tables.execute(
        "INSERT INTO advice_days (day, settled, parts) VALUES ($1, $2, $3)", *largest, advice_days.MOST_PARTS
    )
    async with busy(insights_tables):
        looking = asyncio.create_task(counting(topics, insights_tables, limit=1.0).look(NOW, lambda: None))
        await eventually(lambda: begun(insights_tables))
    await looking
    assert await advice_days.missing(insights_tables, wanted(NOW)) == [largest]


async def test_nobody_misses_advice_on_days_that_were_counted_while_their_messages_were_lost(
    topics: IdentitySettings, insights_tables: asyncpg.Pool
) -> None:
    pool, rows = insights_tables, messages(100)
    await counting(topics, pool).look(NOW, lambda: None)
    assert await advice_days.missing(pool, wanted(NOW)) == [], "the tables are lost, and seem to be whole"
    await write(pool, rows)
    await replay_over(projector.TABLES, lambda _said: None)
    assert await advice_days.missing(pool, wanted(NOW)) == wanted(NOW)

    place = "INSERT INTO projection_offsets VALUES ($1, 'sends.v1', 0, 1, gen_random_uuid())"
    await pool.execute(place, projector.REBUILDING)
    await counting(topics, pool).look(NOW, lambda: None)
    assert await advice_days.missing(pool, wanted(NOW)) == wanted(NOW), "the log is being folded again"
    await pool.execute("DELETE FROM projection_offsets")
    await counting(topics, pool).look(NOW, lambda: None)
    for kind in ("join_messages", "repeated_template"):
        assert sums(await counted(pool, kind)) == naive(rows, kind)


async def test_days_that_are_in_the_tables_are_counted_though_the_log_is_not_folded_to_its_end(
    topics: IdentitySettings, publisher: Publisher, insights_tables: asyncpg.Pool
) -> None:
    await publisher.publish([an(MessageReceived, org_id=ORG, waba_id="1", wamid="new", time=NOW)])
    later = NOW + timedelta(days=1, minutes=20)
    await counting(topics, insights_tables).look(later, lambda: None)
    missing = await advice_days.missing(insights_tables, wanted(later))
    assert [day.day for day in missing] == [NOW.date()], "what was logged in it is not folded yet"


async def test_nothing_is_counted_of_who_is_forgotten_while_it_is_counted(
    insights_tables: asyncpg.Pool, eventually: Eventually
) -> None:
    pool, rows = insights_tables, messages(100)
    others = [row | {"org_id": "other", "message_id": UUID(int=1_000 + place)} for place, row in enumerate(rows)]
    await write(pool, rows + others)
    day = Day(DAYS[1], settled=False)
    line = {identity_of(KEY, OrganisationForgotten, ORG): NOW}
    async with pool.acquire() as connection, connection.transaction():
        await draw(connection, line.items())
        await erase(connection, Lines(KEY, line))
        assert await advice_days.count_part(pool, day, NOW, LONG, KEY) == "part"
        last = asyncio.create_task(advice_days.count_part(pool, day, NOW, LONG, KEY))
        await eventually(lambda: waits(pool))
    assert await last == "whole"
    found = await pool.fetch("SELECT DISTINCT org_id FROM advice_counts")
    assert [row["org_id"] for row in found] == ["other"]


async def test_advice_that_is_not_of_now_is_said_to_be_and_stays_until_it_is(insights_tables: asyncpg.Pool) -> None:
    pool = insights_tables
    lost = await not_delivered(pool)
    await pool.execute("INSERT INTO advice_checks (org_id, due_at) VALUES ($1, now())", ORG)
    await Advising(pool).work_out(ORG)
    told = await advice.standing(pool, ORG)
    assert (told.counted_to, told.unfinished) == (None, ["join_messages", "repeated_template"])
    assert [row["kind"] for row in await advice.given(pool, ORG, dismissed=False)] == ["unreachable_people"]

    await count(pool)
    async with busy(pool):
        await Advising(pool, limit=SHORT).work_out(ORG)
    told = await advice.standing(pool, ORG)
    assert (told.counted_to, told.unfinished) == (DAYS[0], ["unreachable_people"])
    assert [row["kind"] for row in await advice.given(pool, ORG, dismissed=False)] == ["unreachable_people"]

    await Advising(pool).work_out(ORG)
    assert (await advice.standing(pool, ORG)).unfinished == []
    reached = lost | {"failed_code": None, "bits": 3, "at": TODAY - timedelta(days=5)}
    await write(pool, [reached | {"message_id": UUID(int=9), "delivered_at": TODAY - timedelta(days=5)}])
    await Advising(pool).work_out(ORG)
    assert await advice.given(pool, ORG, dismissed=False) == []


async def test_nobody_is_advised_to_stop_writing_to_whom_something_was_delivered_today(
    insights_tables: asyncpg.Pool,
) -> None:
    pool = insights_tables
    lost = await not_delivered(pool)
    await pool.execute("INSERT INTO advice_checks (org_id, due_at) VALUES ($1, now())", ORG)
    noon = TODAY + timedelta(hours=12)
    await Advising(pool, now=lambda: noon).work_out(ORG)
    (told,) = await advice.given(pool, ORG, dismissed=False)
    assert told["evidence"] == {"people": 1, "failures": 3, "days": 8}, "so many days were looked at"
    at = noon - timedelta(minutes=1)
    reached = lost | {"failed_code": None, "bits": 3, "at": at, "accepted_at": at, "delivered_at": at}
    await write(pool, [reached | {"message_id": UUID(int=9)}])
    await Advising(pool, now=lambda: noon).work_out(ORG)
    assert await advice.given(pool, ORG, dismissed=False) == []


def test_the_days_of_advice_are_over_and_messages_of_them_are_kept() -> None:
    midnight = datetime(2026, 3, 10, tzinfo=UTC)
    assert days_of(midnight)[0] == date(2026, 3, 8), "the day before is not yet told whole"
    assert days_of(midnight + timedelta(hours=1))[0] == date(2026, 3, 9)
    noon = midnight + timedelta(hours=12)
    assert {day.day for day in wanted(noon) if not day.settled} == {date(2026, 3, 9), date(2026, 3, 8)}
    assert noon - datetime.combine(days_of(noon)[-1], time(), UTC) <= timedelta(days=9)
