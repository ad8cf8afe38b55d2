"""`wabus events` on real Kafka: follow, look at, export, replay; and what it never shows."""

import asyncio
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pathlib import Path

import click
import orjson
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from click.testing import CliRunner, Result
from wabus_cli import event_records
from wabus_cli.event_arguments import EventType, moment
from wabus_cli.events import events
from wabus_cli.main import wabus
from wabus_events import (
    ACCOUNTS,
    CREDENTIALS,
    MESSAGES,
    TEMPLATES,
    AccountConnected,
    CredentialStored,
    Event,
    HealthChanged,
    MessageReceived,
    TemplateChanged,
    TemplatesSynced,
    Topic,
)
from wabus_events.testing import an, example
from wabus_runtime.kafka.clients import KafkaUnavailable, client_options, topic_name
from wabus_runtime.kafka.publisher import Publisher
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


async def test_what_is_there_comes_in_the_order_it_was_logged_over_all_topics(topics: KafkaSettings) -> None:
    given: list[Event] = [an(kind, waba_id=str(n)) for n in range(4) for kind in (TemplatesSynced, AccountConnected)]
    for event in given:
        await publish(topics, event)
    shown = await lines("tail", "--since", "1h", "--end", "-o", "json")
    assert [orjson.loads(line)["id"] for line in shown] == [event.id for event in given]
    first_half = await lines("tail", "--since", "1h", "-n", "4", "-o", "json")
    assert first_half == shown[:4]


async def test_a_line_names_what_an_event_is_about(topics: KafkaSettings) -> None:
    changed = example(TemplateChanged)
    await publish(topics, changed, an(HealthChanged, org_id="acme", time=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)))
    template, health = sorted(await lines("tail", "--since", "1h", "--end"), key=lambda line: "Health" in line)
    assert f"template={changed.template.name}/{changed.template.language}/{changed.template.status}" in template
    assert health.startswith("2026-01-02 03:04:05.000  HealthChanged ")
    assert "org=acme  waba=-" in health


async def test_a_tail_whose_reader_has_gone_ends_without_waiting_for_an_event(published: list[Event]) -> None:
    command = [sys.executable, "-c", "from wabus_cli.main import main; main()", "events", "tail", "--since", "1h"]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout
    assert process.stderr
    async with asyncio.timeout(30):
        await process.stdout.readline()
        process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
        assert await process.stderr.read() == b""
        await process.wait()


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


async def test_an_export_can_be_piped(published: list[Event], tmp_path: Path) -> None:
    file = tmp_path / "some.jsonl"
    await lines("export", str(file))
    assert await lines("export", "-") == file.read_text().splitlines()


async def test_no_half_an_export_is_left_behind(environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "some.jsonl"
    with pytest.raises(KafkaUnavailable):
        await invoke("export", str(file))
    assert not file.exists()
    nowhere = await invoke("export", str(tmp_path / "nowhere/some.jsonl"))
    assert nowhere.exit_code == 1
    assert "No such file or directory" in nowhere.output


@pytest.mark.parametrize("arguments", [["topics"], ["deadletter", "list"]])
def test_a_kafka_that_is_away_is_one_line_of_every_command(arguments: list[str]) -> None:
    command = [sys.executable, "-c", "from wabus_cli.main import main; main()", *arguments]
    environment = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert re.fullmatch(r"wabus: [^\n]+: KafkaConnectionError\n", done.stderr)


@pytest.mark.parametrize("arguments", [["tail"], ["show", "accounts.v1/0@0"], ["export", "-"]])
def test_a_kafka_that_is_away_is_one_line(arguments: list[str]) -> None:
    command = [sys.executable, "-c", "from wabus_cli.main import main; main()", "events", *arguments]
    environment = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert re.fullmatch(r"wabus: Kafka at 127\.0\.0\.1:9 could not be read: \w+\n", done.stderr)


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


@pytest.mark.parametrize("text", ["999999d", "9999999999999w"])
async def test_a_moment_before_the_calendar_is_said_to_be_none(environment: dict[str, str], text: str) -> None:
    result = await invoke("tail", "--since", text)
    assert result.exit_code == 2
    assert f"{text!r} is" in result.output


async def test_a_log_that_gives_no_more_of_what_it_has_is_not_waited_for_for_ever(
    topics: KafkaSettings,
) -> None:
    consumer = AIOKafkaConsumer(**client_options(topics))
    await consumer.start()
    place = TopicPartition(topic_name(topics, ACCOUNTS), 0)
    consumer.assign([place])
    with pytest.raises(KafkaUnavailable):
        await asyncio.wait_for(anext(event_records.history(consumer, {place: 10}, quiet_most=0.5)), 10)
    await consumer.stop()


@pytest.mark.parametrize("command", ["tail", "show", "export", "replay"])
def test_every_command_shows_how_it_is_called(command: str) -> None:
    result = CliRunner().invoke(events, [command, "--help"])
    assert result.exit_code == 0
    assert f"\n  wabus events {command} " in result.output


def test_the_whole_command_lists_every_command_with_a_whole_sentence_and_guesses_a_misspelt_one() -> None:
    shown = CliRunner().invoke(wabus, ["--help"]).output
    for name in wabus.list_commands(click.Context(wabus)):
        assert re.search(rf"^  {name} +[A-Z]", shown, re.MULTILINE), name
    assert "..." not in shown.partition("Commands:")[2]
    misspelt = CliRunner().invoke(wabus, ["evnts"])
    assert misspelt.exit_code == 2
    assert "Did you mean events?" in misspelt.output
    assert re.fullmatch(r"wabus \d+\.\d+.*\n", CliRunner().invoke(wabus, ["--version"]).output)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_installed(shell: str) -> None:
    script = CliRunner().invoke(wabus, env={"_WABUS_COMPLETE": f"{shell}_source"}, prog_name="wabus")
    assert script.exit_code == 0
    assert "_wabus_completion" in script.output
    if program := shutil.which(shell):
        subprocess.run([program, "-n"], input=script.output, text=True, check=True, timeout=30)
