"""A worker killed with SIGKILL around each step of a call: nothing is sent twice, and all of it is told of."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from dying import dying_worker
from sending_world import PERSON, Sending, requested, status
from wabus_events import SENDS as SENDS_TOPIC
from wabus_events import (
    Event,
    MessageAccepted,
    SendClaimed,
    SendReturned,
    SendUnknown,
    Topic,
)

pytestmark = pytest.mark.long
pytest_plugins = ("support.sending_world",)

SENDS = 12  # a round
TOO_MUCH_TO_ONE = 131056  # Meta: "Cloud API: Error codes"

WORKER = """
import aiohttp
from wabus_runtime.service.process import run
from wabus_sender.app import service

def dies_after(owner, name, when):
    method = getattr(owner, name)
    async def wrapped(self, *arguments, **named):
        global calls
        result = await method(self, *arguments, **named)
        calls += deadly == when
        if deadly == when and calls == int(nth):
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(owner, name, wrapped)

dies_after(aiohttp.ClientRequest, "send", "a request is sent")
dies_after(aiohttp.ClientResponse, "start", "an answer is there")
os.environ["HTTP_PORT"] = "0"
run([service], "worker")
"""
POINTS = [
    ("UPDATE sends SET state = 'calling'", "before", 1),
    ("UPDATE sends SET state = 'calling'", "after", 1),
    ("a request is sent", "", 3),
    ("an answer is there", "", 1),
    ("an answer is there", "", 4),
    ("UPDATE sends SET state = told.state", "before", 2),
    ("UPDATE sends SET state = told.state", "after", 1),
]
"""Where the worker dies: around a statement of its, or after it has sent a request to Meta or got an answer's head."""


@pytest.mark.timeout(900)
async def test_nothing_is_sent_twice_or_lost_wherever_the_worker_is_killed(
    sending: Sending, sender_tables: asyncpg.Pool
) -> None:
    people = [f"49151000{number:04}" for number in range(SENDS)]
    await sending.write(*people)
    asked: set[str] = set()

    async def states() -> Counter[str]:
        return Counter(row["state"] for row in await sender_tables.fetch("SELECT state FROM sends"))

    for point in POINTS:
        async with dying_worker(WORKER, *point) as process, asyncio.timeout(200):
            events = [requested(person) for person in people]
            asked |= {event.send_id for event in events}
            await sending.publisher.publish(events)
            assert await process.wait() == -9, point
    async with dying_worker(WORKER, "", "", 0):

        async def come_to_an_end() -> bool:
            found = await states()
            return found.total() == len(asked) and not found["queued"] + found["calling"]

        await sending.eventually(come_to_an_end)
        ledger = Counter(entry["opaque"] for entry in await sending.sent())
        assert set(ledger.values()) == {1}, "something was sent twice"
        rows = await sender_tables.fetch("SELECT send_id::text, state, claimed FROM sends")
        accepted = {row["send_id"] for row in rows if row["state"] == "accepted"}
        unknown = {row["send_id"] for row in rows if row["state"] == "unknown"}
        assert accepted | unknown == asked
        assert {f"w1:{each}" for each in accepted} <= set(ledger)
        assert 0 < len(unknown) <= SENDS * len(POINTS) // 2
        # What was really sent is settled once Meta tells of it; of the rest nobody ever hears.
        sent = {each.removeprefix("w1:") for each in ledger}
        await sending.publisher.publish([status(send_id, wamid=f"wamid.{send_id}") for send_id in unknown & sent])

        async def settled() -> bool:
            return (await states())["unknown"] == len(unknown - sent)

        await sending.eventually(settled)


async def test_a_second_message_does_not_arrive_before_one_that_is_tried_again_because_the_sender_is_killed(
    sending: Sending, sender_tables: asyncpg.Pool
) -> None:
    await sending.write(PERSON)
    await sending.control("POST", "/faults", {"fail": {"path": "/messages", "code": TOO_MUCH_TO_ONE, "times": 1}})
    first, second = requested(PERSON), requested(PERSON)
    async with dying_worker(WORKER, "", "", 0) as process:
        await sending.publisher.publish([first])

        async def tried() -> bool:
            return await sender_tables.fetchval("SELECT count(*) = 1 FROM sends WHERE claimed = 1 AND state = 'queued'")

        await sending.eventually(tried)
        process.kill()
        assert await process.wait() == -9
    # As if Meta had named a longer wait than the two calls take that may be owed.
    retry_at = datetime.now(UTC) + timedelta(seconds=22)
    await sender_tables.execute(
        "UPDATE sends SET next_at = $1, returned = returned || jsonb_build_object('retry_at', $1::timestamptz)",
        retry_at,
    )
    await sending.publisher.publish([second])
    async with dying_worker(WORKER, "", "", 0):

        async def both_sent() -> bool:
            return len(await sending.sent()) == 2

        await sending.eventually(both_sent)
    assert [entry["opaque"] for entry in await sending.sent()] == [f"w1:{each.send_id}" for each in (first, second)]


async def test_a_worker_that_is_told_to_stop_finishes_what_it_calls_and_gives_the_rest_back(
    sending: Sending, sender_tables: asyncpg.Pool, events_in: Callable[[Topic], Awaitable[list[Event]]]
) -> None:
    people = [f"49151000{number:04}" for number in range(SENDS)]
    await sending.write(*people)
    await sending.control("POST", "/faults", {"latency_ms": 1500})
    async with dying_worker(WORKER, "", "", 0) as process, asyncio.timeout(120):
        await sending.publisher.publish([requested(person) for person in people])

        async def calling() -> bool:
            return bool(await sender_tables.fetchval("SELECT count(*) FROM sends WHERE state = 'calling'"))

        await sending.eventually(calling)
        process.terminate()
        assert await process.wait() == 0
    told = Counter(type(event) for event in await events_in(SENDS_TOPIC))
    assert told[SendUnknown] == 0
    assert told[SendClaimed] == told[MessageAccepted] + told[SendReturned] > 0
    assert len(await sending.sent()) == told[MessageAccepted]
