"""The blows that the system must survive, dealt one after the other."""

import asyncio
import random
import signal
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import asyncpg
from machine import Clock, Disk, Network
from proxy import Proxy
from system import System
from wabus_local.kafka import EmbeddedKafka
from wabus_local.postgres import EmbeddedPostgres
from wabus_local.process import StackError


@dataclass
class Stores:
    """Kafka and PostgreSQL, and how the services' network reaches the first: its listener, and where it says it is."""

    kafka: EmbeddedKafka
    postgres: EmbeddedPostgres
    listener: int
    advertised: int

    async def start(self) -> None:
        await asyncio.gather(self.kafka.start(120), self.postgres.start(60))

    async def stop(self) -> None:
        await asyncio.gather(self.kafka.stop(), self.postgres.stop())

    async def revive(self) -> None:
        """Start again what has died, as the supervisor of a stack does."""
        for store in (self.kafka, self.postgres):
            if store.child and not store.child.alive:
                try:
                    await store.start()
                except StackError as error:  # the next look tries again
                    print(error)


@dataclass
class Blows:
    """Each kind as a method; `dealt` gives all that this machine allows, in random order."""

    system: System
    stores: Stores
    network: Network
    disk: Disk | None
    clock: Clock
    dice: random.Random

    def dealt(self) -> list[Callable[[], Awaitable[None]]]:
        kinds = [self.service, self.kafka, self.postgres, self.connections, self.stall, self.cut, self.delay]
        if self.disk:
            kinds.append(self.full_disk)
        else:
            warnings.warn("only root can make a disk small enough to fill: this blow is left out", stacklevel=1)
        if self.system.env.keys() & self.clock.env.keys():
            kinds.append(self.clock_jump)
        else:
            warnings.warn("libfaketime can't be loaded here: the clock does not jump", stacklevel=1)
        return self.dice.sample(kinds, len(kinds))

    async def service(self) -> None:
        name = self.dice.choice(list(self.system.ports))
        await self.system.end(name, signal.SIGKILL)
        await self.system.start(name)

    async def kafka(self) -> None:
        await (self.stores.kafka.kill() if self.dice.random() < 0.5 else self.stores.kafka.stop())
        await self._last(2)
        await self.stores.kafka.start()

    async def postgres(self) -> None:
        await (self.stores.postgres.kill() if self.dice.random() < 0.5 else self.stores.postgres.stop())
        await self._last(2)
        await self.stores.postgres.start()

    async def connections(self) -> None:
        connection = await asyncpg.connect(self.stores.postgres.url)
        try:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            )
        finally:
            await connection.close()

    async def stall(self) -> None:
        proxies = self._proxies()
        for proxy in proxies:
            proxy.stall()
        await self._last(6)
        for proxy in proxies:
            proxy.flow()

    async def cut(self) -> None:
        for proxy in self._proxies():
            proxy.cut()

    async def delay(self) -> None:
        proxies = self._proxies()
        for proxy in proxies:
            proxy.delay = self.dice.uniform(0.05, 0.5)
        await self._last(3)
        for proxy in proxies:
            proxy.delay = 0

    async def full_disk(self) -> None:
        assert self.disk
        self.disk.fill()
        await self._last(3)
        self.disk.release()

    async def clock_jump(self) -> None:
        self.clock.set(self.dice.choice([-7_200, -60, 60, 7_200]))
        await self._last(2)
        self.clock.set(0)

    def _proxies(self) -> list[Proxy]:
        kafka, postgres = self.network.kafka, self.network.postgres
        return self.dice.choice([[kafka], [postgres], [kafka, postgres]])

    async def _last(self, longest: float) -> None:
        await asyncio.sleep(self.dice.uniform(0, longest))
