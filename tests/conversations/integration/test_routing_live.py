"""Rules give conversations to agents who are there: over Kafka, the tables and two processes of the API."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conversations_world import Client
from threads import ANNA, BEN, NOW, accepted, handed_over, received
from wabus_conversations.tables.work import presence
from wabus_conversations.worker.work.routing import Routing
from wabus_runtime.kafka.publisher import Publisher
from waiting import Eventually
from work_world import Desk

pytest_plugins = ["work_world"]

PEOPLE = [f"1650555{number:04}" for number in range(8)]
TEAM = {"team_id": "orders", "name": "Orders", "capacity": 3, "members": [{"sub": "anna"}, {"sub": "ben"}]}
RULE = {"name": "all", "team": "orders", "strategy": "round_robin", "sticky_days": 7}


@pytest.fixture
async def routed(desk: Desk, publisher: Publisher) -> AsyncIterator[Desk]:
    """With two workers that follow the rules, and wake what was put off."""
    routings = [Routing(desk.inbox.pool, publisher) for _ in range(2)]
    runs: list[Callable[[Callable[[], None]], Awaitable[None]]] = [
        run for each in routings for run in (each.run, each.wake)
    ]
    tasks = [asyncio.ensure_future(run(lambda: None)) for run in runs]
    yield desk
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        assert task.cancelled(), task.exception()


async def with_rules(desk: Desk, *rules: dict[str, Any]) -> None:
    await desk.call("PUT", "/teams", {"teams": [TEAM]}, role="admin")
    await desk.call("PUT", "/routing", {"rules": rules or [RULE]}, role="admin")
    # What was before there were rules is nobody's: the times of tests are an hour ago.
    await desk.inbox.pool.execute("UPDATE work_settings SET rules_since = now() - interval '2 hours'")


async def present(stack: AsyncExitStack, desk: Desk, sub: str, client: Client | None = None) -> None:
    """Open the feed as an agent, until the stack is left."""
    headers = desk.bearer("shop", "agent", sub=sub)
    answer = await stack.enter_async_context(
        (client or desk.inbox.client).get("/conversations/stream", headers=headers)
    )
    assert answer.status == 200, await answer.text()


async def shares(desk: Desk) -> dict[tuple[str | None, str | None], int]:
    return dict(Counter((each["work"]["agent"], each["work"]["team"]) for each in await desk.inbox.conversations()))


async def test_two_agents_at_two_processes_get_their_share_up_to_what_they_can_have(
    routed: Desk, other_process: Client, eventually: Eventually
) -> None:
    await with_rules(routed)
    await routed.inbox.fold(*(received(f"m{each}", 1, each) for each in PEOPLE))

    async def nobody_is_there() -> bool:
        return await shares(routed) == {(None, "orders"): 8}

    await eventually(nobody_is_there)
    async with AsyncExitStack() as stack:
        await present(stack, routed, "anna")
        await present(stack, routed, "ben", other_process)

        async def shared() -> bool:
            return await shares(routed) == {("anna", "orders"): 3, ("ben", "orders"): 3, (None, "orders"): 2}

        await eventually(shared)
        mine = [each for each in await routed.inbox.conversations() if each["work"]["agent"] == "anna"]
        await routed.call("POST", f"/conversations/{mine[0]['conversation_id']}/close", {})

        async def one_more() -> bool:
            return await shares(routed) == {
                ("anna", "orders"): 3, ("ben", "orders"): 3, (None, "orders"): 1, (None, None): 1,
            }  # fmt: skip

        await eventually(one_more)


async def test_who_comes_back_gets_who_they_had(routed: Desk, eventually: Eventually) -> None:
    await with_rules(routed)
    async with AsyncExitStack() as stack:
        await present(stack, routed, "anna")
        await routed.inbox.fold(received("hello", 1, ANNA))

        async def has_it() -> bool:
            return (await routed.work())["agent"] == "anna"

        await eventually(has_it)
        await present(stack, routed, "ben")
        await routed.act("close")
        await routed.inbox.fold(received("again", 2, ANNA))

        await eventually(has_it)
        work = await routed.work()
        assert (work["state"], work["reason"], work["rule"], work["last_agent"]) == ("open", "routed", "all", "anna")


async def test_rules_touch_nothing_older_nothing_of_others_and_nothing_that_people_decide(
    routed: Desk, eventually: Eventually
) -> None:
    inbox = routed.inbox
    await inbox.fold(received("before", 1, PEOPLE[0]))
    await routed.call("PUT", "/teams", {"teams": [TEAM]}, role="admin")
    await routed.call("PUT", "/routing", {"rules": [{"name": "all", "bot": "helper"}]}, role="admin")
    await inbox.pool.execute("UPDATE work_settings SET rules_since = $1", NOW - timedelta(minutes=30))
    half_an_hour = 1_900
    await inbox.fold(
        handed_over(half_an_hour, "control_taken", BEN),
        received("elsewhere", half_an_hour + 1, BEN),
        received("for a bot", half_an_hour + 2, ANNA),
    )

    async def bots() -> dict[str, str | None]:
        return {each["contact"]["numbers"][0]: each["work"]["bot"] for each in await inbox.conversations()}

    async def given() -> bool:
        return (await bots())[ANNA] == "helper"

    await eventually(given)
    assert await bots() == {ANNA: "helper", BEN: None, PEOPLE[0]: None}
    anna = next(each for each in await inbox.conversations() if each["contact"]["numbers"] == [ANNA])
    desk = Desk(inbox, routed.bearer, anna["conversation_id"])
    await desk.act("assign", {"instead_of": "helper"})

    async def put_off() -> bool:
        after = await inbox.pool.fetchval(
            "SELECT route_after FROM conversations WHERE conversation_id = $1", anna["conversation_id"]
        )
        return after is not None and after > datetime.now(UTC) + timedelta(minutes=30)

    await eventually(put_off)
    assert (await desk.work())["bot"] is None
    await inbox.fold(received("once more", half_an_hour + 60, ANNA))
    await eventually(given)


async def test_rules_know_the_language_and_the_country_of_who_writes(routed: Desk, eventually: Eventually) -> None:
    rules = [
        {"name": name, "when": when, "bot": name}
        for name, when in (
            ("canada", {"countries": ["CA"]}),
            ("spanish", {"languages": ["es"]}),
            ("portuguese", {"languages": ["pt"]}),
            ("rest", {}),
        )
    ]
    template = {"name": "spring", "language": {"code": "pt_BR"}, "components": []}
    await routed.inbox.fold(
        accepted("offer", 0, PEOPLE[2], kind="template", template=template),
        received("m0", 1, "14165551234", text={"body": "hola, quiero saber el precio"}),
        received("m1", 2, PEOPLE[1], text={"body": "hola, quiero saber el precio"}),
        received("m2", 3, PEOPLE[2], text={"body": "ok"}, context="offer"),
        received("m3", 4, PEOPLE[3], text={"body": "ok"}),
    )
    await with_rules(routed, *rules)

    async def bots() -> dict[str, str | None]:
        return {each["contact"]["numbers"][0]: each["work"]["bot"] for each in await routed.inbox.conversations()}

    async def all_are_given() -> bool:
        return None not in (await bots()).values()

    await eventually(all_are_given)
    assert await bots() == {
        "14165551234": "canada", PEOPLE[1]: "spanish", PEOPLE[2]: "portuguese", PEOPLE[3]: "rest",
    }  # fmt: skip


async def test_what_was_put_off_comes_back_by_itself_and_who_had_it_has_it(
    routed: Desk, eventually: Eventually
) -> None:
    await routed.inbox.fold(received("hello", 1, ANNA))
    await routed.act("assign", {"agent": "me"})
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert (await routed.act("snooze", {"until": later}))["work"]["state"] == "snoozed"

    await routed.inbox.pool.execute("UPDATE conversation_work SET snoozed_until = now()")

    async def is_back() -> bool:
        return (await routed.work())["state"] == "open"

    await eventually(is_back)
    assert (await routed.work())["agent"] == "anna"


async def test_only_agents_who_have_the_feed_open_are_there_and_nobody_of_a_process_that_died(
    desk: Desk, eventually: Eventually
) -> None:
    async def there() -> set[str]:
        rows = await desk.inbox.pool.fetch("SELECT subject FROM presence WHERE until > now()")
        return {row[0] for row in rows}

    async with AsyncExitStack() as stack:
        await present(stack, desk, "anna")
        await present(stack, desk, "anna")
        for role in ("admin", "service"):
            headers = desk.bearer("shop", role, sub=role)
            await stack.enter_async_context(desk.inbox.client.get("/conversations/stream", headers=headers))

        async def anna() -> bool:
            return await there() == {"anna"}

        await eventually(anna)

    async def nobody() -> bool:
        return await there() == set()

    await eventually(nobody)
    # A process that is killed tells nothing: what it said is over by itself, and goes.
    await desk.inbox.pool.execute(
        "INSERT INTO presence VALUES ('shop', 'ben', gen_random_uuid(), now() - interval '1 s')"
    )
    assert await presence.there(desk.inbox.pool, "shop") == frozenset()
    assert await presence.delete_old(desk.inbox.pool, 10) == 1


REFUSED: list[list[dict[str, Any]]] = [
    [{"name": "two ends", "team": "orders", "bot": "b"}],
    [{"name": "no end"}],
    [{"name": "no such team", "team": "returns"}],
    [{"name": "no team", "agent": "anna", "strategy": "round_robin"}],
    [RULE, RULE],
    [RULE | {"when": {"hours": {"zone": "Europe/Atlantis", "open": [{"days": ["mon"], "begin": "9", "end": "17"}]}}}],
    [RULE | {"when": {"hours": {"zone": "Mars/Base", "open": [{"days": ["mon"], "begin": "09:00", "end": "17:00"}]}}}],
    [RULE | {"when": {"weather": ["rain"]}}],
    [RULE | {"when": {"languages": ["xx"]}}],
    [RULE | {"when": {"languages": ["pt_BR"]}}],
    [RULE | {"when": {"countries": ["ZZ"]}}],
]


async def test_rules_that_nobody_could_follow_are_refused(desk: Desk) -> None:
    await desk.call("PUT", "/teams", {"teams": [TEAM]}, role="admin")
    for rules in REFUSED:
        await desk.call("PUT", "/routing", {"rules": rules}, role="admin", status=422)
    assert (await desk.call("GET", "/routing"))["rules"] == []
    await desk.call("PUT", "/routing", {"rules": [RULE]}, role="agent", status=403)
    await desk.call("PUT", "/routing", {"rules": [RULE]}, role="admin")
    assert (await desk.call("PUT", "/teams", {"teams": []}, role="admin", status=409))["rules"] == ["all"]
