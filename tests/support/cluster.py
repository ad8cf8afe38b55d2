"""A Kafka of three nodes on this machine, as production has it: each a broker, a controller and a replica of all."""

import asyncio
import signal
from pathlib import Path

import psutil
from aiokafka.client import AIOKafkaClient, CoordinationType
from local_stack import free_ports
from wabus_local.kafka import EmbeddedKafka, new_cluster_id

NODES = 3
REPLICATED = {
    "default.replication.factor": "3",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
}


class Cluster:
    """The nodes by their ids, which are those of their brokers. A dead one is missed after 3 s, not after 9."""

    def __init__(self, home: Path) -> None:
        ports, controllers = free_ports(NODES), free_ports(NODES)
        voters = ",".join(f"{node}@127.0.0.1:{port}" for node, port in enumerate(controllers, 1))
        cluster_id = new_cluster_id()
        self.nodes = {
            node: EmbeddedKafka(
                home / str(node),
                port,
                controller_port=controller,
                cluster_id=cluster_id,
                properties=REPLICATED | {"node.id": str(node), "controller.quorum.voters": voters},
            )
            for node, (port, controller) in enumerate(zip(ports, controllers, strict=True), 1)
        }
        self.bootstrap_servers = ",".join(node.bootstrap_servers for node in self.nodes.values())

    async def start(self, timeout: float = 120.0) -> None:
        await asyncio.gather(*(node.start(timeout) for node in self.nodes.values()))

    async def end(self) -> None:
        """For good: told to stop together they would wait for each other."""
        await asyncio.gather(*(node.kill() for node in self.nodes.values()))

    def halt(self, node: int, number: signal.Signals = signal.SIGSTOP) -> None:
        """Its connections stay open, and nothing is answered until SIGCONT."""
        child = self.nodes[node].child
        assert child is not None
        psutil.Process(child.pid).send_signal(number)

    async def coordinator(self, group: str) -> int:
        """The node that coordinates a consumer group."""
        client = AIOKafkaClient(bootstrap_servers=self.bootstrap_servers)
        try:
            await client.bootstrap()
            return await client.coordinator_lookup(CoordinationType.GROUP, group)
        finally:
            await client.close()

    async def in_sync(self, topic: str) -> bool:
        """Whether every node has all of a topic that they acknowledge."""
        client = AIOKafkaClient(bootstrap_servers=self.bootstrap_servers)
        try:
            await client.bootstrap()
            await client.set_topics([topic])
            partitions = client.cluster._partitions.get(topic, {})  # pyright: ignore[reportPrivateUsage]
            return bool(partitions) and all(len(one.isr) == NODES for one in partitions.values())
        finally:
            await client.close()
