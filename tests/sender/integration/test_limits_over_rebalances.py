"""A number that goes from one sender to another keeps to Meta's limits, by what the simulated Meta counts."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest
from sending_world import ORG, PERSON, Client, Sending, Serve, until_ready
from simulated_meta.seed import DEMO_PHONE, DEMO_WABA
from wabus_events import SendRequested
from wabus_runtime.settings import load
from wabus_sender.app import create_app
from wabus_sender.settings import SenderSettings
from waiting import Eventually

pytestmark = pytest.mark.long
pytest_plugins = ("support.sending_world",)

EACH_TIME = 240  # sends, three seconds of a number's time
TO_ONE = 2  # of them to one person


def requested(person: str) -> SendRequested:
    now, send_id = datetime.now(UTC), str(uuid4())
    return SendRequested(
        id=f"requested {send_id}", time=now, org_id=ORG, waba_id=DEMO_WABA, phone_number_id=DEMO_PHONE,
        send_id=send_id, lane="service", kind="text", to=person, message={"type": "text", "text": {"body": send_id}},
        expires_at=now + timedelta(hours=1),
    )  # fmt: skip


async def test_nobody_is_locked_out_by_meta_because_another_sender_takes_a_number_over(
    sending: Sending, sender: Client, serve: Serve, sender_tables: asyncpg.Pool, eventually: Eventually
) -> None:
    people = [f"49151{number:07}" for number in range(EACH_TIME - TO_ONE)]
    await sending.write(*people)

    async def states() -> Counter[str]:
        return Counter(row["state"] for row in await sender_tables.fetch("SELECT state FROM sends"))

    async def sends_at_full_speed() -> bool:
        return 0 < (await states())["accepted"] - before < EACH_TIME

    now_theirs = sender
    for _ in range(3):
        before = (await states())["accepted"]
        await sending.publisher.publish([requested(PERSON) for _ in range(TO_ONE)] + [requested(p) for p in people])
        await eventually(sends_at_full_speed)
        # Who stops gives the number to whoever is there at once.
        taking_over = await serve(create_app(load(SenderSettings)))
        await until_ready(taking_over, sending, eventually)
        await now_theirs.close()
        now_theirs = taking_over

        async def is_sent(wanted: int = before + EACH_TIME // 2) -> bool:
            return (await states())["accepted"] >= wanted

        await eventually(is_sent)

    async def all_sent() -> bool:
        return await states() == {"accepted": 3 * EACH_TIME}

    await eventually(all_sent)
    counts = (await sending.control("GET", "/sending"))["counts"]
    assert counts["doubled"] == {}
    assert counts["violations"] == {"number": 0, "pair": 0}
    assert counts["refused"] == {}
