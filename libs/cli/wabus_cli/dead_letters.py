"""`wabus deadletter`: look at the records that were set aside, put them back where they came from, or give them up.

Kafka deletes no single record, so what became of a letter is a record of its own in the same topic.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, NamedTuple

import click
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from wabus_events import DEADLETTER, Record
from wabus_events.kafka import with_values
from wabus_runtime.identity.lines import read_lines
from wabus_runtime.kafka.clients import KafkaUnavailable, close_broken, new_consumer, topic_name
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.settings import IdentitySettings, KafkaSettings, load
from wabus_whatsapp.forgotten_records import record_respecting, without_persons

PREFIX = "wabus_dead_"
SETTLED = "wabus_dead_settled"
READ_TIMEOUT = 60.0  # seconds to read the topic


@dataclass(frozen=True, slots=True)
class Letter:
    """A record that was set aside. `id` is its place in the dead-letter topic."""

    id: str
    about: dict[str, str]
    record: Record
    at: datetime

    @property
    def line(self) -> str:
        """Who set it aside, where it came from and why; never what is in it."""
        about = self.about
        event = dict(self.record.headers).get("ce_type", b"?").decode(errors="replace")
        left_out = f"  {about['left_out']} bytes, left there" if "left_out" in about else ""
        return (
            f"{self.id:>8}  {self.at:%Y-%m-%d %H:%M:%S}  {about.get('consumer', '?'):24} {about.get('reason', '?'):24} "
            f"{about.get('topic', '?')}/{about.get('partition', '?')}@{about.get('offset', '?')}  {event}{left_out}"
        )


class OriginalGone(Exception):
    """A record that was too large for its letter is no longer where it was."""

    def __init__(self, letter: Letter) -> None:
        super().__init__(f"the record of the letter {letter.id} is no longer where it was")


def letters_in(records: Sequence[ConsumerRecord[bytes, bytes]]) -> list[Letter]:
    """The letters that nobody has settled yet, oldest first. Pure."""
    settled: set[str] = set()
    letters: list[Letter] = []
    for record in records:
        about = {
            name.removeprefix(PREFIX): value.decode(errors="replace")
            for name, value in with_values(record.headers)
            if name.startswith(PREFIX)
        }
        if "settled" in about:
            settled.add(about["letter"])
            continue
        original = [(name, value) for name, value in with_values(record.headers) if not name.startswith(PREFIX)]
        letters.append(
            Letter(
                f"{record.partition}:{record.offset}",
                about,
                Record(about.get("topic", ""), record.key or b"", record.value, original),
                datetime.fromtimestamp(record.timestamp / 1000, UTC),
            )
        )
    return sorted((letter for letter in letters if letter.id not in settled), key=lambda letter: letter.at)


async def read_letters(settings: KafkaSettings) -> list[Letter]:
    """All open letters. Raises `KafkaUnavailable`."""
    name = topic_name(settings, DEADLETTER)
    partitions = [TopicPartition(name, number) for number in range(DEADLETTER.partitions)]
    async with _reading(settings, partitions, "the dead letters", start="latest") as consumer:
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        records: list[ConsumerRecord[bytes, bytes]] = []
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                records += batch
        return letters_in(records)


async def original_of(settings: KafkaSettings, letter: Letter) -> Record:
    """The record that a letter is about, read from where it was if it was too large for the letter.

    Raises `OriginalGone`, `KafkaUnavailable`.
    """
    about = letter.about
    if "left_out" not in about:
        return letter.record
    place = TopicPartition(topic_name(settings, about["topic"]), int(about["partition"]))
    offset = int(about["offset"])
    async with _reading(settings, [place], "the record of a letter", start="none") as consumer:
        begin, end = await consumer.beginning_offsets([place]), await consumer.end_offsets([place])
        if not begin[place] <= offset < end[place]:
            raise OriginalGone(letter)
        consumer.seek(place, offset)
        found = await consumer.getone()
    record = Record(about["topic"], found.key or b"", found.value, list(with_values(found.headers)))
    # A topic that was made again has other records at the same offsets.
    if found.offset != offset or not set(letter.record.headers) <= set(record.headers):
        raise OriginalGone(letter)
    return record


@asynccontextmanager
async def _reading(
    settings: KafkaSettings, places: Sequence[TopicPartition], what: str, *, start: Literal["latest", "none"]
) -> AsyncGenerator[AIOKafkaConsumer]:
    """A consumer that has these partitions, for `READ_TIMEOUT`. Raises `KafkaUnavailable`, naming what was read."""
    consumer = new_consumer(settings, start=start)
    try:
        async with asyncio.timeout(READ_TIMEOUT):
            await consumer.start()
            consumer.assign(places)
            yield consumer
    except (KafkaError, TimeoutError) as error:
        raise KafkaUnavailable(f"{what} could not be read: {type(error).__name__}") from error
    finally:
        await close_broken(consumer.stop())


class Settled(NamedTuple):
    """What became of letters that were to be replayed or dropped."""

    done: int
    gone: list[Letter]
    """Not replayed, because their records are neither in them nor where they were."""
    forgotten: int
    """Dropped instead of replayed: they are of somebody who was forgotten since."""


async def settle(settings: IdentitySettings, letters: Sequence[Letter], how: str) -> Settled:
    """`replayed`: back to the topics they came from, with the same ids. `dropped`: not. Then note it. At least once."""
    lines = await read_lines(settings) if how == "replayed" else None
    publisher = Publisher(settings, "/wabus/deadletter")
    await publisher.start()
    gone: list[Letter] = []
    forgotten = 0
    try:
        for letter in letters:
            became = how
            if lines is not None:
                try:
                    original = await original_of(settings, letter)
                except OriginalGone:
                    gone.append(letter)
                    continue
                left = record_respecting(original, lines, letter.at)
                if left is None:
                    became, forgotten = "dropped", forgotten + 1
                else:
                    await publisher.publish_records([left])
            note = [(SETTLED, became.encode()), (f"{PREFIX}letter", letter.id.encode())]
            # Not under the letter's key: that may be somebody's number, and the note is kept longer than the letter.
            await publisher.publish_records([Record(DEADLETTER.name, letter.id.encode(), None, note)])
    finally:
        await publisher.stop()
    return Settled(len(letters) - len(gone) - forgotten, gone, forgotten)


@click.group()
def deadletter() -> None:
    """Records that a consumer could not handle.

    \b
    wabus deadletter list
    wabus deadletter show 3:17
    wabus deadletter replay 3:17
    """


@deadletter.command("list")
@click.option("--consumer", help="Only of this consumer.")
def list_(consumer: str | None) -> None:
    """Open dead letters, oldest first: id, when, consumer, reason, origin, event type.

    \b
    wabus deadletter list
    wabus deadletter list --consumer health-projector
    """
    letters = _chosen(asyncio.run(read_letters(load(KafkaSettings))), (), consumer, everything=True)
    for letter in letters:
        click.echo(letter.line)
    click.echo(f"{len(letters)} open", err=True)


@deadletter.command()
@click.argument("letter_id")
@click.option("--content", is_flag=True, help="The record's value too: it may hold personal data.")
def show(letter_id: str, content: bool) -> None:
    """One letter with its headers.

    \b
    wabus deadletter show 3:17
    wabus deadletter show 3:17 --content | tail -1 | jq
    """
    settings = load(KafkaSettings)
    (letter,) = _chosen(asyncio.run(read_letters(settings)), (letter_id,), None, everything=False)
    click.echo(letter.line)
    for name, value in [
        *sorted(letter.about.items()),
        *((n, v.decode(errors="replace")) for n, v in letter.record.headers),
    ]:
        click.echo(f"  {name}: {value}")
    if content:
        try:
            original = asyncio.run(original_of(settings, letter))
        except OriginalGone as gone:
            raise click.ClickException(str(gone)) from None
        click.echo((without_persons(original).value or b"").decode(errors="replace"))


def _settling(how: str, help_: str) -> click.Command:
    @click.command(help=help_)
    @click.argument("letter_ids", nargs=-1)
    @click.option("--all", "everything", is_flag=True, help="All open ones.")
    @click.option("--consumer", help="With --all: only of this consumer.")
    def command(letter_ids: tuple[str, ...], everything: bool, consumer: str | None) -> None:
        settings = load(IdentitySettings)
        letters = _chosen(asyncio.run(read_letters(settings)), letter_ids, consumer, everything=everything)
        settled = asyncio.run(settle(settings, letters, how))
        click.echo(f"{settled.done} {how}")
        if settled.forgotten:
            click.echo(f"{settled.forgotten} dropped: of somebody who was forgotten since")
        if settled.gone:
            names = ", ".join(letter.id for letter in settled.gone)
            raise click.ClickException(f"no longer where they were, and too large for their letters: {names}")

    return command


REPLAY = """Put letters back where they came from, with the same event ids: who has handled one drops it.

Letters of somebody who was forgotten since are dropped instead.

\b
wabus deadletter replay 3:17 5:2
wabus deadletter replay --all --consumer health-projector
"""
DROP = """Give letters up: they are listed no more, and age out.

\b
wabus deadletter drop 3:17
wabus deadletter drop --all --consumer health-projector
"""
deadletter.add_command(_settling("replayed", REPLAY), "replay")
deadletter.add_command(_settling("dropped", DROP), "drop")


def _chosen(
    letters: Sequence[Letter], letter_ids: Sequence[str], consumer: str | None, *, everything: bool
) -> list[Letter]:
    if everything:
        return [letter for letter in letters if consumer in (None, letter.about.get("consumer"))]
    if not letter_ids:
        raise click.UsageError("name the letters, or use --all")
    by_id = {letter.id: letter for letter in letters}
    missing = [letter_id for letter_id in letter_ids if letter_id not in by_id]
    if missing:
        raise click.ClickException(f"no open dead letter is called {', '.join(missing)}")
    return [by_id[letter_id] for letter_id in letter_ids]
