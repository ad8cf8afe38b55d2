"""The last resort of a stop: whatever hangs, the process ends in time, and says what it was that hung."""

import asyncio
import os
import sys
import threading
import traceback
from pathlib import Path

import structlog

STOPPED_WITHIN = 12.0  # seconds from SIGTERM to the end; well below what Kubernetes waits before SIGKILL (30 s)
STACK_DEPTH = 8

log = structlog.get_logger()


def end_in_time(seconds: float = STOPPED_WITHIN) -> None:
    """End this process after so many seconds if it has not ended by then. To be called in its event loop.

    From a thread, because the event loop itself may be what hangs. The exit status is then 1.
    """
    loop, thread = asyncio.get_running_loop(), threading.get_ident()

    def give_up() -> None:
        try:
            frame = sys._current_frames().get(thread)  # pyright: ignore[reportPrivateUsage]
            log.critical(
                "the stop took too long",
                action="stop_given_up",
                seconds=seconds,
                tasks=_waiting(loop),
                where=_places(traceback.extract_stack(frame)) if frame else [],
            )
        finally:
            os._exit(1)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()


def _waiting(loop: asyncio.AbstractEventLoop) -> list[str]:
    """The tasks that have not ended, each with where it waits."""
    waiting: list[str] = []
    for task in asyncio.all_tasks(loop):
        stack = task.get_stack(limit=1)
        where = f"{Path(stack[-1].f_code.co_filename).name}:{stack[-1].f_lineno}" if stack else "nowhere"
        waiting.append(f"{task.get_name()} at {where}")
    return sorted(waiting)


def _places(stack: traceback.StackSummary) -> list[str]:
    return [f"{Path(each.filename).name}:{each.lineno} {each.name}" for each in stack[-STACK_DEPTH:]]
