"""A number that goes from one sender to another keeps to Meta's limits, by what the simulated Meta counts."""

from contextlib import AsyncExitStack

import asyncpg
import pytest
from dying import dying_worker
from sending_world import PERSON, Sending, requested
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
