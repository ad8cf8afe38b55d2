"""`wabus events`: follow the events, look at one, export a range of time, and put an export back."""

import asyncio
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import click
from wabus_events import TOPICS, Event, Record, Topic
from wabus_runtime.identity.lines import read_lines
from wabus_runtime.kafka.clients import KafkaUnavailable
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.settings import IdentitySettings, KafkaSettings, load
from wabus_whatsapp.forgotten_records import record_respecting

from wabus_cli.event_arguments import EventType, Moment
from wabus_cli.event_records import ABOUT_PEOPLE, PUBLIC, Wanted, as_cloudevent, exported, imported, in_words, read
from wabus_cli.output import is_dash, new_file, while_read

REPLAY_CHUNK = 200  # records published at once
BEGINNING = datetime.fromtimestamp(0, UTC)


def choosing(command: Callable[..., None]) -> Callable[..., None]:
    """The options that choose events."""
    options = (
        click.option(
            "--type", "-t", "types", type=EventType(), multiple=True, help="Only this event; repeat for more."
        ),
        click.option("--org", metavar="ID", help="Only of this organisation."),
        click.option("--waba", metavar="ID", help="Only about this WhatsApp Business account."),
    )
    for option in reversed(options):
        command = option(command)
    return command


content_option = click.option(
    "--content", is_flag=True, help="Messages whole: what people wrote, and who. Personal data: think before you share."
)
output_option = click.option(
    "--output", "-o", type=click.Choice(["pretty", "json"]), default="pretty", show_default=True,
    help="A line for people, or CloudEvents JSON, one a line (for jq).",
)  # fmt: skip


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def events() -> None:
    """Follow, look at, export and replay events.

    \b
    What is happening now?              wabus events tail
    … to one account, in full?          wabus events tail --waba 102290129340398 -o json
    What happened to templates today?   wabus events tail -t TemplateChanged --since 24h --end
    What does this event say?           wabus events show 5e4f7c1e-…
    Keep an hour, and put it back:      wabus events export --since 1h hour.jsonl
                                        wabus events replay hour.jsonl

    Reads what KAFKA_BOOTSTRAP_SERVERS and TOPIC_PREFIX name, in no consumer group, so nobody else notices. Access
    tokens are never shown. All events are described in docs/catalogue.

    \b
    Completion of commands and event names in bash (zsh and fish: wabus --help):
      eval "$(_WABUS_COMPLETE=bash_source wabus)"
    """


@events.command()
@choosing
@click.option("--since", type=Moment(), help="Begin earlier: 15m, 2h, 3d ago, or 2026-01-31T12:00. Else only new ones.")
@click.option("--end", is_flag=True, help="Stop when there is no more, instead of waiting.")
@click.option("--count", "-n", type=click.IntRange(min=1), help="Stop after so many.")
@output_option
@content_option
def tail(
    types: tuple[type[Event], ...],
    org: str | None,
    waba: str | None,
    since: datetime | None,
    end: bool,
    count: int | None,
    output: str,
    content: bool,
) -> None:
    """Follow events as they come, until Ctrl-C.

    With --since, what is there already comes first, in the order it was logged. Messages are shown without what
    people wrote and who they are, unless you ask for --content.

    \b
    wabus events tail                                  all that is new
    wabus events tail -t MessageReceived -t MessageStatusChanged --org acme
    wabus events tail --waba 102290129340398 --since 15m
    wabus events tail --since 2h --end -o json | jq -r .type | sort | uniq -c
    """
    wanted = Wanted(tuple(kind.type for kind in types), org, waba)

    async def follow() -> None:
        left = count
        async with aclosing(read(load(KafkaSettings), _topics(types), since=since, follow=not end)) as records:
            async for found in records:
                if found not in wanted:
                    continue
                _print(as_cloudevent(found, content=content) if output == "json" else in_words(found, content=content))
                left = None if left is None else left - 1
                if left == 0:
                    return

    if since is None and not end and sys.stderr.isatty():
        click.echo("waiting for new events; Ctrl-C ends (--since 1h begins earlier)", err=True)
    try:
        asyncio.run(while_read(follow()))
    except KeyboardInterrupt:
        return


@events.command()
@click.argument("event")
@output_option
@content_option
def show(event: str, output: str, content: bool) -> None:
    """One event with its headers and fields.

    EVENT is its place, like accounts.v1/3@17, which is found at once, or its id, for which everything is read that
    Kafka has. An id that was delivered twice is shown twice.

    \b
    wabus events show accounts.v1/3@17
    wabus events show 0d5a1f0e-8a55-5d0c-9d4f-1f3f8f8f2a10 -o json | jq .data
    """
    place = re.fullmatch(r"(.+)/(\d+)@(\d+)", event)
    topics = [topic for topic in PUBLIC if not place or topic.name == place[1]]
    if not topics:
        raise click.ClickException(f"there is no topic {event.partition('/')[0]!r} to look into")
    wanted = Wanted(event_id=None if place else event)

    async def find() -> int:
        shown = 0
        at = (int(place[2]), int(place[3])) if place else None
        async for found in read(load(KafkaSettings), topics, since=BEGINNING, at=at):
            if found in wanted:
                _print(
                    as_cloudevent(found, content=content)
                    if output == "json"
                    else in_words(found, content=content, whole=True)
                )
                shown += 1
        return shown

    if not asyncio.run(find()):
        raise click.ClickException(f"no event is {event}")


@events.command()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@choosing
@click.option("--since", type=Moment(), default=BEGINNING, help="Logged then or later: 2h, 3d ago, 2026-01-31T12:00.")
@click.option("--until", type=Moment(), help="Logged before: the same forms.  [default: now]")
@click.option("--content", is_flag=True, help="Export messages too: the file then holds personal data.")
def export(
    file: Path,
    types: tuple[type[Event], ...],
    org: str | None,
    waba: str | None,
    since: datetime,
    until: datetime | None,
    content: bool,
) -> None:
    """Write events to FILE, one JSON record a line, as they are in Kafka, in the order they were logged.

    The file must not exist, only you may read it, and it is gone again if it can't be finished. - is standard output.
    Messages and sends are left out unless you ask for --content.

    \b
    wabus events export --since 2026-01-31 --until 2026-02-01 --org acme january.jsonl
    wabus events export -t TemplatesSynced --since 7d - | jq -c '[.headers.ce_time, .value.approved]'
    """
    topics = [topic for topic in _topics(types) if content or topic not in ABOUT_PEOPLE]
    if not topics:
        raise click.UsageError("messages and sends are exported only with --content")
    wanted = Wanted(tuple(kind.type for kind in types), org, waba)

    async def write(out: BinaryIO) -> int:
        written = 0
        async for found in read(load(KafkaSettings), topics, since=since, until=until):
            if found not in wanted:
                continue
            try:
                out.write(exported(found))
                written += 1
            except ValueError:
                click.echo(f"{found.place} is no JSON and left out", err=True)
        return written

    with new_file(file) as out:
        written = asyncio.run(write(out))
    click.echo(
        f"{written} events in {'standard output' if is_dash(file) else file}"
        + ("" if content else "; messages are left out (--content)"),
        err=True,
    )


@events.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
def replay(file: Path, yes: bool) -> None:
    """Publish an export's events to the topics they came from, under this TOPIC_PREFIX.

    Ids, keys and times are kept: who drops duplicates by id drops what it knows already; tables count nothing twice.
    The whole file is read before anything is sent. Credentials are refused. What is of somebody who was forgotten since
    is left out. Safe to run again.

    \b
    wabus events replay january.jsonl
    KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:19092 wabus events replay --yes january.jsonl
    """
    settings = load(IdentitySettings)
    in_file = _records(file)
    lines = asyncio.run(read_lines(settings))
    records = [left for record in in_file if (left := record_respecting(record, lines)) is not None]
    if forgotten := len(in_file) - len(records):
        click.echo(f"{forgotten:>8}  left out: of somebody who was forgotten since", err=True)
    counts = Counter(record.topic for record in records)
    for topic, number in sorted(counts.items()):
        click.echo(f"{number:>8}  {settings.topic_prefix}{topic}", err=True)
    if not yes:
        click.confirm(f"Publish {len(records)} events to {settings.kafka_bootstrap_servers}?", abort=True, err=True)
    asyncio.run(_publish(settings, records))
    click.echo(f"{len(records)} replayed", err=True)


def _records(file: Path) -> list[Record]:
    records: list[Record] = []
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                records.append(imported(line))
            except ValueError as error:
                raise click.ClickException(f"{file}, line {number} {error}; nothing was published") from None
    return records


async def _publish(settings: KafkaSettings, records: Sequence[Record]) -> None:
    publisher = Publisher(settings, "/wabus/replay")
    await publisher.start()
    try:
        for first in range(0, len(records), REPLAY_CHUNK):
            try:
                await publisher.publish_records(records[first : first + REPLAY_CHUNK])
            except KafkaUnavailable as error:
                raise KafkaUnavailable(
                    f"{error}; at least {first} of {len(records)} events are published. Run it again: ids stay the same"
                ) from error
    finally:
        await publisher.stop()


def _topics(types: Sequence[type[Event]]) -> list[Topic]:
    return [topic for topic in TOPICS if topic in PUBLIC and (not types or topic in {kind.topic for kind in types})]


def _print(what: dict[str, Any] | str) -> None:
    click.echo(what if isinstance(what, str) else json.dumps(what, ensure_ascii=False))
