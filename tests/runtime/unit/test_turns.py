"""Long work on a batch lets others run: what PostgreSQL has answered meanwhile is gone on with."""

import asyncio
from datetime import UTC, datetime

from wabus_events import AccountConnected
from wabus_runtime.projection.recorded import TURN_RECORDS, Recorded, in_turns

NOW = datetime(2026, 12, 1, tzinfo=UTC)


async def test_the_database_does_not_wait_in_vain_while_the_next_batch_is_prepared() -> None:
    event = AccountConnected(id="1", time=NOW, org_id="org", waba_id="1")
    records = [Recorded(event, "accounts.v1", 0, offset, NOW) for offset in range(2 * TURN_RECORDS + 1)]
    order: list[str] = []

    async def writing() -> None:
        for number in range(2):
            order.append(f"statement {number}")
            await asyncio.sleep(0)

    beside = asyncio.create_task(writing())
    taken: list[Recorded] = []
    async for some in in_turns(records):
        order.append(f"{len(some)} records")
        taken += some
    await beside

    assert order == ["50 records", "statement 0", "50 records", "statement 1", "1 records"]
    assert taken == records


async def test_no_records_take_no_turn() -> None:
    assert [some async for some in in_turns([])] == []
