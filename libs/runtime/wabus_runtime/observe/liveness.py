"""Is anything stuck? Loops tell each time they go round, and a thread looks whether the event loop still does.

A loop that crashes starts again by itself; one that waits for ever, or an event loop that a computation blocks,
does not. (arroyo's stuck detector has the same idea.)
"""

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import Gauge, Histogram

STUCK_AFTER = 180.0  # seconds without a round: above the longest that one round may take
BLOCKED_AFTER = 5.0  # seconds without the event loop running anything
LOOK_EVERY = 0.25  # seconds
STACK_DEPTH = 15

BEAT_AGE = Gauge("wabus_loop_beat_age_seconds", "Since a background loop last went round.", ["loop"])
LOOP_LAG = Histogram(
    "wabus_event_loop_lag_seconds",
    "How late the event loop ran what was due.",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

log = structlog.get_logger()


class _Heart:
    def __init__(self, name: str, limit: float) -> None:
        self.name = name
        self.limit = limit
        self.last = time.monotonic()
        self.task = _current_task()

    def beat(self) -> None:
        self.last = time.monotonic()


_hearts: list[_Heart] = []


@contextmanager
def watched(name: str, limit: float = STUCK_AFTER) -> Generator[Callable[[], None]]:
    """Watch a loop of this process: it calls what it is given each time it goes round.

    >>> with watched("doctest") as beat:
    ...     beat()
    ...     stuck(time.monotonic() + 200)
    {'doctest': 200}
    """
    heart = _Heart(name, limit)
    _hearts.append(heart)
    BEAT_AGE.labels(name).set_function(lambda: max(_ages(name, time.monotonic()), default=0))
    try:
        yield heart.beat
    finally:
        _hearts.remove(heart)
        if not _ages(name, 0):
            BEAT_AGE.remove(name)


def stuck(now: float) -> dict[str, int]:
    """The loops that have not gone round for too long at a moment of the monotonic clock, and for how many seconds."""
    return {heart.name: round(now - heart.last) for heart in _hearts if now - heart.last > heart.limit}


def places(now: float) -> dict[str, list[str]]:
    """Where each stuck loop waits: the calls that await each other, the outermost first."""
    return {heart.name: _awaited_by(heart.task) for heart in _hearts if now - heart.last > heart.limit}


def places_of_thread(thread: int) -> list[str]:
    """What a thread is doing: the calls, the outermost first."""
    frame = sys._current_frames().get(thread)  # pyright: ignore[reportPrivateUsage]
    frames = traceback.extract_stack(frame)[-STACK_DEPTH:] if frame else []
    return [f"{Path(each.filename).name}:{each.lineno} {each.name}" for each in frames]


async def watch_event_loop(_app: object, blocked_after: float = BLOCKED_AFTER) -> AsyncIterator[None]:
    """For `cleanup_ctx`: measure the event loop's lag; while it is blocked, log once where."""
    detector = _BlockDetector(threading.get_ident(), blocked_after)
    looking = asyncio.create_task(detector.run())
    thread = threading.Thread(target=detector.watch, name="event-loop-watchdog", daemon=True)
    thread.start()
    yield
    detector.stopped.set()
    looking.cancel()


class _BlockDetector:
    def __init__(self, thread: int, blocked_after: float) -> None:
        self._thread = thread
        self._blocked_after = blocked_after
        self._last = time.monotonic()
        self.stopped = threading.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LOOK_EVERY
            await asyncio.sleep(LOOK_EVERY)
            LOOP_LAG.observe(max(0.0, loop.time() - due))
            self._last = time.monotonic()

    def watch(self) -> None:
        """In a thread of its own, which goes on when the event loop does not."""
        reported = 0.0
        while not self.stopped.wait(self._blocked_after / 5):
            since = self._last
            if time.monotonic() - since > self._blocked_after and reported != since:
                reported = since
                where = places_of_thread(self._thread)
                log.error("the event loop is blocked", action="event_loop_blocked", where=where)


def _ages(name: str, now: float) -> list[float]:
    return [now - heart.last for heart in _hearts if heart.name == name]


def _current_task() -> "asyncio.Task[Any] | None":
    try:
        return asyncio.current_task()
    except RuntimeError:  # no event loop runs here
        return None


def _awaited_by(task: "asyncio.Task[Any] | None") -> list[str]:
    found: list[str] = []
    awaited: Any = task.get_coro() if task else None
    while (frame := getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)) is not None:
        found.append(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_name}")
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    return found[-STACK_DEPTH:]
