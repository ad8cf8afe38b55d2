"""A number that goes from one sender to another keeps to Meta's limits, by what the simulated Meta counts."""

from contextlib import AsyncExitStack
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import pytest
from dying import dying_worker
from sending_world import PERSON, Sending, requested
from wabus_events import SENDS
from wabus_sender.sending.reach import Reach
from wabus_sender.tables import reach
from waiting import Eventually

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
pytest_plugins = ("support.sending_world",)

TO_MANY = 240  # sends, three seconds of a number's time
TO_ONE = (8, 1)  # to one person: the first eight borrow 48 seconds, through which the ninth has to wait
WORKER = """
from wabus_runtime.service.process import run
from wabus_sender.app import service

os.environ["HTTP_PORT"] = "0"
run([service], "worker")
"""


async def test_who_sends_for_a_portfolio_knows_how_many_others_do(sender_tables: asyncpg.Pool) -> None:
    """Its numbers are in partitions of different processes; one that has only answers to send is none of them."""
    for number, (partition, lane) in enumerate([(0, "marketing"), (1, "marketing"), (2, "marketing"), (3, "service")]):
        about = f"n{number}", f"w{number}"
        await sender_tables.execute(
            "INSERT INTO known_accounts (waba_id, org_id, at, portfolio_id) VALUES ($1, 'o', now(), 'p')", about[1]
        )
        await sender_tables.execute(
            "INSERT INTO known_numbers (phone_number_id, waba_id, people_a_day, at) VALUES ($1, $2, 250, now())", *about
        )
        await sender_tables.execute("INSERT INTO queues VALUES ($1, $2, $3)", about[0], lane, partition)
    owners = [UUID(int=1), UUID(int=1), UUID(int=2), UUID(int=3)]
    for partition, owner in enumerate(owners):
        await sender_tables.execute(
            "INSERT INTO projection_offsets (projection, topic, partition, owner) VALUES ('sender', $1, $2, $3)",
            SENDS.name,
            partition,
            owner,
        )
    found = await reach.reach(sender_tables, ["n0", "n2"], datetime.now(UTC), limited=True)
    assert found == dict.fromkeys(("n0", "n2"), Reach(0, 250, "p", 2))


async def test_nobody_is_refused_by_meta_because_another_sender_takes_a_number_over(
    sending: Sending, sender_tables: asyncpg.Pool, eventually: Eventually
) -> None:
    people = [f"49151{number:07}" for number in range(TO_MANY)]
    await sending.write(PERSON, *people)

    async def accepted() -> int:
        return await sender_tables.fetchval("SELECT count(*) FROM sends WHERE state = 'accepted'")

    async def owners() -> int:
        return await sender_tables.fetchval("SELECT count(*) FROM owners")

    asked = 0
    async with AsyncExitStack() as workers:
        worker = await workers.enter_async_context(dying_worker(WORKER, "", "", 0))
        for to_one in TO_ONE:  # there and back
            before, asked = asked, asked + to_one + TO_MANY
            await sending.publisher.publish([requested(each) for each in [PERSON] * to_one + people])

            async def at_full_speed(before: int = before) -> bool:
                return await accepted() > before + 20

            await eventually(at_full_speed)
            known = await owners()
            taking_over = await workers.enter_async_context(dying_worker(WORKER, "", "", 0))

            async def is_there(known: int = known) -> bool:
                return await owners() > known

            await eventually(is_there)
            worker.terminate()
            assert await worker.wait() == 0
            worker = taking_over

            async def all_but_the_ninth(wanted: int = asked - (to_one == 1)) -> bool:
                return await accepted() >= wanted

            await eventually(all_but_the_ninth)

        async def all_sent() -> bool:
            return await accepted() == asked

        await eventually(all_sent)
    counts = (await sending.control("GET", "/sending"))["counts"]
    assert counts["doubled"] == {}
    assert counts["violations"] == {"number": 0, "pair": 0}
    assert counts["refused"] == {}
