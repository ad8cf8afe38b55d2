"""Kafka, the gateway and what it is compared with, as processes on ports of their own."""

import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
from wabus_local.kafka import EmbeddedKafka
from wabus_runtime.kafka.clients import ensure_topics
from wabus_runtime.settings import KafkaSettings

HERE = Path(__file__).parent
PORTS = {"kafka": 29392, "bare": 29380, "straightforward": 29381, "wabus": 29382, "benthos": 29383}
BUILD_TIMEOUT = 900  # seconds; the first build fetches some 60 modules


async def prepared_kafka(home: Path, environment: dict[str, str]) -> EmbeddedKafka:
    """A broker with the topics of wabus."""
    kafka = EmbeddedKafka(home, PORTS["kafka"], progress=lambda _: None)
    await kafka.start(120)
    await ensure_topics(KafkaSettings.model_validate({name.lower(): value for name, value in environment.items()}))
    return kafka


def built_benthos(home: Path) -> bool:
    """Whether the engine in Go could be built; what kept it from that is said."""
    if shutil.which("go") is None:
        print("There is no Go here, so Benthos is left out.", file=sys.stderr)
        return False
    build = ["go", "build", "-o", str(home / "benthos"), "."]
    run = subprocess.run(
        build, cwd=HERE / "benthos", capture_output=True, text=True, timeout=BUILD_TIMEOUT, check=False
    )
    if run.returncode:
        print(f"Benthos is left out, for it could not be built: {run.stderr}", file=sys.stderr)
    return not run.returncode


def launch(name: str, environment: dict[str, str], home: Path, *options: str) -> psutil.Popen:
    """One of them, as it begins; `options` are the gateway's."""
    command = {
        "wabus": [sys.executable, "-m", "wabus_gateway", "--role", "api", *options],
        "bare": [sys.executable, str(HERE / "gateway_baselines.py"), "bare", str(PORTS["bare"])],
        "straightforward": [
            *(sys.executable, str(HERE / "gateway_baselines.py")),
            *("straightforward", str(PORTS["straightforward"])),
        ],
        "benthos": [str(home / "benthos"), "run", str(HERE / "benthos" / "pipeline.yaml")],
    }[name]
    where = {"HTTP_PORT": str(PORTS["wabus"]), "PORT": str(PORTS["benthos"])}
    with (home / f"{name}.log").open("wb") as log:
        return psutil.Popen(command, env={**environment, **where}, stdout=log, stderr=log)


def start(name: str, environment: dict[str, str], home: Path, *options: str) -> psutil.Process:
    """The same, once it answers."""
    process = launch(name, environment, home, *options)
    deadline = time.monotonic() + 30
    while not _answers(PORTS[name]):
        if time.monotonic() > deadline or process.poll() is not None:
            raise SystemExit(f"{name} did not start; see {name}.log in {home}")
        time.sleep(0.1)
    return psutil.Process(process.pid)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
            return True
    except urllib.error.HTTPError as error:
        return error.code == 404  # a baseline has no probe
    except OSError:
        return False
