"""Whatever hangs while a process stops, it ends in time and says what it was."""

import asyncio
import sys

import pytest

HANGING = {
    "a task that will not be cancelled": """
async def main():
    end_in_time(0.5)
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass
    """,
    "a call that blocks the event loop": """
async def main():
    end_in_time(0.5)
    threading.Event().wait(60)
    """,
}


@pytest.mark.parametrize("body", HANGING.values(), ids=HANGING.keys())
async def test_a_process_that_hangs_while_it_stops_is_ended_and_says_where(body: str) -> None:
    imports = "import asyncio, threading, uvloop\nfrom wabus_runtime.service.deadline import end_in_time"
    code = f"{imports}\n{body}\nuvloop.run(main())"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    out, _ = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1
    assert b"stop_given_up" in out
    assert b"<string>:" in out
