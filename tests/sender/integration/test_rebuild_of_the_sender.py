"""`wabus rebuild sender` brings back what is missing, beside a worker that goes on, and sends nothing twice."""

from datetime import UTC, datetime, timedelta

import asyncpg
from sending_world import ORG, PERSON, Client, Sending, text
from simulated_meta.seed import DEMO_PHONE, DEMO_WABA
from wabus_events import AccountConnected, PhoneNumber, SendRequested
from wabus_events.testing import an
from wabus_runtime.projection.replay_over import replay_over
from wabus_sender.tables import facts, sends
from wabus_sender.worker import projector

pytest_plugins = ("support.sending_world",)

OTHER = "4915100000001"
STATES = "SELECT send_id::text, state, claimed, acceptance, next_at, due_at FROM sends ORDER BY send_id"


async def test_what_is_missing_comes_back_and_only_what_was_never_called_is_sent(
    sending: Sending, sender: Client, sender_tables: asyncpg.Pool
) -> None:
    agent = sending.bearer(ORG, "agent")
    accepted = (await sending.post(sender, text()))["send_id"]
    await sending.until(sender, accepted, "accepted")
    await sending.control(
        "POST", "/faults", {"fail": {"path": "/messages", "method": "POST", "body": "cut", "taken": True}}
    )
    unknown = (await sending.post(sender, text(body="lost")))["send_id"]
    await sending.until(sender, unknown, "unknown", "accepted")
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    cancelled = (await sending.post(sender, text(not_before=later)))["send_id"]
    await sending.until(sender, cancelled, "queued")
    assert (await sender.post(f"/sends/{cancelled}/cancel", headers=agent)).status == 202
    await sending.until(sender, cancelled, "cancelled")
    waits = (await sending.post(sender, text(not_before=later)))["send_id"]
    await sending.until(sender, waits, "queued")
    assert (await sender.post("/sends/pause", json={"label": "spring"}, headers=agent)).status == 202
    whom = {"from": DEMO_PHONE, "to": PERSON}
    assert (await sender.post("/messages/opt-out", json=whom, headers=agent)).status == 202
    assert (
        await sender.post("/messages/block", json=whom | {"to": OTHER}, headers=agent | {"Prefer": "wait=30"})
    ).status == 422
    before = [tuple(row) for row in await sender_tables.fetch(STATES)]
    sent = await sending.sent()
    assert [row[1] for row in before].count("queued") == 1

    # All of it is lost but one, and what has been said last of the account is newer than what the log begins with.
    await sender_tables.execute("DELETE FROM sends WHERE send_id <> $1", accepted)
    for table in ("labels", "blocks", "opt_outs"):
        await sender_tables.execute(f"DELETE FROM {table}")
    await replay_over(projector.TABLES, lambda _: None)

    assert [tuple(row) for row in await sender_tables.fetch(STATES)] == before
    assert await sender_tables.fetchval("SELECT paused FROM labels") is True
    assert await sender_tables.fetchval("SELECT opted_out FROM opt_outs") is True
    assert await sender_tables.fetchval("SELECT state FROM blocks") == "refused"
    last = (await sending.post(sender, text(body="still here")))["send_id"]
    await sending.until(sender, last, "accepted")
    assert len(await sending.sent()) == len(sent) + 1


async def test_what_is_brought_back_is_due_only_at_the_end(
    sending: Sending, sender: Client, sender_tables: asyncpg.Pool
) -> None:
    known = await sender_tables.fetchrow("SELECT org_id, at FROM known_accounts WHERE waba_id = $1", DEMO_WABA)
    now = datetime.now(UTC)
    about = {"waba_id": DEMO_WABA, "org_id": ORG, "phone_number_id": DEMO_PHONE}
    request = an(
        SendRequested, send_id="00000000-0000-4000-8000-000000000001", time=now, lane="service", kind="text", to=PERSON,
        recipient=None, message={"type": "text", "text": {"body": "a"}}, expires_at=now + timedelta(hours=1),
        not_before=None, label=None, **about,
    )  # fmt: skip
    over = sends.Asked(request, 0, 0)
    async with sender_tables.acquire() as connection:
        await sends.insert(connection, [over], over=True)
        earlier = an(
            AccountConnected, waba_id=DEMO_WABA, org_id="another", time=now - timedelta(days=9),
            phone_numbers=[PhoneNumber(phone_number_id=DEMO_PHONE)],
        )  # fmt: skip
        await facts.write(connection, [earlier], over=True)
    partitions = list(range(100))
    assert await sender_tables.fetchrow("SELECT org_id, at FROM known_accounts WHERE waba_id = $1", DEMO_WABA) == known
    assert await sends.due(sender_tables, partitions, now + timedelta(days=1), {}, 10) == []
    assert await sends.expired(sender_tables, partitions, now + timedelta(hours=2), 10) == []
    found = await sending.get(sender, f"/sends/{request.send_id}")
    assert (found["state"], found["next_at"]) == ("queued", None)
    await projector.TABLES.mend(sender_tables)
    await sending.until(sender, request.send_id, "accepted")
