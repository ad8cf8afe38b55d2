"""Starts the parts of the local stack, starts again what died, stops all in order."""

import asyncio
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from wabus_local.kafka import EmbeddedKafka
from wabus_local.postgres import EmbeddedPostgres
from wabus_local.process import POLL, Child, StackError, port_answers
from wabus_local.settings import Stack

READY_TIMEOUT = 90.0  # seconds for the services, once Kafka and PostgreSQL answer
DRAIN_TIMEOUT = 5.5  # seconds a service has after SIGTERM; with STORE_TIMEOUT less than 10
STORE_TIMEOUT = 3.0  # seconds Kafka, PostgreSQL and Meta have
RESTARTS_AT_ONCE = 5  # in a row; what dies still more often waits before each restart
RESTART_DELAY_MAX = 30.0  # seconds
RESTARTS_MAX = 10  # in a row, before the stack gives up
STEADY = 60.0  # seconds after which a restart counts as a success

Say = Callable[[str], None]


@dataclass
class Part:
    """Something that runs as a child process and is started again when it dies."""

    name: str
    start: Callable[[], Awaitable[None]]
    child: Callable[[], Child | None]
    stop: Callable[[], Awaitable[None]]
    failures: int = 0
    started_at: float = 0
    restarting: asyncio.Task[None] | None = field(default=None, repr=False)


def restart_delay(failures: int) -> float:
    """Seconds to wait before a part is started again that has ended `failures` times in a row.

    None at first: what was killed works again as soon as it can. What can't live must not take the whole processor.
    """
    again = failures - RESTARTS_AT_ONCE
    return 0 if again <= 0 else min(2.0 ** (again - 1), RESTART_DELAY_MAX)


class Supervisor:
    """The parts of one stack. `stores` are needed by `services`: started before them and stopped after them.

    A part is watched from when it has started: a store that dies while others still start is started again too.
    """

    def __init__(self, stack: Stack, say: Say) -> None:
        self._stack = stack
        self._say = say
        self._services = [_service(stack, "api", "HTTP_PORT"), _service(stack, "worker", "WORKER_PORT")]
        self._stores = _stores(stack, say)
        self._parts = [*self._stores, *self._services]
        self._watched: list[Part] = []

    async def run(self, on_ready: Callable[[], Awaitable[None]]) -> None:
        """Start all, await `on_ready` when every service says that it is ready, and start again what dies, for ever.

        Raises StackError when a part can't be started or can't be kept alive.
        """

        async def start() -> None:
            await self._start_all()
            await on_ready()

        await _all([start(), self._watch()])

    async def _start_all(self) -> None:
        await _all([self._start_store(part) for part in self._stores])
        for part in self._services:  # started earlier they only take the processor from Kafka: 1.3 s slower on 2 cores
            await self._start(part)
        self._say("the services are starting")
        await self._services_ready()
        self._watched += self._services

    async def _watch(self) -> None:
        """Start again what dies. Raises StackError when a part can't be kept alive."""
        while True:
            for part in self._watched:
                child = part.child()
                if child is None or child.alive or (part.restarting and not part.restarting.done()):
                    continue
                if time.monotonic() - part.started_at > STEADY:
                    part.failures = 0
                part.failures += 1
                if part.failures > RESTARTS_MAX:
                    raise StackError(f"{part.name} ended {part.failures} times in a row; see {child.log}")
                delay = restart_delay(part.failures)
                again = f"starting it again in {delay:.0f} s" if delay else "starting it again"
                self._say(f"{part.name} ended ({_how(child.returncode)}); {again}; its log is {child.log}")
                part.restarting = asyncio.create_task(self._restart(part, delay * random.uniform(0.8, 1)))  # noqa: S311
            await asyncio.sleep(POLL)

    async def stop(self) -> None:
        """Services first, so that they can finish what they do; all within ten seconds."""
        restarts = [part.restarting for part in self._parts if part.restarting]
        for task in restarts:
            task.cancel()
        await asyncio.gather(*restarts, return_exceptions=True)
        for group in (self._services, self._stores):
            await asyncio.gather(*(part.stop() for part in group))

    async def kill(self) -> None:
        await asyncio.gather(*(child.kill() for part in self._parts if (child := part.child())))

    async def _start_store(self, part: Part) -> None:
        self._say(f"{part.name} is starting")
        await self._start(part)
        self._say(f"{part.name} answers after {time.monotonic() - part.started_at:.1f} s")
        self._watched.append(part)

    async def _start(self, part: Part) -> None:
        part.started_at = time.monotonic()
        await part.start()

    async def _restart(self, part: Part, delay: float) -> None:
        await asyncio.sleep(delay)
        try:
            await self._start(part)
        except StackError as error:
            self._say(str(error))
        else:
            self._say(f"{part.name} was started again")

    async def _services_ready(self) -> None:
        deadline = time.monotonic() + READY_TIMEOUT
        waiting = {"api": self._stack.port("HTTP_PORT"), "worker": self._stack.port("WORKER_PORT")}
        reasons = "no answer"
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
            while waiting:
                for name, port in list(waiting.items()):
                    ready, text = await _ready(session, f"http://127.0.0.1:{port}/readyz")
                    if ready:
                        del waiting[name]
                    elif text:
                        reasons = text
                self._check_services_alive()
                if time.monotonic() > deadline:
                    names = " and ".join(waiting)
                    raise StackError(f"{names} not ready within {READY_TIMEOUT:.0f} s: {reasons}; see {self._logs}")
                await asyncio.sleep(POLL)

    def _check_services_alive(self) -> None:
        """A service that ends while it starts has a setting or a port it can't work with: no use in trying again."""
        for part in self._services:
            child = part.child()
            if child and not child.alive:
                raise StackError(f"{part.name} did not start; see {child.log}: {child.last_words(1)}")

    @property
    def _logs(self) -> Path:
        return self._stack.home / "logs"


def _stores(stack: Stack, say: Say) -> list[Part]:
    parts: list[Part] = []
    if stack.own_kafka:
        port, controller_port = stack.port("KAFKA_PORT"), stack.port("KAFKA_CONTROLLER_PORT")
        kafka = EmbeddedKafka(stack.home, port, controller_port=controller_port, progress=say)
        parts.append(Part("Kafka", kafka.start, lambda: kafka.child, lambda: kafka.stop(STORE_TIMEOUT)))
    if stack.own_postgres:
        port = stack.port("POSTGRES_PORT")
        postgres = EmbeddedPostgres(stack.home, port, stack.env["POSTGRES_PASSWORD"], progress=say)
        parts.append(Part("PostgreSQL", postgres.start, lambda: postgres.child, lambda: postgres.stop(STORE_TIMEOUT)))
    if stack.own_meta:
        env = {"META_HOME": str(stack.home / "meta")}
        parts.append(_program(stack, "simulated Meta", "meta", ["-m", "simulated_meta"], env, STORE_TIMEOUT))
        parts[-1].start = _answering(parts[-1], stack.port("META_PORT"))
    return parts


def _service(stack: Stack, role: str, port_name: str) -> Part:
    run = "import sys; from wabus_cli.main import main; sys.argv[0] = 'wabus'; main()"
    env = {"HTTP_PORT": stack.env[port_name]}
    return _program(stack, f"wabus {role}", role, ["-c", run, "serve", "--role", role], env, DRAIN_TIMEOUT)


def _program(
    stack: Stack, name: str, short_name: str, arguments: Sequence[str], env: dict[str, str], stop_timeout: float
) -> Part:
    """A Python program of ours as a part."""
    running: list[Child] = []

    async def start() -> None:
        log = stack.home / "logs" / f"{short_name}.log"
        environment = stack.process_env | env
        running[:] = [Child(short_name, [sys.executable, *arguments], log, env=environment)]

    async def stop() -> None:
        if running:
            await running[0].stop(signal.SIGTERM, stop_timeout)

    return Part(name, start, lambda: running[0] if running else None, stop)


def _answering(part: Part, port: int, timeout: float = 30.0) -> Callable[[], Awaitable[None]]:
    spawn = part.start

    async def start() -> None:
        await spawn()
        deadline = time.monotonic() + timeout
        while not await port_answers(port):
            child = part.child()
            if child is None or not child.alive or time.monotonic() > deadline:
                words = child.last_words() if child else ""
                raise StackError(f"{part.name} did not start: {words}")
            await asyncio.sleep(POLL)

    return start


async def _ready(session: aiohttp.ClientSession, url: str) -> tuple[bool, str]:
    try:
        async with session.get(url) as response:
            return response.status == 200, (await response.text())[:500]
    except (aiohttp.ClientError, TimeoutError):
        return False, ""


async def _all(starts: Sequence[Awaitable[None]]) -> None:
    """Wait for all; the first failure cancels the others and is raised."""
    tasks = [asyncio.ensure_future(start) for start in starts]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _how(returncode: int | None) -> str:
    if returncode is not None and returncode < 0:
        return signal.Signals(-returncode).name
    return f"exit code {returncode}"
