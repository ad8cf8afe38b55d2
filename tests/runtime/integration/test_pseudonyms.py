"""The names of those who ask for something, on real Kafka."""

import asyncio
import base64
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from wabus_events import KEYS, Event, OrganisationKey, Topic, tombstone
from wabus_events.models.erasures import is_pseudonym
from wabus_runtime.identity.pseudonyms import Pseudonyms, key_identity, pseudonym
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.settings import IdentitySettings, KafkaSettings, load
from waiting import Eventually

EventsIn = Callable[[Topic], Awaitable[list[Event]]]
KEY = b"i" * 32


@asynccontextmanager
async def naming(publisher: Publisher) -> AsyncGenerator[Pseudonyms]:
    """As a process has it that has just started."""
    names = Pseudonyms(load(IdentitySettings), publisher)
    task = asyncio.create_task(names.run(lambda: None))
    try:
        yield names
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_person_has_one_name_in_an_organisation_whichever_process_gives_it(
    topics: KafkaSettings, publisher: Publisher
) -> None:
    async with naming(publisher) as first:
        ann = await first.of("acme", "ann@acme.example")
        async with naming(publisher) as second:
            assert ann == await second.of("acme", "ann@acme.example") == await first.of("acme", "ann@acme.example")
            others = {await second.of("acme", "bob"), await second.of("else", "ann@acme.example")}
        assert ann is not None
        assert is_pseudonym(ann)
        assert "ann" not in ann
        assert len({ann, *others}) == 3
        assert await first.of("acme", None) is None


async def test_nobody_can_say_whom_a_name_means_once_the_key_is_destroyed(
    topics: KafkaSettings, publisher: Publisher, eventually: Eventually
) -> None:
    async with naming(publisher) as names:
        before = await names.of("acme", "ann")
        await publisher.publish_records([tombstone(OrganisationKey, key_identity(KEY, "acme"))])

        async def another() -> bool:
            return await names.of("acme", "ann") != before

        await eventually(another)


async def test_the_topic_of_keys_alone_names_nobody(
    topics: KafkaSettings, publisher: Publisher, events_in: EventsIn
) -> None:
    async with naming(publisher) as names:
        ann = await names.of("acme", "ann")
    (made,) = await events_in(KEYS)
    assert isinstance(made, OrganisationKey)
    assert "acme" not in made.model_dump_json()
    assert (made.org_id, made.subject) == (None, None)
    secret = base64.b64decode(made.secret)
    assert pseudonym(KEY, secret, "acme", "ann") == ann != pseudonym(b"x" * 32, secret, "acme", "ann")


async def test_what_somebody_asks_for_is_done_though_their_name_can_not_be_written(publisher: Publisher) -> None:
    names = Pseudonyms(load(IdentitySettings), publisher)  # nobody runs it, so its keys are never read
    assert await names.of("acme", "ann") is None
