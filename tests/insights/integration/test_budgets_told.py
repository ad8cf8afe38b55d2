"""Budgets on real Kafka, PostgreSQL and HTTP: who sets one is told of it once, whatever is replayed."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from planning_world import ORG, WABA, World
from wabus_insights.costs.billing import BEGINNING
from wabus_insights.tables.costs import locks, recounts
from wabus_insights.worker import projector
from wabus_insights.worker.planning.watching import Watching

pytest_plugins = ("support.planning_world",)


async def test_a_budget_is_told_of_once_for_each_threshold_even_by_tables_made_anew(world: World) -> None:
    await world.connect()
    today = datetime.now(UTC).date()
    month = f"{today:%Y-%m}"
    asked = {"budgets": [{"currency": "EUR", "amount": "100", "month": month}]}
    answer = await world.asked("PUT", "/budgets", body=asked)
    assert [one["thresholds"] for one in answer["budgets"]] == [[50, 80, 100]]
    assert answer["budgets"][0]["state"]["spent"] == "0"

    await world.deliver("60")
    await world.deliver(None)
    await world.look_now()
    await world.until_told([("actual", 50)])
    await world.deliver("45.5")
    await world.look_now()
    await world.until_told([("actual", 50), ("actual", 80), ("actual", 100)])

    state = (await world.asked("GET", "/budgets", role="member"))["budgets"][0]["state"]
    assert (state["spent"], state["share"], state["unpriced"]) == ("105.500000", 1.055, 1)
    assert [one["threshold"] for one in state["alerts"]] == [50, 80, 100]

    # The same budgets, the rows of what was told lost, another worker with another clock's seconds: nothing is news.
    await world.asked("PUT", "/budgets", body=asked)
    await world.pool.execute("DELETE FROM budget_alerts")
    before = {one.id for one in await world.alerts()}
    again = Watching(world.settings, world.pool, world.publisher, projector.NAME, projector.TOPICS)
    await again.look(ORG)
    assert {one.id for one in await world.alerts()} == before

    # Another amount is another budget.
    await world.asked("PUT", "/budgets", body={"budgets": [{**asked["budgets"][0], "amount": "130"}]})
    await world.look_now()
    assert [one.threshold for one in (await world.alerts()) if one.amount == 130] == [50, 80]


async def test_nobody_is_told_of_a_budget_by_what_is_counted_anew_and_who_asks_is_told_that_it_is(
    world: World,
) -> None:
    await world.connect()
    await world.asked("PUT", "/budgets", body={"budgets": [{"currency": "EUR", "amount": "100", "thresholds": [50]}]})
    asked = ("/budgets", "/costs", "/costs/forecast", "/costs/reconciliation", "/performance/templates?costs=true")
    async with world.pool.acquire() as connection, connection.transaction():
        await world.eventually(lambda: locks.is_alone(connection))
        async with world.pool.acquire() as noting:
            await recounts.note_account(noting, WABA, BEGINNING)
        await world.deliver("60")
        await world.look_now()
        assert [(await world.asked("GET", path))["recounting"] for path in asked] == [True] * len(asked)
        assert await world.alerts() == []

    async def counted_anew() -> bool:
        return not any([(await world.asked("GET", path))["recounting"] for path in asked])

    await world.eventually(counted_anew)
    await world.look_now()
    await world.until_told([("actual", 50)])


async def test_what_a_month_will_cost_is_expected_from_the_weeks_before(world: World) -> None:
    await world.connect()
    today = datetime.now(UTC).date()
    await world.spend({today - timedelta(days=n): "10" for n in range(1, 120)})
    found = await world.asked("GET", "/costs/forecast", role="member")
    (forecast,) = found["forecasts"]
    first = today.replace(day=1)
    assert forecast["currency"] == "EUR"
    assert Decimal(forecast["spent"]) == 10 * (today - first).days
    left = (first.replace(day=28) + timedelta(days=4)).replace(day=1) - today
    expected = Decimal(forecast["expected"])
    assert 10 * (left.days - 1) <= expected - Decimal(forecast["spent"]) <= 10 * left.days
    assert forecast["low"] is not None
    assert len(forecast["days"]) == left.days

    # It is not spent yet, and will be.
    amount = (Decimal(forecast["spent"]) + expected) / 2
    budget = {"currency": "EUR", "month": f"{today:%Y-%m}", "amount": f"{amount:.6f}", "thresholds": [100]}
    asked = {"budgets": [budget]}
    await world.asked("PUT", "/budgets", body=asked)
    await world.look_now()
    await world.until_told([("projected", 100)])


async def test_budgets_are_administrators_and_of_ones_own_accounts(world: World) -> None:
    await world.connect()
    await world.connect("999", "other")
    budget = {"currency": "EUR", "amount": "100"}
    await world.asked("PUT", "/budgets", 403, {"budgets": [budget]}, role="member")
    refused = await world.asked("PUT", "/budgets", 404, {"budgets": [{**budget, "waba_id": "999"}]})
    assert refused["fields"] == ["budgets.0.waba_id"]
    await world.asked("PUT", "/budgets", 409, {"budgets": [budget, budget]})
    for wrong in (
        {"amount": "0"},
        {"amount": "0.00"},
        {"amount": 100},
        {"amount": "NaN"},
        {"amount": "1e30"},
        {"currency": "eur"},
        {"thresholds": []},
    ):
        await world.asked("PUT", "/budgets", 422, {"budgets": [{**budget, **wrong}]})
    await world.asked("PUT", "/budgets", body={"budgets": [budget, {**budget, "waba_id": WABA}]})
    assert len((await world.asked("GET", "/budgets"))["budgets"]) == 2
    assert (await world.asked("GET", "/budgets", org="other"))["budgets"] == []
    await world.asked("GET", "/costs/forecast?waba_id=999", 404)
    assert (await world.asked("PUT", "/budgets", body={"budgets": []}))["budgets"] == []


async def test_of_two_administrators_who_change_the_same_budgets_the_second_is_told_so(world: World) -> None:
    await world.connect()
    body = {"budgets": [{"currency": "EUR", "amount": "100"}]}

    async def put(headers: dict[str, str]) -> tuple[int, str, str | None]:
        caller = world.bearer(org=ORG)
        async with world.client.put("/budgets", json=body, headers=caller | headers) as answer:
            said = await answer.json()
            assert answer.headers.get("ETag", '""').strip('W/"') == (said.get("version") or "")
            return answer.status, said.get("code") or said["budgets"][0]["amount"], said.get("version")

    assert (await world.asked("GET", "/budgets"))["version"] is None
    assert (await put({"If-Match": '"x"'}))[:2] == (412, "changed_meanwhile")
    assert (await put({"If-Match": "x"}))[:2] == (422, "invalid_if_match")
    created = await asyncio.gather(*(put({"If-None-Match": "*"}) for _ in range(4)))
    assert sorted(status for status, *_ in created) == [200, 412, 412, 412]
    first = (await world.asked("GET", "/budgets", role="member"))["version"]
    body = {"budgets": [{"currency": "EUR", "amount": "200"}]}
    status, _, second = await put({"If-Match": f'"{first}"'})
    assert (status, second != first) == (200, True)
    body = {"budgets": []}
    assert (await put({"If-Match": f'"{first}"'}))[:2] == (412, "changed_meanwhile")
    assert [one["amount"] for one in (await world.asked("GET", "/budgets"))["budgets"]] == ["200.000000"]
    assert (await put({"If-None-Match": "*"}))[0] == 412
