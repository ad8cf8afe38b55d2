"""Agents who see the conversations of their teams alone: by every route, and live."""

import asyncio
import itertools
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from test_feed import Events
from threads import ANNA, BEN, received
from wabus_conversations.api import routes
from wabus_conversations.tables.work.audiences import AUDIENCE
from wabus_conversations.work.audiences import audience
from wabus_runtime.http.openapi import Operation
from work_world import Desk

pytest_plugins = ["work_world"]

CLEO = "16505557777"
DORA = "16505558888"
TEAMS = [
    {"team_id": "orders", "name": "Orders", "members": [{"sub": "olga"}, {"sub": "otto"}]},
    {"team_id": "people", "name": "People", "members": [{"sub": "hugo"}]},
]


class Office:
    """Three conversations: one of each of two teams, and one that is nobody's."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.of: dict[str, str] = {}

    async def begin(self) -> None:
        people = {"orders": ANNA, "people": BEN, "nobody": CLEO}
        for second, (name, number) in enumerate(people.items(), start=1):
            await self.desk.inbox.fold(received(f"words of {name}", second, number, name=name.title()))
        for each in await self.desk.inbox.conversations():
            (found,) = each["contact"]["numbers"]
            self.of[next(name for name, number in people.items() if number == found)] = each["conversation_id"]
        await self.set_teams(TEAMS)
        for team in ("orders", "people"):
            await self.act(team, "assign", {"team": team}, sub="boss", role="admin")

    async def set_teams(self, teams: list[dict[str, Any]], **more: Any) -> Any:
        return await self.desk.call("PUT", "/teams", {"teams": teams, **more}, sub="boss", role="admin")

    async def wall(self) -> None:
        assert (await self.set_teams(TEAMS, agents_see="teams"))["agents_see"] == "teams"

    async def act(self, name: str, what: str, body: dict[str, Any] | None = None, **how: Any) -> Any:
        return await self.desk.call("POST", f"/conversations/{self.of[name]}/{what}", body or {}, **how)

    async def look(self, name: str, sub: str) -> None:
        path, headers = f"/conversations/{self.of[name]}/looking", self.desk.bearer("shop", "agent", sub=sub)
        async with self.desk.inbox.client.post(path, json={"doing": "looking"}, headers=headers) as answer:
            assert answer.status == 204

    async def listed(self, sub: str, query: str = "", *, role: str = "agent") -> set[str]:
        found = await self.desk.call("GET", f"/conversations{query}", sub=sub, role=role)
        ids = [each["conversation_id"] for each in found["conversations"]]
        assert len(set(ids)) == len(ids)
        return {name for name, conversation_id in self.of.items() if conversation_id in ids}

    @asynccontextmanager
    async def stream(self, sub: str, *, role: str = "agent", last_id: str | None = None) -> AsyncGenerator[Events]:
        headers = self.desk.bearer("shop", role, sub=sub) | ({"Last-Event-ID": last_id} if last_id else {})
        async with self.desk.inbox.client.get("/conversations/stream", headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            yield Events(answer)


@pytest.fixture
async def office(desk: Desk) -> Office:
    office = Office(desk)
    await office.begin()
    return office


async def test_who_has_not_chosen_otherwise_has_agents_who_see_everything(office: Office) -> None:
    assert (await office.desk.call("GET", "/teams"))["agents_see"] == "all"
    for sub in ("olga", "hugo", "zoe"):
        assert await office.listed(sub) == {"orders", "people", "nobody"}

    await office.wall()
    # Whoever sets teams and does not know of it changes nothing of it.
    assert (await office.set_teams(TEAMS))["agents_see"] == "teams"
    assert await office.listed("hugo") == {"people", "nobody"}

    assert (await office.set_teams(TEAMS, agents_see="all"))["agents_see"] == "all"
    assert await office.listed("hugo") == {"orders", "people", "nobody"}


async def test_each_list_has_what_is_for_the_team_of_who_asks_and_what_is_nobodys(office: Office) -> None:
    await office.act("orders", "tags", {"add": ["vip"]})
    await office.wall()
    everything = {"orders", "people", "nobody"}
    queries = (
        "", "?unread=true", "?window=open", "?state=open", "?assignee=none&state=open", "?phone_number_id=number-1",
        "?waba_id=waba-1", "?unread=true&window=open&state=open",
    )  # fmt: skip

    for query in queries:
        assert await office.listed("boss", query, role="admin") == everything, query
        assert await office.listed("bot", query, role="service") == everything, query
        assert await office.listed("olga", query) == {"orders", "nobody"}, query
        assert await office.listed("hugo", query) == {"people", "nobody"}, query
        assert await office.listed("zoe", query) == {"nobody"}, query
    for query in ("?team=orders", "?tag=vip", "?named=orders", f"?named={ANNA[:7]}1234"):
        assert await office.listed("olga", query) == {"orders"}, query
        assert await office.listed("hugo", query) == set(), query


async def test_what_is_out_of_sight_is_as_if_it_were_not_there_by_every_route(office: Office) -> None:
    await office.wall()
    hidden = office.of["orders"]
    (message,) = (await office.desk.call("GET", f"/conversations/{hidden}/messages", sub="olga"))["messages"]
    note = await office.act("orders", "notes", {"text": "calls back"}, sub="olga", status=201)
    bodies: dict[str, Any] = {
        "assign": {"agent": "me"}, "snooze": {"until": "2100-01-01T00:00:00Z"}, "tags": {"add": ["x"]},
        "notes": {"text": "x"}, "looking": {"doing": "looking"},
    }  # fmt: skip
    operations = [each for each in routes.OPERATIONS if "{conversation_id}" in each.path]
    assert len(operations) == 14  # a new one is tried here too

    async def ask(operation: Operation, conversation_id: str, sub: str) -> tuple[int, dict[str, Any]]:
        path = operation.path.format(
            conversation_id=conversation_id, message_id=message["message_id"], note_id=note["note_id"]
        )
        body = None if operation.method in ("GET", "DELETE") else bodies.get(path.rsplit("/", 1)[1], {})
        return await office.desk.call(operation.method, path, body, sub=sub, status=None)

    for operation in operations:
        status, found = await ask(operation, hidden, "hugo")
        missing = await ask(operation, "00000000-0000-5000-8000-000000000000", "hugo")
        assert (status, found) == missing, operation.path
        assert (status, found["code"]) == (404, "conversation_not_found"), operation.path
    for path in ("stream", "ws"):
        assert await office.desk.call("GET", f"/conversations/{path}?conversation_id={hidden}", sub="hugo", status=404)
    around = f"/conversations/{hidden}/messages?around={message['message_id']}"
    assert (await office.desk.call("GET", around, sub="hugo", status=404))["code"] == "conversation_not_found"
    assert len((await office.desk.call("GET", around, sub="olga"))["messages"]) == 1
    assert (await office.desk.call("GET", f"/conversations/{hidden}", sub="boss", role="admin"))["unread"] == 1


async def test_neither_words_nor_people_of_another_team_are_found(office: Office) -> None:
    contact = (await office.desk.call("GET", f"/conversations/{office.of['orders']}", sub="olga"))["contact"]
    await office.wall()

    async def search(sub: str, **how: Any) -> int:
        return len((await office.desk.call("GET", "/conversations/search?q=words", sub=sub, **how))["messages"])

    async def people(sub: str, query: str = "", **how: Any) -> int:
        return len((await office.desk.call("GET", f"/contacts{query}", sub=sub, **how))["contacts"])

    assert [await search(sub) for sub in ("olga", "hugo", "zoe")] == [2, 2, 1]
    assert await search("boss", role="admin") == 3
    assert [await people(sub) for sub in ("olga", "hugo", "zoe")] == [2, 2, 1]
    assert await people("boss", role="admin") == 3
    assert [await people(sub, f"?identifier={ANNA}") for sub in ("olga", "hugo")] == [1, 0]
    path = f"/contacts/{contact['contact_id']}"
    assert len((await office.desk.call("GET", path, sub="olga"))["conversations"]) == 1
    assert (await office.desk.call("GET", path, sub="hugo", status=404))["code"] == "contact_not_found"
    # Of somebody whom two teams know, each sees its own conversation and nothing of the other.
    await office.desk.inbox.fold(received("to another number", 9, ANNA, number="number-2"))
    both = await office.desk.call("GET", path, sub="boss", role="admin")
    (other,) = {each["conversation_id"] for each in both["conversations"]} - {office.of["orders"]}
    office.of["other"] = other
    await office.act("other", "assign", {"team": "people"}, sub="boss", role="admin")
    seen = await office.desk.call("GET", path, sub="hugo")
    assert [each["conversation_id"] for each in seen["conversations"]] == [other]


async def test_a_conversation_stays_with_its_team_when_it_is_taken_and_when_it_is_closed(office: Office) -> None:
    await office.wall()
    await office.act("orders", "assign", {"agent": "me"}, sub="olga")
    assert [await office.listed(sub) for sub in ("otto", "hugo")] == [{"orders", "nobody"}, {"people", "nobody"}]
    # Who is of another team and has it sees it, and the team does as well.
    await office.act("orders", "assign", {"agent": "zoe", "instead_of": "olga"}, sub="olga")
    assert await office.listed("zoe") == {"orders", "nobody"}
    assert await office.listed("otto") == {"orders", "nobody"}
    await office.act("orders", "close", sub="zoe")
    assert await office.listed("zoe") == {"nobody"}
    assert await office.listed("otto", "?state=closed") == {"orders"}
    assert await office.listed("hugo", "?state=closed") == set()
    await office.desk.inbox.fold(received("and again", 50, ANNA))
    assert await office.listed("otto") == {"orders", "nobody"}
    assert await office.listed("hugo") == {"people", "nobody"}
    # What no team has had is for the colleagues of who takes it, and for everybody where nobody shall have it.
    await office.act("nobody", "assign", {"agent": "me"}, sub="olga")
    assert [await office.listed(sub) for sub in ("otto", "hugo", "zoe")] == [{"orders", "nobody"}, {"people"}, set()]
    await office.act("nobody", "assign", {"bot": "helper", "instead_of": "olga"}, sub="olga")
    await office.act("orders", "assign", {}, sub="olga")
    assert await office.listed("zoe") == {"orders", "nobody"}


async def test_of_two_teams_that_take_the_same_one_the_other_is_told_who_has_it(office: Office) -> None:
    await office.wall()
    answers = await asyncio.gather(
        *(office.act("nobody", "assign", {"agent": "me"}, sub=sub, status=None) for sub in ("olga", "hugo"))
    )
    assert sorted(status for status, _ in answers) in ([200, 409], [200, 404])
    winner = "olga" if answers[0][0] == 200 else "hugo"
    for status, body in answers:
        if status == 409:
            assert body["work"]["agent"] == winner


async def test_what_leaves_the_sight_of_an_agent_is_removed_live_and_comes_back_as_it_is(office: Office) -> None:
    await office.wall()
    async with (
        office.stream("hugo") as hugo,
        office.stream("olga") as olga,
        office.stream("boss", role="admin") as boss,
    ):
        for events in (hugo, olga, boss):
            assert (await events.next())["type"] == "hello"
        # Of what they never saw nobody is told anything.
        await office.desk.inbox.fold(received("of orders", 20, ANNA))
        assert (await olga.next())["messages"][0]["text"] == "of orders"

        await office.act("nobody", "assign", {"team": "orders"}, sub="olga")

        frame = await hugo.next()
        gone = {"conversation_id": office.of["nobody"], "merged_into": None, "reason": "out_of_sight"}
        assert frame | gone == frame
        assert frame["type"] == "removed"
        assert frame["cursor"] == hugo.last_id is not None
        assert (await olga.next())["conversation"]["work"]["team"] == "orders"
        # Once: what happens in it then is none of theirs, and neither is who looks at it.
        await office.look("nobody", "olga")
        await office.desk.inbox.fold(received("a secret", 30, CLEO))
        assert {(await olga.next())["type"] for _ in range(2)} == {"looking", "change"}
        await office.act("nobody", "assign", {"team": "people"}, sub="olga")
        back = await hugo.next()
        assert (back["type"], back["conversation"]["conversation_id"]) == ("change", office.of["nobody"])
        assert back["conversation"]["last_message"]["text"] == "a secret"
        assert (await olga.next())["type"] == "removed"
        assert {(await boss.next())["type"] for _ in range(5)} == {"change", "looking"}


async def test_who_was_away_when_it_left_is_told_so_when_they_come_back(office: Office) -> None:
    await office.wall()
    async with office.stream("hugo") as events:
        await events.next()
        last_id = events.last_id
    await office.act("nobody", "assign", {"agent": "me"}, sub="olga")
    await office.desk.inbox.fold(received("a secret", 30, CLEO), received("of people", 31, BEN))
    async with office.stream("hugo", last_id=last_id) as events:
        assert (await events.next())["resumed"] is True
        told = [await events.next(), await events.next()]
    assert {each["type"] for each in told} == {"removed", "change"}
    (removed,) = (each for each in told if each["type"] == "removed")
    assert removed["conversation_id"] == office.of["nobody"]
    assert "a secret" not in str(told)


async def test_who_is_moved_to_another_team_loads_what_they_see_now_and_others_go_on(office: Office) -> None:
    await office.wall()
    moved = [{**TEAMS[0], "members": [*TEAMS[0]["members"], {"sub": "hugo"}]}, {**TEAMS[1], "members": []}]
    async with office.stream("otto") as away:
        await away.next()
        last_id = away.last_id
    async with office.stream("hugo") as hugo, office.stream("zoe") as zoe, office.stream("boss", role="admin") as boss:
        for events in (hugo, zoe, boss):
            await events.next()
        await office.set_teams(moved)
        frame = await hugo.next()
        assert (frame["type"], frame["reason"]) == ("reset", "teams")
        assert await office.listed("hugo") == {"orders", "nobody"}
        await office.desk.inbox.fold(received("of people", 20, BEN), received("of orders", 21, ANNA))
        assert (await hugo.next())["conversation"]["conversation_id"] == office.of["orders"]
        assert [(await boss.next())["type"] for _ in range(2)] == ["change", "change"]
        # Nothing that she sees has changed, so she is told nothing: what comes next is what is hers.
        await office.desk.inbox.fold(received("of nobody", 22, CLEO))
        assert (await zoe.next())["messages"][0]["text"] == "of nobody"
    async with office.stream("otto", last_id=last_id) as otto:
        assert [(await otto.next())["type"] for _ in range(2)] == ["hello", "reset"]


async def test_who_sees_less_by_a_new_role_or_since_agents_do_loads_everything_anew(office: Office) -> None:
    async with office.stream("hugo") as hugo, office.stream("boss", role="admin") as boss:
        await hugo.next()
        await boss.next()
        as_admin = boss.last_id
        await office.wall()
        assert (await hugo.next())["reason"] == "teams"
        await office.set_teams(TEAMS, agents_see="all")
        assert (await hugo.next())["reason"] == "teams"
    await office.wall()
    async with office.stream("boss", last_id=as_admin) as events:
        assert (await events.next())["resumed"] is False
        frame = await events.next()
        assert (frame["type"], frame["reason"]) == ("reset", "epoch")
    # A socket does not go on with a token of another role.
    headers = office.desk.bearer("shop", "admin", sub="boss")
    async with office.desk.inbox.client.ws_connect("/conversations/ws", headers=headers) as socket:
        assert (await socket.receive_json())["type"] == "hello"
        token = office.desk.bearer("shop", "agent", sub="boss")["Authorization"].removeprefix("Bearer ")
        await socket.send_json({"type": "auth", "token": token})
        assert (await socket.receive_json())["reason"] == "not_allowed"


async def test_what_an_agent_is_told_is_what_a_list_has_whatever_happens(office: Office) -> None:
    """What somebody shows who takes every frame is what the list has, at any moment when all was told."""
    await office.wall()
    rules = random.Random(21)
    agents = ("olga", "hugo", "zoe")
    shown: dict[str, set[str]] = {sub: await office.listed(sub) for sub in agents}
    names = {conversation_id: name for name, conversation_id in office.of.items()}
    gives: list[dict[str, Any]] = [
        {"team": "orders"}, {"team": "people"}, {"agent": "olga"}, {"agent": "hugo"}, {"agent": "zoe"}, {},
        {"bot": "helper"},
    ]  # fmt: skip
    last: dict[str, str | None] = dict.fromkeys(agents)
    for turn in range(6):
        for _ in range(4):
            name = rules.choice(list(office.of))
            row = await office.desk.call("GET", f"/conversations/{office.of[name]}", sub="boss", role="admin")
            who = row["work"]["agent"] or row["work"]["bot"]
            if rules.random() < 0.25:
                await office.act(name, "close", sub="boss", role="admin")
            else:
                given = rules.choice(gives) | ({"instead_of": who} if who else {})
                await office.act(name, "assign", given, sub="boss", role="admin", status=None)
        # Everybody sees this one, so everybody is told something, with the cursor behind it.
        await office.desk.inbox.fold(received(f"tick {turn}", 100 + turn, DORA))
        for sub in agents:
            async with office.stream(sub, last_id=last[sub]) as events:
                frame = await events.next()
                if not frame["resumed"]:
                    shown[sub] = await office.listed(sub)
                while frame["cursor"] is None:
                    frame = await events.next()
                    if frame["type"] == "change":
                        shown[sub].add(names.get(frame["conversation"]["conversation_id"], ""))
                    elif frame["type"] == "removed":
                        shown[sub].discard(names[frame["conversation_id"]])
                last[sub] = frame["cursor"]
            assert shown[sub] - {""} == await office.listed(sub), sub


async def test_tables_and_rules_say_the_same_of_whom_a_conversation_is_for(pool: asyncpg.Pool) -> None:
    for team, kept, agent in itertools.product((None, "orders"), (None, "team people", "agent ben"), (None, "zoe")):
        row = "(SELECT $1::text AS team, $2::text AS kept, $3::text AS agent) AS c"
        found = await pool.fetchval(f"SELECT {AUDIENCE.format('c')} FROM {row}", team, kept, agent)
        assert found == audience(team, kept, agent)
