"""A number that goes from one sender to another keeps to Meta's limits, by what the simulated Meta counts."""

from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest
from dying import dying_worker
from sending_world import ORG, PERSON, Sending
from simulated_meta.seed import DEMO_PHONE, DEMO_WABA
from wabus_events import SendRequested
from waiting import Eventually

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
pytest_plugins = ("support.sending_world",)

EACH_TIME = 240  # sends, three seconds of a number's time
TO_ONE = 2  # of them to one person
WORKER = """
from wabus_runtime.service.process import run
from wabus_sender.app import service

os.environ["HTTP_PORT"] = "0"
run([service], "worker")
"""


def requested(person: str) -> SendRequested:
    now, send_id = datetime.now(UTC), str(uuid4())
    return SendRequested(
        id=f"requested {send_id}", time=now, org_id=ORG, waba_id=DEMO_WABA, phone_number_id=DEMO_PHONE,
        send_id=send_id, lane="service", kind="text", to=person, message={"type": "text", "text": {"body": send_id}},
        expires_at=now + timedelta(hours=1),
    )  # fmt: skip


async def test_nobody_is_refused_by_meta_because_another_sender_takes_a_number_over(
    sending: Sending, sender_tables: asyncpg.Pool, eventually: Eventually
) -> None:
    people = [f"49151{number:07}" for number in range(EACH_TIME - TO_ONE)]
    await sending.write(PERSON, *people)

    async def states() -> Counter[str]:
        return Counter(row["state"] for row in await sender_tables.fetch("SELECT state FROM sends"))

    async def owners() -> int:
        return await sender_tables.fetchval("SELECT count(*) FROM owners")

    async with AsyncExitStack() as workers:
        worker = await workers.enter_async_context(dying_worker(WORKER, "", "", 0))
        for handover in range(2):  # there and back
            asked = handover * EACH_TIME
            await sending.publisher.publish([requested(each) for each in [PERSON] * TO_ONE + people])

            async def at_full_speed(asked: int = asked) -> bool:
                return asked < (await states())["accepted"] < asked + EACH_TIME

            await eventually(at_full_speed)
            before = await owners()
            taking_over = await workers.enter_async_context(dying_worker(WORKER, "", "", 0))

            async def is_there(before: int = before) -> bool:
                return await owners() > before

            await eventually(is_there)
            worker.terminate()
            assert await worker.wait() == 0
            worker = taking_over

            async def half_sent(wanted: int = asked + EACH_TIME // 2) -> bool:
                return (await states())["accepted"] >= wanted

            await eventually(half_sent)

        async def all_sent() -> bool:
            return await states() == {"accepted": 2 * EACH_TIME}

        await eventually(all_sent)
    counts = (await sending.control("GET", "/sending"))["counts"]
    assert counts["doubled"] == {}
    assert counts["violations"] == {"number": 0, "pair": 0}
    assert counts["refused"] == {}
