"""How many sends of an organisation may wait, where counting them takes long."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from itertools import count

import pytest
from wabus_events.models.sends import Lane
from wabus_runtime.http.answers import Problem
from wabus_sender.api.queue_bound import QueueBound

LIMIT = 100


class Waiting:
    """Sends of one organisation that wait, and a clock; a count is done when it is let go on."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.now = 0.0
        self.counts = 0
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.folded = set[str]()
        self.asked = count(1)
        self.bound = QueueBound(self._count, LIMIT, clock=lambda: self.now)

    async def _count(self, _org_id: str, most: int, send_ids: Collection[str]) -> tuple[int, set[str]]:
        self.counts += 1
        number, there = self.number, self.folded & set(send_ids)
        await self.goes_on.wait()
        return min(number, most), there

    async def admit(self, lane: Lane = "service") -> str:
        send_id = str(next(self.asked))
        async with asyncio.timeout(5):
            await self.bound.admit("org", lane, send_id)
        return send_id

    def fold(self, *send_ids: str) -> None:
        self.folded |= set(send_ids)
        self.number += len(send_ids)

    async def counted_again(self) -> None:
        """A count later: of what is taken to have it counted, nothing comes."""
        self.now += 2
        before = self.counts
        self.fold(await self.admit())
        await until(lambda: self.counts > before and not asyncio.all_tasks() - {asyncio.current_task()})


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - another task makes it so
            await asyncio.sleep(0)


async def refused(admitting: Awaitable[object]) -> bool:
    try:
        await admitting
    except Problem as problem:
        return problem.code == "queue_full"
    return False


async def test_no_answer_waits_until_a_million_are_counted() -> None:
    waiting = Waiting(50)
    await waiting.admit()
    waiting.now = 2.0
    waiting.goes_on.clear()
    for _ in range(10):
        await waiting.admit()
    await until(lambda: waiting.counts == 2)  # one for all of them, which goes on


async def test_what_is_counted_for_long_is_counted_seldom() -> None:
    waiting = Waiting(50)
    waiting.goes_on.clear()
    first = asyncio.create_task(waiting.admit())
    await until(lambda: waiting.counts == 1)
    waiting.now = 3.0
    waiting.goes_on.set()
    await first
    for waiting.now in (5.0, 20.0, 32.9):
        await waiting.admit()
    assert waiting.counts == 1
    waiting.now = 33.0
    await waiting.admit()
    await until(lambda: waiting.counts == 2)


async def test_what_is_taken_and_not_in_the_tables_yet_counts() -> None:
    waiting = Waiting(LIMIT - 8)
    first = await waiting.admit()
    await waiting.counted_again()
    second = await waiting.admit()
    waiting.fold(first)
    await waiting.counted_again()
    waiting.fold(second)
    await waiting.counted_again()
    assert [await refused(waiting.admit()) for _ in range(4)] == [False, False, False, True]


async def test_what_is_taken_and_never_published_does_not_count_for_ever() -> None:
    waiting = Waiting(LIMIT - 1)
    await waiting.admit()
    waiting.now = 1800.0
    assert await refused(waiting.admit())
    waiting.now = 3601.0
    first = await waiting.admit()
    assert await refused(waiting.admit())
    waiting.bound.give_back("org", first)
    await waiting.admit()


async def test_nobody_is_refused_for_long_where_counting_takes_long() -> None:
    waiting = Waiting(LIMIT - 1)
    waiting.goes_on.clear()
    first = asyncio.create_task(waiting.admit())
    await until(lambda: waiting.counts == 1)
    waiting.now = 5.0
    waiting.goes_on.set()
    waiting.fold(await first)
    assert await refused(waiting.admit())
    waiting.number = 0  # all of it is sent
    waiting.now = 6.0
    await waiting.admit()


async def test_nobody_is_refused_for_what_waited_some_time_ago() -> None:
    waiting = Waiting(LIMIT)
    assert await refused(waiting.admit())
    waiting.number = 0
    assert await refused(waiting.admit())
    waiting.now = 2.0
    await waiting.admit()


async def test_the_last_tenth_is_for_answers() -> None:
    waiting = Waiting(LIMIT - 10)
    assert await refused(waiting.admit("marketing"))
    await waiting.admit("authentication")


async def test_who_asks_first_is_told_that_the_database_is_away_and_the_next_asks_again() -> None:
    away = True

    async def counted(*_asked: object) -> tuple[int, set[str]]:
        if away:
            raise ConnectionRefusedError
        return 0, set()

    bound = QueueBound(counted, LIMIT)
    with pytest.raises(ConnectionRefusedError):
        await bound.admit("org", "service", "1")
    away = False
    await bound.admit("org", "service", "1")
