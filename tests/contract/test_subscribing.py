"""What a subscriber may rely on, tried with the in-memory bus that other teams test with."""

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, assert_type

import pytest
from wabus_contract.catalogue_page import SUBSCRIBER
from wabus_events import (
    AccountConnected,
    CallReported,
    CredentialStored,
    Event,
    MessageReceived,
    MessageStatusChanged,
    OrganisationForgotten,
    TemplatesSynced,
    TemplateSyncFailed,
    UndecodableRecord,
    Unrecognised,
    encode,
    identity_of,
)
from wabus_events.subscriber import (
    DeadLetters,
    NewerVersion,
    Options,
    RecentIds,
    Retry,
    Subscription,
    TooManyDeadLetters,
    run,
    subscribe,
)
from wabus_events.subscriber.source import Reader, Start
from wabus_events.testing import MemoryBus, an

AT_ONCE = Retry(attempts=3, first=0, longest=0)


async def bus_with(*events: Event) -> MemoryBus:
    bus = MemoryBus()
    await bus.publish(*events)
    await bus.end()
    return bus


def test_the_types_of_a_loop_are_those_asked_for() -> None:
    bus = MemoryBus()
    one = subscribe(bus, TemplatesSynced, group="billing")
    two = subscribe(bus, TemplatesSynced, AccountConnected, group="billing")
    five = subscribe(
        bus, TemplatesSynced, AccountConnected, MessageReceived, MessageStatusChanged, TemplateSyncFailed, group="g"
    )
    assert_type(one, Subscription[TemplatesSynced])
    assert_type(two, Subscription[TemplatesSynced | AccountConnected])
    assert_type(
        five,
        Subscription[TemplatesSynced | AccountConnected | MessageReceived | MessageStatusChanged | TemplateSyncFailed],
    )


async def test_a_loop_gets_the_events_it_asked_for_and_no_others() -> None:
    synced, connected = an(TemplatesSynced, approved=7), an(AccountConnected)
    bus = await bus_with(synced, an(TemplateSyncFailed), connected, an(MessageReceived))
    seen = [event async for event in subscribe(bus, TemplatesSynced, AccountConnected, group="billing")]
    assert sorted(seen, key=lambda event: event.type) == [connected, synced]


async def test_without_types_all_public_events_come() -> None:
    bus = await bus_with(an(TemplatesSynced), an(MessageReceived), an(CredentialStored))
    seen = [event async for event in subscribe(bus, group="audit")]
    assert {type(event) for event in seen} == {TemplatesSynced, MessageReceived}


def test_credentials_are_nobodys_to_subscribe_to() -> None:
    with pytest.raises(ValueError, match="private"):
        subscribe(MemoryBus(), CredentialStored, group="curious")


async def test_an_event_that_the_loop_was_left_at_comes_again_and_the_one_before_does_not() -> None:
    events = [an(TemplatesSynced) for _ in range(3)]
    bus = await bus_with(*events)
    async for event in subscribe(bus, TemplatesSynced, group="billing"):
        if event == events[1]:
            break
    assert [event async for event in subscribe(bus, TemplatesSynced, group="billing")] == events[1:]


async def test_stopping_in_the_loop_finishes_and_commits_the_event_in_hand() -> None:
    events = [an(TemplatesSynced) for _ in range(3)]
    bus = await bus_with(*events)
    subscription = subscribe(bus, TemplatesSynced, group="billing", commit_every=100)
    async for _ in subscription:
        subscription.stop()
    assert bus.committed("billing", "templates.v1") == 1


class Forgetful:
    """A source whose commits fail as long as Kafka is said to be away, as those of `wabus_events.kafka` then do."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus
        self.away = True

    async def open(self, topics: Sequence[str], *, group: str, start: Start, writes: Sequence[str]) -> Reader:
        reader = await self._bus.open(topics, group=group, start=start, writes=writes)
        committed = reader.commit

        async def commit() -> None:
            if not self.away:
                await committed()

        reader.commit = commit
        return reader


async def test_a_subscriber_gets_its_last_events_again_because_kafka_was_away_for_a_moment() -> None:
    bus = MemoryBus()
    await bus.publish(an(TemplatesSynced))
    source = Forgetful(bus)
    subscription = subscribe(source, TemplatesSynced, group="g")
    async with asyncio.timeout(10):
        events = aiter(subscription)
        await anext(events)
        waiting = asyncio.ensure_future(anext(events, None))
        await asyncio.sleep(0)  # the commit of the first event fails
        source.away = False
        subscription.stop()
        await waiting
    assert bus.committed("g", TemplatesSynced.topic.name) == 1


async def test_a_subscriber_with_nothing_to_do_stops_when_told() -> None:
    stop = asyncio.Event()
    waiting = asyncio.create_task(run(no_trouble, MemoryBus(), TemplatesSynced, group="billing", stop=stop))
    stop.set()
    await asyncio.wait_for(waiting, 5)


async def test_groups_are_independent() -> None:
    bus = await bus_with(an(TemplatesSynced))
    for group in ("billing", "crm"):
        assert len([event async for event in subscribe(bus, TemplatesSynced, group=group)]) == 1


async def test_a_filter_by_organisation_leaves_out_others_and_the_unclaimed() -> None:
    bus = await bus_with(*(an(TemplatesSynced, org_id=org) for org in ("acme", "other", None)))
    seen = [event.org_id async for event in subscribe(bus, TemplatesSynced, group="billing", org_id="acme")]
    assert seen == ["acme"]


@pytest.mark.parametrize("deduplicate", [True, RecentIds(limit=1)])
async def test_what_is_delivered_twice_is_handled_once_if_asked(deduplicate: Any) -> None:
    event = an(MessageReceived)
    bus = await bus_with(event, event)
    seen = [e async for e in subscribe(bus, MessageReceived, group="crm", deduplicate=deduplicate)]
    assert seen == [event]


async def test_the_window_of_ids_is_bounded() -> None:
    ids = RecentIds(limit=2)
    for event_id in ("1", "2", "3"):
        await ids.add(event_id)
    assert [await ids.has(event_id) for event_id in ("1", "2", "3")] == [False, True, True]


async def no_trouble(event: Event) -> None:
    pass


class Trouble:
    """A handler that fails the first times."""

    def __init__(self, failures: int, error: type[Exception] = ConnectionError) -> None:
        self.calls = 0
        self._failures = failures
        self._error = error

    async def __call__(self, event: Event) -> None:
        self.calls += 1
        if self.calls <= self._failures:
            raise self._error("private words")


async def test_a_handler_that_fails_is_given_the_event_again() -> None:
    handler = Trouble(failures=2)
    await run(handler, await bus_with(an(TemplatesSynced)), TemplatesSynced, group="billing", retry=AT_ONCE)
    assert handler.calls == 3


async def test_after_the_last_attempt_the_record_is_set_aside_as_it_was_with_the_reason() -> None:
    event = an(TemplatesSynced)
    bus = await bus_with(event)
    options: Options = {"group": "billing", "dead_letters": "billing.dead"}
    await run(Trouble(3), bus, TemplatesSynced, retry=AT_ONCE, **options)
    (letter,) = bus.records("billing.dead")
    record = encode(event, event.source)
    assert (letter.key, letter.value) == (record.key, record.value)
    headers = dict(letter.headers)
    assert headers["ce_id"].decode() == event.id
    assert headers["wabus_dead_reason"] == b"ConnectionError"
    assert headers["wabus_dead_topic"] == b"templates.v1"
    assert b"private words" not in b"".join(headers.values())
    assert bus.committed("billing", "templates.v1") == 1


async def test_an_error_that_trying_again_cannot_mend_is_not_tried_again() -> None:
    handler = Trouble(3, KeyError)
    retry = Retry(attempts=3, first=0, never=(KeyError,))
    bus = await bus_with(an(TemplatesSynced))
    await run(handler, bus, TemplatesSynced, group="billing", retry=retry, dead_letters="billing.dead")
    assert handler.calls == 1


async def test_a_handler_that_hangs_is_a_handler_that_fails() -> None:
    async def hangs(event: Event) -> None:
        await asyncio.Event().wait()

    bus = await bus_with(an(TemplatesSynced))
    retry = Retry(attempts=1, timeout=0.01)
    await run(hangs, bus, TemplatesSynced, group="billing", retry=retry, dead_letters="billing.dead")
    assert dict(bus.records("billing.dead")[0].headers)["wabus_dead_reason"] == b"TimeoutError"


async def test_without_a_dead_letter_topic_nothing_is_passed_over() -> None:
    bus = await bus_with(an(TemplatesSynced))
    with pytest.raises(ConnectionError):
        await run(Trouble(3), bus, TemplatesSynced, group="billing", retry=AT_ONCE)
    assert bus.committed("billing", "templates.v1") == 0


async def test_too_many_dead_letters_stop_the_subscriber() -> None:
    bus = await bus_with(*(an(TemplatesSynced) for _ in range(3)))
    letters = DeadLetters("billing.dead", most=2)
    with pytest.raises(TooManyDeadLetters):
        await run(Trouble(99), bus, TemplatesSynced, group="billing", retry=AT_ONCE, dead_letters=letters)
    assert bus.committed("billing", "templates.v1") == 2


async def test_a_broken_record_stops_a_loop_or_is_set_aside() -> None:
    bus = MemoryBus()
    broken = encode(an(TemplatesSynced), "/wabus/test")
    await bus.put("templates.v1", broken.key, b"{", broken.headers)
    await bus.publish(an(TemplatesSynced))
    await bus.end()
    with pytest.raises(UndecodableRecord) as caught:
        [event async for event in subscribe(bus, TemplatesSynced, group="billing")]
    assert caught.value.__notes__ == ["at templates.v1/0@0"]
    seen = [e async for e in subscribe(bus, TemplatesSynced, group="billing", dead_letters="billing.dead")]
    assert (len(seen), len(bus.records("billing.dead"))) == (1, 1)


async def test_a_broken_record_of_a_type_not_asked_for_troubles_nobody() -> None:
    bus = MemoryBus()
    broken = encode(an(TemplateSyncFailed), "/wabus/test")
    await bus.put("templates.v1", broken.key, b"{", broken.headers)
    await bus.end()
    assert [event async for event in subscribe(bus, TemplatesSynced, group="billing")] == []


def record_of_type(event_type: str) -> list[tuple[str, bytes]]:
    headers = dict(encode(an(TemplatesSynced, org_id="acme"), "/wabus/test").headers)
    return list({**headers, "ce_type": event_type.encode()}.items())


async def test_an_event_that_did_not_exist_when_the_subscriber_was_written_is_passed_over() -> None:
    bus = MemoryBus()
    await bus.put("templates.v1", b"1", b"{}", record_of_type("wabus.TemplateTeleported.v1"))
    await bus.publish(an(TemplatesSynced))
    await bus.end()
    for types in ((TemplatesSynced,), ()):
        group = f"of {len(types)}"
        assert len([event async for event in subscribe(bus, *types, group=group)]) == 1
        assert bus.committed(group, "templates.v1") == 2


async def test_a_newer_version_of_what_was_asked_for_stops_the_subscriber_and_is_lost_to_nobody() -> None:
    bus = MemoryBus()
    await bus.put("templates.v1", b"1", b"{}", record_of_type("wabus.TemplatesSynced.v2"))
    await bus.end()
    with pytest.raises(NewerVersion, match=r"TemplatesSynced\.v2 at templates\.v1/0@0 .* upgrade"):
        await run(no_trouble, bus, TemplatesSynced, group="billing", dead_letters="billing.dead")
    assert (bus.committed("billing", "templates.v1"), bus.records("billing.dead")) == (0, ())
    for types, org in (((TemplateSyncFailed,), None), ((TemplatesSynced,), "other")):
        assert [event async for event in subscribe(bus, *types, group="others", org_id=org)] == []


async def test_log_lines_say_by_themselves_what_failed_where(caplog: pytest.LogCaptureFixture) -> None:
    bus = await bus_with(an(TemplatesSynced))
    await run(Trouble(2), bus, TemplatesSynced, group="b", retry=Retry(2, first=0), dead_letters="b.dead")
    again, aside = (record.getMessage() for record in caplog.records)
    assert "tried again" in again
    assert "could not be handled" in aside
    assert all("ConnectionError at templates.v1/0@0" in line for line in (again, aside))
    assert "private words" not in caplog.text


def test_a_misspelt_field_of_a_built_event_is_refused() -> None:
    with pytest.raises(TypeError, match=r"no field 'aproved'; there are: .*approved"):
        an(TemplatesSynced, aproved=3)


async def test_a_test_can_wait_until_a_group_has_caught_up() -> None:
    bus, stop, seen = MemoryBus(), asyncio.Event(), list[Event]()

    async def remember(event: Event) -> None:
        seen.append(event)

    running = asyncio.create_task(run(remember, bus, TemplatesSynced, group="billing", stop=stop))
    await bus.publish(an(TemplatesSynced), an(TemplateSyncFailed), an(TemplatesSynced))
    await bus.caught_up("billing")
    stop.set()
    await running
    assert len(seen) == 2


def test_back_off_grows_to_a_bound_and_ends() -> None:
    delays = list(Retry(attempts=8, first=1, longest=4).delays(random.Random(1)))
    assert len(delays) == 7
    assert all(0 <= delay <= 4 for delay in delays)


async def test_the_documents_test_passes_and_its_subscriber_is_that_of_the_catalogue() -> None:
    text = (Path(__file__).parents[2] / "docs/subscribe.md").read_text(encoding="utf-8")
    subscriber, test, *others = (block.partition("```")[0] for block in text.split("```python\n")[1:])
    compile(subscriber, "subscribe.md", "exec")
    assert ["NewTopic" in block for block in others] == [False, False, False, False, False, False, False, True]
    assert next(line for line in SUBSCRIBER.splitlines() if "async for" in line) in subscriber
    names: dict[str, Any] = {}
    exec(test, names)
    await names["test_approved_templates_are_billed"]()


def test_the_documents_way_to_see_who_was_forgotten_sees_it() -> None:
    text = (Path(__file__).parents[2] / "docs/subscribe.md").read_text(encoding="utf-8")
    [block] = [block for block in text.split("```python\n")[1:] if "def meant(" in block]
    names: dict[str, Any] = {}
    exec(block.partition("```")[0], names)
    key = b"k" * 32
    line = an(OrganisationForgotten, identity=identity_of(key, OrganisationForgotten, "acme"))
    assert names["meant"](line, ["another", "acme"], key) == ["acme"]
    assert names["meant"](line, ["another", "acme"], b"j" * 32) == []


async def test_the_documents_way_to_read_what_had_no_model_before_the_upgrade_reads_it() -> None:
    text = (Path(__file__).parents[2] / "docs/subscribe.md").read_text(encoding="utf-8")
    [block] = [block for block in text.split("```python\n")[1:] if "from_unrecognised(" in block]
    names: dict[str, Any] = {}
    exec(block.partition("```")[0], names)
    call = {"id": "wacid.A", "event": "connect", "from": "1", "direction": "USER_INITIATED"}
    value = {"metadata": {"phone_number_id": "9"}, "calls": [call]}
    bus = MemoryBus()
    await bus.publish(an(Unrecognised, field="calls", value=value, waba_id="1"), an(CallReported, call_id="wacid.B"))
    await bus.end()
    assert [event.call_id async for event in names["calls"](bus)] == ["wacid.A", "wacid.B"]
