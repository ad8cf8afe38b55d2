"""`python -m wabus_local` (`make run`): the whole of wabus on this machine, until Ctrl-C or SIGTERM."""

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import aiohttp
from simulated_meta.seed import DEMO_TEMPLATE, DEMO_WABA

from wabus_local.process import StackError, port_is_free
from wabus_local.settings import Stack, given_settings, resolve, write_local_env
from wabus_local.supervisor import Supervisor

LEFT_OVER_TIMEOUT = 10.0  # seconds that the children of a killed stack have to be gone


def main() -> None:
    os.umask(0o077)  # what the stack writes is for its owner only
    try:
        stack = resolve(given_settings())
        stack.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        with only_one(stack.home) as after_a_crash:
            check_ports(stack, wait=LEFT_OVER_TIMEOUT if after_a_crash else 0)
            write_local_env(stack)
            sys.exit(asyncio.run(run(stack)))
    except StackError as error:
        sys.exit(f"wabus: {error}")
    except KeyboardInterrupt:  # before run() listens to signals itself
        sys.exit(130)


async def run(stack: Stack) -> int:
    """Run the stack until a signal asks it to stop; a second signal makes it stop at once."""
    stopping, hurry = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (hurry if stopping.is_set() else stopping).set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    supervisor = Supervisor(stack, say)
    error = await _until(stopping, supervisor.run(lambda: greet(stack)))
    if error:
        print(f"wabus: {error}", file=sys.stderr, flush=True)
    say("stopping")
    await _until(hurry, supervisor.stop())
    await supervisor.kill()
    say("stopped")
    return 1 if error else 0


async def _until(event: asyncio.Event, work: Any) -> StackError | None:
    """Do the work until it ends or the event happens. Returns the error that ended it."""
    working, waiting = asyncio.ensure_future(work), asyncio.create_task(event.wait())
    await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    working.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        try:
            await working
        except StackError as error:
            return error
    return None


async def greet(stack: Stack) -> None:
    """Say that it is ready, and what to try."""
    lines = [f"wabus is ready at {stack.url}", ""]
    lines += [
        f"  {stack.url}/          how the connection to WhatsApp is doing",
        f"  {stack.url}/inbox     conversations",
        f"  {stack.url}/insights  what templates achieve and what messages cost",
        "",
    ]
    wabus = _command("wabus")
    home = f"WABUS_HOME={os.environ['WABUS_HOME']} " if "WABUS_HOME" in os.environ else ""
    health = (
        f'curl -H "Authorization: Bearer $({home}{wabus} token --org demo --role admin)" {stack.url}/webhook/health'
    )
    if stack.own_meta:
        control = f"{stack.env['META_GRAPH_URL']}/_control"
        token = await _demo_token(control)
        lines += [
            "Open it in a browser and click Connect. Or connect the demo organisation here, and ask for its health:",
            f"  {home}{wabus} connect --org demo --waba {DEMO_WABA} --token {token}",
            f"  {health}",
            "Let six people write to it, who answer you in the inbox:",
            f"  curl -X POST {control}/story",
            "Let a customer write to it (what else can happen: GET " + control + "):",
            f"  curl -X POST '{control}/messages?wait=true' -d '{{\"text\": \"Hello\"}}'",
            "Let Meta pause a template, and ask for the health again:",
            f"  curl -X POST '{control}/templates/{DEMO_TEMPLATE}/pause?wait=true'",
        ]
    else:
        lines += ["Connect an organisation, then ask for its health:"]
        lines += [f"  {home}{wabus} connect --org demo --waba WABA_ID", f"  {health}"]
    lines += ["", f"Logs are in {stack.home / 'logs'}; Ctrl-C stops everything and keeps the data."]
    print("\n".join(lines), flush=True)


async def _demo_token(control: str) -> str:
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session,
            session.get(f"{control}/tokens") as response,
        ):
            tokens = (await response.json())["data"]
    except (aiohttp.ClientError, TimeoutError):
        tokens = []
    return next((token["value"] for token in tokens if DEMO_WABA in token["waba_ids"]), "TOKEN")


def say(line: str) -> None:
    print(f"wabus: {line}", flush=True)


@contextlib.contextmanager
def only_one(home: Path) -> Generator[bool]:
    """Hold the home folder for this process. Gives whether the one before it was killed. Raises StackError."""
    with (home / "lock").open("a+") as lock:
        lock.seek(0)
        before = lock.read().strip()
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StackError(f"already running as process {before} with WABUS_HOME={home}") from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        try:
            yield bool(before)
        finally:
            lock.truncate(0)


def check_ports(stack: Stack, wait: float = 0) -> None:
    """Raise StackError when a port can't be used, naming it and the variable that changes it."""
    needed = stack.ports_needed()
    for name, port in needed.items():
        if other := next((other for other in needed if other != name and needed[other] == port), None):
            raise StackError(f"{name} and {other} are both {port}; set one of them to another port")
    deadline = time.monotonic() + wait
    host = stack.env.get("HTTP_HOST", "127.0.0.1")
    while taken := [
        f"port {port} is already in use (set {name} to another)"
        for name, port in needed.items()
        if not port_is_free(port, host if name in ("HTTP_PORT", "WORKER_PORT") else "127.0.0.1")
    ]:
        if time.monotonic() >= deadline:
            raise StackError("; ".join(taken))
        time.sleep(0.1)


def _command(name: str) -> str:
    """How to call a program of this virtual environment from here."""
    path = Path(sys.executable).parent / name
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


if __name__ == "__main__":
    main()
