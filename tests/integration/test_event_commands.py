"""`wabus events` on real Kafka: follow, look at, export, replay; and what it never shows."""

import asyncio
import stat
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result
from wabus_events import (
    ACCOUNTS,
    CREDENTIALS,
    MESSAGES,
    TEMPLATES,
    AccountConnected,
    CredentialStored,
    Event,
    MessageReceived,
    TemplatesSynced,
    Topic,
)
from wabus_events.testing import an
from wabus_runtime.event_commands import EventType, events, moment
from wabus_runtime.publisher import Publisher
from wabus_runtime.settings import KafkaSettings

EventsIn = Callable[[Topic], Awaitable[list[Event]]]
SECRET = "a ciphertext that nobody shall see"
WORDS = "private words"


async def publish(settings: KafkaSettings, *published: Event) -> None:
    publisher = Publisher(settings, "/wabus/test")
    await publisher.start()
    await publisher.publish(published)
    await publisher.stop()


async def invoke(*arguments: str, answer: str | None = None) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, events, arguments, input=answer, catch_exceptions=False)


async def lines(*arguments: str) -> list[str]:
    result = await invoke(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


@pytest.fixture
async def published(topics: KafkaSettings) -> list[Event]:
    given: list[Event] = [
        an(TemplatesSynced, waba_id="1", org_id="acme", approved=3),
        an(TemplatesSynced, waba_id="2", org_id="other"),
        an(AccountConnected, waba_id="1", org_id="acme"),
        an(MessageReceived, waba_id="1", org_id="acme", contact="16505551234", value={"text": {"body": WORDS}}),
        an(CredentialStored, waba_id="1", org_id="acme", ciphertext=SECRET),
    ]
    await publish(topics, *given)
    return given


async def test_tail_shows_what_was_asked_for(published: list[Event]) -> None:
    (synced,) = await lines("tail", "--since", "1h", "--end", "-t", "TemplatesSynced", "--org", "acme")
    assert "approved=3" in synced
    assert len(await lines("tail", "--since", "1h", "--end", "--waba", "1")) == 3
    assert len(await lines("tail", "--since", "1h", "--end")) == 4
    assert await lines("tail", "--end") == []


async def test_tail_follows_what_comes_later(topics: KafkaSettings) -> None:
    following = asyncio.create_task(lines("tail", "-n", "1", "--output", "json", "-t", "wabus.TemplatesSynced.v1"))
    event = an(TemplatesSynced)
    while not following.done():
        await publish(topics, event)
    assert orjson.loads((await following)[0])["id"] == event.id


async def test_json_is_a_cloudevent(published: list[Event]) -> None:
    (line,) = await lines("tail", "--since", "1h", "--end", "-o", "json", "-t", "AccountConnected")
    event = orjson.loads(line)
    assert event["specversion"] == "1.0"
    assert (event["id"], event["orgid"]) == (published[2].id, "acme")
    assert event["data"]["waba_id"] == "1"


async def test_neither_credentials_nor_what_people_wrote_is_shown_unasked(published: list[Event]) -> None:
    shown = "\n".join([
        *await lines("tail", "--since", "1h", "--end"),
        *await lines("tail", "--since", "1h", "--end", "-o", "json"),
        *await lines("show", published[3].id),
    ])  # fmt: skip
    assert WORDS not in shown
    assert "16505551234" not in shown
    assert "wamid." not in shown
    assert SECRET not in shown
    assert WORDS in "\n".join(await lines("show", published[3].id, "--content"))
    everything = await lines("tail", "--since", "1h", "--end", "--content", "-o", "json")
    assert SECRET not in "\n".join(everything)


@pytest.mark.parametrize("name", ["CredentialStored", "wabus.CredentialStored.v1"])
async def test_credentials_cannot_be_asked_for(environment: dict[str, str], name: str) -> None:
    result = await invoke("tail", "-t", name)
    assert result.exit_code == 2
    assert "no event is called" in result.output


async def test_credentials_have_no_place_to_look_at(environment: dict[str, str]) -> None:
    result = await invoke("show", "credentials.v1/0@0")
    assert "no topic" in result.output


async def test_a_misspelt_event_is_guessed(environment: dict[str, str]) -> None:
    result = await invoke("tail", "-t", "TemplateSynced")
    assert "did you mean TemplatesSynced" in result.output


async def test_an_event_is_shown_by_id_and_by_place(published: list[Event]) -> None:
    (line,) = await lines("tail", "--since", "1h", "--end", "-o", "json", "-t", "AccountConnected")
    place = orjson.loads(line)["place"]
    assert await lines("show", place) == await lines("show", published[2].id)
    missing = await invoke("show", "accounts.v1/0@999999")
    assert missing.exit_code == 1


async def test_an_export_can_be_put_back_with_its_ids_and_times(
    topics: KafkaSettings, published: list[Event], events_in: EventsIn, tmp_path: Path
) -> None:
    file = tmp_path / "all.jsonl"
    await lines("export", str(file), "--since", "1h", "--content")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert SECRET not in file.read_text()
    refused = await invoke("replay", str(file), answer="n\n")
    assert refused.exit_code == 1
    assert len(await events_in(TEMPLATES)) == 2
    done = await invoke("replay", str(file), answer="y\n")
    assert done.exit_code == 0, done.output
    for topic, expected in ((ACCOUNTS, published[2:3]), (TEMPLATES, published[:2]), (MESSAGES, published[3:4])):
        found = [(event.id, event.time, event.model_dump()) for event in await events_in(topic)]
        wanted = [(event.id, event.time, event.model_dump()) for event in expected for _ in range(2)]
        assert sorted(found, key=itemgetter(0)) == sorted(wanted, key=itemgetter(0))
    assert len(await events_in(CREDENTIALS)) == 1


async def test_an_export_leaves_messages_out_and_overwrites_nothing(published: list[Event], tmp_path: Path) -> None:
    file = tmp_path / "some.jsonl"
    await lines("export", str(file), "--org", "acme")
    assert WORDS not in file.read_text()
    assert len(file.read_text().splitlines()) == 2
    assert "exists" in (await invoke("export", str(file))).output
    only_messages = await invoke("export", str(tmp_path / "none.jsonl"), "-t", "MessageReceived")
    assert "--content" in only_messages.output


async def test_an_export_ends_where_it_is_told(published: list[Event], tmp_path: Path) -> None:
    file = tmp_path / "before.jsonl"
    await lines("export", str(file), "--until", (datetime.now(UTC) - timedelta(hours=1)).isoformat())
    assert file.read_text() == ""


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"{", "no record of an export"),
        (
            b'{"topic": "credentials.v1", "key": "1", "headers": {}, "value": {}, "timestamp_ms": 1}',
            "can't be replayed",
        ),
        (b'{"topic": "accounts.v1", "key": "1", "headers": {}, "value": {}, "timestamp_ms": 1}', "can't be read"),
    ],
)
async def test_what_is_no_export_is_refused_before_anything_is_sent(
    topics: KafkaSettings, published: list[Event], events_in: EventsIn, tmp_path: Path, line: bytes, complaint: str
) -> None:
    file = tmp_path / "bad.jsonl"
    await lines("export", str(file))
    file.write_bytes(file.read_bytes() + line)
    result = await invoke("replay", "--yes", str(file))
    assert result.exit_code == 1
    assert complaint in result.output
    assert len(await events_in(ACCOUNTS)) == 1


def test_event_names_are_completed_and_credentials_are_not_among_them() -> None:
    context, option = events.make_context("events", ["tail"]), events.commands["tail"].params[0]
    offered = [item.value for item in EventType().shell_complete(context, option, "templatesync")]
    assert "TemplateSyncFailed" in offered
    assert not EventType().shell_complete(context, option, "Cred")


def test_moments_are_ago_or_absolute() -> None:
    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert moment("90m", now) == now - timedelta(minutes=90)
    assert moment("2026-01-31T12:00", now) == now
    with pytest.raises(ValueError, match="tomorrow"):
        moment("tomorrow", now)


@pytest.mark.parametrize("command", ["tail", "show", "export", "replay"])
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(events, [command, "--help"])
    assert result.exit_code == 0
    assert len(result.output) > 200
