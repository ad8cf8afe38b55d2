"""A process that is stuck ends itself and says where it stood; one that was only stopped for a while does not."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from local_stack import free_ports
from stuck_process import PROCESS
from waiting import Eventually

LIMIT = 1.5  # seconds


@asynccontextmanager
async def process(limit: float, eventually: Eventually, *, loop_hangs_after: float = 600) -> AsyncGenerator[Any]:
    """A process with the watchdog's limit, and a client to ask it."""
    (port,) = free_ports(1)
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROCESS.replace("HANGS_AFTER", str(loop_hangs_after))),
        env={**os.environ, "HTTP_PORT": str(port), "WATCHDOG_TIMEOUT": str(limit)},
        stderr=asyncio.subprocess.PIPE,
    )
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", timeout=aiohttp.ClientTimeout(total=30)) as http:

        async def answers() -> bool:
            try:
                async with http.get("/readyz") as answer:
                    return answer.status == 200
            except aiohttp.ClientError:
                return False

        try:
            await eventually(answers)
            yield started, http
        finally:
            if started.returncode is None:
                started.kill()
            await started.wait()


async def hang(http: aiohttp.ClientSession, how: str) -> None:
    with pytest.raises(aiohttp.ClientError):
        await http.get(f"/hang/{how}")


def line_of(output: bytes, action: str) -> dict[str, Any]:
    lines = [json.loads(line) for line in output.splitlines() if line.startswith(b"{")]
    return next(line for line in lines if line["action"] == action)


@pytest.mark.parametrize("how", ["waits", "computes"])
async def test_a_process_whose_event_loop_stands_still_ends_itself_and_says_where(
    eventually: Eventually, how: str
) -> None:
    async with process(LIMIT, eventually) as (started, http):
        await hang(http, how)
        _, error = await asyncio.wait_for(started.communicate(), 60)

    last = json.loads(error.splitlines()[-1])
    assert started.returncode == 70
    assert last["action"] == "stuck"
    assert last["seconds"] >= LIMIT - 1
    assert last["event_loop"][-1].endswith(" hang")


async def test_a_computation_that_lets_no_thread_run_does_not_keep_the_process_for_ever(eventually: Eventually) -> None:
    async with process(LIMIT, eventually) as (started, http):
        await hang(http, "holds-the-interpreter")
        _, error = await asyncio.wait_for(started.communicate(), 120)

    assert started.returncode == -signal.SIGPROF
    assert b" in hang\n" in error


async def test_healthz_says_which_loop_waits_and_where_before_the_process_ends_itself(eventually: Eventually) -> None:
    async with process(5, eventually, loop_hangs_after=0.2) as (started, http):

        async def red() -> Any:
            async with http.get("/healthz") as answer:
                return answer.status == 503 and await answer.json()

        said: Any = await eventually(red)
        _, error = await asyncio.wait_for(started.communicate(), 60)

    assert said["status"] == "stuck"
    assert said["where"]["waits-for-ever"][-1].endswith(" wait")
    assert any(place.endswith(" waits_for_ever") for place in said["where"]["waits-for-ever"])
    assert started.returncode == 70
    assert line_of(error, "stuck")["loops"] == said["where"]


@pytest.mark.long
async def test_a_process_that_was_stopped_for_longer_than_the_limit_goes_on(eventually: Eventually) -> None:
    async with process(LIMIT, eventually) as (started, http):
        started.send_signal(signal.SIGSTOP)
        await asyncio.sleep(3 * LIMIT)  # nothing but time is to pass
        started.send_signal(signal.SIGCONT)

        until = time.monotonic() + 2 * LIMIT
        while time.monotonic() < until:
            async with http.get("/healthz") as answer:
                assert answer.status == 200
        assert started.returncode is None


async def test_a_limit_of_nothing_lets_a_process_stand_as_long_as_it_likes(eventually: Eventually) -> None:
    async with process(0, eventually) as (started, http):
        hanging = asyncio.create_task(hang(http, "waits"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(started.wait(), 4)
        started.kill()
        await hanging
