"""However much a webhook holds, others get their turn while it is taken apart; twice as much takes twice as long."""

import asyncio
import base64
import gc
import json
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime

import orjson
import pytest
from wabus_events import (
    Event,
    HistoryProgressed,
    MessageImported,
    MessageStatusChanged,
    Record,
    Unrecognised,
    encode,
)
from wabus_gateway.webhooks.parse import facts_in_slices, whole
from wabus_gateway.worker import publish as intake_module
from wabus_gateway.worker.publish import WebhookPublisher
from wabus_runtime.credentials.credential_cache import CredentialCache
from wabus_runtime.identity.lines import KnownLines
from wabus_runtime.kafka.dead_letters import DeadLetters
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.kafka.record_sizes import fits
from wabus_runtime.service.process import GC_THRESHOLD, MAX_BODY
from wabus_runtime.settings import IdentitySettings
from webhooks import conversation, encoded, history, status, text, webhook

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SLICE_MOST = 0.02  # seconds of the processor, without those in which others had it


class Clock:
    """Each look at it is 0.9 ms later: no part of what is allowed, so that no rounding decides."""

    def __init__(self) -> None:
        self._moment = 0.0

    def __call__(self) -> float:
        self._moment += 0.0009
        return self._moment


@pytest.fixture
def intake() -> WebhookPublisher:
    """Of a gateway that never reached Kafka, where each event takes 0.9 ms."""
    key = base64.b64encode(b"i" * 32).decode()
    settings = IdentitySettings.model_validate({"kafka_bootstrap_servers": "127.0.0.1:9", "identity_key": key})
    return WebhookPublisher(
        Publisher(settings, "/test"),
        DeadLetters(settings, "test"),
        CredentialCache(settings),
        KnownLines(settings),
        clock=Clock(),
    )


@pytest.fixture
def collecting_as_served() -> Iterator[None]:
    """What a service does about garbage; without it, a collection would look at everything that pytest holds."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLD)
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


async def taken_apart(intake: WebhookPublisher, body: bytes) -> list[Record]:
    """What is left to publish of a webhook of fewer parts than a portion has."""
    begun, records = await intake.taken_apart(body, NOW, {})
    assert not begun
    return records


async def turns(intake: WebhookPublisher, changes: int) -> tuple[int, int]:
    """The records made of a webhook, and how often another task had its turn."""
    body = encoded(webhook(*(conversation(messages=[text(f"wamid.{number}")]) for number in range(changes))))
    had, done = 0, False

    async def another() -> None:
        nonlocal had
        while not done:
            had += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(another())
    begun, records = await intake.taken_apart(body, NOW, {})
    done = True
    await asyncio.gather(other, *begun, return_exceptions=True)
    return len(begun) * intake_module.PORTION + len(records), had


async def test_a_webhook_of_1000_changes_lets_others_have_their_turn_every_few_milliseconds(
    intake: WebhookPublisher,
) -> None:
    records, had = await turns(intake, 1000)
    assert records == 1001
    assert had >= 900 / (1000 * intake_module.MOST_AT_ONCE + 2)


async def test_twice_the_changes_are_twice_the_turns(intake: WebhookPublisher) -> None:
    _, once = await turns(intake, 500)
    _, twice = await turns(intake, 1000)
    assert once * 2 - 10 <= twice <= once * 2 + 10


async def test_what_would_be_too_large_for_kafka_once_it_is_escaped_is_kept_as_it_came(
    intake: WebhookPublisher,
) -> None:
    cut = "\\ud83d"
    change = conversation(messages=[text("wamid.A", body="CUT" + "é" * 1_550_000)])
    body = json.dumps(webhook(change), ensure_ascii=False).encode().replace(b"CUT", cut.encode())
    assert len(body) < MAX_BODY
    (record,) = await taken_apart(intake, body)
    kept = whole(body, received_at=NOW, reason="it could not be taken apart: ValueError")
    assert record == encode(kept, "/wabus/gateway")
    assert fits(record.key, record.value, record.headers)


async def test_a_contact_too_large_for_a_key_is_kept_as_it_came(intake: WebhookPublisher) -> None:
    body = encoded(webhook(conversation(messages=[text("wamid.A", sender="1" * 3_000_000)])))
    (record,) = await taken_apart(intake, body)
    assert dict(record.headers)["ce_type"] == b"wabus.Unrecognised.v1"
    assert fits(record.key, record.value, record.headers)


def statuses(count: int) -> bytes:
    few = [{"id": f"wamid.{number}", "status": "sent", "recipient_id": f"1650{number}"} for number in range(count)]
    return encoded(webhook(conversation(statuses=few)))


def beside_half_an_emoji() -> bytes:
    """Enough statuses to fill a webhook, and what no event can carry in the same change."""
    body = encoded(webhook(conversation(statuses=[status(f"wamid.{number}") for number in range(20_000)], name="CUT")))
    return body.replace(b"CUT", b"\\ud83d")


LARGE: dict[str, Callable[[], bytes]] = {
    "28,000 statuses": lambda: statuses(28_000),
    "one text": lambda: encoded(webhook(conversation(messages=[text("wamid.A", body="x" * 3_000_000)]))),
    "one text of escapes": lambda: json.dumps(
        webhook(conversation(messages=[text("wamid.A", body="é" * 500_000)]))
    ).encode(),
    "800,000 empty changes": lambda: encoded(webhook(*[{}] * 800_000)).replace(b" ", b""),
    "90,000 contacts": lambda: encoded(
        webhook(conversation(messages=[text("wamid.A")] * 2, contacts=[{"wa_id": "1"}] * 90_000))
    ),
    "a field without a model": lambda: encoded(
        webhook({"field": "flows", "value": {"threads": [{"id": "1", "messages": [text("wamid.A")]}] * 20_000}})
    ),
    "11,000 messages of before": lambda: history(11_000),
    "half an emoji beside 20,000 statuses": beside_half_an_emoji,
    "only brackets": lambda: b"[" * 3_000_000,
}


@pytest.mark.parametrize("name", LARGE)
def test_no_slice_of_a_large_webhook_takes_long(name: str, collecting_as_served: None) -> None:
    body = LARGE[name]()
    assert MAX_BODY / 6 < len(body) < MAX_BODY

    assert max(least_of_slices(body)) < slice_most(body)


def slice_most(body: bytes) -> float:
    """What a slice may take: what is kept whole can't be written in less than some times what reading it takes here."""
    took: list[float] = []
    for _ in range(4):
        began = time.thread_time()
        with suppress(orjson.JSONDecodeError):
            orjson.loads(body)
        took.append(time.thread_time() - began)
    return max(SLICE_MOST, 4 * min(took))


def least_of_slices(body: bytes) -> list[float]:
    """How long each slice of a webhook takes at least: what other processes do to one, they don't do each time."""

    def slices() -> list[float]:
        took: list[float] = []
        began = time.thread_time()
        for event in facts_in_slices(body, received_at=NOW, owner=lambda _waba: None):
            if event is not None:
                encode(event, "/test")
            event = None  # to give up what was large is a part of the slice
            took.append((now := time.thread_time()) - began)
            began = now
        return took

    return [min(each) for each in zip(*(slices() for _ in range(4)), strict=True)]


def test_a_history_of_3_megabytes_holds_up_nobody(collecting_as_served: None) -> None:
    body = history(11_800)
    assert 0.95 * 3_000_000 < len(body) < MAX_BODY

    assert max(least_of_slices(body)) < SLICE_MOST  # on a quiet machine 3 ms: benchmarks/webhook_records.py


def test_of_a_history_no_more_is_in_memory_than_of_its_body() -> None:
    """Each message is let go when it is told: what is held is the body, its JSON, and one event."""
    body = history(1_000)
    tracemalloc.start()
    for event in facts_in_slices(body, received_at=NOW, owner=lambda _waba: None):
        if event is not None:
            encode(event, "/test")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 12 * len(body)


def test_each_of_3000_messages_of_before_is_a_fact() -> None:
    *made, progress = facts(history(3_000))
    assert {type(event) for event in made} == {MessageImported}
    assert len({event.id for event in made}) == 3_000
    assert isinstance(progress, HistoryProgressed)
    assert progress.messages == 3_000


def facts(body: bytes) -> list[Event]:
    return [event for event in facts_in_slices(body, received_at=NOW, owner=lambda _waba: None) if event]


def test_each_of_28000_statuses_is_a_fact() -> None:
    made = facts(statuses(28_000))
    assert len(made) == 28_000
    assert {type(event) for event in made} == {MessageStatusChanged}
    assert len({event.id for event in made}) == 28_000


def test_more_parts_than_meta_sends_are_kept_as_they_came() -> None:
    body = encoded(webhook(*[{}] * 800_000))
    (event,) = facts(body)
    assert isinstance(event, Unrecognised)
    assert (event.reason, event.value) == ("more parts than a webhook has", None)
    assert event == whole(body, received_at=NOW, reason=event.reason)
