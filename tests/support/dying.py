"""Workers in processes of their own that kill themselves around any statement."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

DYING = """
import asyncio, asyncpg, os, signal, sys

deadly, moment, nth = sys.argv[1:]
calls = 0

def dying(send):
    async def wrapped(connection, statement, *arguments, **named):
        global calls
        chosen = bool(deadly) and deadly in statement
        calls += chosen
        if chosen and moment == "before" and calls == int(nth):
            os.kill(os.getpid(), signal.SIGKILL)
        result = await send(connection, statement, *arguments, **named)
        if chosen and moment == "after" and calls == int(nth):
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return wrapped

for method in ("execute", "fetch", "fetchval", "copy_records_to_table"):
    setattr(asyncpg.Connection, method, dying(getattr(asyncpg.Connection, method)))
"""
"""What a program begins with that is killed so."""


@asynccontextmanager
async def dying_worker(program: str, *point: str | int) -> AsyncGenerator[asyncio.subprocess.Process]:
    """The process of a program, killed at a point: a part of the statement, "before" or "after" PostgreSQL has answered
    it, and for the how manieth time of its life."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DYING + program, *map(str, point), stderr=asyncio.subprocess.DEVNULL, cwd=Path.cwd()
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
