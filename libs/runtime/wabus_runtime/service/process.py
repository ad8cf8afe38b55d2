"""A process: one or several services, as API, worker or both, behind one HTTP port, from start to drained stop."""

import asyncio
import gc
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal, cast, get_args

import structlog
import uvloop
from aiohttp import web
from prometheus_client import Counter, Gauge
from wabus_events.subscriber import TooManyDeadLetters

from wabus_runtime.feed.origins import allow_origins, origin_of
from wabus_runtime.http.answers import CHECKS, NOT_READY, add_probes, problems, safe_headers
from wabus_runtime.http.auth import VERIFIER, Verifier
from wabus_runtime.http.connections import LINGER, PATIENCE, READ_BUFFER, Patience, connections_of
from wabus_runtime.http.formats.compression import compressed
from wabus_runtime.kafka.clients import KafkaUnavailable, TopicMismatch, ensure_topics
from wabus_runtime.observe.liveness import watch_event_loop
from wabus_runtime.observe.telemetry import BUILD, configure_logs
from wabus_runtime.observe.tracing import configure_tracing
from wabus_runtime.observe.watchdog import ending_when_stuck
from wabus_runtime.pauses import growing_pauses
from wabus_runtime.service.deadline import end_in_time
from wabus_runtime.service.workers import supervise, watch_supervisor
from wabus_runtime.settings import (
    AuthSettings,
    HttpSettings,
    KafkaSettings,
    LogSettings,
    PublicSettings,
    SettingsError,
    load,
)

Role = Literal["api", "worker", "all"]
ROLES: tuple[str, ...] = get_args(Role)
BACKLOG = 4096  # connections that wait to be accepted, or as many as the system allows
ACCEPTED_AT_ONCE = 32  # connections, each time that the event loop goes round
DRAIN_TIMEOUT = 5.0  # seconds for requests under way after SIGTERM
LOOPS_TIMEOUT = 4.0  # seconds after that for all background loops
RESTART_PAUSES = (0.2, 5.0)  # seconds before a background loop that failed starts again, and at most
LONG_LIVED = 60.0  # seconds after which a loop counts as having been well
TOPIC_PAUSES = (0.1, 2.0)  # seconds between attempts to create the topics
KEEP_ALIVE = 75.0  # seconds without a whole request until a connection is closed
MAX_BODY = 3 * 1024 * 1024  # bytes; Meta's webhooks are no larger

LOOP_READY = Gauge("wabus_loop_ready", "1 while a background loop does its work, else 0.", ["loop"])
LOOP_FAILURES = Counter("wabus_loop_failures_total", "Background loops that failed and start again.", ["loop"])

ProtocolFactory = Callable[[], asyncio.BaseProtocol]

FRONT: web.AppKey[Callable[[ProtocolFactory], ProtocolFactory]] = web.AppKey("front")
"""What sees a connection before aiohttp does: it is given aiohttp's protocols and returns its own."""

DRAINS: web.AppKey[list[Callable[[], Awaitable[None]]]] = web.AppKey("drains", list)
"""Awaited when nothing new is accepted any more, and before aiohttp stops reading what is under way."""

LOOPS: web.AppKey[list[asyncio.Task[None]]] = web.AppKey("loops", list)
"""The background loops that run."""

GC_THRESHOLD = (250_000, 20, 50)  # objects more than before between collections of the youngest; of those, of the older

log = structlog.get_logger()


@dataclass(frozen=True)
class Service:
    """What a service package offers: `install` adds its routes, resources and background loops to an application."""

    name: str
    settings: Mapping[Role, type[LogSettings]]
    """What each role has to be told; no secret goes where nothing needs it."""
    install: Callable[[web.Application, Any, Role], None]


def build_app(parts: Sequence[tuple[Service, Any]], role: Role = "all") -> web.Application:
    """One application that serves all the services given, each with its settings."""
    app = web.Application(middlewares=[compressed, problems], client_max_size=MAX_BODY)
    app[NOT_READY] = {}
    app[CHECKS] = []
    app[DRAINS] = []
    app[LOOPS] = []
    add_probes(app)
    public = next((settings for _, settings in parts if isinstance(settings, PublicSettings)), None)
    app.on_response_prepare.append(safe_headers(over_tls=public is not None and public.public_url.startswith("https:")))
    app.cleanup_ctx.append(watch_event_loop)
    kafka = next((settings for _, settings in parts if isinstance(settings, KafkaSettings)), None)
    if kafka is not None:
        _create_topics_first(app, kafka)
    auth = next((settings for _, settings in parts if isinstance(settings, AuthSettings)), None)
    if auth is not None:
        app[VERIFIER] = Verifier(auth)
        allow_origins(app, auth.allowed_origins, public and origin_of(public.public_url))
    for service, settings in parts:
        service.install(app, settings, role)
    return app


def background(app: web.Application, name: str, run: Callable[[Callable[[], None]], Awaitable[None]]) -> None:
    """Run an endless loop as long as the app runs. When it fails it starts again, later each time.

    `/readyz` names it until it has called the `ready` it is given, and again from a failure on. With
    `TooManyDeadLetters` it stays stopped until the process is started again: going on would drain the topic.
    """
    app[NOT_READY][name] = "starting"
    gauge = LOOP_READY.labels(name)

    def ready() -> None:
        app[NOT_READY].pop(name, None)
        gauge.set(1)

    async def supervised() -> None:
        pauses, itself = growing_pauses(*RESTART_PAUSES), asyncio.current_task()
        while True:
            started = asyncio.get_running_loop().time()
            try:
                await run(ready)
            except (Exception, asyncio.CancelledError) as error:
                # A cancellation that nobody asked for comes out of a client whose own task was cancelled: a failure.
                if isinstance(error, asyncio.CancelledError) and itself and itself.cancelling():
                    raise
                app[NOT_READY][name] = f"failed: {type(error).__name__}"
                gauge.set(0)
                LOOP_FAILURES.labels(name).inc()
                log.warning(
                    "a background loop failed",
                    action="loop_failed",
                    loop=name,
                    error=type(error).__name__,
                    exc_info=not isinstance(error, KafkaUnavailable),
                )
                if isinstance(error, TooManyDeadLetters):
                    app[NOT_READY][name] = "stopped: too many dead letters"
                    log.critical("a consumer was stopped", action="consumer_stopped", loop=name, reason=str(error))
                    return
            if asyncio.get_running_loop().time() - started > LONG_LIVED:
                pauses = growing_pauses(*RESTART_PAUSES)
            await asyncio.sleep(next(pauses))

    async def context(_app: web.Application) -> AsyncIterator[None]:
        app[LOOPS].append(asyncio.create_task(supervised(), name=name))
        yield
        await _end_loops(app)

    app.cleanup_ctx.append(context)


async def _end_loops(app: web.Application) -> None:
    """End all of them with the first: one after the other, their time-outs would add up."""
    pending = set(app[LOOPS])
    app[LOOPS].clear()
    for _ in range(2):  # a client that is being closed can swallow a cancellation
        for task in pending:
            task.cancel()
        if pending:
            _, pending = await asyncio.wait(pending, timeout=LOOPS_TIMEOUT / 2)
    if pending:
        log.warning("loops go on", action="loops_go_on", loops=sorted(task.get_name() for task in pending))


def run(services: Sequence[Service], role: Role = "all", own_port: int | None = None) -> None:
    """Run a process until SIGTERM or SIGINT, then drain it. Exits with one line if it can't start.

    With a port of its own it is one of several workers that share `HTTP_PORT`, and ends with their supervisor.
    """
    try:
        parts = [(service, load(service.settings[role])) for service in services]
        http = load(HttpSettings)
    except SettingsError as error:
        sys.exit(f"wabus: {error}")
    name = services[0].name if len(services) == 1 else "wabus"
    configure_logs(http, name)
    configure_tracing(name)
    BUILD.info({"version": version("wabus-runtime"), "service": name, "role": role})
    app = build_app(parts, role)
    app.cleanup_ctx.insert(0, ending_when_stuck(http.watchdog_timeout))
    log.info("starting", action="starting", role=role, port=http.http_port)
    try:
        uvloop.run(_serve(app, http, own_port))
    except (TopicMismatch, OSError) as error:
        sys.exit(f"wabus: {error}")
    except Exception as error:
        # Here, for a process without a database never imports its client.
        import asyncpg

        from wabus_runtime.postgres.database import TablesTooNew

        match error:
            case TablesTooNew():
                sys.exit(f"wabus: {error}")
            case asyncpg.PostgresError() | asyncpg.InterfaceError():
                sys.exit(f"wabus: PostgreSQL refused: {error}")
            case _:
                raise
    log.info("stopped", action="stopped")


async def _serve(app: web.Application, http: HttpSettings, own_port: int | None) -> None:
    """Serve until SIGTERM or SIGINT, then answer what is under way."""
    loop, itself = asyncio.get_running_loop(), asyncio.current_task()
    stopping = asyncio.Event()

    def stop() -> None:
        if itself and not stopping.is_set():
            stopping.set()
            end_in_time()
            itself.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    if own_port is not None:
        watch_supervisor(stop)
    try:
        async with serving(app, http.http_host, http.http_port, own_port):
            # Nothing made so far is ever garbage, or too little for a collection now, which would hold up the first
            # requests for a tenth of a second: let none look at it again.
            gc.freeze()
            # Events come in batches that are dropped as a whole: to look through one while it is in use, each time that
            # 700 objects are made, is a third of the projector's work; each 50,000, still a fifth of it.
            gc.set_threshold(*GC_THRESHOLD)
            gc.enable()
            await stopping.wait()  # set already where something swallowed the cancellation while starting
    except asyncio.CancelledError:
        if not stopping.is_set():
            raise


@asynccontextmanager
async def serving(
    app: web.Application, host: str, port: int, own_port: int | None = None, patience: Patience = PATIENCE
) -> AsyncGenerator[Sequence[int]]:
    """Serve an application; gives its ports. With a port of its own it shares the other with other processes.

    At the end nothing new is accepted and what is under way is answered.
    """
    runner = web.AppRunner(
        app,
        access_log=None,
        shutdown_timeout=DRAIN_TIMEOUT,
        keepalive_timeout=KEEP_ALIVE,
        lingering_time=LINGER,
        read_bufsize=READ_BUFFER,
        auto_decompress=False,
    )
    sites: list[_Site] = []
    try:
        await runner.setup()
        for number in (port,) if own_port is None else (port, own_port):
            shared = own_port is not None and number == port
            site = _Site(runner, app, host, number, patience, reuse_port=shared)
            await site.start()
            sites.append(site)
        yield [number for site in sites for number in site.ports]
    finally:
        for site in sites:
            await site.stop()
        await asyncio.gather(*(drain() for drain in app[DRAINS]))
        await runner.cleanup()


class _Site(web.BaseSite):
    """aiohttp's TCPSite, but that the application's front, if it has one, sees each connection first."""

    def __init__(
        self, runner: web.AppRunner, app: web.Application, host: str, port: int, patience: Patience, *, reuse_port: bool
    ) -> None:
        super().__init__(runner)
        self._patience = patience
        self._app = app
        self._address = host, port
        self._reuse_port = reuse_port
        self.ports: list[int] = []
        self._more: list[asyncio.Server] = []

    @property
    def name(self) -> str:
        return "http://{}:{}".format(*self._address)

    async def start(self) -> None:
        await super().start()
        server = connections_of(cast(web.Server, self._runner.server), self._patience)
        factory = self._app[FRONT](server) if FRONT in self._app else server
        host, port = self._address
        listening = await asyncio.get_running_loop().create_server(
            cast(Any, factory), host, port, backlog=BACKLOG, reuse_port=self._reuse_port or None
        )
        self._server = listening
        self.ports = [each.getsockname()[1] for each in listening.sockets]
        # uvloop accepts one connection for each listening socket each time round, and with a thousand busy connections
        # that takes 30 ms: new ones would wait for seconds, and longer where they find no place in the backlog.
        for each in listening.sockets:
            for _ in range(ACCEPTED_AT_ONCE - 1):
                self._more.append(
                    await asyncio.get_running_loop().create_server(cast(Any, factory), sock=each.dup(), backlog=BACKLOG)
                )

    async def stop(self) -> None:
        for more in self._more:
            more.close()
        await super().stop()


def run_alone(service: Service) -> None:
    """`python -m wabus_<service> [--role api|worker|all] [--workers N]`."""
    import click

    @click.command(help=f"Run {service.name} alone.")
    @click.option("--role", type=click.Choice(ROLES), default="all", show_default=True)
    @click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes on one port.")
    @click.option("--worker-ports", type=int, help="Where the first worker answers alone.  [default: HTTP_PORT + 1]")
    @click.option("--own-port", type=int, hidden=True)
    def command(role: Role, workers: int, worker_ports: int | None, own_port: int | None) -> None:
        if workers == 1:
            run([service], role, own_port)
        else:
            _run_workers(service, role, workers, worker_ports)

    command()


def _run_workers(service: Service, role: Role, count: int, first_port: int | None) -> None:
    try:
        http = load(HttpSettings)
        load(service.settings[role])
    except SettingsError as error:
        sys.exit(f"wabus: {error}")
    configure_logs(http, service.name)
    gc.enable()
    module = f"wabus_{service.name.replace('-', '_')}"
    own = first_port or http.http_port + 1
    asyncio.run(
        supervise(
            [[sys.executable, "-m", module, "--role", role, "--own-port", str(own + number)] for number in range(count)]
        )
    )


def _create_topics_first(app: web.Application, settings: KafkaSettings) -> None:
    """Try once before anything else starts; with Kafka away go on trying beside, so that requests get an answer."""
    created = False

    async def once(_app: web.Application) -> AsyncIterator[None]:
        nonlocal created
        created = await _topics_created(settings)
        yield

    async def until_created(ready: Callable[[], None]) -> None:
        pauses = growing_pauses(*TOPIC_PAUSES)
        while not created and not await _topics_created(settings):
            ready()  # that Kafka is away says whoever needs it
            await asyncio.sleep(next(pauses))
        ready()
        await asyncio.Event().wait()

    app.cleanup_ctx.append(once)
    background(app, "topics", until_created)


async def _topics_created(settings: KafkaSettings) -> bool:
    try:
        await ensure_topics(settings)
    except KafkaUnavailable as error:
        log.warning("waiting for kafka", action="kafka_away", error=str(error))
        return False
    return True
