"""What one partition of templates.v1 is published through: transactions that several syncs share, and one owner."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from wabus_events import Record, WabaEvent
from wabus_runtime.kafka.outcomes import Position, RecordRefused
from wabus_runtime.kafka.transactions import Fenced, TransactionalPublisher
from wabus_runtime.settings import KafkaSettings

SOURCE = "/wabus/template-sync"
EVENTS_TOGETHER = 2_000  # in one transaction, unless a single sync has more


@dataclass(slots=True, eq=False)
class _Waiting:
    events: Sequence[WabaEvent | Record]
    done: "asyncio.Future[list[Position]]"


class PartitionPublisher:
    """The transactional publisher of one partition, until it fails or is fenced for the first time.

    A transaction takes some 40 ms however much is in it, so what waits meanwhile goes into the next one together.
    """

    def __init__(self, settings: KafkaSettings, partition: int) -> None:
        self._publisher = TransactionalPublisher(settings, SOURCE, f"template-sync-{partition}")
        self.caught_up = asyncio.Event()
        """Set once the tables hold all that was published before this publisher was opened."""
        self._opening = asyncio.Lock()
        self._open = False
        self._broken = False
        self._waiting: deque[_Waiting] = deque()
        self._sender: asyncio.Task[None] | None = None

    async def open(self) -> bool:
        """Fence whoever published for this partition before; False if that was done already."""
        async with self._opening:
            self._check()
            if self._open:
                return False
            try:
                await self._publisher.start()
            except BaseException:
                self._broken = True
                raise
            self._open = True
            return True

    async def publish(self, events: Sequence[WabaEvent | Record]) -> list[Position]:
        """All or nothing. Raises `KafkaUnavailable`, or `Fenced` if another worker has the partition now.

        Raises `RecordRefused` if Kafka will never take one of these events; then others can still be published.
        """
        self._check()
        if not self._open:
            raise Fenced("this publisher was never opened")
        waiting = _Waiting(events, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._sender is None:
            self._sender = asyncio.create_task(self._send())
        return await waiting.done

    async def close(self) -> None:
        self._broken = True
        if self._sender:
            # Its transaction is cut off, and nobody knows how far it got: the partition's next publisher ends it.
            self._sender.cancel()
            await asyncio.wait([self._sender])
        await self._publisher.stop()

    def _check(self) -> None:
        if self._broken:
            raise Fenced("this publisher has been given up")

    async def _send(self) -> None:
        taken: list[_Waiting] = []
        failure: BaseException = Fenced("this publisher has been given up")
        try:
            while self._waiting:
                taken = [self._waiting.popleft()]
                count = len(taken[0].events)
                while self._waiting and count + len(self._waiting[0].events) <= EVENTS_TOGETHER:
                    taken.append(self._waiting.popleft())
                    count += len(taken[-1].events)
                await self._send_together(taken)
                taken = []
        except Exception as error:
            failure, self._broken = error, True
        except asyncio.CancelledError:
            self._broken = True
            raise
        finally:
            self._sender = None
            for waiting in [*taken, *self._waiting]:
                if not waiting.done.done():
                    waiting.done.set_exception(failure)
            self._waiting.clear()

    async def _send_together(self, taken: Sequence[_Waiting]) -> None:
        try:
            positions = await self._publisher.publish([event for waiting in taken for event in waiting.events])
        except RecordRefused as refused:
            if len(taken) > 1:
                for waiting in taken:
                    await self._send_together([waiting])
            elif not taken[0].done.done():
                taken[0].done.set_exception(refused)
            return
        first = 0
        for waiting in taken:
            last = first + len(waiting.events)
            if not waiting.done.done():
                waiting.done.set_result(positions[first:last])
            first = last
