"""Advice on real Kafka, PostgreSQL and HTTP: what is found in what was sent, and what nobody wants to hear of again."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from planning_world import ORG, WABA, World
from wabus_events import (
    AccountChecked,
    Event,
    SendingError,
    SendingRestriction,
    Template,
    TemplateCategoryChanged,
    TemplateChanged,
)
from wabus_insights.costs.billing import BEGINNING
from wabus_insights.tables.costs import locks, recounts

pytest_plugins = ("support.planning_world",)

NUMBER, TEMPLATE = "106540352242922", "594425479261596"
ABOUT: dict[str, Any] = {"org_id": ORG, "waba_id": WABA}


def told_of_the_account() -> list[Event]:
    """Meta has made a template marketing, and can't charge the account."""
    now = datetime.now(UTC)
    template = Template(template_id=TEMPLATE, name="news", language="en", category="UTILITY", status="APPROVED")
    no_method = SendingRestriction(
        entity_type="WABA", can_send_message="BLOCKED", errors=[SendingError(error_code=141006)]
    )
    return [
        TemplateChanged(id=str(uuid4()), time=now, template=template, added=True, **ABOUT),
        TemplateCategoryChanged(
            id=str(uuid4()), time=now + timedelta(seconds=1), template_id=TEMPLATE, name="news", language="en",
            previous_category="UTILITY", new_category="MARKETING", value={}, **ABOUT,
        ),
        AccountChecked(
            id=str(uuid4()), time=now, our_callback_url="https://wabus.example.com", restrictions=[no_method], **ABOUT
        ),
    ]  # fmt: skip


async def sent(world: World, person: UUID, at: datetime, **more: Any) -> None:
    """Let a row say that a message went out."""
    row = {
        "message_id": uuid4(), "org_id": ORG, "waba_id": WABA, "phone_number_id": NUMBER, "at": at,
        "accepted_at": at, "kind": "text", "number_id": person, "country": "DE", "pricing_type": "regular",
        "pricing_category": "service", **more,
    }  # fmt: skip
    names = ", ".join(row)
    values = ", ".join(f"${n}" for n in range(1, len(row) + 1))
    await world.pool.execute(f"INSERT INTO send_facts ({names}) VALUES ({values})", *row.values())


async def cost(world: World, volume: int, rate: str | None, **more: Any) -> None:
    """Let a row say what some messages cost."""
    row = {
        "cell_id": uuid4(), "band": 0, "org_id": ORG, "waba_id": WABA, "phone_number_id": NUMBER, "market": "germany",
        "country": "DE", "sure": True, "category": "marketing", "pricing_type": "regular", "template_id": "",
        "campaign": "", "day": datetime.now(UTC).date(), "currency": "EUR", "basis": "card", "scope": "",
        "known": "rated", "volume": volume, "reported": 0, **more,
    }  # fmt: skip
    names = ", ".join(row)
    values = ", ".join(f"${n}" for n in range(1, len(row) + 1))
    await world.pool.execute(
        f"INSERT INTO cost_days ({names}, rate) VALUES ({values}, {rate or 'NULL'})",
        *row.values(),
    )


async def worked_out(world: World) -> None:
    """Let all days be counted and advice be worked out, and wait until it is."""
    await world.pool.execute("TRUNCATE advice_days, advice_counts")

    async def counted() -> bool:
        return await world.pool.fetchval("SELECT count(*) FROM advice_days WHERE counted_at IS NOT NULL") == 8

    await world.eventually(counted)
    await world.pool.execute("UPDATE advice_checks SET due_at = '-infinity', as_of = NULL")

    async def done() -> bool:
        return bool(await world.pool.fetchval("SELECT bool_and(as_of IS NOT NULL) FROM advice_checks"))

    await world.eventually(done)


async def advice(world: World, query: str = "", **caller: Any) -> dict[str, Any]:
    answer = await world.asked("GET", f"/advice{query}", **caller)
    found = {one["kind"]: one for one in answer["advice"]}
    assert len(found) == len(answer["advice"]), "each of these kinds is found once"
    return found


async def test_advice_is_found_in_what_was_sent_and_what_is_dismissed_stays_so(world: World) -> None:
    await world.connect()
    await world.publisher.publish(told_of_the_account())
    start = datetime.now(UTC) - timedelta(days=3)
    for number in range(12):
        person = uuid4()
        await sent(world, person, start)
        await sent(world, person, start + timedelta(seconds=20 + number // 11 * 20))  # the last after 40 seconds
        about: dict[str, Any] = {"kind": "template", "template_id": TEMPLATE, "name": "news"}
        about |= {"pricing_category": "marketing", "category": "marketing"}
        await sent(world, person, start + timedelta(hours=1), **about)
        await sent(world, person, start + timedelta(hours=22), **about)
        # A code is wanted anew each time, and what had failed was sent once more.
        code: dict[str, Any] = {"kind": "template", "template_id": "12", "pricing_category": "authentication"}
        for hour in (2, 3):
            await sent(world, person, start + timedelta(hours=hour), category="authentication", **code)
        again: dict[str, Any] = about | {"template_id": "13"}
        await sent(world, person, start + timedelta(hours=4), bits=17, **again)
        await sent(world, person, start + timedelta(hours=5), bits=3, **again)
    lost = uuid4()
    for number in range(3):
        await sent(world, lost, start + timedelta(days=number / 2), failed_code=131026, pricing_type="")
    await cost(world, 300, "0.10", template_id=TEMPLATE)
    await cost(world, 100, "0.03", category="utility")
    await cost(world, 200, "0.02", category="service")
    await cost(world, 50, "0.25", category="authentication_international", country="DE")
    await cost(world, 100, "0.05", category="authentication")
    await cost(world, 900, None, category="service", pricing_type="free_customer_service", basis="free", known="free")

    async def folded() -> bool:
        told = await world.pool.fetchval("SELECT count(*) FROM payment_errors")
        return bool(told and await world.pool.fetchval("SELECT category = 'MARKETING' FROM template_categories"))

    await world.eventually(folded)
    await worked_out(world)

    found = await advice(world)
    assert set(found) == {
        "template_category", "join_messages", "unreachable_people", "repeated_template", "international_authentication",
        "payment_method",
    }  # fmt: skip
    savings = {kind: one["saving"] for kind, one in found.items()}
    assert savings["template_category"] == "21.000000"  # 300 messages of a month, 7 cents each
    assert savings["international_authentication"] == "10.000000"
    assert savings["join_messages"] == "2.200000"  # 11 in 3 days at 2 cents: 110 in a month
    assert savings["repeated_template"] == "12.000000"
    assert found["payment_method"]["evidence"] == {"used": 900, "free": 1000, "payment_error": "141006"}
    assert found["unreachable_people"]["evidence"] == {"people": 1, "failures": 3, "days": 8}
    assert set(await advice(world, role="member")) == set(found)
    assert await advice(world, org="other") == {}

    path = f"/advice/{found['join_messages']['advice_id']}/dismiss"
    await world.asked("POST", path, 403, role="member")
    await world.asked("POST", path, 404, org="other")
    assert await world.asked("POST", path) == {"advice_id": found["join_messages"]["advice_id"], "dismissed": True}
    await worked_out(world)
    assert "join_messages" not in await advice(world)
    assert (await advice(world, "?dismissed=true"))["join_messages"]["dismissed"]
    await world.asked("POST", path, body={"dismissed": False})
    assert "join_messages" in await advice(world)


async def test_who_has_paid_is_not_told_to_for_what_had_failed_before(world: World) -> None:
    await world.connect()
    now = datetime.now(UTC)
    await cost(world, 900, None, category="service", pricing_type="free_customer_service", basis="free", known="free")
    await sent(world, uuid4(), now - timedelta(hours=2), failed_code=131042, pricing_type="")
    await worked_out(world)
    assert (await advice(world))["payment_method"]["evidence"]["payment_error"] == "131042"

    told = AccountChecked(id=str(uuid4()), time=now, our_callback_url="https://wabus.example.com", **ABOUT)
    await world.publisher.publish([told])

    async def folded() -> bool:
        return bool(await world.pool.fetchval("SELECT count(*) FROM payment_errors WHERE told_at = $1", now))

    await world.eventually(folded)
    await worked_out(world)
    assert await advice(world) == {}
    # It fails once more: then it can't be charged whatever was said.
    await sent(world, uuid4(), now + timedelta(seconds=1), failed_code=131042, pricing_type="")
    await worked_out(world)
    assert "payment_method" in await advice(world)


async def test_nobody_is_advised_for_hours_by_costs_that_were_half_counted_anew(world: World) -> None:
    await world.connect()
    await cost(world, 1000, "0.1", category="authentication_international")
    await worked_out(world)
    before = await world.asked("GET", "/advice")
    assert [one["kind"] for one in before["advice"]] == ["international_authentication"]
    async with world.pool.acquire() as connection, connection.transaction():
        await world.eventually(lambda: locks.is_alone(connection))
        async with world.pool.acquire() as noting:
            await recounts.note_account(noting, WABA, BEGINNING)
        await world.pool.execute("UPDATE cost_days SET volume = volume / 2")
        await world.pool.execute("UPDATE advice_checks SET due_at = '-infinity'")

        async def put_off() -> bool:
            return bool(await world.pool.fetchval("SELECT min(due_at) > '-infinity' FROM advice_checks"))

        await world.eventually(put_off)
        meanwhile = await world.asked("GET", "/advice")
    assert (meanwhile["as_of"], meanwhile["advice"]) == (before["as_of"], before["advice"])
    assert "international_authentication" in meanwhile["unfinished"]
