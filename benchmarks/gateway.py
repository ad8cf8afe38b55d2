"""The gateway beside an engine in Go, a straightforward gateway and bare aiohttp: in one run, as ratios.

    .venv/bin/python benchmarks/gateway.py [--seconds 4] [--rounds 3] [--connections 1 8] [--workers 1 2] [--plot X.svg]
    .venv/bin/python benchmarks/gateway.py --history-only

Needs `wrk` (a Debian package); the engine in Go needs Go. Kafka is the embedded one, with `acks=all`, on the same
machine: its CPU is not counted, its share of the cores is felt by all that publish. wrk corrects its latencies for
coordinated omission: on one connection a pause of 5 ms counts for as many webhooks as would have been sent in it. A
row is the median of its rounds, in which the servers take turns; look at the ratios.
"""

import argparse
import asyncio
import base64
import hashlib
import hmac
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

import psutil
from gateway_limits import (
    FIRST,
    FIRST_CONNECTIONS,
    beside_a_history,
    cpu_seconds,
    first_answer,
    first_webhooks,
    memory_mb,
    overload,
)
from gateway_plot import picture
from gateway_servers import PORTS, built_benthos, launch, prepared_kafka, start
from wabus_local.kafka import EmbeddedKafka
from webhook_records import history

SECRET = "a-secret-for-the-benchmark"
CAPACITY = 100  # webhooks in flight that the overloaded gateway may hold
OVERLOAD = 1_000  # connections
STARTS = 5  # of a process, to see how long it takes to be there
BODIES = 64  # different senders, so that all partitions get their part
BODY_BYTES = 826


@dataclass(frozen=True)
class Measured:
    """One server at one concurrency. Latencies in ms, CPU in ms of the server's process for a webhook."""

    server: str
    connections: int
    per_second: float
    cpu_ms: float
    p50: float
    p99: float
    rss_mb: float
    failed: int


def body(number: int) -> bytes:
    """A message webhook of `BODY_BYTES` bytes."""
    message = {
        "from": f"1650555{number:04d}",
        "id": f"wamid.HBgLMTY1MDU1NTEyMzQVAgASGBQzQTdCNTg5RTQ5NDk5{number:06d}==",
        "timestamp": str(int(time.time())),  # of now, so that whoever counts messages counts these
        "type": "text",
        "text": {"body": ""},
    }
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550783881", "phone_number_id": "106540352242922"},
        "contacts": [{"profile": {"name": "Sheena Nelson"}, "wa_id": message["from"]}],
        "messages": [message],
    }
    payload = {
        "object": "whatsapp_business_account",
        "entry": [{"id": "102290129340398", "changes": [{"value": value, "field": "messages"}]}],
    }
    message["text"] = {"body": "x" * (BODY_BYTES - len(json.dumps(payload)))}
    return json.dumps(payload).encode()


def lua() -> str:
    """The script by which wrk sends one of the signed bodies after the other."""
    bodies = [body(number) for number in range(BODIES)]
    signatures = [hmac.new(SECRET.encode(), one, hashlib.sha256).hexdigest() for one in bodies]
    pairs = ",\n".join(f"{{[==[{one.decode()}]==], '{mark}'}}" for one, mark in zip(bodies, signatures, strict=True))
    return f"""
local requests = {{}}
for _, pair in ipairs({{{pairs}}}) do
  requests[#requests + 1] = wrk.format("POST", "/webhooks/whatsapp",
    {{["X-Hub-Signature-256"] = "sha256=" .. pair[2], ["Host"] = "localhost"}}, pair[1])
end
local at = 0
request = function() at = at % #requests + 1; return requests[at] end
"""


def measure(name: str, process: psutil.Process, script: Path, connections: int, seconds: int) -> Measured:
    before = cpu_seconds(process)
    arguments = ["-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "10s", "-s", str(script)]
    run = subprocess.run(
        ["wrk", *arguments, f"http://127.0.0.1:{PORTS[name]}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 60,
    ).stdout
    after = cpu_seconds(process)
    count = int(found(run, r"(\d+) requests in"))
    failed = int(found(run, r"Non-2xx or 3xx responses: (\d+)", "0"))
    return Measured(
        name,
        connections,
        float(found(run, r"Requests/sec:\s+([\d.]+)")),
        1000 * (after - before) / max(count, 1),
        milliseconds(found(run, r"\n\s+50%\s+(\S+)")),
        milliseconds(found(run, r"\n\s+99%\s+(\S+)")),
        memory_mb(process),
        failed,
    )


def typical(rows: list[Measured]) -> Measured:
    """The median of each figure; memory and failures are the most there were."""
    return replace(
        rows[0],
        per_second=median(row.per_second for row in rows),
        cpu_ms=median(row.cpu_ms for row in rows),
        p50=median(row.p50 for row in rows),
        p99=median(row.p99 for row in rows),
        rss_mb=max(row.rss_mb for row in rows),
        failed=max(row.failed for row in rows),
    )


def found(text: str, pattern: str, default: str | None = None) -> str:
    match = re.search(pattern, text)
    if match is None and default is None:
        raise SystemExit(f"wrk said something unexpected:\n{text}")
    return match[1] if match else str(default)


def milliseconds(text: str) -> float:
    number, unit = found(text, r"^([\d.]+)"), text.lstrip("0123456789.")
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}[unit]


def scaling(environment: dict[str, str], home: Path, script: Path, counts: list[int], seconds: int) -> str:
    """The gateway with so many workers on one port, one after the other."""
    lines = ["| workers | webhooks/s | CPU ms | p50 ms | p99 ms |", "|---:|---:|---:|---:|---:|"]
    for count in counts:
        process = start("wabus", environment, home, "--workers", str(count))
        try:
            measure("wabus", process, script, 128, 2)
            row = measure("wabus", process, script, 128, seconds)
        finally:
            process.terminate()
            process.wait(30)
        lines.append(f"| {count} | {row.per_second:,.0f} | {row.cpu_ms:.3f} | {row.p50:.1f} | {row.p99:.1f} |")
    return "\n".join(lines)


def request(number: int) -> bytes:
    """One of the signed bodies as it goes over a connection."""
    return posted(body(number))


def posted(content: bytes) -> bytes:
    """A body as it goes over a connection, signed."""
    mark = hmac.new(SECRET.encode(), content, hashlib.sha256).hexdigest()
    head = f"POST /webhooks/whatsapp HTTP/1.1\r\nHost: x\r\nX-Hub-Signature-256: sha256={mark}\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


def first_answers(environment: dict[str, str], home: Path, names: Sequence[str]) -> str:
    """From the start of a process to its first answer of 200 to a webhook: the median of some starts."""
    lines: list[str] = []
    for name in names:
        seconds = [
            first_answer(partial(launch, name, environment, home), PORTS[name], request(0)) for _ in range(STARTS)
        ]
        lines.append(f"- {name}: {median(seconds):.2f} s, at most {max(seconds):.2f} s (of {STARTS})")
    return "\n".join(lines)


def started(environment: dict[str, str], home: Path) -> str:
    """A gateway of its own, asked as soon as it says that it is ready."""
    process = start("wabus", environment, home)
    try:
        return first_webhooks(PORTS["wabus"], [request(number) for number in range(BODIES)])
    finally:
        process.terminate()
        process.wait(30)


def imported(environment: dict[str, str], home: Path) -> str:
    """A gateway of its own that gets the messages of years at once, beside the others' webhooks."""
    process = start("wabus", environment, home)
    try:
        return beside_a_history(process, PORTS["wabus"], posted(history()), request(0))
    finally:
        process.terminate()
        process.wait(30)


def overloaded(environment: dict[str, str], home: Path, kafka: EmbeddedKafka, script: Path, seconds: int) -> str:
    process = start("wabus", {**environment, "GATEWAY_MAX_IN_FLIGHT": str(CAPACITY)}, home)
    assert kafka.child is not None
    try:
        broker = psutil.Process(kafka.child.pid)
        return overload(process, broker, PORTS["wabus"], request(0), script, OVERLOAD, seconds)
    finally:
        process.terminate()
        process.wait(30)


def verdict(rows: list[Measured]) -> str:
    """What was asked for, and what was measured; without the engine in Go only what needs none."""
    lines: list[str] = []
    for row in rows:
        if row.server != "wabus":
            continue
        said: list[str] = []
        if base := beside("benthos", row, rows):
            cpu, most = row.cpu_ms / base.cpu_ms, 1.0 if row.connections == 1 else 0.8
            said.append(f"CPU {cpu:.2f} x benthos ({'met' if cpu <= most else 'missed'}: at most {most:.1f})")
        tail = row.p99 / row.p50
        said.append(f"p99 {tail:.1f} x p50 ({'met' if tail <= 4 else 'missed'}: at most 4)")
        lines.append(f"- {row.connections} connections: {', '.join(said)}")
    return "\n".join(lines)


def beside(server: str, row: Measured, rows: list[Measured]) -> Measured | None:
    """What another server did with as many connections."""
    return next((one for one in rows if one.server == server and one.connections == row.connections), None)


def table(rows: list[Measured]) -> str:
    lines = [
        "| server | connections | webhooks/s | CPU ms | p50 ms | p99 ms | p99 ÷ p50 | MB | CPU ÷ Go | rate ÷ Go |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        base = beside("benthos", row, rows)
        ratios = f"{row.cpu_ms / base.cpu_ms:.2f} | {row.per_second / base.per_second:.2f}" if base else "– | –"
        lines.append(
            f"| {row.server} | {row.connections} | {row.per_second:,.0f} | {row.cpu_ms:.3f} "
            f"| {row.p50:.2f} | {row.p99:.2f} | {row.p99 / row.p50:.1f} | {row.rss_mb:.0f} | {ratios} |"
            + (f" {row.failed} refused" if row.failed else "")
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=4, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8, 32, 128, 512])
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--history-only", action="store_true", help="what a history of 3 MB costs, and nothing else")
    parser.add_argument("--plot", type=Path, help="where to draw it")
    arguments = parser.parse_args()
    if shutil.which("wrk") is None and not arguments.history_only:
        raise SystemExit("this benchmark needs wrk on PATH")
    with tempfile.TemporaryDirectory(prefix="wabus-bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        environment = {
            **os.environ,
            "WABUS_HOME": folder,
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{PORTS['kafka']}",
            "TOPIC_PREFIX": "bench.",
            "TOPIC_REPLICATION": "1",
            "META_APP_ID": "1",
            "META_APP_SECRETS": SECRET,
            "META_VERIFY_TOKEN": "v",
            "PUBLIC_URL": "http://127.0.0.1",
            "IDENTITY_KEY": base64.b64encode(b"i" * 32).decode(),
            "CREDENTIAL_KEYS": "k1:" + base64.b64encode(b"1" * 32).decode(),
            "JWT_SECRET": "x" * 32,
            "LOG_LEVEL": "WARNING",
        }
        kafka = asyncio.run(prepared_kafka(home, environment))
        script = home / "webhooks.lua"
        script.write_text(lua())
        rows: list[Measured] = []
        servers: dict[str, psutil.Process] = {}
        try:
            if arguments.history_only:
                print(imported(environment, home))
                return
            benthos = built_benthos(home)
            for name in ("bare", "straightforward", *(["benthos"] if benthos else []), "wabus"):
                servers[name] = start(name, environment, home)
            for name, process in servers.items():
                measure(name, process, script, 32, 2)
            for connections in arguments.connections:
                measured = [
                    measure(name, process, script, connections, arguments.seconds)
                    for _ in range(arguments.rounds)
                    for name, process in servers.items()
                ]
                rows += [typical([row for row in measured if row.server == name]) for name in servers]
                print(*rows[-len(servers) :], sep="\n", file=sys.stderr)
            for process in servers.values():
                process.terminate()
                process.wait(30)
            print(f"{table(rows)}\n\n{verdict(rows)}", flush=True)
            if arguments.workers:
                print("\nWorkers on one port, 128 connections:\n")
                print(scaling(environment, home, script, arguments.workers, 2 * arguments.seconds), flush=True)
            print(f"\nOverload, with room for {CAPACITY} webhooks in flight:\n")
            print(overloaded(environment, home, kafka, script, 2 * arguments.seconds), flush=True)
            print(f"\nJust started, {FIRST_CONNECTIONS} connections, {FIRST:,} webhooks and {FIRST:,} more, twice:\n")
            print(started(environment, home), flush=True)
            print(f"\nA history of {len(history()) / 1e6:.1f} MB, one event for each of its messages:\n")
            print(imported(environment, home), flush=True)
            print("\nFrom the start of a process to its first 200:\n")
            print(first_answers(environment, home, [*(["benthos"] if benthos else []), "wabus"]))
        finally:
            for process in servers.values():
                if process.is_running():
                    process.kill()
            asyncio.run(kafka.stop())
    if arguments.plot:
        arguments.plot.write_text(picture(rows))


if __name__ == "__main__":
    main()
