"""`wabus forget` where not everything runs: it says what is left, and the same command does the rest."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from importlib.metadata import entry_points

import asyncpg
import pytest
from aiohttp import web
from support.forgetting import all_records, rows_with
from wabus_cli.forgetting.asked import Asked
from wabus_cli.forgetting.export import held_of
from wabus_cli.forgetting.forget import ForgetSettings, Unfinished, accounts_of, forget
from wabus_conversations.app import create_app as create_conversations
from wabus_conversations.settings import ConversationsSettings
from wabus_events import (
    KEYS,
    MESSAGES,
    AccountConnected,
    AccountDisconnected,
    ContactForgotten,
    Event,
    MessageReceived,
    Topic,
)
from wabus_events.testing import an
from wabus_insights.app import create_app as create_insights
from wabus_insights.settings import InsightsSettings
from wabus_runtime.identity.lines import read_lines
from wabus_runtime.identity.pseudonyms import Pseudonyms, key_identity
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres.database import (
    close_pool,
    database_settings,
    migrate,
    open_pool,
    packages_with_tables,
)
from wabus_runtime.projection.declaration import Projection
from wabus_runtime.projection.engine import project
from wabus_runtime.settings import DatabaseSettings, IdentitySettings, load
from wabus_sender.app import create_app as create_sender
from wabus_sender.settings import SenderSettings
from waiting import Eventually

EventsIn = Callable[[Topic], Awaitable[list[Event]]]
ANN = "16505551234"
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@pytest.fixture
async def pool(topics: IdentitySettings) -> AsyncIterator[asyncpg.Pool]:
    for package in packages_with_tables():
        await migrate(load(database_settings(package)), package)
    pool = await open_pool(load(DatabaseSettings))
    yield pool
    await close_pool(pool)


@asynccontextmanager
async def workers(settings: IdentitySettings, pool: asyncpg.Pool, *, sender: bool = True) -> AsyncGenerator[None]:
    """Whatever folds erasures, as the services run it."""
    declared = [entry.load() for entry in entry_points(group="wabus.projections")]
    others = [web.AppRunner(create_conversations(load(ConversationsSettings), "worker"))]
    others.append(web.AppRunner(create_insights(load(InsightsSettings), "worker")))
    if sender:
        others.append(web.AppRunner(create_sender(load(SenderSettings), "worker")))
    tasks = [
        asyncio.create_task(project(settings, pool, projection, lambda: None))
        for projection in declared
        if isinstance(projection, Projection)
    ]
    try:
        for other in others:
            await other.setup()
        yield
    finally:
        for other in others:
            await other.cleanup()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def told(_: str) -> None:
    """What is said meanwhile is for people."""


async def test_what_no_worker_has_taken_in_is_told_and_the_same_command_does_the_rest(
    topics: IdentitySettings, pool: asyncpg.Pool, publisher: Publisher, eventually: Eventually
) -> None:
    settings, acme = load(ForgetSettings), Asked(org_id="acme")
    now = datetime.now(UTC)
    await publisher.publish([an(AccountConnected, org_id="acme", waba_id="900001", time=now)])
    async with workers(topics, pool):
        await eventually(lambda: rows_with(pool, ["acme"]))
    accounts = await accounts_of(settings, acme)
    assert accounts == {"900001": None}  # it has no credential, and was the organisation's

    with pytest.raises(Unfinished, match="has not taken it in"):
        await forget(settings, acme, accounts, told, folded_within=0.5)
    assert len(await read_lines(topics)) == 2
    assert await rows_with(pool, ["acme"]) != {}

    async with workers(topics, pool):
        done = await forget(settings, acme, accounts, told)
        assert await rows_with(pool, ["acme", "900001"]) == {}
        again = await forget(settings, acme, accounts, told)
    assert {name for name, number in again.rows_before.items() if number} == set()
    assert not any("acme" in line or "900001" in line for line in (*done.told(), *again.told()))


@pytest.mark.empty_database
async def test_where_nothing_is_sent_through_us_somebody_can_be_forgotten_all_the_same(
    topics: IdentitySettings, publisher: Publisher, database_url: str
) -> None:
    for package in packages_with_tables():
        if package != "wabus_sender":
            await migrate(load(database_settings(package)), package)
    pool = await open_pool(load(DatabaseSettings))
    await publisher.publish([an(AccountConnected, org_id="acme", waba_id="900001", time=datetime.now(UTC))])
    async with workers(topics, pool, sender=False):
        done = await forget(load(ForgetSettings), Asked(org_id="acme"), {"900001": None}, told)
    assert done.key_destroyed
    await close_pool(pool)


async def test_the_names_of_who_asked_mean_nobody_once_their_organisation_is_forgotten(
    topics: IdentitySettings, pool: asyncpg.Pool, publisher: Publisher, eventually: Eventually
) -> None:
    names = Pseudonyms(topics, publisher)
    ready = asyncio.Event()
    following = asyncio.create_task(names.run(ready.set))
    await ready.wait()
    before = await names.of("acme", "ann@example.com")
    async with workers(topics, pool):
        await forget(load(ForgetSettings), Asked(org_id="acme"), {}, told)
    [*_, last] = [
        record for record in await all_records(topics)
        if record.topic == KEYS.name and record.key == key_identity(topics.identity_bytes, "acme").encode()
    ]  # fmt: skip
    assert last.value is None

    async def another() -> bool:
        return await names.of("acme", "ann@example.com") not in (before, None)

    await eventually(another)
    following.cancel()
    await asyncio.wait([following])


async def test_a_contact_is_forgotten_for_one_organisation_or_for_all(
    topics: IdentitySettings, pool: asyncpg.Pool, publisher: Publisher, events_in: EventsIn
) -> None:
    settings = load(ForgetSettings)
    await publisher.publish([an(MessageReceived, org_id="acme", contact=ANN, time=datetime.now(UTC))])
    async with workers(topics, pool):
        for asked in (Asked(contact=f"+{ANN}", org_id="acme"), Asked(contact=ANN)):
            assert await accounts_of(settings, asked) == {}
            done = await forget(settings, asked, {}, told)
            assert (done.accounts, done.key_destroyed) == (0, False)
    lines = await read_lines(topics)
    assert lines.covers(ContactForgotten, ANN, LONG_AGO, "acme")
    assert lines.covers(ContactForgotten, ANN, LONG_AGO)
    assert not lines.covers(ContactForgotten, ANN, LONG_AGO, "another")
    assert len(await events_in(MESSAGES)) == 1  # as docs/privacy.md says: until its retention is over


async def test_a_contact_is_gone_also_from_where_conversations_have_a_database_of_their_own(
    topics: IdentitySettings,
    pool: asyncpg.Pool,
    publisher: Publisher,
    eventually: Eventually,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = f"{database_url.rpartition('/')[2].partition('?')[0]}_own"
    await pool.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    own = database_url.replace(name.removesuffix("_own"), name)
    monkeypatch.setenv("CONVERSATIONS_DATABASE_URL", own)
    elsewhere = await open_pool(load(database_settings("wabus_conversations")))
    now = datetime.now(UTC)
    value = {"messages": [{"id": "wamid.1", "from": ANN, "type": "text", "text": {"body": "in private"}}]}
    try:
        await publisher.publish(
            [
                an(AccountConnected, org_id="acme", waba_id="900001", time=now - timedelta(hours=1)),
                an(MessageReceived, org_id="acme", waba_id="900001", contact=ANN, time=now, value=value),
            ]
        )
        async with workers(topics, pool):
            await eventually(lambda: rows_with(elsewhere, ["in private"]))
            asked = Asked(contact=ANN, org_id="acme")
            exported = [line async for line in held_of(load(ForgetSettings), asked, {})]
            assert {line["table"] for line in exported if "table" in line} >= {"messages", "identifiers", "persons"}
            done = await forget(load(ForgetSettings), asked, {}, told)
            assert done.rows_before["conversations.messages"] == 1
            assert await rows_with(elsewhere, [ANN, "in private"]) == {}
            await forget(load(ForgetSettings), Asked(org_id="acme"), {"900001": None}, told)
        assert await rows_with(elsewhere, ["acme", "900001"]) == {}
        assert await rows_with(pool, ["acme", "900001"]) == {}
    finally:
        await close_pool(elsewhere)
        await pool.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def test_an_account_that_another_organisation_has_now_is_not_forgotten_with_the_earlier_one(
    topics: IdentitySettings, publisher: Publisher
) -> None:
    now = datetime.now(UTC)
    await publisher.publish(
        [
            an(AccountConnected, org_id="acme", waba_id="1", time=now - timedelta(days=2)),
            an(AccountDisconnected, org_id="acme", waba_id="1", time=now - timedelta(days=1)),
            an(AccountConnected, org_id="another", waba_id="1", time=now),
            an(AccountConnected, org_id="acme", waba_id="2", time=now),
        ]
    )
    assert await accounts_of(topics, Asked(org_id="acme")) == {"2": None}
    assert await accounts_of(topics, Asked(waba_id="1")) == {"1": None}
