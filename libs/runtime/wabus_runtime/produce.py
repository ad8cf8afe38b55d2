"""Produce requests by hand: idempotent, `acks=all`, the batches of many partitions in one request to each leader.

Authentication and metadata are aiokafka's. Its producer is not used, because it makes futures, tasks and generic
encoders do for every partition what a few bytes in a row do for all of them (docs/decisions/0007). As long as Kafka
answers, no task and no future is made here either.
Source: Kafka protocol guide, InitProducerId version 0; KIP-98 (idempotent producer).
"""

import asyncio
import random
import struct
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    DuplicateSequenceNumber,
    KafkaConnectionError,
    KafkaError,
    LeaderNotAvailableError,
    NoError,
    NotLeaderForPartitionError,
    RequestTimedOutError,
    for_code,
)
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.structs import TopicPartition
from wabus_events import TOPICS

from wabus_runtime.batches import PRODUCE, VERSION, Batch, encoded, outcomes, request
from wabus_runtime.kafka import client_options
from wabus_runtime.settings import KafkaSettings
from wabus_runtime.wire import Wire, take_over

ACK_TIMEOUT = 3.0  # seconds until a round without an end means that Kafka is away
ROUND_TIMEOUT = 30.0  # seconds in which a round is tried; brokers take 9 until they do without one that has died
RETRY_DELAY = 0.1  # seconds between attempts
CONNECT_TIMEOUT_MS = 1_500
"""For each step of a connection and for metadata: a broker that hangs must not keep us from the others for long."""

_PATIENCE = 0.1  # seconds that a round waits for a broker that may hang, before it goes on with the others
_OVERDUE_EVERY = 0.5  # seconds between looks at who does not answer
_NEVER = 2**31 - 1  # ms; InitProducerId demands a transaction time-out even where there are no transactions

Ended = Callable[[Exception | None], None]
"""Told why a round ended without an answer for all; None where each of its batches is acknowledged or has an error."""


class Producer:
    """One producer id. One round at a time: a partition's batches must arrive one after the other."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._prefix = settings.topic_prefix
        options = client_options(settings)
        options["request_timeout_ms"] = CONNECT_TIMEOUT_MS
        self._client: Any = AIOKafkaClient(**options)
        self._wires: dict[int, Wire] = {}
        self._connecting: dict[int, asyncio.Task[Wire | None]] = {}
        self._sequences: dict[tuple[str, int], int] = {}
        self._id, self._epoch = -1, -1
        self._ended: Ended | None = None
        self._began = 0.0  # when the round did, in the loop's time
        self._watch: asyncio.TimerHandle | None = None
        self._unanswered = 0  # batches of this round
        self._again: list[Batch] = []
        self._retry: asyncio.Task[None] | None = None
        self.partitions: dict[str, int] = {}
        """How many each topic has, by its name without the prefix."""

    async def start(self) -> None:
        """Wait for the topics to exist and take a producer id. Raises KafkaError or OSError."""
        await self._client.bootstrap()
        names = {topic.name: self._prefix + topic.name for topic in TOPICS}
        await self._client.set_topics(list(names.values()))
        for topic, name in names.items():
            while not (found := self._client.cluster.partitions_for_topic(name)):
                # Created a moment ago, perhaps, and not yet known to this broker; the caller's time-out ends this.
                await asyncio.sleep(RETRY_DELAY)
                await self._client.force_metadata_update()
            self.partitions[topic] = len(found)
        # The first records shall not wait for connections, least of all those of a round for all brokers.
        places = [(topic, number) for topic, count in self.partitions.items() for number in range(count)]
        await self._connect({self._leader(*place) for place in places}, CONNECT_TIMEOUT_MS / 1000)
        while True:
            asked: Any = InitProducerIdRequest(None, _NEVER)  # pyright: ignore[reportArgumentType]
            try:
                answer = await self._client.send(self._client.get_random_node(), asked)
                if (error := for_code(answer.error_code)) is not NoError:
                    raise error
            except KafkaError as error:
                if not error.retriable:
                    raise
                await asyncio.sleep(RETRY_DELAY)  # it is still loading, or gone: another one will do
            else:
                self._id, self._epoch = answer.producer_id, answer.producer_epoch
                return

    async def close(self) -> None:
        self._end(KafkaConnectionError("the producer is closed"))
        for task in (self._retry, *self._connecting.values()):
            if task:
                task.cancel()
        await self._client.close()

    def produce(self, batches: Sequence[Batch], ended: Ended) -> None:
        """Send a round; `ended` is called later, never from here. An error leaves the producer unfit for more.

        What may pass (a leader that died, too few replicas in sync) is tried again for `ROUND_TIMEOUT`, with the same
        sequence numbers, so that nothing is written twice; after that, or after `ACK_TIMEOUT` where no broker can be
        reached at all, the round ends with an error. Raises MessageSizeTooLargeError.
        """
        for batch in batches:
            sequence = self._sequences.get((batch.topic, batch.partition), 0)
            batch.data = encoded(batch, self._id, self._epoch, sequence)
        loop = asyncio.get_running_loop()
        self._ended, self._began, self._unanswered = ended, loop.time(), len(batches)
        self._watch = loop.call_later(ACK_TIMEOUT, self._look)
        self._attempt(batches)

    def _leader(self, topic: str, partition: int) -> int:
        """The id of the broker that leads a partition, -1 where there is none."""
        leader = self._client.cluster.leader_for_partition(TopicPartition(self._prefix + topic, partition))
        return -1 if leader is None else leader

    async def _connect(self, leaders: Iterable[int], patience: float) -> None:
        """Open what is not open; what takes longer than `patience`, in seconds, is there for a later call.

        Raises IncompatibleBrokerVersion.
        """
        for one in leaders:
            if one != -1 and one not in self._connecting and not ((wire := self._wires.get(one)) and wire.open):
                self._connecting[one] = asyncio.create_task(take_over(self._client, one, PRODUCE, VERSION))
        if self._connecting:
            await asyncio.wait(self._connecting.values(), timeout=patience)
        for leader, task in list(self._connecting.items()):
            if task.done():
                del self._connecting[leader]
                if wire := task.result():
                    self._wires[leader] = wire

    async def _look_for_leaders(self) -> bool:
        """Ask all brokers at once who leads, so that one that hangs delays little. False where none answers."""
        names: Any = [self._prefix + topic.name for topic in TOPICS]
        asking: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._client.send(broker.nodeId, MetadataRequest(names)))
            for broker in self._client.cluster.brokers()
        ]
        try:
            done, pending = await asyncio.wait(asking, timeout=_PATIENCE)
            while pending and all(task.exception() for task in done):
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            answers = [task.result() for task in done if not task.exception()]
            if answers:
                # Any of them: one that is cut off from the others would say the same for ever.
                self._client.cluster.update_metadata(random.choice(answers))  # noqa: S311
            return bool(answers)
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    def _attempt(self, batches: Sequence[Batch]) -> None:
        """Ask the leaders once. One that still has to answer is asked later."""
        by_leader: dict[int, list[Batch]] = {}
        for batch in batches:
            batch.attempts += 1
            by_leader.setdefault(self._leader(batch.topic, batch.partition), []).append(batch)
        for leader, those in by_leader.items():
            wire = self._wires.get(leader)
            if wire is None or wire.asked_at is not None:
                self._answered(those, None)
            else:
                wire.ask(PRODUCE, VERSION, request(self._prefix, those), partial(self._answered, those))

    def _answered(self, batches: list[Batch], answer: bytes | None) -> None:
        """Note what a leader has answered, or None where it could not; the last batch's outcome ends the round."""
        if self._ended is None:
            return
        again: list[Batch] = []
        waiting: list[Batch] = []
        if answer is None:
            again = batches
        else:
            try:
                found = outcomes(answer)
            except (struct.error, UnicodeDecodeError):
                self._end(KafkaError("a broker's answer can't be read"))
                return
            for batch in batches:
                code, offset = found.get((self._prefix + batch.topic, batch.partition), (-1, -1))
                if code == RequestTimedOutError.errno:
                    waiting.append(batch)
                elif not self._note(batch, code, offset):
                    again.append(batch)
        self._unanswered -= len(batches) - len(again) - len(waiting)
        if not self._unanswered:
            self._end(None)
            return
        if waiting:
            self._attempt(waiting)  # at once: the leader has them and waits for its replicas
        if again:
            self._again += again
            if self._retry is None:
                self._retry = asyncio.get_running_loop().create_task(self._try_again())

    def _note(self, batch: Batch, code: int, offset: int) -> bool:
        """Whether that is the batch's end; otherwise it is to be tried again."""
        error = for_code(code)
        if error is NoError or error is DuplicateSequenceNumber:
            lane = batch.topic, batch.partition
            self._sequences[lane] = (self._sequences.get(lane, 0) + len(batch.records)) & 0x7FFFFFFF
            batch.offset, batch.acknowledged = offset, True
        elif error.retriable or error in (NotLeaderForPartitionError, LeaderNotAvailableError):
            return False
        else:
            batch.error = error()
        return True

    async def _try_again(self) -> None:
        """Look for the leaders of what none has taken, and ask them, until nothing is left to ask for."""
        loop = asyncio.get_running_loop()
        try:
            while self._again and self._ended:
                if any(batch.attempts > 1 for batch in self._again):
                    await asyncio.sleep(RETRY_DELAY)
                reached = await self._look_for_leaders()
                if not reached and loop.time() - self._began > ACK_TIMEOUT:
                    raise KafkaConnectionError("no broker answers")
                await self._connect({self._leader(batch.topic, batch.partition) for batch in self._again}, _PATIENCE)
                batches, self._again = self._again, []
                self._attempt(batches)
        except Exception as error:  # whatever it is, those who wait for the round are told
            self._end(error)
        finally:
            self._retry = None

    def _look(self) -> None:
        """End the round that takes too long, and before that the connections on which nobody answers."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now - self._began > ROUND_TIMEOUT:
            self._end(TimeoutError())
            return
        self._watch = loop.call_later(_OVERDUE_EVERY, self._look)
        for wire in list(self._wires.values()):
            if wire.asked_at is not None and now - wire.asked_at >= ACK_TIMEOUT:
                wire.end()

    def _end(self, error: Exception | None) -> None:
        ended, self._ended = self._ended, None
        if self._watch:
            self._watch.cancel()
        if ended:
            ended(error)
