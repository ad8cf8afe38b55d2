"""Who is in which arm, and what they did: the same rows in whatever batches the log is folded, and however often."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
import cost_world
import pytest
from wabus_events import (
    AccountForgotten,
    ContactForgotten,
    ContactIdentityChanged,
    Event,
    ExperimentDecided,
    ExperimentDefined,
    ExperimentPlan,
    ExperimentStarted,
    Forgotten,
    MessageAccepted,
    MessageReceived,
    MessageStatusChanged,
    OrganisationForgotten,
    PersonDrawn,
    SendRefused,
    SendRequested,
    identity_of,
)
from wabus_events.models.insights.experiments import DrawnSlice, Metric, PlannedArm
from wabus_events.testing import an
from wabus_insights.experiments.reading import OPAQUE_OF_A_DRAW, Whom, draw_id
from wabus_insights.tables.erasing import erase
from wabus_insights.tables.experiments import counting
from wabus_insights.tables.experiments.people import arm_of as arm_of_keys
from wabus_insights.worker.experiments.folding import ExperimentFolding
from wabus_runtime.directory.directory import Directory
from wabus_runtime.projection.recorded import Recorded
from wabus_runtime.settings import KafkaSettings
from wabus_whatsapp.forgetting import Lines
from wabus_whatsapp.ids import Ids

KEY = b"a key of thirty-two bytes or more"
ORG, WABA, PHONE = "demo", "1", "9"
ID = "5d2f0c1e-52f5-4a35-9d1a-4a1f5c1f7a12"
START = datetime(2026, 11, 2, tzinfo=UTC)
OUTCOME = timedelta(hours=72)


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def begun() -> list[Event]:
    plan = ExperimentPlan(
        name="Offer", waba_id=WABA, control="A", metric="replied", outcome_hours=72, alpha=0.05, minimum_days=0,
        minimum_per_arm=1, days=30,
        arms=[PlannedArm(arm="A", weight=9_000, template_name="a"), PlannedArm(arm="B", weight=1_000)],
    )  # fmt: skip
    slices = [DrawnSlice(begin=0, end=9_000, arm="A"), DrawnSlice(begin=9_000, end=10_000, arm="B")]
    about: dict[str, Any] = {"experiment_id": ID, "org_id": ORG, "time": at(0)}
    return [
        an(ExperimentDefined, plan=plan, plan_hash=plan.digest(), salt="salt", **about),
        an(ExperimentStarted, epoch=1, slices=slices, ends_at=at(720), **about),
    ]


def asked(number: int, arm: str, hours: float, to: str | None, user: str | None = None, **more: Any) -> SendRequested:
    return an(
        SendRequested, org_id=ORG, waba_id=WABA, phone_number_id=PHONE, send_id=str(UUID(int=number)), time=at(hours),
        to=to, recipient=user, **{"experiment_id": ID, "arm": arm, "epoch": 1, **more},
    )  # fmt: skip


def wrote(hours: float, contact: str, user: str | None = None) -> MessageReceived:
    return an(
        MessageReceived, org_id=ORG, waba_id=WABA, phone_number_id=PHONE, wamid=f"in {hours} {contact}", user_id=user,
        contact=contact, group_id=None, message_type="text", value={}, time=at(hours),
    )  # fmt: skip


def failed(hours: float, send: int, code: int) -> MessageStatusChanged:
    return an(
        MessageStatusChanged, org_id=ORG, waba_id=WABA, phone_number_id=PHONE, wamid="w", contact="492", user_id=None,
        group_id=None, status="failed", error_codes=[code], time=at(hours),
        value={"statuses": [{"biz_opaque_callback_data": f"w1:{UUID(int=send)}"}]},
    )  # fmt: skip


async def fold(pool: asyncpg.Pool, batches: Sequence[Sequence[Event]]) -> None:
    by = ExperimentFolding(KEY, Directory(KafkaSettings(kafka_bootstrap_servers="nowhere:1")))
    async with pool.acquire() as connection:
        for batch in batches:
            records = [Recorded(event, event.topic.name, 0, place, event.time) for place, event in enumerate(batch)]
            async with connection.transaction():
                await by.fold(connection, records)


async def count(pool: asyncpg.Pool, hours: float, metric: Metric = "replied") -> None:
    async with pool.acquire() as connection, connection.transaction():
        await counting.count_harm(connection, UUID(ID), timedelta(hours=1), at(hours - 1), at(hours), 100)
        await counting.count(connection, UUID(ID), metric, OUTCOME, at(hours) - OUTCOME, at(hours), 100)


async def tallies(pool: asyncpg.Pool) -> list[counting.Tally]:
    return await counting.tallies(pool, UUID(ID))


async def people(pool: asyncpg.Pool) -> list[tuple[Any, ...]]:
    rows = await pool.fetch(
        """
        SELECT arm, draws, excluded, success, failed, capped, stopped, counted_at IS NOT NULL AS counted
        FROM experiment_people ORDER BY drawn_at, arm
        """
    )
    return [tuple(row) for row in rows]


async def test_a_person_is_one_through_a_new_number_a_hidden_one_and_a_second_message(
    insights_tables: asyncpg.Pool,
) -> None:
    history = [
        # Anna gets it twice, is known by her user id, and has another number since.
        asked(1, "A", 1, "491"), asked(2, "A", 2, "491"), wrote(2.1, "491", "DE.1"),
        an(ContactIdentityChanged, org_id=ORG, waba_id=WABA, previous_wa_id="491", previous_user_id="DE.1",
           current_wa_id="499", current_user_id="DE.9", time=at(3)),
        asked(3, "A", 4, "499", epoch=None), wrote(5, "499"),
        # Ben was drawn twice, before it was known that he is one, into one arm.
        asked(4, "A", 1.5, "492"), an(PersonDrawn, org_id=ORG, experiment_id=ID, arm="A", epoch=1, to=None,
                                      recipient="DE.2", time=at(1.6)),
        an(MessageAccepted, org_id=ORG, waba_id=WABA, phone_number_id=PHONE, send_id=str(UUID(int=4)), wamid="w4",
           wa_id="492", user_id="DE.2", time=at(1.7)),
        failed(1.8, 4, 131049),
        # Cem was drawn into two arms; Dora writes after her time; Emil's was refused, and he is drawn into nothing.
        asked(5, "A", 1.7, "493"), asked(6, "B", 1.9, None, "DE.3"), wrote(2, "493", "DE.3"),
        asked(7, "B", 2.5, "494"), wrote(2.5 + 72, "494"),
        asked(8, "A", 3, "495"),
        an(SendRefused, org_id=ORG, waba_id=WABA, phone_number_id=PHONE, send_id=str(UUID(int=8)), time=at(3.1)),
    ]  # fmt: skip
    expected = [
        ("A", [1], False, True, False, False, False, True),
        ("A", [1, 1], False, False, True, True, False, True),
        ("A", [1], False, False, True, False, False, True),
        ("B", [1], False, False, False, False, False, True),
    ]
    # What people do may be folded before it is known who they are, and all of it more than once.
    replies_first = sorted(history, key=lambda event: not isinstance(event, MessageReceived | MessageStatusChanged))
    for batches in (
        [history],
        [[event] for event in history],
        [[event] for event in replies_first],
        [history, history],
    ):
        await insights_tables.execute(
            "TRUNCATE experiments, experiment_people, experiment_keys, experiment_links, experiment_signs"
        )
        await fold(insights_tables, [begun(), *batches])
        await count(insights_tables, 200)
        found = await people(insights_tables)
        assert sorted(found) == sorted([*expected, ("A", [1, 1], True, True, False, False, False, True)])
    # Who is counted stays so, whatever is told later.
    await fold(insights_tables, [[wrote(6, "494", "DE.7"), failed(2.6, 7, 131026), wrote(3.5, "495")]])
    await count(insights_tables, 201)
    assert sorted(await people(insights_tables)) == sorted(found)


def told_of_a_few(random: Random) -> list[Event]:
    """Draws, links and replies of four people by two identifiers each, who meet one another often."""
    found: list[Event] = []
    for number in range(1, 15):
        place, other = random.randrange(4), random.randrange(4)
        contact, user, hours = f"49{place}", f"DE.{place}", 1 + number / 10
        match random.randrange(6):
            case 0 | 1:
                found.append(asked(number, random.choice("AB"), hours, contact))
            case 2:
                found.append(asked(number, random.choice("AB"), hours, None, user))
            case 3:
                found.append(asked(number, random.choice("AB"), hours, contact, user, epoch=random.choice((1, None))))
            case 4:
                found.append(wrote(hours, contact, user))
            case _:
                found.append(
                    an(ContactIdentityChanged, org_id=ORG, waba_id=WABA, previous_wa_id=contact, previous_user_id=None,
                       current_wa_id=f"49{other}", current_user_id=None, time=at(hours))
                )  # fmt: skip
    return found


async def test_whoever_is_written_with_many_others_is_in_the_arm_that_they_would_be_in_alone(
    insights_tables: asyncpg.Pool,
) -> None:
    for seed in range(12):
        random = Random(seed)
        history = told_of_a_few(random)
        cut = random.randrange(len(history))
        seen: list[Any] = []
        for batches in ([[event] for event in history], [history], [history[:cut], history[cut:]]):
            await insights_tables.execute(
                "TRUNCATE experiments, experiment_people, experiment_keys, experiment_links, experiment_signs"
            )
            await fold(insights_tables, [begun(), *batches])
            seen.append(await people(insights_tables))
        assert seen[0] == seen[1] == seen[2], seed


async def test_who_turns_out_to_be_somebody_who_is_counted_is_not_counted(insights_tables: asyncpg.Pool) -> None:
    await fold(insights_tables, [begun(), [asked(1, "A", 1, "491")]])
    await count(insights_tables, 100)
    later = asked(2, "B", 101, None, "DE.1")
    await fold(insights_tables, [[later], [wrote(102, "491", "DE.1")]])
    await count(insights_tables, 300)
    assert [row[:3] for row in await people(insights_tables)] == [("A", [1], False), ("B", [1], True)]
    found = [(each.arm, each.excluded, each.drawn, each.counted) for each in await tallies(insights_tables)]
    assert sorted(found) == [("A", False, 1, 1), ("B", True, 1, 1)]


async def test_who_hides_their_number_keeps_their_arm_when_a_platform_asks_by_the_user_id(
    insights_tables: asyncpg.Pool,
) -> None:
    async def arm_of(**known_by: str) -> str | None:
        by = ExperimentFolding(KEY, Directory(KafkaSettings(kafka_bootstrap_servers="nowhere:1")))
        keys = by.keys(ORG, Whom(known_by.get("number"), known_by.get("user")))
        found = await arm_of_keys(insights_tables, UUID(ID), [each.key for each in keys])
        return found and found[0]

    history = [asked(1, "B", 1, "491"), wrote(2, "491", "DE.1")]
    moved = an(ContactIdentityChanged, org_id=ORG, waba_id=WABA, previous_wa_id=None, previous_user_id="DE.1",
               current_wa_id="499", current_user_id="DE.9", time=at(3))  # fmt: skip
    await fold(insights_tables, [begun(), [*history, moved]])
    assert await arm_of(number="491") == "B"
    assert await arm_of(user="DE.1") == "B"
    assert await arm_of(user="DE.9") == "B"
    assert await arm_of(number="499") == "B"
    assert await arm_of(user="DE.7") is None


async def test_what_a_platform_sends_by_itself_is_counted_by_what_it_gives_meta_along(
    insights_tables: asyncpg.Pool,
) -> None:
    person = UUID(Ids(KEY).identifier(ORG, "wa_id", "491"))
    opaque = f"{OPAQUE_OF_A_DRAW}{draw_id(UUID(ID), person)}"
    drawn = an(PersonDrawn, org_id=ORG, experiment_id=ID, arm="A", epoch=1, to="491", recipient=None, time=at(1))
    about: dict[str, Any] = {"org_id": ORG, "waba_id": WABA, "phone_number_id": PHONE, "group_id": None}
    status = an(MessageStatusChanged, wamid="own", contact="491", user_id="DE.1", status="failed", time=at(1.1),
                error_codes=[131049], value={"statuses": [{"biz_opaque_callback_data": opaque}]}, **about)  # fmt: skip
    tapped = an(MessageReceived, wamid="in", contact="491", user_id=None, message_type="button", time=at(2),
                value={"messages": [{"context": {"id": "own"}}]}, **about)  # fmt: skip
    for batches in ([[drawn, status, tapped]], [[tapped], [status], [drawn]]):
        await insights_tables.execute(
            "TRUNCATE experiments, experiment_people, experiment_keys, experiment_links, experiment_signs"
        )
        await fold(insights_tables, [begun(), *batches])
        await count(insights_tables, 200, "clicked")
        assert await people(insights_tables) == [("A", [1], False, True, True, True, False, True)]


async def test_what_messages_of_an_arm_cost_is_added_up_once_and_by_what_is_known(
    insights_tables: asyncpg.Pool,
) -> None:
    priced = {"category": "marketing", "type": "regular"}
    reported = {**priced, "cost": {"amount": "0.05", "currency": "EUR"}}
    org, waba, phone = cost_world.ORG, "a", "a1"
    of_costs = {"org_id": org, "waba_id": waba, "phone_number_id": phone}
    begins = [each.model_copy(update={"org_id": org}) for each in begun()]
    drawn = [asked(number, "A", 1, f"49{number}").model_copy(update=of_costs) for number in range(1, 5)]
    taken = [
        an(MessageAccepted, send_id=str(UUID(int=number)), wamid=f"w{number}", wa_id=f"49{number}", user_id=None,
           time=at(1.1), message_status="held_for_quality_assessment" if number == 1 else "accepted", **of_costs)
        for number in range(1, 5)
    ]  # fmt: skip
    statuses = [
        cost_world.status(waba, f"w{number}", "delivered", at(1.2 if number < 3 else 100), "DE", pricing)
        for number, pricing in ((1, reported), (2, {**priced, "type": "free_customer_service"}), (3, reported))
    ]
    late = an(MessageStatusChanged, wamid="w4", contact="494", user_id=None, group_id=None, status="failed",
              error_codes=[132015], time=at(20), value={}, **of_costs)  # fmt: skip
    await cost_world.fold(insights_tables, statuses)
    await fold(insights_tables, [begins, [*drawn, *taken, late]])
    await count(insights_tables, 200)
    (found,) = await tallies(insights_tables)
    assert (found.delivered, found.priced, found.cost, found.currency) == (2, 2, Decimal("0.05"), "EUR")
    assert (found.cost_squared, found.cost_by_priced, found.priced_squared) == pytest.approx((0.0025, 0.05, 2))
    assert (found.held, found.failed_at_once, found.failed) == (1, 0, 1), "one that was held back came to nothing"


async def test_what_people_did_is_kept_until_they_are_counted_however_long_nobody_counted(
    insights_tables: asyncpg.Pool,
) -> None:
    await fold(insights_tables, [begun(), [asked(1, "A", 1, "491"), wrote(2, "491"), wrote(0.5, "492")]])
    await counting.delete_signs(insights_tables, at(24 * 30), 100)
    assert await insights_tables.fetchval("SELECT count(*) FROM experiment_signs") == 1
    await count(insights_tables, 24 * 30)
    assert [row[3] for row in await people(insights_tables)] == [True]
    await counting.delete_signs(insights_tables, at(24 * 30), 100)
    assert await insights_tables.fetchval("SELECT count(*) FROM experiment_signs") == 0


async def test_what_is_of_no_experiment_leaves_no_rows(insights_tables: asyncpg.Pool) -> None:
    await fold(insights_tables, [[wrote(1, "491"), failed(1, 1, 131026), asked(1, "A", 1, "491")]])
    for table in ("experiment_links", "experiment_people", "experiment_keys", "experiment_signs"):
        assert await insights_tables.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_of_who_is_forgotten_the_count_stays_and_nothing_else(insights_tables: asyncpg.Pool) -> None:
    async def forget(*lines: tuple[type[Forgotten], str, str]) -> None:
        async with insights_tables.acquire() as connection, connection.transaction():
            await erase(connection, Lines(KEY, {identity_of(KEY, *line): at(10) for line in lines}))

    history = [asked(1, "A", 1, "491"), wrote(2, "491", "DE.1"), asked(2, "B", 11, "492"), wrote(12, "492")]
    await fold(insights_tables, [begun(), history])
    await count(insights_tables, 200)
    before = await people(insights_tables)
    await forget((ContactForgotten, "491", ORG), (ContactForgotten, "DE.1", ORG), (ContactForgotten, "492", ""))
    assert await people(insights_tables) == before
    assert await insights_tables.fetchval("SELECT count(*) FROM experiment_signs") == 1, "of who came after the line"
    assert await insights_tables.fetchval("SELECT count(DISTINCT person) FROM experiment_keys") == 1
    await forget((AccountForgotten, WABA, ""))
    assert await people(insights_tables) == []
    await fold(insights_tables, [begun(), history])
    await forget((OrganisationForgotten, ORG, ""))
    assert await insights_tables.fetchval("SELECT count(*) FROM experiments") == 0


async def test_who_people_were_is_not_kept_once_an_experiment_is_long_decided(insights_tables: asyncpg.Pool) -> None:
    decided = an(ExperimentDecided, experiment_id=ID, org_id=ORG, time=at(200), outcome="no_difference", arms=[])
    history = [asked(1, "A", 1, "491"), asked(2, "B", 1, "492"), wrote(2, "491")]
    await fold(insights_tables, [begun(), history])
    await count(insights_tables, 199)
    await fold(insights_tables, [[decided]])
    before = await people(insights_tables)
    assert await counting.delete_keys(insights_tables, at(200), 100) == 0
    assert await counting.delete_keys(insights_tables, at(201), 3) == 3
    assert await counting.delete_keys(insights_tables, at(201), 3) == 3
    assert await people(insights_tables) == before
    assert await insights_tables.fetchval("SELECT count(*) FROM experiment_keys") == 0
    named = [UUID(Ids(KEY).identifier(ORG, "wa_id", each)) for each in ("491", "492")]
    left = await insights_tables.fetch("SELECT person FROM experiment_people")
    assert not {row["person"] for row in left} & set(named), "an HMAC of somebody"
