"""Several processes of one service behind one port (SO_REUSEPORT): started, replaced when they die, drained together.

Each also answers alone on a port of its own, so that Prometheus can ask every one of them.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence

import structlog

from wabus_runtime.pauses import growing_pauses

DRAINED_WITHIN = 20.0  # seconds for a worker to end after SIGTERM, then it is killed
RESTART_PAUSES = (0.1, 5.0)  # seconds before a worker that died is replaced, and at most
LONG_LIVED = 60.0  # seconds after which a worker counts as having been well

log = structlog.get_logger()


async def supervise(commands: Sequence[Sequence[str]]) -> None:
    """Keep one process for each command running until SIGTERM or SIGINT; return when all have ended."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await asyncio.gather(*(_keep(number, command, stopping) for number, command in enumerate(commands, start=1)))


async def _keep(number: int, command: Sequence[str], stopping: asyncio.Event) -> None:
    pauses = growing_pauses(*RESTART_PAUSES)
    ended = asyncio.create_task(stopping.wait())
    while not stopping.is_set():
        started = asyncio.get_running_loop().time()
        # Its standard input closes when this process ends, however it ends: then the worker ends too.
        process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE)
        log.info("worker started", action="worker_started", worker=number, pid=process.pid)
        died = asyncio.create_task(process.wait())
        await asyncio.wait([died, ended], return_when=asyncio.FIRST_COMPLETED)
        if stopping.is_set():
            await _drain(process)
            return
        log.warning("a worker died", action="worker_died", worker=number, code=process.returncode)
        if asyncio.get_running_loop().time() - started > LONG_LIVED:
            pauses = growing_pauses(*RESTART_PAUSES)
        await asyncio.wait([ended], timeout=next(pauses))


async def _drain(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(DRAINED_WITHIN):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def watch_supervisor(stop: Callable[[], None]) -> None:
    """In a worker: stop when the supervisor is gone."""
    loop = asyncio.get_running_loop()

    def readable() -> None:
        if not os.read(sys.stdin.fileno(), 1024):
            loop.remove_reader(sys.stdin.fileno())
            stop()

    loop.add_reader(sys.stdin.fileno(), readable)
