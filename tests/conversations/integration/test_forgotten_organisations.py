"""An organisation or an account that is forgotten is gone from every table at once, and nothing brings it back."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import asyncpg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from media_world import Client, credential
from simulated_meta import Store
from support.forgetting import line, rows_with
from thread_rows import TABLES, clear, held
from threads import (
    ANNA,
    ANNA_ID,
    BEN,
    BEN_ID,
    IDS,
    NOW,
    NUMBER,
    ORG,
    WABA,
    echoed,
    handed_over,
    history,
    identity,
    in_book,
    person,
    preference,
    received,
    recent,
    status,
)
from wabus_conversations.app import create_app
from wabus_conversations.settings import ConversationsSettings
from wabus_conversations.threads.ids import Ids
from wabus_conversations.worker import clearing, projector
from wabus_conversations.worker.keeping import Keeping
from wabus_conversations.worker.work import projector as folding
from wabus_events import (
    CONVERSATIONS,
    ERASURES,
    AccountConnected,
    AccountForgotten,
    ContactForgotten,
    ConversationAssigned,
    Event,
    Forgotten,
    NoteAdded,
    OrganisationForgotten,
    RoutingChanged,
    Team,
    TeamsChanged,
)
from wabus_runtime.credentials.sealing import Keyring
from wabus_runtime.directory.directory import Directory
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres.offsets import offsets
from wabus_runtime.projection.recorded import Recorded, Write
from wabus_runtime.projection.replay_over import replay_over
from wabus_runtime.settings import CredentialSettings, load
from waiting import Eventually

pytest_plugins = ["media_world"]

Serve = Callable[[web.Application], Awaitable[TestClient[web.Request, web.Application]]]

ALSO, ALSO_NUMBER = "waba-2", "number-2"
EMPTIED = tuple(name for name in TABLES if name not in ("erasures", "message_places", "service_start"))
OLD = (
    ("messages", "at"), ("identifiers", "first_seen"), ("persons", "first_seen"), ("contact_facts", "at"),
    ("identity_evidence", "at"), ("histories", "at"),
)  # fmt: skip
"""Tables, each with when its rows are of."""
LINE = 1_800.0  # seconds after the start


def moment(seconds: float) -> datetime:
    """`START` is an hour ago."""
    return NOW - timedelta(hours=1) + timedelta(seconds=seconds)


def connected(waba_id: str = WABA) -> Event:
    return AccountConnected(id=f"c{waba_id}", time=moment(-86_400), org_id=ORG, waba_id=waba_id, portfolio_id="one")


def everything(base: float = 0) -> list[Event]:
    """Something for each table."""
    return [
        recent(event)
        for event in (
            received(f"a{base}", base + 1, ANNA, name="Anna Private"),
            received(f"b{base}", base + 2, ANNA, ANNA_ID),
            echoed(f"c{base}", base + 3, None, ANNA_ID),
            status(f"c{base}", "read", base + 4, ANNA, ANNA_ID),
            received(f"g{base}", base + 5, BEN, group="group"),
            identity(base + 6, (BEN, BEN_ID), ("16505550000", None)),
            in_book(base + 7, "Ben from the market", BEN),
            in_book(base + 7, "Cleo from the market", "16505550003"),
            preference(base + 8, "stop"),
            handed_over(base + 9, "control_passed"),
            history(base + 10, progress=50),
        )
    ]


WORDS = (ORG, WABA, NUMBER, ANNA, ANNA_ID, BEN, BEN_ID, "16505550000", "16505550003", "Private", "the market")


def work(kind: type[Forgotten], base: float = 0) -> list[Event]:
    """Something for each table of what people do; of an account, what the organisation's teams are stays."""
    here = IDS.conversation(ORG, NUMBER, person(ANNA))
    about: dict[str, Any] = {
        "time": moment(base + 20), "org_id": ORG, "waba_id": WABA, "phone_number_id": NUMBER,
        "conversation_id": here, "contacts": [ANNA], "by": "colleague",
    }  # fmt: skip
    whole: dict[str, Any] = {"time": moment(base + 20), "org_id": ORG}
    whose: dict[str, Any] = {"agent": "colleague"} if kind is OrganisationForgotten else {"bot": "helper"}
    ids = [str(uuid5(NAMESPACE_URL, f"work {base} {number}")) for number in range(4)]
    made: list[Event] = [
        ConversationAssigned(id=ids[0], **about, **whose),
        NoteAdded(id=ids[1], note_id=ids[1], text="Anna Private is ill", **about),
    ]
    if kind is OrganisationForgotten:
        teams = [Team(team_id="t", name="Private")]
        made += [TeamsChanged(id=ids[2], teams=teams, **whole), RoutingChanged(id=ids[3], rules=[], **whole)]
    return made


class World:
    """What is published, who folds it, and the rows."""

    def __init__(self, pool: asyncpg.Pool, publisher: Publisher, serve: Serve, eventually: Eventually) -> None:
        self.pool = pool
        self._publisher = publisher
        self._serve = serve
        self._eventually = eventually
        self._published = self._worked = 0

    async def publish(self, events: Iterable[Event]) -> None:
        told = list(events)
        await self._publisher.publish(told)
        self._published += sum(
            not isinstance(event, AccountConnected) and event.topic is not CONVERSATIONS for event in told
        )
        self._worked += sum(event.topic in (CONVERSATIONS, ERASURES) for event in told)

    async def start(self) -> TestClient[web.Request, web.Application]:
        return await self._serve(create_app(load(ConversationsSettings), "worker"))

    async def all_folded(self) -> None:
        async def reached() -> bool:
            messages, work = [sum((await offsets(self.pool, name)).values()) for name in (projector.NAME, folding.NAME)]
            return messages >= self._published and work >= self._worked

        await self._eventually(reached)

    async def forget(self, kind: type[Forgotten], value: str) -> None:
        await self.publish([line(kind, value, moment(LINE))])
        await self.all_folded()

    async def counts(self) -> dict[str, int]:
        found = {name: await self.pool.fetchval(f"SELECT count(*) FROM {name}") for name in EMPTIED}
        return {name: number for name, number in found.items() if number}

    async def is_empty(self) -> bool:
        return not await self.counts() and not await rows_with(self.pool, WORDS)


@pytest.fixture
async def world(pool: asyncpg.Pool, publisher: Publisher, serve: Serve, eventually: Eventually) -> World:
    return World(pool, publisher, serve, eventually)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which media are kept."""
    monkeypatch.setenv("MEDIA_STORE_URL", f"file:{tmp_path / 'media'}")
    return tmp_path / "media"


@pytest.fixture
async def picture(simulated: tuple[Client, Store], publisher: Publisher) -> Event:
    """A message with a picture that Meta has, for which the account has a token."""
    meta, simulation = simulated
    async with meta.post("/_control/media?webhook=false", json={"type": "image"}) as answer:
        value = (await answer.json())["value"]
    keyring = Keyring(load(CredentialSettings))
    await publisher.publish([credential(keyring, next(iter(simulation.world.tokens)), waba_id=WABA)])
    number, image = value["metadata"]["phone_number_id"], value["messages"][0]["image"]
    return recent(received("p", 11, BEN, kind="image", number=number, image=image))


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize(("kind", "value"), [(OrganisationForgotten, ORG), (AccountForgotten, WABA)])
async def test_who_is_forgotten_is_in_no_table_at_once_and_nothing_brings_them_back(
    world: World, eventually: Eventually, store: Path, picture: Event, kind: type[Forgotten], value: str
) -> None:
    await world.publish([connected(), picture, *everything()])
    await world.start()
    await world.all_folded()
    await world.publish(work(kind))
    await world.all_folded()

    async def is_stored() -> bool:
        return await world.pool.fetchval("SELECT state FROM media") == "stored"

    await eventually(is_stored)
    assert len(files_in(store)) == 1
    of_organisations = {"retention", "work_settings", "agent_turns", "presence"}
    if kind is OrganisationForgotten:
        await world.pool.execute("INSERT INTO retention VALUES ($1, 90, $2)", ORG, moment(0))
        await world.pool.execute(
            "INSERT INTO presence VALUES ($1, 'colleague', gen_random_uuid(), now() + interval '1 hour')", ORG
        )
        of_organisations = set[str]()
    passing = {"former_conversations", "media_leftovers"} | of_organisations
    missing = set(EMPTIED) - (await world.counts()).keys() - passing
    assert not missing, "a table of which this test says nothing"

    await world.forget(kind, value)
    await eventually(world.is_empty)
    assert files_in(store) == []

    # A webhook and an address book that come late, and the log once more.
    await world.publish([*everything(100), *everything(), *work(kind, 100), *work(kind)])
    await world.all_folded()
    assert await world.is_empty()
    await replay_over(projector.TABLES, lambda _: None)
    await replay_over(folding.TABLES, lambda _: None)
    assert await world.is_empty()
    assert files_in(store) == []


async def test_a_rebuild_of_empty_tables_brings_nobody_back(world: World, eventually: Eventually) -> None:
    await world.publish([connected(), *everything(), line(OrganisationForgotten, ORG, moment(LINE))])
    await replay_over(projector.TABLES, lambda _: None)
    assert await world.is_empty()


async def test_who_comes_again_has_what_came_since_whichever_was_folded_first(
    world: World, eventually: Eventually
) -> None:
    await world.publish([connected(), *everything(), *everything(LINE + 60)])
    worker = await world.start()
    await world.all_folded()
    before = await held(world.pool)
    await world.forget(OrganisationForgotten, ORG)

    async def older_are_gone() -> bool:
        old = [f"SELECT count(*) FROM {name} WHERE {at} <= $1" for name, at in OLD]
        rows = [await world.pool.fetchval(each, moment(LINE)) for each in old]
        return not any(rows)

    await eventually(older_are_gone)
    after = await held(world.pool)
    assert len(after["messages"]) == len(before["messages"]) // 2
    assert after["conversations"].keys() <= before["conversations"].keys()
    assert await world.pool.fetchval("SELECT count(*) FROM scopes") == 1

    await worker.close()
    await clear(world.pool)
    await world.pool.execute("TRUNCATE projection_offsets")
    await world.start()
    await world.all_folded()
    assert await held(world.pool) == after


async def test_an_account_takes_along_what_it_alone_had_and_leaves_the_other_s(
    world: World, eventually: Eventually
) -> None:
    other: dict[str, Any] = {"waba_id": ALSO, "phone_number_id": ALSO_NUMBER}
    theirs = [
        recent(received("other", 20, None, ANNA_ID, number=ALSO_NUMBER, waba=ALSO)),
        recent(received("of Dora", 21, "16505550004", number=ALSO_NUMBER, waba=ALSO)),
        recent(in_book(22, "Emil", "16505550005"), **other),
        recent(preference(23, "resume", None, ANNA_ID), **other),
    ]
    await world.publish([connected(), connected(ALSO), *everything(), *theirs])
    worker = await world.start()
    await world.all_folded()
    assert await world.pool.fetchval("SELECT count(*) FROM persons") == 5

    await world.forget(AccountForgotten, WABA)

    async def gone() -> bool:
        left = await rows_with(world.pool, [each for each in WORDS if each not in (ORG, ANNA_ID)])
        assert left == {}
        return True

    await eventually(gone)
    values = [row[0] for row in await world.pool.fetch("SELECT value FROM identifiers ORDER BY 1")]
    assert values == ["16505550004", "16505550005", ANNA_ID]
    left = await held(world.pool)

    # As if the account had never told anything.
    await worker.close()
    await clear(world.pool)
    await world.pool.execute("TRUNCATE projection_offsets")
    await world.start()
    await world.all_folded()
    alone = await held(world.pool)
    assert {name: left[name] for name in ("messages", "conversations", "statuses", "books")} == {
        name: alone[name] for name in ("messages", "conversations", "statuses", "books")
    }


async def test_a_number_that_has_moved_takes_along_only_what_was_told_of_the_forgotten_account(
    world: World, eventually: Eventually
) -> None:
    await world.publish(
        [
            connected(),
            connected(ALSO),
            recent(received("before", 1)),
            recent(received("after", 2, waba=ALSO)),
            recent(received("of the greater", 1, BEN)),
            recent(received("of the greater too", 2, BEN, waba=ALSO)),
        ]
    )
    await world.start()
    await world.all_folded()
    await world.forget(AccountForgotten, WABA)

    async def wamids() -> list[str]:
        return [row[0] for row in await world.pool.fetch("SELECT wamid FROM messages ORDER BY wamid")]

    async def first_is_gone() -> bool:
        return await wamids() == ["after", "of the greater too"]

    await eventually(first_is_gone)
    await eventually(lambda: _no_scope(world.pool, WABA))
    await world.forget(AccountForgotten, ALSO)
    await eventually(world.is_empty)


async def _no_scope(pool: asyncpg.Pool, waba_id: str) -> bool:
    return not await pool.fetchval("SELECT count(*) FROM scopes WHERE waba_id = $1", waba_id)


async def test_what_a_worker_had_gathered_before_it_knew_of_a_line_is_not_written(
    world: World, topics: Any, eventually: Eventually
) -> None:
    settings = load(ConversationsSettings)
    await world.publish([connected()])
    keeping, directory = Keeping(settings.identity_bytes, 30), Directory(settings)
    following = asyncio.create_task(directory.run(lambda: None))
    projection = await projector.declared(projector.NAME, settings, world.pool, directory, keeping)
    apply = projection.applying(settings)

    def recorded(events: Sequence[Event], first: int) -> list[Recorded]:
        return [Recorded(event, "messages.v1", 0, first + place, NOW) for place, event in enumerate(events)]

    async def write(prepared: Write) -> None:
        async with world.pool.acquire() as connection, connection.transaction():
            await prepared(connection)

    await write(await apply(recorded([recent(received("known", 2, BEN))], 0)))
    drawn = [line(ContactForgotten, ANNA, moment(LINE)), line(OrganisationForgotten, ORG, moment(LINE))]
    first = await apply(recorded(drawn[:1], 1))
    late = [recorded([recent(received(f"late {number}", 3 + number))], 2 + number) for number in range(2)]
    gathered = [await apply(records) for records in late]
    await write(first)
    await write(gathered[0])
    await write(gathered[1])
    assert [row[0] for row in await world.pool.fetch("SELECT wamid FROM messages")] == ["known"]

    later = await apply(recorded([recent(received("of the organisation", 9, BEN))], 9))
    await write(await apply(recorded(drawn[1:], 8)))
    await clearing.clear(world.pool, keeping, Ids(settings.identity_bytes), set(), lambda: None)
    await write(later)
    assert await world.is_empty()
    following.cancel()
    await asyncio.wait([following])
