"""Media from the simulated Meta into a local folder: fetched before they are gone, once, and told of."""

import asyncio
import base64
import hashlib
from collections import Counter as Multiset
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from media_world import MediaWorld, event_of
from thread_rows import forget
from threads import ANNA, BEN, ORG
from wabus_conversations.settings import MediaStoreSettings
from wabus_conversations.store.objects import MediaStore
from wabus_conversations.tables.media import objects
from wabus_conversations.tables.media.wanted import Wanted
from wabus_conversations.worker.holdings import HOLDINGS
from wabus_conversations.worker.media.due import LEASE
from wabus_events import MESSAGES, Event, MediumLost, MediumStored
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.settings import load

pytest_plugins = ["media_world"]

EventsIn = Callable[..., Awaitable[list[Event]]]


async def test_a_medium_is_stored_and_told_of_with_its_hash_and_its_type(
    media_world: MediaWorld, publisher: Publisher, events_in: EventsIn
) -> None:
    upkeep = replace(media_world.upkeep, publisher=publisher)
    sent = await media_world.send(type="document", content=base64.b64encode(b"%PDF-1.7 all of it").decode())
    assert (await media_world.row())["state"] == "wanted"
    assert await media_world.fetch() == 1
    row = await media_world.row()
    assert (row["state"], row["type"], row["type_told"]) == ("stored", "application/pdf", "application/pdf")
    assert await media_world.content(row) == b"%PDF-1.7 all of it"
    assert await upkeep.tell() == 1
    assert await upkeep.tell() == 0
    (told,) = [event for event in await events_in(MESSAGES) if isinstance(event, MediumStored)]
    assert told.wamid == sent["id"]
    assert (told.sha256, told.bytes) == (hashlib.sha256(b"%PDF-1.7 all of it").hexdigest(), 18)
    assert (told.media_id, told.message_id) == (str(row["media_id"]), str(row["message_id"]))
    # Fresh from the webhook its address is good: Graph need not be asked for another.
    assert await media_world.calls(sent["media"]["id"]) == []


async def test_with_an_address_that_ended_graph_is_asked_for_a_new_one(media_world: MediaWorld) -> None:
    sent = await media_world.send(size=3_000_000)
    await media_world.change(sent, addresses_end=True)
    await media_world.fetch()
    assert (await media_world.row())["state"] == "stored"
    assert len(await media_world.calls(sent["media"]["id"])) == 1


@pytest.mark.usefixtures("without_pauses")
async def test_with_meta_away_for_an_hour_a_medium_is_stored_afterwards(media_world: MediaWorld) -> None:
    await media_world.send()
    await media_world.fail()
    began = media_world.clock.at
    while (media_world.clock.at - began).total_seconds() < 3600:
        await media_world.fetch()
        row = await media_world.row()
        assert (row["state"], row["reason"]) == ("wanted", "meta_unavailable")
        media_world.clock.at = row["due_at"]
    await media_world.work_again()
    await media_world.fetch()
    assert (await media_world.row())["state"] == "stored"


@pytest.mark.usefixtures("without_pauses")
async def test_with_meta_away_for_eight_days_a_medium_is_lost_with_a_reason_and_told_of_once(
    media_world: MediaWorld, publisher: Publisher, events_in: EventsIn
) -> None:
    sent = await media_world.send()
    await media_world.fail()
    while (row := await media_world.row())["state"] == "wanted":
        media_world.clock.at = max(row["due_at"], media_world.clock.at)
        await media_world.fetch()
    assert media_world.clock.at == row["deadline"]
    await media_world.work_again()
    media_world.clock.passes(days=1)
    assert await media_world.fetch() == 0
    await replace(media_world.upkeep, publisher=publisher).tell()
    (lost,) = [event for event in await events_in(MESSAGES) if isinstance(event, MediumLost)]
    assert (lost.wamid, lost.reason) == (sent["id"], "meta_unavailable")
    assert media_world.stored_files() == []
    assert await objects.leftovers(media_world.pool) == 0


async def test_an_id_that_meta_does_not_know_is_asked_for_until_it_would_have_ended(media_world: MediaWorld) -> None:
    sent = await media_world.send()
    await media_world.change(sent, expires_in=-1)
    await media_world.fetch()
    row = await media_world.row()
    assert (row["state"], row["reason"]) == ("wanted", "id_ended")
    media_world.clock.at = row["deadline"]
    await media_world.fetch()
    row = await media_world.row()
    assert (row["state"], row["reason"]) == ("lost", "id_ended")


async def test_a_log_that_is_folded_for_the_first_time_asks_for_nothing_that_ended_long_ago(
    media_world: MediaWorld,
) -> None:
    await media_world.send()
    media_world.clock.passes(days=20)
    assert await media_world.fetch() == 1
    assert (await media_world.row())["state"] == "lost"
    assert await media_world.calls() == []


async def test_bytes_that_are_not_those_of_the_hash_are_never_stored(media_world: MediaWorld) -> None:
    await media_world.send(size=3_000_000, says_sha256="00" * 32)
    for _ in range(5):
        await media_world.fetch()
        media_world.clock.at = (await media_world.row())["due_at"]
    row = await media_world.row()
    assert (row["state"], row["reason"], row["sha256"]) == ("refused", "hash_differs", None)
    media_world.clock.passes(hours=1)
    await media_world.upkeep.delete()
    assert media_world.stored_files() == []
    assert await objects.leftovers(media_world.pool) == 0


async def test_a_download_that_ends_in_the_middle_leaves_nothing_and_comes_whole_later(
    media_world: MediaWorld,
) -> None:
    await media_world.send(type="video", size=4_000_000, cuts=1)
    await media_world.fetch()
    assert media_world.stored_files() == []
    assert (await media_world.row())["reason"] == "meta_unavailable"
    media_world.clock.passes(seconds=5)
    await media_world.fetch()
    row = await media_world.row()
    assert (row["state"], len(await media_world.content(row))) == ("stored", 4_000_000)


async def test_what_is_too_large_is_refused(media_world: MediaWorld) -> None:
    await media_world.send(size=100 * 1024 * 1024 + 1)
    await media_world.fetch()
    row = await media_world.row()
    assert (row["state"], row["reason"]) == ("refused", "too_large")


async def test_a_token_that_was_revoked_is_waited_for(media_world: MediaWorld) -> None:
    old = next(iter(media_world.store.world.tokens.values()))
    old.revoked = True
    await media_world.send()
    await media_world.fetch()
    assert (await media_world.row())["reason"] == "no_access"
    media_world.store.world.tokens["another"] = old.model_copy(update={"value": "another", "revoked": False})
    media_world.accounts.connect("another")
    media_world.clock.passes(hours=1)
    await media_world.fetch()
    assert (await media_world.row())["state"] == "stored"


async def test_an_account_that_another_organisation_has_now_gives_it_nothing(media_world: MediaWorld) -> None:
    await media_world.send()
    media_world.accounts.connect(next(iter(media_world.store.world.tokens)), "rival")
    await media_world.fetch()
    assert (await media_world.row())["reason"] == "no_access"
    assert await media_world.calls() == []


async def test_one_film_in_a_thousand_conversations_is_fetched_and_stored_once(media_world: MediaWorld) -> None:
    sent = await media_world.send(type="video", size=3_000_000)
    value = sent["value"]
    item = value["messages"][0]
    again = [
        event_of({**value, "messages": [{**item, "id": f"wamid.{n}", "video": {**item["video"], "id": str(n)}}]})
        for n in range(1, 1_000)
    ]
    await media_world.fold(*again)
    assert await media_world.fetch() == 1
    rows = await media_world.rows()
    assert len(rows) == 1_000
    assert {(row["state"], row["key"]) for row in rows} == {("stored", rows[0]["key"])}
    assert len(media_world.stored_files()) == 1
    assert len(await media_world.calls("attachments")) == 1
    # One more, once it is there, is not fetched at all.
    await media_world.fold(event_of({**value, "messages": [{**item, "id": "wamid.late"}]}))
    await media_world.fetch()
    assert len(await media_world.calls("attachments")) == 1
    assert {row["state"] for row in await media_world.rows()} == {"stored"}


async def test_folding_again_asks_for_nothing_twice(media_world: MediaWorld) -> None:
    sent = await media_world.send()
    await media_world.fetch()
    await media_world.fold(event_of(sent["value"]))
    assert await media_world.fetch() == 0
    assert (await media_world.row())["state"] == "stored"


async def test_a_message_that_is_taken_back_takes_its_medium_along_whatever_comes_first(
    media_world: MediaWorld,
) -> None:
    for name, medium_first in (("wamid.a", True), ("wamid.b", False)):
        sent = await media_world.send(wamid=name, content=base64.b64encode(name.encode()).decode())
        value = sent["value"]
        item = {**value["messages"][0], "id": f"{name}.revoke", "type": "revoke"}
        item["revoke"] = {"original_message_id": name}
        revoke = event_of({**value, "messages": [item]})
        if medium_first:
            await media_world.fetch()
            await media_world.fold(revoke)
        else:
            await media_world.pool.execute("DELETE FROM media WHERE wamid = $1", name)
            await media_world.pool.execute("DELETE FROM messages WHERE wamid = $1", name)
            await media_world.fold(revoke)
            await media_world.fold(event_of(value))
    assert [row["state"] for row in await media_world.rows()] == ["gone", "gone"]
    assert await media_world.fetch() == 0
    media_world.clock.passes(minutes=1)
    await media_world.upkeep.delete()
    assert media_world.stored_files() == []


async def test_an_organisation_with_much_to_fetch_leaves_room_for_another(media_world: MediaWorld) -> None:
    for number in range(20):
        await media_world.send(content=base64.b64encode(str(number).encode()).decode())
    taken = await media_world.fetching.take(8, _busy())
    assert len(taken) == 4
    assert await media_world.fetching.take(4, _busy(**{ORG: 4})) == []
    await media_world.pool.execute("UPDATE media SET org_id = 'small' WHERE media_id = $1", taken[0].media_id)
    await media_world.pool.execute("UPDATE media SET due_at = $1, leased_until = NULL", media_world.clock.at)
    found = await media_world.fetching.take(2, _busy(**{ORG: 3}))
    assert [each.org_id for each in found] == ["small", ORG]


async def test_two_processes_never_have_the_same_and_what_one_drops_comes_again(media_world: MediaWorld) -> None:
    for number in range(6):
        await media_world.send(content=base64.b64encode(str(number).encode()).decode())
    takes = await asyncio.gather(*(media_world.fetching.take(8, _busy()) for _ in range(2)))
    first: list[Wanted] = [each for found in takes for each in found]
    assert len({each.media_id for each in first}) == len(first)
    media_world.clock.at += LEASE
    await media_world.fetch()
    assert {row["state"] for row in await media_world.rows()} == {"stored"}


def _busy(**number: int) -> Multiset[str]:
    return Multiset[str](number)


async def test_content_goes_with_the_last_who_has_it_when_they_are_forgotten(media_world: MediaWorld) -> None:
    content = base64.b64encode(b"%PDF-1.7 the same").decode()
    for who in (ANNA, BEN):
        await media_world.send(type="document", content=content, **{"from": who})
    await media_world.fetch()
    assert len(media_world.stored_files()) == 1
    now = datetime.now(UTC)
    await forget(media_world.pool, ANNA, now)
    assert [row["contact"] for row in await media_world.rows()] == [BEN]
    assert await objects.leftovers(media_world.pool) == 0
    await forget(media_world.pool, BEN, now)
    assert await media_world.rows() == []
    # Until the content is gone it is said whose it was, or nobody could tell that they are forgotten.
    assert await media_world.pool.fetchval("SELECT people FROM media_leftovers") >= [BEN]
    media_world.clock.passes(minutes=1)
    await media_world.upkeep.delete()
    assert media_world.stored_files() == []
    assert await objects.leftovers(media_world.pool) == 0


async def test_an_export_has_the_content_as_files_that_only_their_owner_reads(
    media_world: MediaWorld, tmp_path: Path
) -> None:
    await media_world.send(type="document", content=base64.b64encode(b"%PDF-1.7 exported").decode())
    await media_world.fetch()
    save = HOLDINGS.files() if HOLDINGS.files else None
    assert save is not None
    folder = tmp_path / "export"
    folder.mkdir()
    row = orjson.loads(await media_world.pool.fetchval("SELECT to_jsonb(media_objects)::text FROM media_objects"))
    assert await save("media_objects", row, folder)
    assert not await save("media", row, folder)
    (file,) = folder.iterdir()
    assert (file.name, file.read_bytes()) == (hashlib.sha256(b"%PDF-1.7 exported").hexdigest(), b"%PDF-1.7 exported")
    assert file.stat().st_mode & 0o077 == 0


async def test_what_was_written_for_longer_than_its_lease_is_deleted_and_written_again(media_world: MediaWorld) -> None:
    await media_world.send()
    (taken,) = await media_world.fetching.take(1, _busy())
    files, upkeep = media_world.files, media_world.upkeep

    class Slow(MediaStore):
        async def put(self, key: str, chunks: AsyncIterator[bytes]) -> None:
            # A process that stood still: what it began was deleted, and then it goes on.
            media_world.clock.at += LEASE * 2
            assert await upkeep.delete() == 1
            await files.put(key, chunks)

    slow = replace(media_world.fetching.fetcher, store=Slow(load(MediaStoreSettings).media_store_url))
    await replace(media_world.fetching, fetcher=slow).attempt(taken)
    row = await media_world.row()
    assert (row["state"], row["reason"]) == ("wanted", "store_unavailable")
    assert await upkeep.delete() == 1
    assert media_world.stored_files() == []
    media_world.clock.passes(hours=1)
    await media_world.fetch()
    assert (await media_world.row())["state"] == "stored"
    assert len(media_world.stored_files()) == 1
