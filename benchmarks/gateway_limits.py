"""The gateway at its limits: more load than it may hold, a silent Kafka, and the first webhooks after its start."""

import asyncio
import re
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

PROBE_EVERY = 0.05  # seconds
RECOVERED = 5  # answers of 200 in a row
SILENCE = 4.0  # seconds in which Kafka says nothing
START_TIMEOUT = 30.0  # seconds
FIRST = 1_000  # webhooks
HISTORIES = 9  # that are posted one after the other
FIRST_CONNECTIONS = 128


def cpu_seconds(process: psutil.Process) -> float:
    """User and system time of a process and its children."""
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def memory_mb(process: psutil.Process) -> float:
    return sum(each.memory_info().rss for each in (process, *process.children(recursive=True))) / 1e6


@dataclass
class Probe:
    """Posts one webhook after another beside a load, on one connection or on a new one each time."""

    port: int
    request: bytes
    new_connections: bool
    every: float = PROBE_EVERY  # seconds from one answer to the next webhook
    taken: list[float] = field(default_factory=list[float])  # seconds of each answer of 200
    refused: list[float] = field(default_factory=list[float])  # seconds of each 503
    _stop: threading.Event = field(default_factory=threading.Event)
    _connection: socket.socket | None = None

    def post(self) -> int:
        began = time.perf_counter()
        if self._connection is not None and self.new_connections:
            self._connection.close()
        if self._connection is None or self.new_connections:
            self._connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        self._connection.sendall(self.request)
        status = int(self._connection.recv(65536)[9:12])
        (self.taken if status == 200 else self.refused).append(time.perf_counter() - began)
        return status

    def __enter__(self) -> "Probe":
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self.every):
            self.post()

    def recovery(self) -> float:
        """Seconds from now until `RECOVERED` webhooks in a row were taken."""
        began, row = time.perf_counter(), 0
        while row < RECOVERED:
            row = row + 1 if self.post() == 200 else 0
        return time.perf_counter() - began


def overload(
    process: psutil.Process,
    kafka: psutil.Process,
    port: int,
    request: bytes,
    script: Path,
    connections: int,
    seconds: int,
) -> str:
    """Far more connections than the gateway may hold webhooks; then the same while Kafka is silent for a while."""
    before = memory_mb(process)
    lines: list[str] = []
    for silent in (False, True):
        handled = let_in(port)
        kept, new = Probe(port, request, new_connections=False), Probe(port, request, new_connections=True)
        arguments = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(script)]
        highest = before
        with kept, new:
            load = subprocess.Popen(["wrk", *arguments, f"http://127.0.0.1:{port}"], stdout=subprocess.PIPE, text=True)
            began, halted = time.monotonic(), False
            while load.poll() is None:
                highest = max(highest, memory_mb(process))
                since = time.monotonic() - began
                if silent and halted != (1 < since < 1 + SILENCE):
                    halted = not halted
                    (kafka.suspend if halted else kafka.resume)()
                time.sleep(PROBE_EVERY)
            assert load.stdout is not None
            said = load.stdout.read()
        if halted:
            kafka.resume()
        recovery = kept.recovery()
        totals = "; ".join(line.strip() for line in said.splitlines() if "requests in" in line or "Non-2xx" in line)
        lines += [
            f"- {connections} connections{f', Kafka silent for {SILENCE:.0f} s' if silent else ''}: {totals}",
            f"  - taken on a kept connection: {spread(kept.taken[:-RECOVERED])}; on new ones: {spread(new.taken)}",
            f"  - refused on a kept connection: {spread(kept.refused)}; on new ones: {spread(new.refused)}",
            f"  - let in, by the gateway's own clock: {waited(handled, let_in(port))}",
            f"  - memory: {before:.0f} MB before, {highest:.0f} MB at most; {recovery:.2f} s after the load ended "
            f"{RECOVERED} webhooks in a row were taken",
        ]
    return "\n".join(lines)


def beside_a_history(process: psutil.Process, port: int, history: bytes, request: bytes) -> str:
    """What a history of 3 MB costs the gateway until Kafka has it, and how long other webhooks wait meanwhile."""
    costs: list[float] = []
    others: list[float] = []
    large = Probe(port, history, new_connections=False)
    for _ in range(HISTORIES):
        before = cpu_seconds(process)
        _taken(large)
        costs.append(cpu_seconds(process) - before)
    for _ in range(HISTORIES):
        with Probe(port, request, new_connections=False, every=0.001) as beside:
            _taken(large)
        others += beside.taken
    return (
        f"- CPU of the process for one, which is its loop's: {min(costs) * 1000:.0f} ms at least, "
        f"{sorted(costs)[len(costs) // 2] * 1000:.0f} ms in the middle (of {len(costs)})\n"
        f"- until its answer: {spread(large.taken)}\n- a plain webhook beside it: {spread(others)}"
    )


def _taken(large: Probe) -> None:
    if large.post() != 200:
        raise SystemExit("the gateway did not take a history")


def spread(seconds: Sequence[float]) -> str:
    """The median and the end of some durations."""
    if not seconds:
        return "none"
    found = sorted(seconds)
    median, late = found[len(found) // 2], found[len(found) * 99 // 100]
    return f"p50 {median * 1000:.0f} ms, p99 {late * 1000:.0f} ms, at most {found[-1] * 1000:.0f} ms (of {len(found)})"


def let_in(port: int) -> dict[float, int]:
    """How many webhooks were not refused at once, by the seconds until their answer: as many or fewer."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = re.findall(r'^wabus_webhook_seconds_bucket\{le="([^"]+)"\} (\S+)', text, re.MULTILINE)
    return {float(bound): int(float(count)) for bound, count in found}


def waited(before: dict[float, int], after: dict[float, int]) -> str:
    counts = {bound: after[bound] - before[bound] for bound in after}
    total = counts[float("inf")]
    reached = [next(bound for bound in sorted(counts) if counts[bound] >= total * share) for share in (0.5, 0.99, 1)]
    return "p50 up to {:.0f} ms, p99 up to {:.0f} ms, all up to {:.0f} ms (of {:,})".format(
        *(1000 * bound for bound in reached), total
    )


def first_webhooks(port: int, requests: Sequence[bytes]) -> str:
    """The first thousand of a gateway that has just become ready, and those that follow on the same connections."""

    async def one(connection: int, latencies: list[list[float]]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for row in latencies:
            for number in range(-(-FIRST // FIRST_CONNECTIONS)):
                began = time.perf_counter()
                writer.write(requests[(connection + number) % len(requests)])
                head = await reader.readuntil(b"EVENT_RECEIVED")
                row.append(time.perf_counter() - began)
                assert head.startswith(b"HTTP/1.1 200")
        writer.close()

    async def all_of_them() -> list[list[float]]:
        latencies: list[list[float]] = [[], [], []]
        await asyncio.gather(*(one(number, latencies) for number in range(FIRST_CONNECTIONS)))
        return latencies

    names = "the first", "the second", "the third"
    rows = [f"- {name}: {spread(row)}" for name, row in zip(names, asyncio.run(all_of_them()), strict=True)]
    return "\n".join(rows)


def first_answer(launch: Callable[[], psutil.Popen], port: int, request: bytes) -> float:
    """Seconds from a process's start until it takes a webhook, which is tried over and over; then it is ended."""
    began = time.perf_counter()
    process = launch()
    try:
        while (since := time.perf_counter() - began) < START_TIMEOUT and process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                    connection.sendall(request)
                    if connection.recv(65536)[9:12] == b"200":
                        return since
            except OSError:
                pass
            time.sleep(0.005)
    finally:
        process.terminate()
        process.wait(30)
    raise SystemExit("a server did not take a webhook after its start")
