"""The credentials topic in memory: who owns which WABA, and each WABA's sealed token. Read whole, then followed."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from prometheus_client import Gauge
from wabus_events import CREDENTIALS, CredentialStored, UndecodableRecord, decode

from wabus_runtime.kafka.clients import KafkaUnavailable, new_consumer, poll, stop_consumer, topic_name
from wabus_runtime.kafka.end_offsets import Ends
from wabus_runtime.settings import KafkaSettings

KNOWN = Gauge("wabus_credentials", "WABAs whose owner and sealed token this process holds.")

log = structlog.get_logger()


REFRESH_TIMEOUT = 5.0  # seconds
READ_TIMEOUT = 30.0  # seconds for a command to read the whole topic


@asynccontextmanager
async def following_credentials(settings: KafkaSettings) -> AsyncGenerator["CredentialCache"]:
    """A replica for the length of a command, whole from the start. Raises `KafkaUnavailable`."""
    replica = CredentialCache(settings)
    read = asyncio.Event()
    following = asyncio.create_task(replica.run(read.set))
    reading = asyncio.create_task(read.wait())
    try:
        await asyncio.wait([following, reading], timeout=READ_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
        if not read.is_set():
            cause = following.exception() if following.done() else None
            raise KafkaUnavailable("the credentials could not be read") from cause
        yield replica
    finally:
        following.cancel()
        reading.cancel()
        await asyncio.wait([following, reading])


class CredentialCache:
    """A replica of a compacted topic: small (one record a WABA), always whole, never written to a table."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._credentials: dict[str, CredentialStored] = {}
        self._consumer: AIOKafkaConsumer | None = None
        self._ends: Ends | None = None
        self._partitions: list[TopicPartition] = []
        self._moved = asyncio.Event()
        self._whole = asyncio.Event()

    def __len__(self) -> int:
        return len(self._credentials)

    def owner(self, waba_id: str) -> str | None:
        """The organisation that has the WABA connected, or None."""
        credential = self._credentials.get(waba_id)
        return credential.org_id if credential else None

    def credential(self, waba_id: str) -> CredentialStored | None:
        """The WABA's sealed token, or None while it is not connected."""
        return self._credentials.get(waba_id)

    def of_organisation(self, org_id: str) -> list[CredentialStored]:
        """The credentials of an organisation, by WABA id."""
        found = [credential for credential in self._credentials.values() if credential.org_id == org_id]
        return sorted(found, key=lambda credential: credential.waba_id)

    def all(self) -> list[CredentialStored]:
        """Every credential, by WABA id."""
        return sorted(self._credentials.values(), key=lambda credential: credential.waba_id)

    async def whole(self, within: float) -> None:
        """Return once everything that was there at the start is in; from then on at once.

        Raises `KafkaUnavailable` after `within` seconds.
        """
        if self._whole.is_set():
            return
        try:
            async with asyncio.timeout(within):
                await self._whole.wait()
        except TimeoutError:
            raise KafkaUnavailable("the credentials are not read yet") from None

    async def refresh(self) -> None:
        """Return when everything that Kafka has now is in. Raises `KafkaUnavailable`."""
        try:
            async with asyncio.timeout(REFRESH_TIMEOUT):
                while (consumer := self._consumer) is None or (client := self._ends) is None:
                    self._moved.clear()
                    await self._moved.wait()
                ends = await client.of(self._partitions)
                while any([await consumer.position(place) < end for place, end in ends.items()]):
                    self._moved.clear()
                    await self._moved.wait()
        except (TimeoutError, KafkaError) as error:
            raise KafkaUnavailable("the credentials could not be read") from error

    async def run(self, ready: Callable[[], None]) -> None:
        """Follow the topic for ever; `ready` is called once everything that was there at the start is in."""
        consumer = new_consumer(self._settings, start="earliest")
        client = Ends(self._settings)
        try:
            await consumer.start()
            name = topic_name(self._settings, CREDENTIALS)
            partitions = self._partitions = [TopicPartition(name, number) for number in range(CREDENTIALS.partitions)]
            consumer.assign(partitions)
            # On the same connection: it has fetched nothing yet, so no fetch goes before the question.
            ends = await consumer.end_offsets(partitions)
            caught_up = False
            while True:
                if not caught_up:  # asked before each poll, for where nothing is left a poll would only wait
                    positions = [(await consumer.position(partition), ends[partition]) for partition in partitions]
                    caught_up = all(position >= end for position, end in positions)
                    if caught_up:
                        log.info("credentials read", action="replica_ready", accounts=len(self._credentials))
                        self._whole.set()
                        ready()
                        await client.start()
                        self._consumer, self._ends = consumer, client
                        self._moved.set()
                fetched = await poll(consumer, timeout_ms=250)
                for batch in fetched.values():
                    for record in batch:
                        self._take(record.key, record.value, record.headers)
                self._moved.set()
                KNOWN.set(len(self._credentials))
        finally:
            self._consumer = self._ends = None
            await stop_consumer(consumer)
            await client.stop()

    def _take(self, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> None:
        waba_id = (key or b"").decode(errors="replace")
        if value is None:
            self._credentials.pop(waba_id, None)
            return
        try:
            event = decode(headers, value)
        except UndecodableRecord as error:
            log.error("a credential is unreadable", action="credential_unreadable", waba_id=waba_id, reason=str(error))
            return
        if isinstance(event, CredentialStored):
            self._credentials[waba_id] = event
