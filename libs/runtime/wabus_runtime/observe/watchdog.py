"""The last resort of a process that is stuck: it ends itself, so that whoever runs it starts it again.

A thread looks whether the event loop still runs and whether `liveness` finds a background loop stuck; it says where
they stand before it ends the process. Where it can't run itself, because a computation never lets go of the interpreter
(a regular expression gone wild), the kernel ends the process by the processor time that it has taken since the thread
last ran. Neither counts the time in which the process was stopped or the machine slept.
"""

import asyncio
import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import structlog

from wabus_runtime.observe import liveness

EXIT_STATUS = 70  # EX_SOFTWARE of sysexits.h; ended by the kernel it is SIGPROF's, which a shell shows as 155
LOOK_EVERY = 1.0  # seconds
LAST_WORDS = 5.0  # seconds for the last line, which must not keep the process either

log = structlog.get_logger()


def ending_when_stuck(limit: float) -> Callable[[object], AsyncIterator[None]]:
    """For `cleanup_ctx`, as its first: end this process once it has been stuck for `limit` seconds; 0 for never."""

    async def watch(_app: object) -> AsyncIterator[None]:
        if not limit:
            yield
            return
        watchdog = _Watchdog(limit)
        watchdog.start()
        yield
        watchdog.stop()

    return watch


class _Watchdog:
    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._loop_runs = True
        self._stopped = threading.Event()

    def start(self) -> None:
        # The traceback of all threads, and then what the signal does by itself: it ends the process.
        with suppress(OSError, AttributeError, ValueError):  # standard error is no file
            faulthandler.register(signal.SIGPROF, sys.stderr, chain=True)
        self._beat()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()
        signal.setitimer(signal.ITIMER_PROF, 0)
        faulthandler.unregister(signal.SIGPROF)

    def _beat(self) -> None:
        self._loop_runs = True
        if not self._stopped.is_set():
            self._loop.call_later(LOOK_EVERY / 2, self._beat)

    def _watch(self) -> None:
        last, still, stuck = time.monotonic(), 0.0, 0.0
        while not self._stopped.is_set():
            signal.setitimer(signal.ITIMER_PROF, self._limit + LOOK_EVERY)
            self._stopped.wait(LOOK_EVERY)
            now = time.monotonic()
            # Where more than that passed this thread did not run either: the process was stopped.
            passed, last = min(now - last, 2 * LOOK_EVERY), now
            still = 0.0 if self._loop_runs else still + passed
            stuck = stuck + passed if liveness.stuck(now) else 0.0
            self._loop_runs = False
            if max(still, stuck) >= self._limit and not self._stopped.is_set():
                self._end(round(max(still, stuck)))

    def _end(self, seconds: int) -> None:
        threading.Timer(LAST_WORDS, os._exit, (EXIT_STATUS,)).start()
        try:
            log.critical(
                "stuck: this process ends itself",
                action="stuck",
                seconds=seconds,
                event_loop=liveness.places_of_thread(self._loop_thread),
                loops=liveness.places(time.monotonic()),
            )
        finally:
            os._exit(EXIT_STATUS)
