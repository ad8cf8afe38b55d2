"""What the gateway does beyond one process and beyond its capacity: workers on one port, and overload."""

import subprocess
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import psutil

PROBE_EVERY = 0.05  # seconds
RECOVERED = 5  # answers of 200 in a row


def cpu_seconds(process: psutil.Process) -> float:
    """User and system time of a process and its children."""
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def memory_mb(process: psutil.Process) -> float:
    return sum(each.memory_info().rss for each in (process, *process.children(recursive=True))) / 1e6


@dataclass
class Probe:
    """Posts one webhook after another beside a load, and looks at the memory of the process that answers."""

    url: str
    body: bytes
    signature: str
    process: psutil.Process
    taken: list[float] = field(default_factory=list[float])  # seconds of each answer of 200
    refused: list[float] = field(default_factory=list[float])  # seconds of each 503
    highest_mb: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)

    def post(self) -> int:
        headers = {"X-Hub-Signature-256": f"sha256={self.signature}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url, self.body, headers)
        began = time.perf_counter()
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                status = answer.status
        except urllib.error.HTTPError as error:
            status = error.code
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
        while not self._stop.wait(PROBE_EVERY):
            self.post()
            self.highest_mb = max(self.highest_mb, memory_mb(self.process))

    def recovery(self) -> float:
        """Seconds from now until `RECOVERED` webhooks in a row were taken."""
        began, row = time.perf_counter(), 0
        while row < RECOVERED:
            row = row + 1 if self.post() == 200 else 0
        return time.perf_counter() - began


def overload(probe: Probe, script: Path, connections: int, seconds: int) -> str:
    """Far more connections than the gateway may hold webhooks, and what it does meanwhile and afterwards."""
    before = memory_mb(probe.process)
    with probe:
        address = probe.url.removesuffix("/webhooks/whatsapp")
        run = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(script), address]
        said = subprocess.run(run, capture_output=True, text=True, check=True, timeout=seconds + 60).stdout
    recovery = probe.recovery()
    lines = [line.strip() for line in said.splitlines() if "requests in" in line or "Non-2xx" in line]
    taken = sorted(probe.taken[:-RECOVERED]) or [float("nan")]
    refused = sorted(probe.refused) or [float("nan")]
    return "\n".join(
        [
            f"- {connections} connections: {'; '.join(lines)}",
            f"- beside them: a webhook that was taken waited {taken[len(taken) // 2] * 1000:.0f} ms, at most "
            f"{taken[-1] * 1000:.0f} ms; one that was refused {refused[len(refused) // 2] * 1000:.0f} ms",
            f"- memory: {before:.0f} MB before, {probe.highest_mb:.0f} MB at most",
            f"- {recovery:.2f} s after the load ended {RECOVERED} webhooks in a row were taken",
        ]
    )
