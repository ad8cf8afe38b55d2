"""The credentials topic in memory: who owns which WABA, and each WABA's sealed token. Read whole, then followed."""

import asyncio
from collections.abc import Callable, Sequence

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from wabus_events import CREDENTIALS, CredentialStored, UndecodableRecord, decode

from wabus_runtime.kafka import KafkaUnavailable, client_options, topic_name
from wabus_runtime.settings import KafkaSettings

log = structlog.get_logger()


READ_TIMEOUT = 30.0  # seconds for a command to read the whole topic


async def read_credentials(settings: KafkaSettings) -> "CredentialReplica":
    """All credentials as they are now, for a command that does not follow them. Raises `KafkaUnavailable`."""
    replica = CredentialReplica(settings)
    read = asyncio.Event()
    following = asyncio.create_task(replica.run(read.set))
    done = asyncio.create_task(read.wait())
    try:
        await asyncio.wait([following, done], timeout=READ_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
        if not read.is_set():
            raise KafkaUnavailable("the credentials could not be read")
    finally:
        following.cancel()
        done.cancel()
        await asyncio.wait([following])
    return replica


class CredentialReplica:
    """A replica of a compacted topic: small (one record a WABA), always whole, never written to a table."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._credentials: dict[str, CredentialStored] = {}

    def __len__(self) -> int:
        return len(self._credentials)

    def owner(self, waba_id: str) -> str | None:
        """The organisation that has the WABA connected, or None."""
        credential = self._credentials.get(waba_id)
        return credential.org_id if credential else None

    def credential(self, waba_id: str) -> CredentialStored | None:
        """The WABA's sealed token, or None while it is not connected."""
        return self._credentials.get(waba_id)

    async def run(self, ready: Callable[[], None]) -> None:
        """Follow the topic for ever; `ready` is called once everything that was there at the start is in."""
        consumer = AIOKafkaConsumer(
            **client_options(self._settings),
            isolation_level="read_committed",
            enable_auto_commit=False,
            fetch_max_wait_ms=250,
        )
        await consumer.start()
        try:
            name = topic_name(self._settings, CREDENTIALS)
            numbers = consumer.partitions_for_topic(name)
            if not numbers:
                raise KafkaUnavailable(f"the topic {name} does not exist yet")
            partitions = [TopicPartition(name, number) for number in numbers]
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            ends = await consumer.end_offsets(partitions)
            caught_up = False
            while True:
                fetched = await consumer.getmany(timeout_ms=250)
                for batch in fetched.values():
                    for record in batch:
                        self._take(record.key, record.value, record.headers)
                if not caught_up:
                    positions = [(await consumer.position(partition), ends[partition]) for partition in partitions]
                    caught_up = all(position >= end for position, end in positions)
                    if caught_up:
                        log.info("credentials read", action="replica_ready", accounts=len(self._credentials))
                        ready()
        finally:
            await consumer.stop()

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
